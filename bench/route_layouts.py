"""The layouts of routes that `bench/routes.py` compares: what each gives to an Envoy, and what changes with a host."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.on_demand.v3 import on_demand_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)
from google.protobuf.message import Message
from msgspec import Struct

from argosy.model import ir
from argosy.translate import names, parts, wire
from argosy.translate.generator import field
from argosy.translate.resource import ROUTE, SCOPE, TYPE
from argosy.translate.route import (
    MAX_DIRECT_RESPONSE,
    Tunnel,
    VirtualHostKey,
    virtual_host,
)
from argosy.xds.types import CachedResource

BUCKETS = 64
PORT = 9080
VIRTUAL_HOST = TYPE + "envoy.config.route.v3.VirtualHost"
HEADER = "x-argosy-routes"
LUA = f"""
function envoy_on_request(handle)
  local headers = handle:headers()
  local host, found = headers:get(":authority"):lower(), 0
  for at = 1, #host do
    local one = host:byte(at)
    if one == 46 or one == 58 then break end
    found = (found * 31 + one) % 1048576
  end
  headers:replace("{HEADER}", found % {BUCKETS})
  handle:clearRouteCache()
end
"""


def label(domain: str) -> str:
    """All names of a service begin with one label: they stand together."""
    return re.split(r"[.:]", domain, maxsplit=1)[0]


# --- hosts ------------------------------------------------------------------------------------------------------------


class Host(Struct, frozen=True):
    name: str
    domains: tuple[str, ...]


def host(number: int) -> Host:
    short = f"service-{number:05}"
    forms = (f"{short}.default.svc.cluster.local", f"{short}.default.svc", f"{short}.default", short)
    return Host(forms[0], tuple(f"{form}:{PORT}" for form in forms))


def routed(one: Host) -> bytes:
    """As the translator makes it for a service without rules."""
    forward = ir.Forward(
        destinations=(ir.WeightedDestination(ir.Destination(one.name, PORT)),), retry=ir.Mesh().default_retry
    )
    route = ir.Route(match=ir.RouteMatch(), action=forward)
    return _fragment(one, route)


def answering(one: Host, said: str) -> bytes:
    return _fragment(
        one, ir.Route(match=ir.RouteMatch(), action=ir.DirectResponse(status=200, body=said.encode()))
    )


def _fragment(one: Host, route: ir.Route) -> bytes:
    key = VirtualHostKey(
        name=f"{one.name}:{PORT}",
        domains=one.domains,
        routes=(route,),
        port=PORT,
        tunnel=Tunnel.HTTP,
        guarded=False,
    )
    return virtual_host(key).data


CHANGED = host(50)
REST = (
    answering(Host("wild", (f"*.example.com:{PORT}",)), "wild"),
    answering(Host("allow_any", ("*",)), "any"),
)


# --- layouts ----------------------------------------------------------------------------------------------------------


def configuration(name: str, fragments: Iterable[bytes]) -> CachedResource:
    head = route_pb2.RouteConfiguration(name=name)
    head.validate_clusters.value = False
    head.max_direct_response_body_size_bytes.value = MAX_DIRECT_RESPONSE
    return made(name, ROUTE, head.SerializeToString() + b"".join(fragments))


def made(name: str, type_url: str, data: bytes) -> CachedResource:
    version = f"{zlib.crc32(data):08x}"
    packed = field(1, type_url.encode()) + field(2, data)
    frame = field(1, version.encode()) + field(2, packed) + field(3, name.encode())
    return CachedResource(name, version, frame)


def message(name: str, one: Message) -> CachedResource:
    return made(name, TYPE + one.DESCRIPTOR.full_name, one.SerializeToString(deterministic=True))


class Layout:
    """Which resources there are, and which a change of the one host changes."""

    name = ""

    def __init__(self, size: int) -> None:
        self.hosts = [host(number) for number in range(size)]

    def connection(self, manager: manager_pb2.HttpConnectionManager) -> None:
        """Changes the connection manager of the outbound proxy."""

    def everything(self) -> dict[str, list[CachedResource]]:
        raise NotImplementedError

    def changed(self, said: str) -> dict[str, list[CachedResource]]:
        raise NotImplementedError

    def fragments(self, hosts: Iterable[Host], said: str) -> Iterable[bytes]:
        return (answering(CHANGED, said) if one == CHANGED else self.data[one.name] for one in hosts)

    def prepare(self) -> None:
        self.data = {one.name: routed(one) for one in self.hosts}


class One(Layout):
    name = "one"

    def everything(self) -> dict[str, list[CachedResource]]:
        return self.changed("0")

    def changed(self, said: str) -> dict[str, list[CachedResource]]:
        return {ROUTE: [configuration(names.HTTP_PROXY, (*self.fragments(self.hosts, said), *REST))]}


class Vhds(Layout):
    name = "VHDS"

    def everything(self) -> dict[str, list[CachedResource]]:
        base = route_pb2.RouteConfiguration(name=names.HTTP_PROXY)
        base.vhds.config_source.CopyFrom(wire.ads())
        all_of_them = [self._one(one, "0" if one == CHANGED else "") for one in self.hosts]
        data = base.SerializeToString() + b"".join(REST)
        return {ROUTE: [made(names.HTTP_PROXY, ROUTE, data)], VIRTUAL_HOST: all_of_them}

    def _one(self, one: Host, said: str) -> CachedResource:
        data = answering(one, said) if said else self.data[one.name]
        parsed = route_pb2.RouteConfiguration.FromString(data)
        return message(f"{names.HTTP_PROXY}/{one.domains[0]}", parsed.virtual_hosts[0])

    def changed(self, said: str) -> dict[str, list[CachedResource]]:
        return {VIRTUAL_HOST: [self._one(CHANGED, said)]}


def scoped(manager: manager_pb2.HttpConnectionManager, header: str) -> None:
    manager.ClearField("rds")
    manager.scoped_routes.name = "scopes"
    part = manager.scoped_routes.scope_key_builder.fragments.add().header_value_extractor
    part.name, part.index = header, 0
    manager.scoped_routes.rds_config_source.CopyFrom(wire.ads())
    manager.scoped_routes.scoped_rds.scoped_rds_config_source.CopyFrom(wire.ads())


def scope(key: str, route: str, on_demand: bool) -> CachedResource:
    one = scoped_route_pb2.ScopedRouteConfiguration(
        name=f"scope {key}", route_configuration_name=route, on_demand=on_demand
    )
    one.key.fragments.add(string_key=key)
    return message(one.name, one)


class ByHost(Layout):
    name = "SRDS by host"
    on_demand = False

    def connection(self, manager: manager_pb2.HttpConnectionManager) -> None:
        scoped(manager, ":authority")
        if self.on_demand:
            demand = manager_pb2.HttpFilter(
                name="envoy.filters.http.on_demand", typed_config=wire.pack(on_demand_pb2.OnDemand())
            )
            filters = [demand, *manager.http_filters]
            del manager.http_filters[:]
            manager.http_filters.extend(filters)

    def everything(self) -> dict[str, list[CachedResource]]:
        scopes = [scope(domain, one.name, self.on_demand) for one in self.hosts for domain in one.domains]
        routes = [
            configuration(one.name, (data,))
            for one, data in zip(self.hosts, self.fragments(self.hosts, "0"), strict=True)
        ]
        return {SCOPE: scopes, ROUTE: routes}

    def changed(self, said: str) -> dict[str, list[CachedResource]]:
        return {ROUTE: [configuration(CHANGED.name, (answering(CHANGED, said),))]}


class OnDemand(ByHost):
    name = "SRDS by host, on demand"
    on_demand = True


class ByLua(Layout):
    name = f"SRDS, {BUCKETS} buckets by Lua"

    def connection(self, manager: manager_pb2.HttpConnectionManager) -> None:
        scoped(manager, HEADER)
        code = lua_pb2.Lua(default_source_code=base_pb2.DataSource(inline_string=LUA))
        first = manager_pb2.HttpFilter(name="bucket", typed_config=wire.pack(code))
        filters = [first, *manager.http_filters]
        del manager.http_filters[:]
        manager.http_filters.extend(filters)

    def keys(self) -> list[str]:
        """What the header says of each bucket."""
        return [str(number) for number in range(BUCKETS)]

    def bucket(self, one: Host) -> int:
        found = 0
        for character in label(one.name).encode():
            found = (found * 31 + character) % 1048576
        return found % BUCKETS

    def prepare(self) -> None:
        super().prepare()
        self.parts: list[list[Host]] = [[] for _ in self.keys()]
        for one in self.hosts:
            self.parts[self.bucket(one)].append(one)

    def everything(self) -> dict[str, list[CachedResource]]:
        scopes = [
            scope(key, f"{names.HTTP_PROXY}/{number}", on_demand=False)
            for number, key in enumerate(self.keys())
        ]
        return {SCOPE: scopes, ROUTE: [self._bucket(number, "0") for number in range(len(scopes))]}

    def _bucket(self, number: int, said: str) -> CachedResource:
        return configuration(
            f"{names.HTTP_PROXY}/{number}", (*self.fragments(self.parts[number], said), *REST)
        )

    def changed(self, said: str) -> dict[str, list[CachedResource]]:
        return {ROUTE: [self._bucket(self.bucket(CHANGED), said)]}


class Parts(ByLua):
    """As the translator has it where there are many hosts."""

    name = f"SRDS, {parts.PARTS} parts by CEL"

    def connection(self, manager: manager_pb2.HttpConnectionManager) -> None:
        manager.ClearField("rds")
        parts.into(names.HTTP_PROXY, manager)

    def keys(self) -> list[str]:
        return [parts.name(names.HTTP_PROXY, number) for number in range(parts.PARTS)]

    def bucket(self, one: Host) -> int:
        return parts.part_of(one.name)


LAYOUTS: tuple[type[Layout], ...] = (One, Vhds, ByHost, OnDemand, ByLua, Parts)
