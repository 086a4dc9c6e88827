"""Host names as configuration writes them: short names, wildcards, visibility and the names of gateways.

Facts (Istio): a name without a dot is short and belongs to the namespace of the object that wrote it; a wildcard is
`*`, `*.suffix` or `*-suffix` and matches any number of labels; the longest pattern that matches is the most specific.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

MESH_GATEWAY = "mesh"
"""The reserved gateway that stands for all the sidecars."""

EVERYWHERE = "*"
NOWHERE = "~"


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def full_name(host: str, namespace: str, domain_suffix: str) -> str:
    """The host as the whole mesh knows it: `reviews` of an object in `shop` is `reviews.shop.svc.cluster.local`."""
    if not host or "." in host or host == "*" or is_address(host):
        return host
    return f"{host}.{namespace}.svc.{domain_suffix}"


@lru_cache(maxsize=65536)
def patterns(host: str) -> tuple[str, ...]:
    """Every host that configuration may write to mean `host`, the most specific first: itself, then the wildcards."""
    found = [host]
    start = 1 if host.startswith("*") else 0
    for index in range(start, len(host)):
        if host[index] in ".-":
            wildcard = "*" + host[index:]
            if wildcard != host:
                found.append(wildcard)
    if host != "*":
        found.append("*")
    return tuple(found)


def covers(pattern: str, host: str) -> bool:
    """Whether everything that `host` means (it may be a wildcard too) is meant by `pattern`."""
    if pattern == host:
        return True
    if not pattern.startswith("*"):
        return False
    return host.removeprefix("*").endswith(pattern[1:])


def intersection(left: Iterable[str], right: Iterable[str]) -> tuple[str, ...]:
    """Hosts that both sides mean: of each pair the more specific. In the order of `left`, each once."""
    found: dict[str, None] = {}
    others = tuple(right)
    for one in left:
        for other in others:
            if covers(other, one):
                found[one] = None
            elif covers(one, other):
                found[other] = None
    return tuple(found)


class Exported(Protocol):
    """What other namespaces may see. `export_to`: see `written_export`."""

    @property
    def namespace(self) -> str: ...

    @property
    def export_to(self) -> tuple[str, ...]: ...


def visible_from(exported: Exported, default: tuple[str, ...], namespace: str) -> bool:
    """Whether an object is seen from `namespace`. `default`: where it says nothing itself, what the mesh says."""
    export_to = exported_to(exported, default)
    return EVERYWHERE in export_to or namespace in export_to


def exported_to(exported: Exported, default: tuple[str, ...]) -> tuple[str, ...]:
    """Its exportTo, or the mesh's as it is for an object in its namespace."""
    return exported.export_to or resolved_export(default, exported.namespace)


def written_export(export_to: Iterable[str] | None, namespace: str) -> tuple[str, ...]:
    """exportTo with "." as the object's own namespace, sorted; () is not written: as the mesh says."""
    return tuple(sorted({namespace if item == "." else item for item in export_to or ()}))


def resolved_export(export_to: Iterable[str] | None, namespace: str) -> tuple[str, ...]:
    """The same; nothing written: everywhere."""
    return written_export(export_to, namespace) or (EVERYWHERE,)


def gateway_name(gateway: str, namespace: str) -> str:
    """`namespace/name` of a gateway that an object in `namespace` names `name`, `namespace/name`, `./name` or by its
    DNS name; the reserved `mesh` stays."""
    if gateway == MESH_GATEWAY:
        return gateway
    if "/" in gateway:
        owner, _, name = gateway.partition("/")
        return f"{namespace if owner == '.' else owner}/{name}"
    if "." in gateway:
        name, _, rest = gateway.partition(".")
        return f"{rest.partition('.')[0]}/{name}"
    return f"{namespace}/{gateway}"
