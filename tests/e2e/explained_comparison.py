"""What Envoy did with random requests, held against what the evaluator says of them."""

from __future__ import annotations

import ipaddress
from collections import Counter
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
    HeaderChanges,
    Redirected,
    Target,
    Unrouted,
)
from argosy.explain.request import ClientCertificate, Request, Spoken
from argosy.model import ir
from argosy.translate import edge, names
from tests.e2e.explained_clients import Answer
from tests.e2e.explained_connections import to_upstream, wanted
from tests.e2e.explained_edges import BOUND_ADDRESS, BOUND_PORT
from tests.e2e.explained_envoy import CALLER, ENTRIES, REQUESTS, Lab, scope_at
from tests.e2e.explained_mesh import ANSWERED, ORIGINATED, SENT_BACK, Mesh
from tests.e2e.explained_requests import Generator
from tests.e2e.explained_upstreams import FAILS, OWN_HEADERS, Hop

TIME = "x-envoy-expected-rq-timeout-ms"
"""Facts (Envoy): how long it waits for an answer, told to whom it waits for."""


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
        envoy.tally[f"edge: {one}"] for one in ("TLS ends", "passed through", "TCP", "a client shut out")
    ]
    assert not every_kind or sum(edges) >= configurations, (
        f"connections to gateways hit little: {envoy.tally}"
    )
    assert envoy.tally["declared: answered"] >= configurations * least, envoy.tally
    assert envoy.tally["answered upstream"] > seen * least, f"the requests hit little: {envoy.tally}"
    if seen > 10_000:
        assert min(edges) >= configurations / 4, envoy.tally
        assert min(envoy.tally["Redirected"], envoy.tally["Answered"]) > seen / 100, envoy.tally
        rare = ("copies", "tried again", "mutual", "originated", "with a time")
        assert min(envoy.tally[one] for one in rare) > seen / 400, envoy.tally


async def compared(envoy: Lab, seed: int, count: int) -> list[Difference]:
    """`count` random requests to the random configuration of a seed."""
    generator = Generator(seed, envoy.endpoints)
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
    said = [_expected(evaluators[entry], request) for entry, request in requests]
    await envoy.shadows(
        answers, [len(mirrors(one, answer)) for one, answer in zip(said, answers, strict=True)]
    )
    for (entry, request), answer, expected in zip(requests, answers, said, strict=True):
        envoy.tally[type(expected.verdict).__name__] += 1
        envoy.tally["answered upstream"] += answer.got is not None
        envoy.tally["tried again"] += len(answer.hops) > 1
        for hop in answer.hops[:1]:
            envoy.tally[hop.tls] += 1
            envoy.tally["with a time"] += hop.header(TIME) is not None
        if what := difference(request, expected, answer) or _copied(expected, answer, envoy.tally):
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
        if what := _edge_difference(request, expected, answer):
            found.append(Difference(seed, "upstream", request, expected, answer, what))
    return found


# --- connections to a gateway ---------------------------------------------------------------------------------------


async def _connections(
    envoy: Lab, seed: int, generator: Generator, mesh: Mesh, evaluator: Evaluator
) -> list[Difference]:
    reader, scope = evaluator.view.reader, evaluator.view.scope
    requests, said = [], []
    for request in wanted(generator, mesh, reader, scope):
        expected = evaluator.evaluate(request)
        if not _ends(expected):  # what the client shows is not for the gateway
            request = msgspec.structs.replace(request, certificate=ClientCertificate.NONE)
        if ("", request.port) in envoy.edge_ports:
            requests.append(request)
            said.append(expected)
        elif not isinstance(expected.verdict, Unrouted):
            return [_difference(seed, "edge", f"nobody listens on port {request.port}; said: {expected}")]
    found = []
    for request, expected, answer in zip(requests, said, await envoy.connect(requests), strict=True):
        envoy.tally["edge: " + _kind(expected)] += 1
        if what := _edge_difference(request, expected, answer):
            found.append(Difference(seed, "edge", request, expected, answer, what))
    return found


def _ends(expected: Routed) -> bool:
    return any(step.stage == "TLS" for step in expected.steps)


def _kind(expected: Routed) -> str:
    if isinstance(expected.verdict, Unrouted) and not expected.verdict.status:
        return "a client shut out" if _ends(expected) else "refused"
    if _ends(expected):
        return "TLS ends"
    return "passed through" if any(step.stage == "filter chain" for step in expected.steps) else "TCP"


def _edge_difference(request: Request, expected: Routed, answer: Answer) -> str:
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
    passed = request.host if request.spoken is Spoken.TLS and not _ends(expected) else ""
    if passed and any(one.address == hop.address and one.tls == "plaintext" for one in cluster.endpoints):
        return _differs("server name", passed, hop.server_name) or _differs("TLS", "originated", hop.tls)
    return _connected(cluster, hop) or _differs("server name within", passed, hop.within)


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
        if said := {one.address for one in state.endpoints if one.healthy} ^ sent:
            yield _difference(seed, "gateway", f"{name}: endpoints {sorted(said)} are only on one side")


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
    if entry == "bound":
        request = msgspec.structs.replace(request, address=BOUND_ADDRESS, port=BOUND_PORT)
    return entry, request


def difference(request: Request, expected: Routed, answer: Answer) -> str:
    """ "" where the answer is what was expected."""
    if expected.fault is not None and expected.fault.abort_percent >= 100:
        return _differs("status", expected.fault.abort_status, answer.status)
    match expected.verdict:
        case Forwarded() as forwarded:
            return _forwarded(request, forwarded, answer)
        case Redirected(status=status, location=location, response=response):
            return (
                _differs("status", status, answer.status)
                or _differs("location", location, answer.location)
                or _answered((), response, answer)
            )
        case Answered(status=status, body=body, response=response):
            return (
                _differs("status", status, answer.status)
                or _differs("body", body.encode(), answer.body)
                or _answered((), response, answer)
            )
        case Unrouted(status=status):
            return _differs("status", status, answer.status) or _differs("upstream", None, answer.got)
        case other:
            return f"not evaluated: {other}"


def _forwarded(request: Request, expected: Forwarded, answer: Answer) -> str:
    targets = expected.targets
    if answer.cluster in (names.PASSTHROUGH, names.BY_NAME):
        return _differs("cluster", [one.cluster.name for one in targets], [answer.cluster])
    chosen = [one for one in targets if one.cluster.name == answer.cluster]
    if not chosen:
        missing = [one for one in targets if one.cluster.missing]
        if missing and answer.status == 503 and not answer.cluster:
            return ""
        return f"cluster {answer.cluster or 'none'} is not one of {[one.cluster.name for one in targets]}"
    said = [
        _arrived(request, expected, one, answer) for one in chosen
    ]  # two may have one cluster, and other headers
    return "" if "" in said else said[0]


def _arrived(request: Request, expected: Forwarded, target: Target, answer: Answer) -> str:
    if not target.cluster.answers:
        return _differs("status", 503, answer.status) or _differs("attempts", 0, len(answer.hops))
    fails = dict(request.headers).get(FAILS, "")
    if not answer.hops or (not fails and answer.got is None):
        return f"status {answer.status} by the proxy, expected an answer of {target.cluster.name}"
    return (
        _differs("status", 503 if fails else 200, answer.status)
        or _differs("attempts", _attempts(expected, fails), len(answer.hops))
        or _differs("time to answer", _time(expected), answer.hops[0].header(TIME))
        or next((what for hop in answer.hops if (what := _connected(target.cluster, hop))), "")
        or next((what for hop in answer.hops if (what := _got(target, hop))), "")
        or ("" if fails else _answered(OWN_HEADERS, target.response, answer))
    )


def _answered(own: ir.Pairs, changes: tuple[HeaderChanges, ...], answer: Answer) -> str:
    """`own`: the headers that were answered first."""
    for one in changes:
        own = one.of(own)
    said = sorted(pair for pair in own if pair[0] in ANSWERED)
    return _differs(
        "headers of the answer", said, sorted(pair for pair in answer.headers if pair[0] in ANSWERED)
    )


def _attempts(expected: Forwarded, fails: str) -> int:
    again = expected.retries if fails else None
    return 1 + (again.attempts if again and again.repeats(None if fails == "reset" else int(fails)) else 0)


def _time(expected: Forwarded) -> str | None:
    """Facts (Envoy): a try has what it may take by itself, where that is less than what all may take."""
    each = expected.retries.per_try_timeout_ms if expected.retries is not None else 0
    least = [one for one in (each, expected.timeout_ms) if one]
    return str(min(least)) if least else None


def _connected(cluster: ClusterState, hop: Hop) -> str:
    """Over which connection, and to whom."""
    there = [
        one for one in cluster.endpoints if one.address == hop.address and one.healthy and not one.refused
    ]
    if not there:
        return f"{hop.address} is no endpoint of {cluster.name}"
    name = {
        "mutual": f"outbound_.{cluster.port}_.{cluster.subset}_.{cluster.host}",
        "originated": ORIGINATED,
    }
    return (
        _differs("TLS", there[0].tls, hop.tls)
        or _differs("server name", name.get(hop.tls, ""), hop.server_name)
        or _differs("caller", CALLER if hop.tls == "mutual" else "", hop.caller)
    )


def _got(target: Target, hop: Hop) -> str:
    headers = hop.got["headers"]
    got = {name: ",".join(value for key, value in headers if key == name) for name, _ in headers}
    wanted: dict[str, list[str]] = {}
    for name, value in target.headers:
        wanted.setdefault(name.lower(), []).append(value)
    for name in SENT_BACK:
        if what := _differs(
            f"header {name}", ",".join(wanted[name]) if name in wanted else None, got.get(name)
        ):
            return what
    return _differs("path", target.path, hop.got["path"]) or _differs(
        "authority", target.authority, got["host"]
    )


# --- copies ---------------------------------------------------------------------------------------------------------


def mirrors(expected: Routed, answer: Answer) -> list[ClusterState]:
    """Whom copies go to: of what is sent on at all, to those who are there."""
    if not isinstance(expected.verdict, Forwarded) or not answer.hops:
        return []
    return [one.cluster for one in expected.verdict.mirrors if one.percent >= 100 and one.cluster.answers]


def _copied(expected: Routed, answer: Answer, tally: Counter[str]) -> str:
    wanted = mirrors(expected, answer)
    tally["copies"] += len(answer.shadows)
    left = list(answer.shadows)
    for cluster in wanted:
        hop = next((one for one in left if not _connected(cluster, one)), None)
        if hop is None:
            return f"no copy reached {cluster.name}, but {[one.address for one in answer.shadows]}"
        left.remove(hop)
    return f"copies reached {[one.address for one in left]}, and none is said" if left else ""


def _differs(what: str, expected: object, got: object) -> str:
    return "" if expected == got else f"{what}: expected {expected!r}, got {got!r}"
