"""What does the API cost, over TLS: a create, an apply, a list of 5,000, a change to 100 watchers, 20,000 objects?

Ours over SQLite and over etcd, and a kube-apiserver over etcd with our kinds where there is one, with the same client
in the same run. Objects are VirtualServices of about one kilobyte. The figures are medians of ROUNDS rounds that take
turns, so that a noisy moment falls on all. Ours runs with its API role alone, as the original has no other. The client
shares the cores; it speaks plain HTTP/1.1 and decodes nothing, so that it is small beside what it measures. The CPU of
a request is that of the server's process: it can be trusted where others use the machine, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.processes import cpu, percentile, pss
from bench.store import body
from tests.servers.acceptance.targets import START, TOKENS
from tests.servers.kube_apiserver import binary

Row = tuple[str, str, str]
CREATES, CHANGES, WATCHERS, LISTED, HELD, APPLIES = 1_000, 1_000, 100, 5_000, 20_000, 300
ALONE, LISTS = 30, 5
ROUNDS = 3
PATH = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
APPLY = f"{PATH}/{{}}?fieldManager=bench&force=true"
JSON, APPLY_PATCH, MERGE_PATCH = (
    "application/json",
    "application/apply-patch+yaml",
    "application/merge-patch+json",
)


class Server(NamedTuple):
    name: str
    host: str
    port: int
    tls: ssl.SSLContext
    pid: int


class Client:
    """One kept connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, server: Server) -> Client:
        return cls(*await asyncio.open_connection(server.host, server.port, ssl=server.tls, limit=1 << 20))

    async def __call__(self, method: str, path: str, data: bytes = b"", kind: str = JSON) -> bytes:
        """The body of the answer. Raises RuntimeError where it is no success."""
        self._writer.write(_request(method, path, data, kind))
        head = await self._reader.readuntil(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            answer = await self._chunks()
        else:
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            answer = await self._reader.readexactly(int(length))
        if head[9:10] != b"2":
            raise RuntimeError(f"{method} {path}: {head[:12]!r} {answer[:400]!r}")
        return answer

    async def _chunks(self) -> bytes:
        parts = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)

    def close(self) -> None:
        self._writer.close()


def _request(method: str, path: str, data: bytes = b"", kind: str = JSON) -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKENS['admin']}\r\n"
        f"Accept: {JSON}\r\nUser-Agent: bench/1\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


class Watcher(asyncio.Protocol):
    """Counts the changes that it is told, without reading more of them than it must."""

    SIGN = b'"type":"MODIFIED"'

    def __init__(self, path: str, arrived: asyncio.Queue[None]) -> None:
        self.seen = self.wanted = 0
        self.ready = asyncio.get_running_loop().create_future()
        self._path, self._arrived, self._rest = path, arrived, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport
        transport.write(_request("GET", self._path))

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
        joined = self._rest + data
        before, self.seen = self.seen, self.seen + joined.count(self.SIGN)
        end = joined.rfind(self.SIGN) + len(self.SIGN) if self.seen > before else 0
        self._rest = joined[max(end, len(joined) - len(self.SIGN) + 1) :]
        if before < self.wanted <= self.seen:
            self._arrived.put_nowait(None)


async def creates(server: Server, prefix: str) -> list[float]:
    """Milliseconds of each, one after the other."""
    client, taken = await Client.to(server), []
    for number in range(CREATES):
        data = body(f"{prefix}-{number:05}")
        began = time.perf_counter()
        await client("POST", PATH, data)
        taken.append((time.perf_counter() - began) * 1000)
    client.close()
    return taken


async def many(server: Server, prefix: str, count: int, writers: int = 16) -> float:
    """Seconds until all are created, by writers who each wait for their own."""

    async def write(writer: int) -> None:
        client = await Client.to(server)
        for number in range(writer, count, writers):
            await client("POST", PATH, body(f"{prefix}-{number:05}"))
        client.close()

    began = time.perf_counter()
    await asyncio.gather(*(write(writer) for writer in range(writers)))
    return time.perf_counter() - began


async def listed(server: Server) -> float:
    """Milliseconds."""
    client = await Client.to(server)
    began = time.perf_counter()
    answer = await client("GET", f"{PATH}?limit={LISTED}")
    taken = (time.perf_counter() - began) * 1000
    assert answer.count(b'"uid":') == LISTED, answer[:300]
    client.close()
    return taken


async def applies(server: Server, prefix: str) -> list[float]:
    """Milliseconds of server-side applies, each of which changes what is there."""
    client, taken = await Client.to(server), []
    for number in range(APPLIES):
        name = f"{prefix}-{number:05}"
        metadata = {"name": name, "namespace": "shop", "labels": {"app": name}}
        routes = [{"route": [{"destination": {"host": name, "subset": "v1"}}]}]
        applied = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata}
        data = msgspec.json.encode(applied | {"spec": {"hosts": [name], "http": routes}})
        began = time.perf_counter()
        await client("PATCH", APPLY.format(name), data, APPLY_PATCH)
        taken.append((time.perf_counter() - began) * 1000)
    client.close()
    return taken


@contextlib.asynccontextmanager
async def watching(server: Server, arrived: asyncio.Queue[None]) -> AsyncIterator[list[Watcher]]:
    client = await Client.to(server)
    said = msgspec.json.decode(await client("GET", f"{PATH}?limit=1"))
    client.close()
    path = f"{PATH}?watch=true&resourceVersion={said['metadata']['resourceVersion']}"
    loop, watchers = asyncio.get_running_loop(), []
    for _ in range(WATCHERS):
        make = lambda: Watcher(path, arrived)  # noqa: E731
        _, watcher = await loop.create_connection(make, server.host, server.port, ssl=server.tls)
        watchers.append(watcher)
    try:
        yield watchers
    finally:
        for watcher in watchers:
            watcher.transport.close()


async def watched(server: Server, prefix: str) -> tuple[float, float]:
    """Milliseconds to the last of the watchers: of a change alone (median), and of many after the first of them."""
    arrived: asyncio.Queue[None] = asyncio.Queue()
    clients = [await Client.to(server) for _ in range(8)]

    async def write(client: Client, numbers: range, note: str) -> None:
        patch = msgspec.json.encode({"metadata": {"annotations": {"changed": note}}})
        for number in numbers:
            await client("PATCH", f"{PATH}/{prefix}-{number % CREATES:05}", patch, MERGE_PATCH)

    async with watching(server, arrived) as watchers:

        async def change(count: int, writers: int, note: str) -> float:
            for watcher in watchers:
                watcher.wanted += count
            began = time.perf_counter()
            await asyncio.gather(*(write(clients[w], range(w, count, writers), note) for w in range(writers)))
            async with asyncio.timeout(120):
                for _ in watchers:
                    await arrived.get()
            return (time.perf_counter() - began) * 1000

        await change(1, 1, "first")
        alone = statistics.median([await change(1, 1, f"alone {n}") for n in range(ALONE)])
        together = await change(CHANGES, 8, "together")
    for client in clients:
        client.close()
    return alone, together


class Figures:
    """Of one server, of all rounds."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.created: list[list[float]] = []
        self.applied: list[float] = []
        self.listed: list[float] = []
        self.alone: list[float] = []
        self.together: list[float] = []
        self.memory = 0.0
        self.used: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def used_for(self, what: str, count: int) -> Iterator[None]:
        """Notes the milliseconds of CPU that each of `count` took."""
        before = cpu(self.server.pid)
        yield
        self.used.setdefault(what, []).append((cpu(self.server.pid) - before) * 1000 / count)

    async def round(self, number: int) -> None:
        prefix = f"r{number}"
        with self.used_for("create", CREATES):
            self.created.append(await creates(self.server, prefix))
        with self.used_for("server-side apply", APPLIES):
            self.applied.append(statistics.median(await applies(self.server, prefix)))
        if not number:
            await many(self.server, "list", LISTED - CREATES)
        with self.used_for(f"list of {LISTED}", LISTS):
            self.listed.append(statistics.median([await listed(self.server) for _ in range(LISTS)]))
        with self.used_for(f"change to {WATCHERS} watchers", 1 + ALONE + CHANGES):
            alone, together = await watched(self.server, prefix)
        self.alone.append(alone)
        self.together.append(together)

    async def hold(self) -> None:
        await many(self.server, "held", HELD - LISTED - (ROUNDS - 1) * CREATES)
        self.memory = pss(self.server.pid)

    def rows(self) -> list[Row]:
        name, ours = self.server.name, self.server.name != "kube-apiserver"

        def p(share: float) -> str:
            return f"{statistics.median(percentile(each, share) for each in self.created):.1f} ms"

        def median(values: list[float], aim: str) -> tuple[str, str]:
            return f"{statistics.median(values):.1f} ms", aim if ours else "-"

        return [
            (f"{name}: create, p50", p(0.5), "3 ms" if name == "SQLite" else "-"),
            (f"{name}: create, p99", p(0.99), "-"),
            (f"{name}: server-side apply, p50", *median(self.applied, "-")),
            (f"{name}: list of {LISTED}", *median(self.listed, "300 ms")),
            (f"{name}: a change to the last of {WATCHERS} watchers", *median(self.alone, "100 ms")),
            (f"{name}: {CHANGES} changes to the last of {WATCHERS} watchers", *median(self.together, "-")),
            *((f"{name}: CPU of a {what}", *median(used, "-")) for what, used in self.used.items()),
            (f"{name}: memory with {HELD} objects", f"{self.memory:.0f} MB", "300 MB" if ours else "-"),
        ]


async def measure(servers: list[Server]) -> list[Figures]:
    figures = [Figures(server) for server in servers]
    for server in servers:
        client = await Client.to(server)
        await client("POST", "/api/v1/namespaces", _namespace("shop"))
        client.close()
    for number in range(ROUNDS):
        for each in figures:
            await each.round(number)
    for each in figures:
        await each.hold()
    return figures


def _namespace(name: str) -> bytes:
    return msgspec.json.encode({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


@contextlib.contextmanager
def running() -> Iterator[list[Server]]:
    names = {"sqlite": "SQLite", "etcd": "etcd"} | ({"kube-apiserver": "kube-apiserver"} if binary() else {})
    with contextlib.ExitStack() as stack:
        servers = []
        for target, name in names.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="argosy-bench-")))
            options = () if target == "kube-apiserver" else ("--roles", "api")
            started = stack.enter_context(START[target](folder, *options))
            host, _, port = started.connection.server.removeprefix("https://").rpartition(":")
            tls = ssl.create_default_context(cadata=started.connection.ca)
            servers.append(Server(name, host, int(port), tls, started.pid))
        yield servers


def run() -> list[Row]:
    with running() as servers:
        figures = asyncio.run(measure(servers))
    rows = [row for each in figures for row in each.rows()]
    if len(figures) < len(START):
        return [*rows, ("kube-apiserver", "not here (scripts/build-kube-apiserver)", "-")]
    return rows
