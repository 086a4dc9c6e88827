"""What does it cost to serve 1,000 and 10,000 proxies over mutual TLS: a change, a reconnect, clients that stall?

`argosy server` as people start it, in a process of its own: authentication, views, status and all. This process is the
proxies: each has an identity, a connection and a delta stream of its own, subscribes to everything as a sidecar does
and acknowledges what comes; Envoys are not needed for what the server does. A change is a WorkloadEntry that is written
over the API: the time is from before the request to the last acknowledgement, as it leaves the proxy. An attempt to
connect that fails is repeated as an agent repeats it.
CPU is user + system time of the server, memory its proportional set size.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import msgspec
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.struct_pb2 import Struct as PbStruct

from argosy.apiserver.client import ApiClient
from argosy.identity.client import Svid, attest, channel, new_key_and_csr, sign, svid
from argosy.identity.protocol import SignRequest
from argosy.runtime.files import raise_open_files
from argosy.runtime.paths import ServerInfo
from argosy.xds import wire
from argosy.xds.connection import Backoff
from argosy.xds.node import METADATA_KEY, ProxyNode
from argosy.xds.server import PATH
from argosy.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from argosy.xds.wire import Node
from bench.processes import cpu, pss
from tests.e2e.mesh import Mesh

Row = tuple[str, str, str]
SIZES = (1_000, 10_000)
AIMS = {1_000: ("100 ms", "100 ms", "150 MB"), 10_000: ("1000 ms", "1000 ms", "1000 MB")}
"""Streams -> CPU of a change, time to the last, memory of the serving side."""
SERVICES, CHANGES, STALLED, FLOOD = 20, 5, 500, 200
AT_ONCE, MOST_AT_ONCE = (
    100,
    1_000,
)  # certificates and connections that are made at the same time, at first and again
CLUSTERS = tuple(f"outbound|9080||service-{number}.default.svc.cluster.local" for number in range(SERVICES))
ROUTES = ("http_proxy",)
METADATA = {"namespace": "default"}


# --- the mesh ---------------------------------------------------------------------------------------------------------


def service(number: int) -> dict[str, Any]:
    name = f"service-{number}"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, **METADATA},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 9080}]},
    }


def entry(number: int, address: str) -> dict[str, Any]:
    name = f"service-{number}"
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": name, **METADATA},
        "spec": {"address": address, "labels": {"app": name}},
    }


class Server:
    """A running `argosy server`, and what it costs."""

    def __init__(self, mesh: Mesh) -> None:
        assert mesh.server is not None
        self.pid = mesh.server.pid
        self.info = msgspec.json.decode((mesh.state / "server.json").read_bytes(), type=ServerInfo)
        self.api = ApiClient.from_kubeconfig(mesh.state / "kubeconfig")

    @property
    def cpu(self) -> float:
        """Milliseconds since its start."""
        return cpu(self.pid) * 1000

    @property
    def memory(self) -> float:
        return pss(self.pid)

    async def apply(self, *objects: Any) -> None:
        for one in objects:
            await asyncio.to_thread(self.api.apply, one)

    async def quiet(self) -> None:
        """Until it does next to nothing for a second: what a change leaves to do is a part of its cost."""
        before = self.cpu
        while True:
            await asyncio.sleep(1)
            if self.cpu - before <= 30:
                return
            before = self.cpu


# --- the proxies ------------------------------------------------------------------------------------------------------


class Proxy:
    """One proxy: its identity, its connection, its stream."""

    def __init__(self, crowd: Crowd, name: str, held: Svid) -> None:
        self.crowd = crowd
        self.name = name
        self.held = held
        self.versions: dict[str, dict[str, str]] = {}
        self.reading = asyncio.Event()
        self.reading.set()
        self.settled = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def first_requests(self) -> Iterator[bytes]:
        """As an agent's: everything by name or by `*`, with the versions that it has."""
        node: Node | None = self.crowd.node(self.name)
        for type_url, names in SUBSCRIPTIONS.items():
            versions = self.versions.get(type_url, {})
            yield wire.request(type_url, subscribe=names, versions=versions, node=node).SerializeToString()
            node = None

    async def run(self) -> None:
        """For ever, with the agent's back-off between attempts."""
        backoff, attempt = Backoff(), 0
        while True:
            with contextlib.suppress(grpc.RpcError):
                await self.stream()
            attempt += 1
            self.crowd.attempts += 1
            await asyncio.sleep(backoff.wait(attempt, random.random()))

    async def stream(self) -> None:
        async with channel(
            self.crowd.server.info.xds, self.held.bundle, self.held.chain, self.held.key
        ) as to:
            method: Any = to.stream_stream
            call = method(PATH)()
            for request in self.first_requests():
                await call.write(request)
            answered: set[str] = set()
            while True:
                await self.reading.wait()
                data = await call.read()
                if data is grpc.aio.EOF:  # type: ignore[attr-defined]  # the stubs do not know it
                    return
                response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
                versions = self.versions.setdefault(response.type_url, {})
                for one in response.resources:
                    versions[one.name] = one.version
                await call.write(wire.request(response.type_url, nonce=response.nonce).SerializeToString())
                self.crowd.took(response)
                answered.add(response.type_url)
                if answered >= ALWAYS_ANSWERED:
                    self.settled.set()

    def start(self) -> None:
        self.settled.clear()
        self.task = asyncio.create_task(self.run())
        self.task.add_done_callback(self.crowd.ended)

    async def stop(self) -> None:
        task, self.task = self.task, None  # its exception would hold the call, and the call the connection
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


SUBSCRIPTIONS: dict[str, tuple[str, ...]] = {
    CLUSTER: ("*",),
    LISTENER: ("*",),
    ENDPOINT: CLUSTERS,
    ROUTE: ROUTES,
}
ALWAYS_ANSWERED = {CLUSTER, LISTENER}
"""A new subscription to everything is answered even if nothing is new."""


class Crowd:
    """All proxies, in this process."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.proxies: list[Proxy] = []
        self.updates = 0  # responses with endpoints since it was reset
        self.last = 0.0
        self.attempts = 0  # that failed
        self.failed: BaseException | None = None

    def node(self, name: str) -> Node:
        metadata = PbStruct()
        metadata.update({METADATA_KEY: msgspec.to_builtins(ProxyNode(outbound_port=15001), str_keys=True)})
        return Node(id=name, metadata=metadata)

    def took(self, response: discovery_pb2.DeltaDiscoveryResponse) -> None:
        if response.type_url == ENDPOINT:
            self.updates += 1
            self.last = time.monotonic()

    def ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.failed = self.failed or error

    async def enrol(self, count: int) -> None:
        """Gets so many identities as an agent does."""
        proof = await attest(self.server.info.attest_socket)
        limit = asyncio.Semaphore(AT_ONCE)
        async with channel(proof.ca_address, proof.bundle) as connection:

            async def one(name: str) -> Proxy:
                async with limit:
                    key, csr = new_key_and_csr()
                    request = SignRequest(
                        csr=csr,
                        namespace="default",
                        service_account="client",
                        workload=name,
                        app="client",
                        version="v1",
                    )
                    return Proxy(self, name, svid(await sign(connection, request, proof.token), key))

            self.proxies += await asyncio.gather(*(one(f"client-{number}") for number in range(count)))

    async def connect(self, at_once: int) -> float:
        """Seconds until all have what there is; so many begin at the same time."""
        began = time.monotonic()
        limit = asyncio.Semaphore(at_once)

        async def one(proxy: Proxy) -> None:
            async with limit:
                proxy.start()
                while not proxy.settled.is_set():
                    self.check()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(proxy.settled.wait(), 1)

        await asyncio.gather(*map(one, self.proxies))
        return time.monotonic() - began

    def check(self) -> None:
        if self.failed is not None:
            raise self.failed

    async def disconnect(self) -> None:
        await asyncio.gather(*(proxy.stop() for proxy in self.proxies))

    async def change(self, address: str, expected: int) -> float:
        """Milliseconds from the write of an endpoint until so many proxies have it and have said so."""
        self.updates = 0
        began = time.monotonic()
        await self.server.apply(entry(0, address))
        while self.updates < expected:
            self.check()
            assert time.monotonic() - began < 120, f"{self.updates} of {expected} after 120 s"
            await asyncio.sleep(0.002)
        return (self.last - began) * 1000


# --- what is measured -------------------------------------------------------------------------------------------------


class Checkout(Mesh):
    """A mesh whose server runs the sources below a directory: those of another checkout, for a comparison."""

    source: Path | None = None

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **({"PYTHONPATH": str(self.source)} if self.source else {})}


@asynccontextmanager
async def crowd(count: int, source: Path | None = None) -> AsyncIterator[Crowd]:
    with tempfile.TemporaryDirectory(prefix="streams-") as folder, contextlib.ExitStack() as stack:
        mesh = Checkout(Path(folder) / "s", server_flags=("--log-level", "error"))
        mesh.source = source
        await asyncio.to_thread(mesh.start_server)
        stack.callback(mesh.stop_server)
        server = Server(mesh)
        for number in range(SERVICES):
            await server.apply(service(number), entry(number, "10.0.0.1"))
        made = Crowd(server)
        await made.enrol(count)
        try:
            yield made
        finally:
            await made.disconnect()


def said(took: float, used: float, by: Crowd) -> str:
    failed, by.attempts = by.attempts, 0
    return f"{took:.1f} s, {used:.0f} ms CPU, {failed} attempts failed"


async def measure(count: int) -> list[Row]:
    aim_cpu, aim_time, aim_memory = AIMS.get(count, ("-", "-", "-"))
    label, again = f"{count:,} streams: ", min(count, MOST_AT_ONCE)
    async with crowd(count) as all_of_them:
        server = all_of_them.server
        empty, before = server.memory, server.cpu
        took = await all_of_them.connect(AT_ONCE)
        await server.quiet()
        rows = [
            (
                f"{label}all connect for the first time, {AT_ONCE} at once",
                said(took, server.cpu - before, all_of_them),
                "-",
            ),
            (f"{label}memory of the server", f"{server.memory:.0f} MB ({empty:.0f} MB without)", aim_memory),
        ]
        last, used, after = [], [], []
        for turn in range(CHANGES):
            began = server.cpu
            last.append(await all_of_them.change(f"10.0.1.{turn + 1}", count))
            used.append(server.cpu - began)
            await server.quiet()
            after.append(server.cpu - began - used[-1])
        rows += [
            (f"{label}one endpoint changes, to the last", f"{statistics.median(last):.0f} ms", aim_time),
            (f"{label}… CPU of the server until then", f"{statistics.median(used):.0f} ms", aim_cpu),
            (f"{label}… and afterwards (status, what is left)", f"{statistics.median(after):.0f} ms", "-"),
        ]
        await all_of_them.disconnect()
        before = server.cpu
        took = await all_of_them.connect(again)
        await server.quiet()
        rows += [
            (
                f"{label}all connect again, {again:,} at once",
                said(took, server.cpu - before, all_of_them),
                "-",
            ),
            (f"{label}memory after that", f"{server.memory:.0f} MB", aim_memory),
        ]
        return rows


async def stalled() -> list[Row]:
    """Half of the proxies stop reading while changes go on."""
    async with crowd(2 * STALLED) as all_of_them:
        server = all_of_them.server
        await all_of_them.connect(AT_ONCE)
        await server.quiet()
        before = server.memory
        for proxy in all_of_them.proxies[:STALLED]:
            proxy.reading.clear()
        # One read is under way in each: it takes the first change.
        took = [await all_of_them.change("10.0.2.1", STALLED)]
        for turn in range(1, FLOOD):
            took.append(await all_of_them.change(f"10.0.2.{turn + 1}", STALLED))
        await server.quiet()
        return [
            (
                f"{STALLED} of {2 * STALLED} streams stop reading, {FLOOD} changes: memory grows by",
                f"{server.memory - before:.0f} MB",
                "-",
            ),
            ("… a change to the last of those that read", f"{statistics.median(took):.0f} ms", "-"),
        ]


async def everything() -> list[Row]:
    """In one event loop: grpc.aio stays with the first one that it sees."""
    rows: list[Row] = []
    for count in SIZES:
        rows += await measure(count)
        print(f"{count:,} streams: measured", flush=True)
    return rows + await stalled()


def run() -> list[Row]:
    raise_open_files()
    return asyncio.run(everything())
