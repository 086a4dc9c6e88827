"""What Envoy did with random requests, held against what the evaluator says of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from argosy.explain import destination as destinations
from argosy.explain.declared import Upstream
from argosy.explain.evaluate import Evaluator, Sender
from argosy.explain.http import Routed
from argosy.explain.outbound import Outbound
from argosy.explain.outcome import (
    Answered,
    ClusterState,
    Forwarded,
    Redirected,
    Target,
    Unrouted,
)
from argosy.explain.request import Request, Spoken
from argosy.model import ir
from argosy.translate import edge, names
from tests.e2e.explained_answers import LOOKED_UP, TIME, connected, copied, difference, differs, mirrors
from tests.e2e.explained_clients import Answer
from tests.e2e.explained_connections import Whose, shown, to_upstream, wanted
from tests.e2e.explained_edges import BOUND_ADDRESS, BOUND_PORT, OF_MESH
from tests.e2e.explained_envoy import ENTRIES, REQUESTS, Lab
from tests.e2e.explained_mesh import Mesh
from tests.e2e.explained_requests import Generator
from tests.e2e.explained_told import scope_at
from tests.e2e.own_address import OWN_ADDRESS


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


async def none_differs(
    envoy: Lab, first: int, configurations: int, least: float = 0.1, every_kind: bool = True
) -> None:
    """`least`: the share of requests that some upstream answers. `every_kind`: of connections to gateways was there."""
    found = []
    for seed in range(first, first + configurations):
        found += await compared(envoy, seed, REQUESTS)
    assert not found, f"{len(found)} differences, the first:\n" + "\n".join(map(str, found[:3]))
    seen = sum(envoy.tally[one.__name__] for one in (Forwarded, Redirected, Answered, Unrouted))
    edges = [
        envoy.tally[f"edge: {one}"]
        for one in (
            "TLS ends",
            "passed through",
            "passed on by its name",
            "TCP",
            "a client shut out",
            "shut out for its name or key",
        )
    ]
    assert not every_kind or sum(edges) >= configurations, (
        f"connections to gateways hit little: {envoy.tally}"
    )
    assert envoy.tally["declared: answered"] >= configurations * least, envoy.tally
    assert envoy.tally["answered upstream"] > seen * least, f"the requests hit little: {envoy.tally}"
    if seen > 10_000:
        assert min(edges) >= configurations / 4, envoy.tally
        assert min(envoy.tally["Redirected"], envoy.tally["Answered"]) > seen / 100, envoy.tally
        assert envoy.tally["for browsers"] > configurations / 10, envoy.tally
        rare = (
            "copies",
            "tried again",
            "mutual",
            "originated",
            "with a time",
            "gRPC status",
            "through a gateway",
        )
        assert min(envoy.tally[one] for one in rare) > seen / 400, envoy.tally
        assert envoy.tally["looked up"] > seen / 400 or OWN_ADDRESS is None, envoy.tally


async def compared(envoy: Lab, seed: int, count: int) -> list[Difference]:
    """`count` random requests to the random configuration of a seed."""
    generator = Generator(seed, envoy.endpoints, tuple(envoy.callers.certified.values()))
    mesh = generator.mesh(envoy.arrival)
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
    said = [expected_of(evaluators[entry], request) for entry, request in requests]
    await envoy.shadows(
        answers, [len(mirrors(one, answer)) for one, answer in zip(said, answers, strict=True)]
    )
    for (entry, request), answer, expected in zip(requests, answers, said, strict=True):
        envoy.tally[type(expected.verdict).__name__] += 1
        envoy.tally["answered upstream"] += answer.got is not None
        told = {name for name, _ in answer.headers}
        envoy.tally["gRPC status"] += "grpc-status" in told
        envoy.tally["for browsers"] += "access-control-allow-methods" in told
        envoy.tally["tried again"] += len(answer.hops) > 1
        for hop in answer.hops[:1]:
            envoy.tally[hop.tls] += 1
            envoy.tally["through a gateway"] += bool(hop.through)
            envoy.tally["looked up"] += not hop.address.startswith("127.")
            envoy.tally["with a time"] += hop.header(TIME) is not None
        if what := difference(request, expected, answer) or copied(expected, answer, envoy.tally):
            found.append(Difference(seed, entry, request, expected, answer, what))
    found += await _declared(envoy, seed, generator, mesh)
    return found + await _connections(envoy, seed, generator, mesh, evaluators["gateway"])


async def _declared(envoy: Lab, seed: int, generator: Generator, mesh: Mesh) -> list[Difference]:
    """Requests to the local ports of declared upstreams."""
    upstreams = tuple(Upstream(one.host, one.port, one.bind) for one in envoy.declared)
    evaluator = Evaluator(
        mesh.snapshot, Sender("upstreams", scope_at(mesh.snapshot, "proxy"), upstreams=upstreams)
    )
    requests = [to_upstream(generator, mesh, one) for one in upstreams for _ in range(3)]
    found = []
    for request, answer in zip(requests, await envoy.connect(requests), strict=True):
        expected = evaluator.evaluate(request)
        envoy.tally["declared: answered"] += answer.got is not None
        if what := connection_difference(request, expected, answer):
            found.append(Difference(seed, "upstream", request, expected, answer, what))
    return found


# --- connections to a gateway ---------------------------------------------------------------------------------------


async def _connections(
    envoy: Lab, seed: int, generator: Generator, mesh: Mesh, evaluator: Evaluator
) -> list[Difference]:
    reader, scope = evaluator.view.reader, evaluator.view.scope
    requests, said = [], []
    known = sorted(name for name in envoy.clusters["gateway"] if names.is_sni(name))
    for request in wanted(generator, mesh, reader, scope, known):
        whose = generator.one(*Whose)
        expected = evaluator.evaluate(request)
        mode = next((step.name for step in expected.steps if step.stage == "TLS"), "")
        if mode or request.hello.startswith(destinations.PASSED_ON):
            if not mode:  # the upstream looks at it, and knows the mesh
                whose = generator.one(Whose.MESH, Whose.NOBODY)
            request = msgspec.structs.replace(
                request, certificate=shown(whose, mode), certified=envoy.callers.certified.get(whose)
            )
            expected = evaluator.evaluate(request)
            envoy.tally["edge: shut out for its name or key"] += _told_apart(expected)
        if ("", request.port) in envoy.edge_ports:
            requests.append(request)
            said.append(expected)
        elif not isinstance(expected.verdict, Unrouted):
            return [_difference(seed, "edge", f"nobody listens on port {request.port}; said: {expected}")]
    found = []
    for request, expected, answer in zip(requests, said, await envoy.connect(requests), strict=True):
        envoy.tally["edge: " + _kind(expected)] += 1
        if what := connection_difference(request, expected, answer):
            found.append(Difference(seed, "edge", request, expected, answer, what))
    return found


def _told_apart(expected: Routed) -> bool:
    """Whether a client is trusted, and still none of those that the server asks for."""
    return (
        isinstance(expected.verdict, Unrouted)
        and "the client's certificate" in expected.verdict.because
        and ("authorities" not in expected.verdict.because)
    )


def _ends(expected: Routed) -> bool:
    return any(step.stage == "TLS" for step in expected.steps)


def _kind(expected: Routed) -> str:
    if isinstance(expected.verdict, Unrouted) and not expected.verdict.status:
        return "a client shut out" if _ends(expected) else "refused"
    if _ends(expected):
        return "TLS ends"
    if any(step.name == "auto-passthrough" for step in expected.steps):
        return "passed on by its name"
    return "passed through" if any(step.stage == "filter chain" for step in expected.steps) else "TCP"


def connection_difference(request: Request, expected: Routed, answer: Answer) -> str:
    verdict = expected.verdict
    if not isinstance(verdict, Forwarded) or verdict.targets[0].authority:
        return difference(request, expected, answer)  # HTTP, or closed
    if not answer.status:
        silent = any(not one.cluster.answers for one in verdict.targets)
        return "" if silent else f"closed, expected {[one.cluster.name for one in verdict.targets]}"
    chosen = [one for one in verdict.targets if one.cluster.name == answer.cluster]
    if not chosen or not answer.hops:
        return f"cluster {answer.cluster or 'none'} is not one of {[one.cluster.name for one in verdict.targets]}"
    cluster, hop = chosen[0].cluster, answer.hops[0]
    passed = request.hello if not _ends(expected) else ""
    if passed == cluster.name:  # by its server name, whoever the client is
        caller = OF_MESH[0] if request.certified is not None else ""
        return differs("caller", caller, hop.caller) or differs("server name", passed, hop.server_name)
    plain = [one.address for one in cluster.endpoints if one.tls == "plaintext"]
    if passed and any(one == hop.address or one.startswith(LOOKED_UP) for one in plain):
        return differs("server name", passed, hop.server_name) or differs("TLS", "originated", hop.tls)
    return connected(cluster, hop) or differs("server name within", passed, hop.within)


# --- structure ------------------------------------------------------------------------------------------------------


def _structure(envoy: Lab, seed: int, evaluators: dict[str, Evaluator]) -> Iterable[Difference]:
    """Which clusters and captured listeners there are, and where the latter lead what is not HTTP."""
    for entry, evaluator in evaluators.items():
        if entry == "bound":  # of the same sidecar as the application's proxy
            continue
        made = envoy.clusters[entry.partition(" ")[0]]
        for name in sorted({name for each in envoy.clusters.values() for name in each}):
            if name.startswith("outbound|"):
                host, port, subset = names.of_outbound(name)
                state = destinations.cluster(evaluator.view, ir.Destination(host, port, subset))
                if bool(state.missing) == (name in made):
                    yield _difference(
                        seed, entry, f"cluster {name} is there: {name in made}; said: {state.missing}"
                    )
                sent = envoy.addresses.get(name) if name in made else None
                if sent is not None and (said := _connected_to(state) ^ sent):
                    yield _difference(seed, entry, f"{name}: {sorted(said)} are only on one side")
    yield from _edges(seed, evaluators["gateway"])
    yield from _passed_on(envoy, seed, evaluators["gateway"])
    captured = evaluators[ENTRIES[1]].side
    assert isinstance(captured, Outbound)
    if expected := envoy.captured.keys() ^ {f"{address}_{port}" for address, port in captured.captured()}:
        yield _difference(seed, "captured", f"listeners {sorted(expected)} are only on one side")
    for name, listener in envoy.captured.items():
        address, _, number = name.rpartition("_")
        for spoken, authority, chain, (to, source) in _chains(listener):
            request = Request(
                authority=f"{authority or 'nobody.invalid'}:{number}",
                spoken=spoken,
                address=to or address,
                port=int(number),
                source=source,
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
            if chain.route:
                continue
            spoken = Spoken.TLS if listener.kind is ir.ListenerKind.TLS else Spoken.TCP
            for name in chain.server_names or ("nobody.invalid",):
                source = "".join(chain.sources).partition("/")[0]
                request = Request(
                    authority=name.replace("*", "any", 1), spoken=spoken, port=listener.port, source=source
                )
                expected = evaluator.evaluate(request)
                said: set[str] = set()
                if isinstance(expected.verdict, Forwarded):
                    said = {one.cluster.name for one in expected.verdict.targets}
                if said != {cluster for cluster, _ in chain.clusters}:
                    yield Difference(
                        seed, "gateway", request, expected, Answer(0), f"leads to {chain.clusters}"
                    )


def _passed_on(envoy: Lab, seed: int, evaluator: Evaluator) -> Iterable[Difference]:
    """Which clusters a gateway has for the server names of mesh clients, and who is in them."""
    reader, scope = evaluator.view.reader, evaluator.view.scope
    ports = [
        listener.port
        for listener in reader.gateway_listeners(scope)
        for server in listener.servers
        if server.tls is not None and server.tls.mode is ir.ServerTlsMode.AUTO_PASSTHROUGH
    ]
    made = {name for name in envoy.clusters["gateway"] if names.is_sni(name)}
    if made and not ports:
        yield _difference(seed, "gateway", f"clusters {sorted(made)} without a server")
    known = {one for each in envoy.clusters.values() for one in each if one.startswith("outbound|")}
    for name in sorted(made | {names.sni(*names.of_outbound(one)) for one in known}) if ports else ():
        state = destinations.by_server_name(evaluator.view, name)
        if state is None or bool(state.missing) == (name in made):
            yield _difference(seed, "gateway", f"cluster {name} is there: {name in made}; said: {state}")
            continue
        envoy.tally["passed on"] += name in made
        sent = envoy.addresses.get(name, frozenset())
        if said := _connected_to(state) ^ sent:
            yield _difference(seed, "gateway", f"{name}: endpoints {sorted(said)} are only on one side")


def _connected_to(state: ClusterState) -> set[str]:
    """Of those that are there, where connections to them go."""
    found: set[str] = set()
    for one in state.endpoints:
        if one.healthy and not (one.through and one.refused):
            found.update(one.through or (one.address,))
    return found


def _chains(
    listener: listener_pb2.Listener,
) -> Iterable[tuple[Spoken, str, set[str], tuple[str, str]]]:
    """(what is spoken, name in the hello, clusters, its ends) of each filter chain that is not HTTP."""
    chains = [
        (chain, list(chain.filter_chain_match.server_names), ends)
        for chain in listener.filter_chains
        for ends in _both_ends(chain.filter_chain_match)
    ]
    if listener.HasField("default_filter_chain"):
        chains.append((listener.default_filter_chain, [], ("", "")))
    for chain, server_names, ends in chains:
        network_filter = chain.filters[-1]
        if network_filter.name != "envoy.filters.network.tcp_proxy":
            continue
        proxy = tcp_proxy_pb2.TcpProxy.FromString(network_filter.typed_config.value)
        to = {proxy.cluster} if proxy.cluster else {one.name for one in proxy.weighted_clusters.clusters}
        for name in server_names:
            yield Spoken.TLS, name.replace("*", "any", 1), to, ends
        if not server_names:
            yield Spoken.TCP, "", to, ends


def _both_ends(match: listener_components_pb2.FilterChainMatch) -> list[tuple[str, str]]:
    """Addresses (for which it is, from which it comes) that a chain alone is for: the last of each network, which is in
    no narrower one of the generator's; "": any other."""
    to, sources = (
        [_last(one.address_prefix, one.prefix_len.value) for one in ranges] or [""]
        for ranges in (match.prefix_ranges, match.source_prefix_ranges)
    )
    return [(address, source) for address in to for source in sources]


def _last(prefix: str, length: int) -> str:
    return str(ipaddress.ip_network(f"{prefix}/{length}")[-1])


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
                said = differs("status", status, answer.status)
            case other:
                said = f"not evaluated: {other}"
        if said:
            found.append(Difference(seed, "tunnel", request, expected, answer, said))
    return found


def _tunnelled(targets: tuple[Target, ...], answer: Answer) -> str:
    if answer.cluster == names.PASSTHROUGH:  # what becomes of a name that is looked up is not told here
        return differs("cluster", [one.cluster.name for one in targets], [answer.cluster])
    if not answer.cluster and any(one.cluster.missing for one in targets):
        return differs("status", 503, answer.status)
    chosen = [one for one in targets if one.cluster.name == answer.cluster]
    if not chosen:
        return f"cluster {answer.cluster or 'none'} is not one of {[one.cluster.name for one in targets]}"
    return differs("status", 200 if chosen[0].cluster.answers else 503, answer.status)


def _to_http(evaluator: Evaluator, request: Request) -> bool:
    """Of a tunnel to a port that speaks HTTP nothing is said but that HTTP must be within."""
    verdict = evaluator.evaluate(request).verdict
    return isinstance(verdict, Unrouted) and verdict.status == 0


def _difference(seed: int, entry: str, what: str) -> Difference:
    return Difference(seed, entry, Request(authority=""), Routed(Unrouted(0, "")), Answer(0), what)


def expected_of(evaluator: Evaluator, request: Request) -> Routed:
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
    if entry == "bound":
        request = msgspec.structs.replace(request, address=BOUND_ADDRESS, port=BOUND_PORT)
    return entry, request
