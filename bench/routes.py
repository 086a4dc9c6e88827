"""How should the routes of all hosts reach a proxy: what does one changed host cost a real Envoy, by layout and size?

Each layout serves the same hosts to one Envoy that runs with the sidecar's bootstrap and listener: every host has its
four names and the routes that the translator gives it, one host answers by itself so that a change can be seen, a
wildcard host and a virtual host for all others stand behind. What is changed is the answer of that one host.

* one: one RouteConfiguration with all hosts (what the translator makes).
* VHDS: the same, its virtual hosts as resources of their own.
* SRDS by host: a scope for each name of each host, by `:authority`, each host a RouteConfiguration of its own; "on
  demand" fetches that with the first request.
* SRDS by bucket: the hosts spread over 64 RouteConfigurations by a hash of their first label, which is worked out for
  each request and put into a header; wildcard hosts and the one for all others stand in each of them.
  By Lua: a filter, which runs after Envoy has looked for a route, so that filters see none that stand before it or that
  a route turns on. By CEL: an early header mutation, before everything; six regular expressions, each the parity of the
  characters of one class.

CPU is user + system time of the Envoy (10 ms resolution, over several changes), or per request; a request goes over a
connection that stays open.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import statistics
import subprocess
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import structlog
from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.on_demand.v3 import on_demand_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import Message
from msgspec import Struct

from argosy.agent.bootstrap import Bootstrap, arguments, bootstrap, envoy_binary
from argosy.model import ir
from argosy.translate import connection_manager, names, wire
from argosy.translate.generator import field
from argosy.translate.listener_outbound import OutboundProxyKey, outbound_proxy
from argosy.translate.resource import LISTENER, ROUTE, TYPE
from argosy.translate.route import (
    MAX_DIRECT_RESPONSE,
    Tunnel,
    VirtualHostKey,
    virtual_host,
)
from argosy.xds.node import ProxyNode
from argosy.xds.server import AdsService, Peer, Session, StreamSession, server_options
from argosy.xds.stream import Stream
from argosy.xds.types import CachedResource
from argosy.xds.view import View
from argosy.xds.wire import Node
from bench.processes import cpu, pss
from tests.ports import free_port

Row = tuple[str, str, str]
SIZES = (1_000, 5_000, 10_000)
CHANGES, REQUESTS = 20, 20_000
BUCKETS = 64
PORT = 9080
SCOPE = TYPE + "envoy.config.route.v3.ScopedRouteConfiguration"
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


CLASSES = (
    ("a-m0-4", "n-z5-9_-"),
    ("a-fn-t0-13-5", "g-mu-z26-9_-"),
    ("d-ku-z1-36-8", "a-cl-t04-59_-"),
    ("a-br-v02468", "c-qw-z13579_-"),
    ("e-io-s0-24-57", "a-dj-nt-z368-9_-"),
    ("b-dh-lp-rx-z047-9_", "ae-gm-os-w1-356-"),
)
"""Characters of a label, and the others: as ranges, because Envoy bounds the size of an expression in CEL to 100."""


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
        self.parts: list[list[Host]] = [[] for _ in range(BUCKETS)]
        for one in self.hosts:
            self.parts[self.bucket(one)].append(one)

    def everything(self) -> dict[str, list[CachedResource]]:
        scopes = [
            scope(key, f"{names.HTTP_PROXY}/{number}", on_demand=False)
            for number, key in enumerate(self.keys())
        ]
        return {SCOPE: scopes, ROUTE: [self._bucket(number, "0") for number in range(BUCKETS)]}

    def _bucket(self, number: int, said: str) -> CachedResource:
        return configuration(
            f"{names.HTTP_PROXY}/{number}", (*self.fragments(self.parts[number], said), *REST)
        )

    def changed(self, said: str) -> dict[str, list[CachedResource]]:
        return {ROUTE: [self._bucket(self.bucket(CHANGED), said)]}


class ByCel(ByLua):
    name = f"SRDS, {BUCKETS} buckets by CEL"

    def connection(self, manager: manager_pb2.HttpConnectionManager) -> None:
        scoped(manager, HEADER)
        early = header_mutation_pb2.HeaderMutation()
        added = early.mutations.add().append
        added.header.key = HEADER
        added.header.value = "".join(
            f'%CEL(request.host.matches(r"(?i)^([{others}]*[{some}][{others}]*[{some}])*[{others}]*([.:]|$)"))%'
            for some, others in CLASSES
        )
        added.append_action = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        manager.early_header_mutation_extensions.add(
            name="envoy.http.early_header_mutation.header_mutation", typed_config=wire.pack(early)
        )

    def keys(self) -> list[str]:
        return ["".join(one) for one in itertools.product(("true", "false"), repeat=len(CLASSES))]

    def bucket(self, one: Host) -> int:
        found = 0
        for some, _ in CLASSES:
            odd = len(re.findall(f"[{some}]", label(one.name))) % 2
            found = 2 * found + odd
        return found


LAYOUTS: tuple[type[Layout], ...] = (One, Vhds, ByHost, OnDemand, ByLua, ByCel)


# --- one Envoy --------------------------------------------------------------------------------------------------------


class Lab:
    """An Envoy and the server that it asks."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.layout = layout
        self.view = View()
        self.port = free_port()
        self.stream: Stream | None = None
        self.pid = 0

    async def resolve(self, node: Node, peer: Peer) -> Session:
        self.stream = Stream((self.view,))
        return StreamSession(self.stream)

    def listener(self) -> CachedResource:
        made_by_us = outbound_proxy(OutboundProxyKey(port=self.port))
        parsed = listener_pb2.Listener()
        discovery_pb2.Resource.FromString(made_by_us.frame).resource.Unpack(parsed)
        chain = parsed.filter_chains[0].filters[0]
        assert chain.name == connection_manager.NAME
        manager = manager_pb2.HttpConnectionManager()
        chain.typed_config.Unpack(manager)
        self.layout.connection(manager)
        chain.typed_config.CopyFrom(wire.pack(manager))
        return message(parsed.name, parsed)

    def update(self, changes: dict[str, list[CachedResource]]) -> int:
        """Puts resources into the view; their bytes."""
        for type_url, resources in changes.items():
            self.view.update(type_url, resources)
        return sum(len(one.frame) for resources in changes.values() for one in resources)

    async def until(self, condition: Callable[[], bool], what: str, within: float = 120) -> None:
        end = time.monotonic() + within
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}\n{(self.folder / 'envoy.log').read_text()[-2000:]}")
            await asyncio.sleep(0.002)

    async def acknowledged(self) -> None:
        await self.until(lambda: self.stream is not None and self.stream.settled(), "everything acknowledged")


@asynccontextmanager
async def running(layout: Layout) -> AsyncIterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="routes-") as name:
        lab = Lab(Path(name), layout)
        server = grpc.aio.server(options=server_options())
        server.add_generic_rpc_handlers((AdsService(lab.resolve, structlog.get_logger()).handler(),))
        server.add_insecure_port(f"unix:{lab.folder}/xds.sock")
        await server.start()
        config = lab.folder / "envoy.json"
        of = Bootstrap(
            name="client",
            namespace="default",
            proxy=ProxyNode(outbound_port=lab.port),
            admin_socket=f"{lab.folder}/admin.sock",
            xds_socket=f"{lab.folder}/xds.sock",
        )
        config.write_text(json.dumps(bootstrap(of)))
        with (lab.folder / "envoy.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: ASYNC220  starting is quick
                arguments(envoy_binary(), config), stdout=log, stderr=log
            )
        lab.pid = process.pid
        try:
            await lab.until(
                lambda: lab.stream is not None and len(lab.stream.types()) > 1 and lab.stream.settled(),
                "Envoy asks",
            )
            yield lab
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)
            await server.stop(None)


class Connection:
    """One connection of an application to its proxy."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Connection:
        end = time.monotonic() + 60
        while True:
            try:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
                return self
            except OSError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.005)

    async def __aexit__(self, *_: Any) -> None:
        self.writer.close()

    async def get(self, authority: str) -> tuple[int, str]:
        async with asyncio.timeout(30):
            return await self._get(authority)

    async def _get(self, authority: str) -> tuple[int, str]:
        self.writer.write(f"GET http://{authority}/ HTTP/1.1\r\nhost: {authority}\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        body = await self.reader.readexactly(length)
        return int(head.split(" ", 2)[1]), body.decode()


class Measured(Struct):
    start: float  # seconds of CPU, from the listener to the first answer
    memory: float  # MB above an Envoy without routes
    change_cpu: float  # ms
    in_force: float  # ms, from the change to the ACK
    size: float  # bytes of a change
    request: float  # µs of CPU
    first: float  # ms
    wildcard: str
    unknown: str


async def measure(layout: Layout) -> Measured:
    layout.prepare()
    async with running(layout) as lab:
        bare, before = pss(lab.pid), cpu(lab.pid)
        lab.update({LISTENER: [lab.listener()], **layout.everything()})
        async with Connection(lab.port) as client:
            end = time.monotonic() + 120
            began = time.monotonic()
            while (answer := await client.get(CHANGED.domains[0])) != (200, "0"):
                assert time.monotonic() < end, answer
                began = time.monotonic()
                await asyncio.sleep(0.02)
            first = (time.monotonic() - began) * 1000
            await lab.acknowledged()
            start, memory = cpu(lab.pid) - before, pss(lab.pid) - bare
            return await _measure(lab, layout, client, start, memory, first)


async def _measure(
    lab: Lab, layout: Layout, client: Connection, start: float, memory: float, first: float
) -> Measured:
    took, size, used = [], [], cpu(lab.pid)
    for turn in range(1, CHANGES + 1):
        changes = layout.changed(str(turn))
        began = time.monotonic()
        size.append(lab.update(changes))
        await lab.acknowledged()
        took.append((time.monotonic() - began) * 1000)
        assert (await client.get(CHANGED.domains[0])) == (200, str(turn)), (
            "an acknowledged change is in force"
        )
    change_cpu = (cpu(lab.pid) - used) * 1000 / CHANGES
    await client.get(CHANGED.domains[1])  # every name of a host is its own
    used = cpu(lab.pid)
    for _ in range(REQUESTS):
        await client.get(CHANGED.domains[0])
    request = (cpu(lab.pid) - used) * 1e6 / REQUESTS
    wildcard, unknown = await client.get(f"a.example.com:{PORT}"), await client.get("elsewhere.org")
    return Measured(
        start,
        memory,
        change_cpu,
        statistics.median(took),
        statistics.median(size),
        request,
        first,
        _said(wildcard, "wild"),
        _said(unknown, "any"),
    )


def _said(answer: tuple[int, str], wanted: str) -> str:
    return "yes" if answer == (200, wanted) else f"no ({answer[0]})"


def run() -> list[Row]:
    rows: list[Row] = []
    for size in SIZES:
        for layout in LAYOUTS:
            rows.append(row(size, layout))
            print(rows[-1], flush=True)
    return rows


def row(size: int, layout: type[Layout]) -> Row:
    label = f"{size:,} hosts, {layout.name}"
    try:
        one = asyncio.run(measure(layout(size)))
    except (TimeoutError, AssertionError) as error:
        return (label, f"does not come into force: {str(error).splitlines()[0]}", "-")
    return (
        label,
        f"change: {one.change_cpu:.0f} ms CPU, {one.in_force:.0f} ms to the ACK, {one.size / 1e3:.1f} kB; "
        f"start {one.start:.2f} s CPU; {one.memory:.0f} MB; request {one.request:.0f} µs, first {one.first:.1f} ms; "
        f"wildcard {one.wildcard}, unknown hosts {one.unknown}",
        "-",
    )
