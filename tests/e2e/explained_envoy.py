"""One real Envoy that runs one configuration after another, and says what it did with each request.

Its listeners stay: the application's proxy, one for each captured port, one of a gateway; what changes are clusters,
endpoints and routes, as `translate` makes them. Upstreams are servers of this process that remember what they got
(`explained_upstreams`); which cluster Envoy chose is read from its access log. A virtual host of its own in each
RouteConfiguration tells when a configuration is in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import msgspec
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2

from argosy.explain.request import Request
from argosy.model import ir
from argosy.model.providers import FileLog
from argosy.model.proxy_settings import ProxySettings
from argosy.model.reader import Reader
from argosy.model.snapshot import Snapshot
from argosy.translate import names
from argosy.translate.compiler import Compiler
from argosy.translate.egress import BoundEgressKey, bound_egress
from argosy.translate.filters.access_log import Log
from argosy.translate.filters.order import Resolving
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
from argosy.translate.proxy import DeclaredUpstream, Proxy
from argosy.translate.resource import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SECRET, Resource
from tests.e2e import explained_connections as connections
from tests.e2e.explained_clients import Answer, Client
from tests.e2e.explained_edges import (
    BOUND_ADDRESS,
    BOUND_PORT,
    GATEWAY_PORT,
    LOOKED_UP,
    PORTS,
    UPSTREAMS,
    WILD,
)
from tests.e2e.explained_mesh import (
    AS_USUAL,
    AWAY,
    CLIENT_NAMESPACE,
    GATEWAY,
    LABELS,
    SERVICES,
    VERSIONS,
    Arrival,
    identity_of,
)
from tests.e2e.explained_told import addresses, healthy, scope_at, socket_address, value_of
from tests.e2e.explained_upstreams import Upstreams
from tests.e2e.own_address import OWN_ADDRESS
from tests.e2e.translate_envoy import OFTEN, Ads, Authority, bootstrap, launched, no_policies
from tests.ports import free_ports
from tests.resolver import Resolver

CALLER = "spiffe://cluster.local/ns/default/sa/client"
GATEWAY_ROUTE = f"http.{GATEWAY_PORT}"
MARKER = "marker.argosy.test"
ENTRIES = ("proxy", *(f"captured {port}" for port in PORTS), "gateway", "bound")
RESOLVER = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
BOUND_ROUTE = f"{BOUND_ADDRESS}_{BOUND_PORT}"
CONNECTIONS = 3  # of each entry
QUIET = 10  # requests in a row after which no copy came
REQUESTS = 150  # of a configuration

Mutation = Callable[[route_pb2.RouteConfiguration], None]


# --- Envoy ----------------------------------------------------------------------------------------------------------


class Lab:
    def __init__(
        self, folder: Path, endpoints: dict[tuple[str, str], int], upstreams: Upstreams, arrival: Arrival
    ) -> None:
        self.arrival = arrival
        self.resolver = Resolver(addresses)
        self.folder = folder
        self.upstreams = upstreams
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
        self.mutate_listener: Callable[[listener_pb2.Listener], None] | None = None
        self.edge_ports: dict[tuple[str, int], int] = {}  # (bind, port) of the gateway's TLS and TCP -> bound
        self.edge_listeners: frozenset[str] = frozenset()
        self.declared: tuple[DeclaredUpstream, ...] = ()
        self.declared_listeners: list[Resource] = []
        self.tally: Counter[str] = Counter()  # of verdicts that were compared, and of answers of upstreams
        self.entries: tuple[str, ...] = ()  # that the configuration in force has routes for
        self.clusters: dict[str, frozenset[str]] = {}  # entry -> names of those that translate makes for it
        self.addresses: dict[str, frozenset[str]] = {}  # of the healthy endpoints, by ClusterLoadAssignment
        self.captured: dict[str, listener_pb2.Listener] = {}  # by name
        self.options = Options(
            logs=(Log(FileLog(path=str(self.log), json=True)),),
            paths=arrival.paths,
            proxy=ProxySettings(
                connections=arrival.sidecars,
                gateway_connections=arrival.gateways,
                trusted_proxies=arrival.trusted,
            ),
        )
        self.ads.push(SECRET, upstreams.authority.secrets(CALLER, "client.test"), set())
        outside = Authority()
        self.ads.push(SECRET, connections.secrets(outside), set())
        self.ads.push(EXTENSION, no_policies(), set())
        self.ads.push(LISTENER, {one.name: one for one in self._listeners()}, set())
        self.callers = connections.Callers(folder, upstreams.authority, outside)
        self.process: subprocess.Popen[bytes] | None = None

    def _listeners(self) -> Iterable[Resource]:
        options = self.options
        yield outbound_proxy(OutboundProxyKey(port=self.bound["proxy"], options=options))
        yield connect_http(ConnectHttpKey(options=options))
        yield gateway_listener(
            GatewayListenerKey(
                name="gateway",
                address="127.0.0.1",
                bind=self.bound["gateway"],
                chains=(Chain(stat_prefix="gateway", route=GATEWAY_ROUTE, resolving=Resolving.BY_NAME),),
                options=options,
            )
        )
        yield bound_egress(
            BoundEgressKey(
                listener=BOUND_ROUTE,
                address="127.0.0.1",
                port=self.bound["bound"],
                http=True,
                protocol=ir.Protocol.HTTP,
                options=options,
                resolving=Resolving.BY_NAME,
            )
        )
        for port in PORTS:
            made = captured_listener(
                CapturedListenerKey(
                    address="127.0.0.1",
                    port=port,
                    handling=Handling.HTTP,
                    options=options,
                    resolving=Resolving.BY_NAME,
                )
            )
            listener = listener_pb2.Listener.FromString(value_of(made))
            listener.ClearField("bind_to_port")  # nothing is captured here: it is asked directly
            listener.address.socket_address.port_value = self.bound[f"captured {port}"]
            yield resource(listener.name, listener)

    def launch(self) -> None:
        made = bootstrap(self.folder, {}, self.admin)
        made["typed_dns_resolver_config"] = {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {"@type": RESOLVER, "resolvers": [socket_address(self.resolver.port)]},
        }
        self.process = launched(self.folder, made, *OFTEN)

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
        self.resolver.socket.close()

    # --- configuration ----------------------------------------------------------------------------------------------

    async def apply(self, snapshot: Snapshot) -> None:
        """Returns when it is in force."""
        self.number += 1
        ports = free_ports(len(UPSTREAMS))
        self.declared = tuple(
            DeclaredUpstream(host=host, port=port, bind=bind)
            for (host, port), bind in zip(UPSTREAMS, ports, strict=True)
        )
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
        self.upstreams.relay.serve(snapshot, AWAY)
        await self._in_force()
        for kind in (CLUSTER, ENDPOINT):
            gone = held[kind].keys() - wanted[kind].keys()
            if gone:
                self.ads.push(kind, {}, set(gone))
        await _until(self.ads.settled, "Envoy answers all that was sent")
        await self._edges(snapshot)
        assert not self.ads.refused, self.ads.refused

    async def _edges(self, snapshot: Snapshot) -> None:
        """The gateway's listeners for TLS and TCP: new ones for each configuration, as an old one would take
        connections for a while."""
        made = connections.listeners(
            Reader(snapshot), scope_at(snapshot, "gateway"), self.number, self.options
        )
        self.edge_ports = {at: key.bind for at, key in made.items()}
        fresh = {}
        for one in self.declared_listeners:
            message = connections.logged(listener_pb2.Listener.FromString(value_of(one)), self.log)
            message.name += f"-{self.number}"
            fresh[message.name] = resource(message.name, message)
        for key in made.values():
            message = listener_pb2.Listener.FromString(value_of(gateway_listener(key)))
            if self.mutate_listener is not None:
                self.mutate_listener(message)
            fresh[key.name] = resource(key.name, message)
        self.ads.push(LISTENER, fresh, set(self.edge_listeners))
        self.edge_listeners = frozenset(fresh)

        async def active() -> bool:
            assert not self.ads.refused, self.ads.refused
            async with httpx.AsyncClient(trust_env=False) as client:
                text = (await client.get(f"http://127.0.0.1:{self.admin}/listeners")).text
            return fresh.keys() <= {line.partition("::")[0] for line in text.splitlines()}

        if fresh:
            await _until(active, "the gateway listens")

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
                    name: listener_pb2.Listener.FromString(value_of(made))
                    for name, made in listeners.items()
                    if name != BOUND_ROUTE
                }
        scope = scope_at(snapshot, "proxy")
        own = compiler.own(
            Proxy(
                namespace=CLIENT_NAMESPACE, name="client", scope=scope, labels=LABELS, upstreams=self.declared
            )
        ).resources
        found[ROUTE] |= {name: one for name, one in own[ROUTE].items() if name.startswith("upstream|")}
        self.declared_listeners = [one for name, one in own[LISTENER].items() if name.startswith("upstream_")]
        assert len(self.declared_listeners) == len(self.declared)
        assert not compiler.errors, compiler.errors
        self.addresses = {name: healthy(made) for name, made in found[ENDPOINT].items()}
        routes = found[ROUTE]
        expected = (names.HTTP_PROXY, *map(str, PORTS), GATEWAY_ROUTE, BOUND_ROUTE)
        self.entries = tuple(entry for entry, name in zip(ENTRIES, expected, strict=True) if name in routes)
        secure = [name for name in routes if name.startswith(("https.", "upstream|"))]
        found[ROUTE] = {name: self._marked(name, routes.get(name)) for name in (*expected, *secure)}
        return found

    def _marked(self, name: str, made: Resource | None) -> Resource:
        message = route_pb2.RouteConfiguration(name=name)
        if made is not None:
            message = route_pb2.RouteConfiguration.FromString(value_of(made))
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
        for index, answer in answers.items():
            answer.agent = f"r{first + index}"
            found = self.upstreams.hops.get(answer.agent, [])
            answer.hops = [hop for hop in found if not hop.shadow]
        return [answers[index] for index in range(len(requests))]

    async def shadows(self, answers: list[Answer], wanted: list[int]) -> None:
        """Adds to the answers their copies, when those that are wanted of each are there, or are late."""

        def arrived() -> bool:
            for one in answers:
                one.shadows = [hop for hop in self.upstreams.hops.get(one.agent, []) if hop.shadow]
            return all(len(one.shadows) >= number for one, number in zip(answers, wanted, strict=True))

        with contextlib.suppress(AssertionError):
            await _until(arrived, "copies arrive", 5)
        quiet, before = 0, -1
        while (
            quiet < QUIET
        ):  # one that nobody wants is on its way as others are: Envoy and upstreams have the turn
            await self.clients[ENTRIES[0]][0].send(Request(authority=MARKER), "marker")
            now = sum(map(len, self.upstreams.hops.values()))
            quiet, before = quiet + 1 if now == before else 0, now
        arrived()
        self.upstreams.hops.clear()

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

    async def connect(self, requests: list[Request]) -> list[Answer]:
        """One connection each to the gateway's listeners for TLS and TCP, or a port here; status 0: it was closed."""
        first = self.sent
        self.sent += len(requests)
        answers: dict[int, Answer] = {}
        addresses: dict[str, int] = {}
        for index, request in enumerate(requests):
            port = self.edge_ports.get(("", request.port), request.port)
            answers[index], own = await self.callers.send(request, port, f"r{first + index}")
            addresses[own] = index
        self.callers.close()
        arrived = {index: one for index, one in answers.items() if one.status}
        await self._logged(first, arrived, addresses)
        for index, answer in answers.items():
            found = self.upstreams.hops.get(f"r{first + index}", [])
            answer.hops = [hop for hop in found if not hop.shadow]
        return [answers[index] for index in range(len(requests))]

    async def _logged(
        self, first: int, answers: dict[int, Answer], addresses: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """Adds to the answers what the access log says of them. `addresses`: of clients whose user agent it does not
        know."""
        # What the codec refuses is logged without anything of the request.
        waiting = {
            number for number, one in answers.items() if (one.status, one.body) != (400, b"Bad Request")
        }

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
                number = addresses.get(entry.get("downstream_remote_address") or "", number)
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
async def lab(folder: Path, arrival: Arrival = AS_USUAL) -> AsyncIterator[Lab]:
    async with contextlib.AsyncExitStack() as stack:
        upstreams = Upstreams(Authority())
        endpoints: dict[tuple[str, str], int] = {}
        for name in SERVICES:
            for version in VERSIONS:
                port = await stack.enter_async_context(upstreams.one(folder, identity_of(name)))
                endpoints[name, version] = port
        endpoints[GATEWAY] = await stack.enter_async_context(upstreams.relay.listening())
        if OWN_ADDRESS is not None:
            there = upstreams.one(folder, f"spiffe://wild{WILD}/any", OWN_ADDRESS)
            endpoints[LOOKED_UP] = await stack.enter_async_context(there)
        found = Lab(folder, endpoints, upstreams, arrival)
        try:
            yield found
        finally:
            found.stop()
