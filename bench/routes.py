"""How should the routes of all hosts reach a proxy: what does one changed host cost a real Envoy, by layout and size?

Each layout serves the same hosts to one Envoy that runs with the sidecar's bootstrap and listener: every host has its
four names and the routes that the translator gives it, one host answers by itself so that a change can be seen, a
wildcard host and a virtual host for all others stand behind. What is changed is the answer of that one host.

* one: one RouteConfiguration with all hosts (what the translator makes of few).
* VHDS: the same, its virtual hosts as resources of their own.
* SRDS by host: a scope for each name of each host, by `:authority`, each host a RouteConfiguration of its own; "on
  demand" fetches that with the first request.
* SRDS in buckets: the hosts spread over RouteConfigurations by a hash of their first label, which is worked out for
  each request and put into a header; wildcard hosts and the one for all others stand in each of them.
  By Lua: a filter, which runs after Envoy has looked for a route, so that filters see none that stand before it or that
  a route turns on. By CEL: an early header mutation, before everything: what the translator makes of many hosts.

CPU is user + system time of the Envoy (10 ms resolution, over several changes), or per request; a request goes over a
connection that stays open.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import structlog
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)
from envoy.service.discovery.v3 import discovery_pb2
from msgspec import Struct

from argosy.agent.bootstrap import Bootstrap, arguments, bootstrap, envoy_binary
from argosy.translate import connection_manager, wire
from argosy.translate.listener_outbound import OutboundProxyKey, outbound_proxy
from argosy.translate.resource import LISTENER
from argosy.xds.node import ProxyNode
from argosy.xds.server import AdsService, Peer, Session, StreamSession, server_options
from argosy.xds.stream import Stream
from argosy.xds.types import CachedResource
from argosy.xds.view import View
from argosy.xds.wire import Node
from bench.processes import cpu, pss
from bench.route_layouts import CHANGED, LAYOUTS, PORT, Layout, message
from tests.ports import free_port

Row = tuple[str, str, str]
SIZES = (1_000, 5_000, 10_000)
CHANGES, REQUESTS = 20, 20_000


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
