"""One real Envoy that runs one configuration after another, and says what it did with each request.

Its listeners stay: the application's proxy, one for each captured port, one of a gateway; what changes are clusters,
endpoints and routes, as `translate` makes them. Upstreams are servers of this process that answer with what they got;
which cluster Envoy chose is read from its access log. A virtual host of its own in each RouteConfiguration tells when
a configuration is in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.service.discovery.v3 import discovery_pb2

from argosy.explain import destination as destinations
from argosy.explain.evaluate import Evaluator, Sender
from argosy.explain.http import Routed
from argosy.explain.outbound import Outbound
from argosy.explain.outcome import Answered, Forwarded, Redirected, Target, Unrouted
from argosy.explain.request import Request, Spoken
from argosy.model import ir
from argosy.model.providers import FileLog
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate import edge, names
from argosy.translate.compiler import Compiler
from argosy.translate.filters.access_log import Log
from argosy.translate.generator import resource
from argosy.translate.http_or_tcp import Handling
from argosy.translate.listener_gateway import Chain, GatewayListenerKey, gateway_listener
from argosy.translate.listener_outbound import (
    CapturedListenerKey,
    ConnectHttpKey,
    OutboundProxyKey,
    captured_listener,
    connect_http,
    outbound_proxy,
)
from argosy.translate.options import Options
from argosy.translate.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource
from tests.e2e.explained_mesh import (
    CLIENT_NAMESPACE,
    GATEWAY_LABELS,
    GATEWAY_PORT,
    LABELS,
    PORTS,
    SENT_BACK,
    SERVICES,
    VERSIONS,
    Generator,
    Mesh,
)
from tests.e2e.translate_envoy import ENVOY, Ads, bootstrap
from tests.ports import free_ports

GATEWAY_ROUTE = f"http.{GATEWAY_PORT}"
MARKER = "marker.argosy.test"
ENTRIES = ("proxy", *(f"captured {port}" for port in PORTS), "gateway")
CONNECTIONS = 3  # of each entry
REQUESTS = 150  # of a configuration

Mutation = Callable[[route_pb2.RouteConfiguration], None]


@dataclass
class Answer:
    status: int
    location: str = ""
    body: bytes = b""
    got: dict[str, Any] | None = None  # what the upstream got
    cluster: str = ""  # that Envoy chose
    line: dict[str, Any] = field(default_factory=dict)  # of the access log


@dataclass
class Difference:
    seed: int
    entry: str
    request: Request
    expected: Routed
    answer: Answer
    what: str

    def __str__(self) -> str:
        log = {
            k: v
            for k, v in self.answer.line.items()
            if k in ("route_name", "response_flags", "path", "response_code_details")
        }
        return (
            f"seed {self.seed}, {self.entry}: {self.what}\n  {self.request}\n  expected {self.expected.verdict}\n"
            f"  steps {self.expected.steps}\n  got {self.answer.status} {self.answer.location} {self.answer.cluster} "
            f"{self.answer.got} {self.answer.body[:100]!r} {log}"
        )


# --- upstreams ------------------------------------------------------------------------------------------------------


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Cancelled is who is left when the test ends.
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            method, path, _ = first.split(" ", 2)
            headers = [
                (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
            ]
            length = next((int(value) for name, value in headers if name == "content-length"), 0)
            await reader.readexactly(length)
            body = json.dumps({"method": method, "path": path, "headers": headers}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nx-echo: 1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    writer.close()


# --- the client -----------------------------------------------------------------------------------------------------


class Client:
    """One connection to a listener; opened again where Envoy closes it."""

    def __init__(self, port: int, by_proxy: bool) -> None:
        self.port = port
        self.by_proxy = by_proxy
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: Request, agent: str) -> Answer:
        for last in (False, True):
            if self.streams is None:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                async with asyncio.timeout(60):
                    return await self._exchange(*self.streams, request, agent)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.close()
                if last:
                    raise
        raise AssertionError

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request, agent: str
    ) -> Answer:
        target = f"http://{request.authority}{request.path}" if self.by_proxy else request.path
        lines = [f"{request.method} {target} HTTP/1.1", f"Host: {request.authority}", f"User-Agent: {agent}"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        if request.method in ("POST", "PUT"):
            lines.append("Content-Length: 0")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n")
        first, *rest = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        status = int(first.split(" ")[1])
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int((await reader.readline()).strip() or b"0", 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        elif request.method != "HEAD" and status not in (204, 304):
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        got = json.loads(body) if "x-echo" in headers else None
        return Answer(status, headers.get("location", ""), body, got)

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None


# --- Envoy ----------------------------------------------------------------------------------------------------------


class Lab:
    def __init__(self, folder: Path, endpoints: dict[tuple[str, str], int]) -> None:
        self.folder = folder
        self.endpoints = endpoints
        self.ads = Ads(folder / "ads.sock")
        self.log = folder / "access.log"
        self.read = 0  # of the access log, in bytes
        self.number = 0  # of the configuration
        self.sent = 0  # requests
        self.admin, *bound = free_ports(1 + len(ENTRIES))
        self.bound = dict(zip(ENTRIES, bound, strict=True))
        self.clients: dict[str, list[Client]] = {
            entry: [Client(port, entry == "proxy") for _ in range(CONNECTIONS)]
            for entry, port in self.bound.items()
        }
        self.mutate: Mutation | None = None
        self.tally: Counter[str] = Counter()  # of verdicts that were compared, and of answers of upstreams
        self.entries: tuple[str, ...] = ()  # that the configuration in force has routes for
        self.clusters: dict[str, frozenset[str]] = {}  # entry -> names of those that translate makes for it
        self.captured: dict[str, listener_pb2.Listener] = {}  # by name
        self.ads.push(LISTENER, {one.name: one for one in self._listeners()}, set())
        self.process: subprocess.Popen[bytes] | None = None

    def _listeners(self) -> Iterable[Resource]:
        options = Options(logs=(Log(FileLog(path=str(self.log), json=True)),))
        yield outbound_proxy(OutboundProxyKey(port=self.bound["proxy"], options=options))
        yield connect_http(ConnectHttpKey(options=options))
        yield gateway_listener(
            GatewayListenerKey(
                name="gateway",
                address="127.0.0.1",
                bind=self.bound["gateway"],
                chains=(Chain(stat_prefix="gateway", route=GATEWAY_ROUTE),),
                options=options,
            )
        )
        for port in PORTS:
            made = captured_listener(
                CapturedListenerKey(address="127.0.0.1", port=port, handling=Handling.HTTP, options=options)
            )
            listener = listener_pb2.Listener.FromString(_value(made))
            listener.ClearField("bind_to_port")  # nothing is captured here: it is asked directly
            listener.address.socket_address.port_value = self.bound[f"captured {port}"]
            yield resource(listener.name, listener)

    def launch(self) -> None:
        path = self.folder / "bootstrap.json"
        path.write_text(json.dumps(bootstrap(self.folder, {}, self.admin)))
        command = [str(ENVOY), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
                   "--file-flush-interval-msec", "20"]  # fmt: skip
        with (self.folder / "envoy.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    async def start(self) -> None:
        self.launch()

        async def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "envoy.log").read_text()
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"http://127.0.0.1:{self.admin}/ready")).status_code == 200

        await _until(ready, "Envoy is ready")

    def stop(self) -> None:
        for client in (one for each in self.clients.values() for one in each):
            client.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.ads.stop()

    # --- configuration ----------------------------------------------------------------------------------------------

    async def apply(self, snapshot: Snapshot) -> None:
        """Returns when it is in force."""
        self.number += 1
        wanted = self._resources(snapshot)
        held = {kind: dict(self.ads.resources.get(kind, {})) for kind in wanted}
        for kind in (ENDPOINT, CLUSTER, ROUTE):
            fresh = {
                name: one for name, one in wanted[kind].items() if held[kind].get(name, one).version != one.version
                or name not in held[kind]
            }  # fmt: skip
            if fresh:
                self.ads.push(kind, fresh, set())
            if kind is CLUSTER and self.process is not None:
                await _until(self.ads.settled, "Envoy has the clusters")
        if self.process is None:
            await self.start()
        await self._in_force()
        for kind in (CLUSTER, ENDPOINT):
            gone = held[kind].keys() - wanted[kind].keys()
            if gone:
                self.ads.push(kind, {}, set(gone))
        await _until(self.ads.settled, "Envoy answers all that was sent")
        assert not self.ads.refused, self.ads.refused

    def _resources(self, snapshot: Snapshot) -> dict[str, dict[str, Resource]]:
        compiler = Compiler(snapshot)
        found: dict[str, dict[str, Resource]] = {CLUSTER: {}, ENDPOINT: {}, ROUTE: {}}
        for entry in ("gateway", "captured", "proxy"):
            view = compiler.shared(scope_at(snapshot, entry))
            for kind, made in found.items():
                made.update(view.resources.get(kind, {}))
            self.clusters[entry] = frozenset(view.resources.get(CLUSTER, ()))
            if entry == "captured":
                listeners = view.resources.get(LISTENER, {})
                self.captured = {
                    name: listener_pb2.Listener.FromString(_value(made)) for name, made in listeners.items()
                }
        assert not compiler.errors, compiler.errors
        routes = found[ROUTE]
        expected = (names.HTTP_PROXY, *map(str, PORTS), GATEWAY_ROUTE)
        self.entries = tuple(entry for entry, name in zip(ENTRIES, expected, strict=True) if name in routes)
        found[ROUTE] = {name: self._marked(name, routes.get(name)) for name in expected}
        return found

    def _marked(self, name: str, made: Resource | None) -> Resource:
        message = route_pb2.RouteConfiguration(name=name)
        if made is not None:
            message = route_pb2.RouteConfiguration.FromString(_value(made))
            if self.mutate is not None:
                self.mutate(message)
        marker = message.virtual_hosts.add(name="marker", domains=[MARKER])
        answer = marker.routes.add()
        answer.match.prefix = "/"
        answer.direct_response.status = 200
        answer.direct_response.body.inline_string = str(self.number)
        return resource(name, message)

    async def _in_force(self) -> None:
        request = Request(authority=MARKER)

        async def everywhere() -> bool:
            assert not self.ads.refused, self.ads.refused
            for entry in ENTRIES:
                answer = await self.clients[entry][0].send(request, "marker")
                if answer.body != str(self.number).encode():
                    return False
            return True

        await _until(everywhere, "the configuration is in force")

    # --- requests ---------------------------------------------------------------------------------------------------

    async def ask(self, requests: list[tuple[str, Request]]) -> list[Answer]:
        """(entry, request) of each; its answer with what the access log says of it."""
        first = self.sent
        self.sent += len(requests)
        answers: dict[int, Answer] = {}

        async def over(client: Client, wanted: list[int]) -> None:
            for index in wanted:
                answers[index] = await client.send(requests[index][1], f"r{first + index}")

        async with asyncio.TaskGroup() as group:
            for entry in ENTRIES:
                mine = [index for index, (at, _) in enumerate(requests) if at == entry]
                for number, client in enumerate(self.clients[entry]):
                    group.create_task(over(client, mine[number::CONNECTIONS]))
        await self._logged(first, answers)
        return [answers[index] for index in range(len(requests))]

    async def tunnels(self, requests: list[Request]) -> list[Answer]:
        """What CONNECT answers, and which cluster it led to."""
        first = self.sent
        self.sent += len(requests)
        answers: dict[int, Answer] = {}
        for index, request in enumerate(requests):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.bound["proxy"])
            at = request.authority
            writer.write(
                f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\nUser-Agent: r{first + index}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            answers[index] = Answer(int(head.split(b" ")[1]))
            writer.close()
        await self._logged(first, answers)
        return [answers[index] for index in range(len(requests))]

    async def _logged(self, first: int, answers: dict[int, Answer]) -> None:
        """Adds to the answers what the access log says of them."""
        waiting = set(answers)

        def logged() -> bool:
            with self.log.open("rb") as file:
                file.seek(self.read)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self.read += len(whole)
            for line in whole.splitlines():
                entry = msgspec.json.decode(line)
                agent = entry.get("user_agent") or ""
                number = int(agent[1:]) - first if agent[1:].isdigit() else -1
                if number in waiting:
                    waiting.discard(number)
                    answers[number].line = entry
                    answers[number].cluster = entry.get("upstream_cluster") or ""
            return not waiting

        try:
            await _until(logged, "every request is logged", 20)
        except AssertionError:
            lost = [answers[number] for number in sorted(waiting)]
            raise AssertionError(f"not in the access log: {lost[:3]}") from None


def scope_at(snapshot: Snapshot, entry: str) -> Scope:
    gateway = entry == "gateway"
    return scope_of(
        Reader(snapshot),
        type=ProxyType.ROUTER if gateway else ProxyType.SIDECAR,
        interception=Interception.REDIRECT if entry.startswith("captured") else Interception.EXPLICIT,
        namespace=CLIENT_NAMESPACE,
        labels=GATEWAY_LABELS if gateway else LABELS,
    )


def _value(made: Resource) -> bytes:
    data: bytes = discovery_pb2.Resource.FromString(made.frame).resource.value
    return data


async def _until(condition: Callable[[], Any], what: str, timeout: float = 60) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    last: object = None
    while loop.time() < deadline:
        try:
            found = condition()
            last = await found if asyncio.iscoroutine(found) else found
            if last:
                return
        except (OSError, httpx.TransportError, asyncio.IncompleteReadError) as error:
            last = error
        await asyncio.sleep(0.004)
    raise AssertionError(f"{what}: not within {timeout} s; last: {last!r}")


@contextlib.asynccontextmanager
async def lab(folder: Path) -> AsyncIterator[Lab]:
    async with contextlib.AsyncExitStack() as stack:
        endpoints: dict[tuple[str, str], int] = {}
        for name in SERVICES:
            for version in VERSIONS:
                server = await stack.enter_async_context(await asyncio.start_server(_echo, "127.0.0.1", 0))
                endpoints[name, version] = int(server.sockets[0].getsockname()[1])
        found = Lab(folder, endpoints)
        try:
            yield found
        finally:
            found.stop()


# --- comparison -----------------------------------------------------------------------------------------------------


async def none_differs(envoy: Lab, first: int, configurations: int) -> None:
    found = []
    for seed in range(first, first + configurations):
        found += await compared(envoy, seed, REQUESTS)
    assert not found, f"{len(found)} differences, the first:\n" + "\n".join(map(str, found[:3]))
    seen = sum(envoy.tally[one.__name__] for one in (Forwarded, Redirected, Answered, Unrouted))
    assert envoy.tally["answered upstream"] > seen / 10, f"the requests hit little: {envoy.tally}"
    if seen > 10_000:
        assert min(envoy.tally["Redirected"], envoy.tally["Answered"]) > seen / 100, envoy.tally


async def compared(envoy: Lab, seed: int, count: int) -> list[Difference]:
    """`count` random requests to the random configuration of a seed."""
    generator = Generator(seed, envoy.endpoints)
    mesh = generator.mesh()
    await envoy.apply(mesh.snapshot)
    evaluators = {
        entry: Evaluator(mesh.snapshot, Sender(entry, scope_at(mesh.snapshot, entry))) for entry in ENTRIES
    }
    requests = [_request(generator, mesh, envoy.entries) for _ in range(count)]
    answers = await envoy.ask(requests)
    found = [
        *_structure(envoy, seed, evaluators),
        *await _tunnels(envoy, seed, generator, mesh, evaluators["proxy"]),
    ]
    for (entry, request), answer in zip(requests, answers, strict=True):
        expected = _expected(evaluators[entry], request)
        envoy.tally[type(expected.verdict).__name__] += 1
        envoy.tally["answered upstream"] += answer.got is not None
        if what := difference(expected, answer):
            found.append(Difference(seed, entry, request, expected, answer, what))
    return found


def _structure(envoy: Lab, seed: int, evaluators: dict[str, Evaluator]) -> Iterable[Difference]:
    """Which clusters and captured listeners there are, and where the latter lead what is not HTTP."""
    for entry, evaluator in evaluators.items():
        made = envoy.clusters[entry.partition(" ")[0]]
        for name in sorted({name for each in envoy.clusters.values() for name in each}):
            if name.startswith("outbound|"):
                host, port, subset = names.of_outbound(name)
                state = destinations.cluster(evaluator.view, ir.Destination(host, port, subset))
                if bool(state.missing) == (name in made):
                    yield _difference(
                        seed, entry, f"cluster {name} is there: {name in made}; said: {state.missing}"
                    )
    yield from _edges(seed, evaluators["gateway"])
    captured = evaluators[ENTRIES[1]].side
    assert isinstance(captured, Outbound)
    if expected := envoy.captured.keys() ^ {f"{address}_{port}" for address, port in captured.captured()}:
        yield _difference(seed, "captured", f"listeners {sorted(expected)} are only on one side")
    for name, listener in envoy.captured.items():
        address, _, number = name.rpartition("_")
        for spoken, authority, chain in _chains(listener):
            request = Request(
                authority=f"{authority or 'nobody.invalid'}:{number}",
                spoken=spoken,
                address=address,
                port=int(number),
            )
            verdict = captured.evaluate(request).verdict
            said = (
                {one.cluster.name for one in verdict.targets}
                if isinstance(verdict, Forwarded)
                else {names.BLACK_HOLE}
            )
            if said != chain:
                yield Difference(
                    seed, name, request, captured.evaluate(request), Answer(0), f"leads to {chain}"
                )


def _edges(seed: int, evaluator: Evaluator) -> Iterable[Difference]:
    """Where the chains of a gateway's listeners lead that are not plain HTTP."""
    reader, scope = evaluator.view.reader, evaluator.view.scope
    for listener in reader.gateway_listeners(scope):
        for chain in (
            edge.chains(scope, listener, reader) if listener.kind is not ir.ListenerKind.HTTP else ()
        ):
            spoken = Spoken.TLS if listener.kind is ir.ListenerKind.TLS else Spoken.TCP
            for name in chain.server_names or ("nobody.invalid",):
                request = Request(authority=name.replace("*", "any", 1), spoken=spoken, port=listener.port)
                expected = evaluator.evaluate(request)
                said: set[str] = set()
                if isinstance(expected.verdict, Forwarded):
                    said = {one.cluster.name for one in expected.verdict.targets}
                if said != {cluster for cluster, _ in chain.clusters}:
                    yield Difference(
                        seed, "gateway", request, expected, Answer(0), f"leads to {chain.clusters}"
                    )


def _chains(listener: listener_pb2.Listener) -> Iterable[tuple[Spoken, str, set[str]]]:
    """(what is spoken, name in the hello, clusters) of each filter chain that is not HTTP."""
    chains = [(chain, list(chain.filter_chain_match.server_names)) for chain in listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append((listener.default_filter_chain, []))
    for chain, server_names in chains:
        network_filter = chain.filters[-1]
        if network_filter.name != "envoy.filters.network.tcp_proxy":
            continue
        proxy = tcp_proxy_pb2.TcpProxy.FromString(network_filter.typed_config.value)
        to = {proxy.cluster} if proxy.cluster else {one.name for one in proxy.weighted_clusters.clusters}
        for name in server_names:
            yield Spoken.TLS, name.replace("*", "any", 1), to
        if not server_names:
            yield Spoken.TCP, "", to


async def _tunnels(
    envoy: Lab, seed: int, generator: Generator, mesh: Mesh, evaluator: Evaluator
) -> list[Difference]:
    """CONNECT through the application's proxy to what does not speak HTTP."""
    requests = [one for one in (generator.tunnel(mesh) for _ in range(10)) if not _to_http(evaluator, one)]
    answers = await envoy.tunnels(requests)
    found = []
    for request, answer in zip(requests, answers, strict=True):
        expected = evaluator.evaluate(request)
        match expected.verdict:
            case Forwarded(targets=targets):
                said = _tunnelled(targets, answer)
            case Unrouted(status=status):
                said = _differs("status", status, answer.status)
            case other:
                said = f"not evaluated: {other}"
        if said:
            found.append(Difference(seed, "tunnel", request, expected, answer, said))
    return found


def _tunnelled(targets: tuple[Target, ...], answer: Answer) -> str:
    if answer.cluster == names.PASSTHROUGH:  # what becomes of a name that is looked up is not told here
        return _differs("cluster", [one.cluster.name for one in targets], [answer.cluster])
    if not answer.cluster and any(one.cluster.missing for one in targets):
        return _differs("status", 503, answer.status)
    chosen = [one for one in targets if one.cluster.name == answer.cluster]
    if not chosen:
        return f"cluster {answer.cluster or 'none'} is not one of {[one.cluster.name for one in targets]}"
    return _differs("status", 200 if chosen[0].cluster.answers else 503, answer.status)


def _to_http(evaluator: Evaluator, request: Request) -> bool:
    """Of a tunnel to a port that speaks HTTP nothing is said but that HTTP must be within."""
    verdict = evaluator.evaluate(request).verdict
    return isinstance(verdict, Unrouted) and verdict.status == 0


def _difference(seed: int, entry: str, what: str) -> Difference:
    return Difference(seed, entry, Request(authority=""), Routed(Unrouted(0, "")), Answer(0), what)


def _expected(evaluator: Evaluator, request: Request) -> Routed:
    """Of a captured port its routes: which listener takes a connection is compared by name (see `structure`)."""
    side = evaluator.side
    if isinstance(side, Outbound) and not side.explicit:
        return side.by_routes(request, request.port)
    return evaluator.evaluate(request)


def _request(generator: Generator, mesh: Mesh, entries: tuple[str, ...]) -> tuple[str, Request]:
    entry = generator.one(*entries)
    request = generator.request(mesh, entry.partition(" ")[0])
    if entry.startswith("captured"):
        request = msgspec.structs.replace(request, port=int(entry.partition(" ")[2]))
    return entry, request


def difference(expected: Routed, answer: Answer) -> str:
    """ "" where the answer is what was expected."""
    if expected.fault is not None and expected.fault.abort_percent >= 100:
        return _differs("status", expected.fault.abort_status, answer.status)
    match expected.verdict:
        case Forwarded(targets=targets):
            return _forwarded(targets, answer)
        case Redirected(status=status, location=location):
            return _differs("status", status, answer.status) or _differs(
                "location", location, answer.location
            )
        case Answered(status=status, body=body):
            return _differs("status", status, answer.status) or _differs("body", body.encode(), answer.body)
        case Unrouted(status=status):
            return _differs("status", status, answer.status) or _differs("upstream", None, answer.got)
        case other:
            return f"not evaluated: {other}"


def _forwarded(targets: tuple[Target, ...], answer: Answer) -> str:
    if answer.cluster == names.PASSTHROUGH:
        return _differs("cluster", [one.cluster.name for one in targets], [answer.cluster])
    chosen = [one for one in targets if one.cluster.name == answer.cluster]
    if not chosen:
        missing = [one for one in targets if one.cluster.missing]
        if missing and answer.status == 503 and not answer.cluster:
            return ""
        return f"cluster {answer.cluster or 'none'} is not one of {[one.cluster.name for one in targets]}"
    said = [_arrived(one, answer) for one in chosen]  # two may have one cluster, and other headers
    return "" if "" in said else said[0]


def _arrived(target: Target, answer: Answer) -> str:
    if not target.cluster.answers:
        return _differs("status", 503, answer.status)
    if answer.got is None:
        return f"status {answer.status} by the proxy, expected an answer of {target.cluster.name}"
    headers = answer.got["headers"]
    got = {name: ",".join(value for key, value in headers if key == name) for name, _ in headers}
    wanted: dict[str, list[str]] = {}
    for name, value in target.headers:
        wanted.setdefault(name.lower(), []).append(value)
    for name in SENT_BACK:
        if what := _differs(
            f"header {name}", ",".join(wanted[name]) if name in wanted else None, got.get(name)
        ):
            return what
    return _differs("path", target.path, answer.got["path"]) or _differs(
        "authority", target.authority, got["host"]
    )


def _differs(what: str, expected: object, got: object) -> str:
    return "" if expected == got else f"{what}: expected {expected!r}, got {got!r}"
