"""Routes of very many hosts: one RouteConfiguration parted into many, so that a change of one host costs one part.

Envoy makes a whole RouteConfiguration anew when one of its virtual hosts changes: 25 us of CPU a host. So where there
are many hosts (`MANY`), each of their names belongs to one of `PARTS` parts. Which one is worked out for every request
from its host, by an early header mutation, and is the key of a scope (SRDS). The rules:

* A part is a function of the host as it is written in the request, and of nothing else: the same expressions run in
  Envoy (CEL, RE2) and here. So a virtual host stands in the parts of its names, and the first labels of the names of a
  service are the same.
* All parts are there, and each holds the wildcard hosts and the virtual host for all others: a scope that is not found
  would be a 404, and Envoy knows no fallback for scopes.
* Scopes never change. Envoy answers 404 while a scope waits for another RouteConfiguration than it had.

The seven bits of a part are parities: of the characters at odd (or even) places of the first label, how many are of a
class. Envoy bounds a regular expression in CEL to 100 instructions, and letters of both cases are one here by being
written out: `(?i)` alone would be more than that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)
from msgspec import Struct

from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.translate import names as route_names
from argosy.translate import wire
from argosy.translate.generator import Fragment, generator
from argosy.translate.http_or_tcp import Handling, outbound_handling

MANY = 256
"""Hosts, above which parts pay: their RouteConfiguration takes an Envoy 6 ms for each change."""
FEW = 16
"""Wildcard hosts of a gateway up to which parts pay: each of them stands in all parts."""
HEADER = "x-argosy-routes"
"""Holds the name of the part while a request is routed; taken off before it is sent on."""


_LETTERS, _DIGITS, _OTHERS = "abcdefghijklmnopqrstuvwxyz", "0123456789", "-_"
_CLASSES = (
    ("abcdefghijklm", "01234"),
    ("ghijklmnopqrs", "23456"),
    ("defghijqrstuvw", "1267"),
    ("bcdeijkloprquvw", "2378"),
)
"""(letters, digits). With the first three no more than two of the ten digits, and four letters, are alike."""
_BITS = (*((one, False) for one in _CLASSES), *((one, True) for one in _CLASSES[:3]))
PARTS = 2 ** len(_BITS)
_ANY = r"(?:[A-Z_a-z-]|\.?[0-9])"
"""One place of a label. A dot before a digit ends none: addresses are one label, as their first numbers are alike."""


def _set(characters: Iterable[str]) -> str:
    """Of a regular expression, in as few ranges as can be."""
    out = ""
    codes = sorted({ord(case) for one in characters for case in (one.lower(), one.upper())})
    while codes:
        last = next(at for at, code in enumerate(codes) if at + 1 == len(codes) or codes[at + 1] != code + 1)
        first, end = chr(codes[0]), chr(codes[last])
        out += f"\\{end}" if end == "-" else end if not last else f"{first}-{end}"
        codes = codes[last + 1 :]
    return f"[{out}]"


def _parity(letters: str, digits: str, even: bool, end: str) -> str:
    """Matches a host with an odd number of characters of the class at the even places of its label, or the odd ones."""
    others = {*_LETTERS, *_OTHERS} - {*letters}
    inside = rf"(?:{_set(letters + digits)}|\.{_set(digits)})"
    outside = rf"(?:{_set({*others, *_DIGITS} - {*digits})}|\.{_set({*_DIGITS} - {*digits})})"
    first = _ANY if even else ""
    pairs = f"(?:{_ANY}(?:{outside}|{inside}(?:{_ANY}{outside})*{_ANY}{inside}))*"
    return rf"^{first}{pairs}{_ANY}?(?:\.[A-Za-z_-]|:|{end})"


_HERE = tuple(re.compile(_parity(*of, even, r"\Z"), re.ASCII) for of, even in _BITS)


_LABEL = re.compile(rf"({_ANY}*)(?:\.[A-Za-z_-]|:|\Z)", re.ASCII)


def part_of(host: str) -> int:
    """The part of requests to a host, as they write it: with or without a port."""
    label = _LABEL.match(host)
    return _of_label(label[1]) if label else 0  # what no expression matches


@lru_cache(maxsize=65_536)
def _of_label(label: str) -> int:
    return sum(1 << bit for bit, one in enumerate(_HERE) if one.match(label))


def expression() -> str:
    """The same in CEL."""
    bits = (
        f'(request.host.matches(r"{_parity(*of, even, "$")}") ? {1 << bit} : 0)'
        for bit, (of, even) in enumerate(_BITS)
    )
    return " + ".join(bits)


def of_domains(domains: Iterable[str]) -> frozenset[int]:
    """The parts in which a virtual host of these domains stands."""
    found = set()
    for domain in domains:
        if domain.startswith("*") or domain.endswith("*"):
            return ALL
        found.add(part_of(domain))
    return frozenset(found)


ALL = frozenset(range(PARTS))


def of_fragment(virtual_host: Fragment) -> frozenset[int]:
    """The same, as the virtual host itself says, whatever EnvoyFilters made of it; none where they removed it."""
    made = route_pb2.RouteConfiguration.FromString(virtual_host.data).virtual_hosts
    return of_domains(domain for host in made for domain in host.domains)


def name(route: str, part: int) -> str:
    """Of the RouteConfiguration, which is the key of its scope, too."""
    return f"{route}/{part}"


def names(route: str) -> Iterable[str]:
    return (name(route, part) for part in range(PARTS))


def whole(route: str) -> str:
    """Of which RouteConfiguration it is a part; the same where it is none."""
    before, _, number = route.rpartition("/")
    return before if before and "/" not in before and number.isdigit() else route


def wanted(snapshot: Snapshot, scope: Scope) -> tuple[str, ...]:
    """The RouteConfigurations that a proxy that starts now should have in parts. None where a Sidecar is in force: what
    a proxy sees is bounded by that already."""
    if scope.type is ProxyType.ROUTER:
        return tuple(
            route
            for route, hosts in _at_gateways(snapshot, scope).items()
            if sum(not host.startswith("*") for host in hosts) > MANY
            and sum(host.startswith("*") for host in hosts) <= FEW
        )
    if scope.sidecar or len(snapshot.services) <= MANY:
        return ()
    if scope.interception is Interception.EXPLICIT:
        return (route_names.HTTP_PROXY,)
    ports = Counter(
        port.number
        for service in snapshot.services.values()
        for port in service.ports
        if outbound_handling(port.protocol) in (Handling.HTTP, Handling.DETECT)
    )
    return tuple(sorted(str(port) for port, hosts in ports.items() if hosts > MANY))


def plain_routes(snapshot: Snapshot, scope: Scope) -> tuple[str, ...]:
    """What a gateway may have in parts: the RouteConfigurations of its ports of plain HTTP, sorted."""
    return tuple(_at_gateways(snapshot, scope))


def _at_gateways(snapshot: Snapshot, scope: Scope) -> dict[str, set[str]]:
    """The RouteConfigurations of a gateway's ports of plain HTTP, sorted, with the hosts of what is bound there."""
    reader = Reader(snapshot)
    bound: dict[str, set[str]] = {}
    for listener in reader.gateway_listeners(scope):
        for server in listener.servers:
            if server.protocol.is_http and not server.bind:
                route = route_names.gateway_route(server, listener.port)
                bound.setdefault(route, set()).add(server.bound_by)
    return {
        route: {
            host for gateway in gateways for rule in reader.bound(gateway) if rule.http for host in rule.hosts
        }
        for route, gateways in sorted(bound.items())
    }


class ScopeKey(Struct, frozen=True):
    route: str  # the part

    @property
    def name(self) -> str:
        return self.route


@generator
def scope(key: ScopeKey) -> scoped_route_pb2.ScopedRouteConfiguration:
    out = scoped_route_pb2.ScopedRouteConfiguration(name=key.name, route_configuration_name=key.route)
    out.key.fragments.add(string_key=key.route)
    return out


def into(route: str, manager: manager_pb2.HttpConnectionManager) -> None:
    """Makes a connection manager choose among the parts of a RouteConfiguration."""
    manager.scoped_routes.name = route
    key = manager.scoped_routes.scope_key_builder.fragments.add().header_value_extractor
    key.name, key.index = HEADER, 0
    manager.scoped_routes.rds_config_source.CopyFrom(wire.ads())
    manager.scoped_routes.scoped_rds.scoped_rds_config_source.CopyFrom(wire.ads())


def mutation(route: str) -> mutation_rules_pb2.HeaderMutation:
    """Writes the part of a request, before it is routed."""
    out = mutation_rules_pb2.HeaderMutation()
    chosen = out.append
    chosen.header.key, chosen.header.value = HEADER, f"{route}/%CEL({expression()})%"
    chosen.append_action = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return out
