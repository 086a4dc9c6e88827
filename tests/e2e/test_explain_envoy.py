"""The evaluator against real Envoy: random configuration and requests, no difference; and a bug in either is found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.config.route.v3.route_components_pb2 import RouteAction
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from google.protobuf import any_pb2
from msgspec.structs import replace

from argosy.explain import (
    arrival,
    bound,
    clients,
    destination,
    edge,
    http,
    matching,
    outbound,
    replies,
    rewriting,
)
from argosy.explain.declared import Upstream
from argosy.explain.edge import Edge
from argosy.explain.outcome import Answered, ClusterState, Retries
from argosy.explain.request import Certified, ClientCertificate, Request, Seen, Trust, by_name
from argosy.explain.view import View
from argosy.model import ir
from argosy.model.ir import Destination, MatchKind, RetryPolicy, StringMatch
from argosy.model.proxy_settings import Connections
from argosy.model.scope import ProxyType
from argosy.model.sidecars import imports
from argosy.translate import localities
from tests.e2e.explained_comparison import compared, none_differs
from tests.e2e.explained_envoy import REQUESTS, Lab, Mutation, lab
from tests.e2e.explained_mesh import Arrival

pytestmark = pytest.mark.e2e

SEED = 23_000


@pytest_asyncio.fixture
async def envoy(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as found:
        yield found


async def test_the_evaluator_says_what_envoy_does(envoy: Lab) -> None:
    await none_differs(envoy, SEED, 12)


# --- what stands in listeners ---------------------------------------------------------------------------------------

ARRIVALS = {
    "as-written": Arrival(paths=ir.Paths.NONE),
    "merged": Arrival(paths=ir.Paths.MERGE_SLASHES),
    "decoded": Arrival(paths=ir.Paths.DECODE_AND_MERGE_SLASHES),
    "refused": Arrival(
        sidecars=Connections(escaped_slashes="REJECT_REQUEST", underscores="DROP_HEADER"),
        gateways=Connections(
            escaped_slashes="UNESCAPE_AND_REDIRECT", underscores="REJECT_REQUEST", merge_slashes=True
        ),
    ),
    "said-otherwise": Arrival(
        paths=ir.Paths.DECODE_AND_MERGE_SLASHES,
        sidecars=Connections(
            escaped_slashes="KEEP_UNCHANGED", merge_slashes=False, underscores="REJECT_REQUEST"
        ),
        gateways=Connections(escaped_slashes="UNESCAPE_AND_FORWARD", merge_slashes=False),
        trusted=1,
    ),
}


@pytest.mark.parametrize("said", ARRIVALS.values(), ids=ARRIVALS)
async def test_what_becomes_of_paths_and_headers_is_what_envoy_does(tmp_path: Path, said: Arrival) -> None:
    async with lab(tmp_path, said) as envoy:
        await none_differs(envoy, SEED, 4, least=0.05, every_kind=False)


@pytest.mark.parametrize("said", ARRIVALS.values(), ids=ARRIVALS)
async def test_paths_and_headers_as_by_default_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Arrival
) -> None:
    usual = arrival.custom(ir.Mesh(), ProxyType.SIDECAR)
    monkeypatch.setattr(arrival, "custom", lambda mesh, type_: usual)
    async with lab(tmp_path, said) as envoy:
        assert await first_difference(envoy), "who ignores the settings agrees with Envoy"


# --- a bug in the evaluator -----------------------------------------------------------------------------------------


def _prefix_in_any_case(patch: pytest.MonkeyPatch) -> None:
    right = matching.string_matches

    def wrong(wanted: StringMatch, value: str) -> bool:
        if wanted.kind is MatchKind.PREFIX:
            return value.lower().startswith(wanted.value.lower())
        return right(wanted, value)

    patch.setattr(matching, "string_matches", wrong)


def _copies_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(http, "_mirrors", lambda view, mirrors: ())


def _one_try_more(patch: pytest.MonkeyPatch) -> None:
    right = http.retries_of

    def wrong(retry: RetryPolicy | None) -> Retries | None:
        found = right(retry)
        return replace(found, attempts=found.attempts + 1) if found else None

    patch.setattr(http, "retries_of", wrong)


def _a_reset_is_final(patch: pytest.MonkeyPatch) -> None:
    right = Retries.repeats
    patch.setattr(Retries, "repeats", lambda self, status: status is not None and right(self, status))


def _time_of_one_try_forgotten(patch: pytest.MonkeyPatch) -> None:
    right = http.retries_of

    def wrong(retry: RetryPolicy | None) -> Retries | None:
        found = right(retry)
        return replace(found, per_try_timeout_ms=0) if found else None

    patch.setattr(http, "retries_of", wrong)


def _everything_in_plaintext(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(destination, "_to", lambda view, service, policy, mode: "plaintext")


def _everybody_takes_mesh_tls(patch: pytest.MonkeyPatch) -> None:
    right = destination.cluster

    def wrong(view: View, to: Destination) -> ClusterState:
        found = right(view, to)
        return replace(found, endpoints=tuple(replace(one, mode="PERMISSIVE") for one in found.endpoints))

    patch.setattr(destination, "cluster", wrong)


def _no_gateways_of_networks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(destination, "_through", lambda view, one: ())


def _copies_of_what_is_looked_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(destination, "not_looked_up", lambda view, to, why: destination.cluster(view, to))


def _every_host_at_a_bound_listener(patch: pytest.MonkeyPatch) -> None:
    right = bound.imported
    everything = imports(("*/*",), "")
    patch.setattr(
        bound, "imported", lambda view, listener: right(view, replace(listener, imports=everything))
    )


def _every_client_let_in(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clients, "shut_out", lambda tls, shown, certified: "")


def _every_name_and_key_of_a_client_taken(patch: pytest.MonkeyPatch) -> None:
    right = clients.shut_out
    patch.setattr(clients, "shut_out", lambda tls, shown, certified: right(tls, shown, None))


def _every_key_of_a_client_taken(patch: pytest.MonkeyPatch) -> None:
    right = clients.shut_out

    def wrong(tls: ir.GatewayTls, shown: ClientCertificate, certified: Certified | None) -> str:
        return right(replace(tls, certificate_spki=(), certificate_hash=()), shown, certified)

    patch.setattr(clients, "shut_out", wrong)


def _mesh_clients_shut_out(patch: pytest.MonkeyPatch) -> None:
    right = clients.shut_out

    def wrong(tls: ir.GatewayTls, shown: ClientCertificate, certified: Certified | None) -> str:
        in_mesh = tls.mode is ir.ServerTlsMode.ISTIO_MUTUAL and shown is ClientCertificate.TRUSTED
        return "as if it were another's" if in_mesh else right(tls, shown, certified)

    patch.setattr(clients, "shut_out", wrong)


def _authority_for_the_name_in_the_hello(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Request, "hello", property(lambda self: self.host))


def _no_server_name_with_a_wildcard(patch: pytest.MonkeyPatch) -> None:
    right = Edge.chains
    patch.setattr(Edge, "chains", lambda *args: [one for one in right(*args) if not one[0].startswith("*.")])


def _answers_as_they_come(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rewriting, "answered", lambda *parts: ())


def _everything_sent_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(arrival, "_hop_by_hop", lambda headers: frozenset())


def _only_what_a_client_has_written(patch: pytest.MonkeyPatch) -> None:
    for module in (edge, outbound):
        right = module.seen

        def wrong(request: Request, trust: Trust, right: Callable[[Request, Trust], Seen] = right) -> Seen:
            found = right(request, trust)
            written = by_name(request.headers)
            return replace(found, headers={k: v for k, v in found.headers.items() if k in written})

        patch.setattr(module, "seen", wrong)


def _grpc_as_all_else(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replies, "speaks_grpc", lambda headers: False)


def _browsers_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replies, "for_browsers", lambda cors, seen: ())


def _questions_of_browsers_answered_shortly(patch: pytest.MonkeyPatch) -> None:
    right = replies.preflight

    def wrong(cors: ir.Cors | None, seen: Seen) -> Answered | None:
        return None if right(cors, seen) is None else Answered(200)

    patch.setattr(replies, "preflight", wrong)


def _no_location_of_an_answer(patch: pytest.MonkeyPatch) -> None:
    right = http.route

    def wrong(view: View, request: Request, seen: Seen, of: http.RoutesOf) -> http.Routed:
        found = right(view, request, seen, of)
        if isinstance(found.verdict, Answered):
            return replace(found, verdict=replace(found.verdict, location=""))
        return found

    patch.setattr(http, "route", wrong)


def _local_address_sent_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Upstream, "authority", property(lambda self: ""))


EVALUATOR = (
    _everything_sent_on,
    _only_what_a_client_has_written,
    _grpc_as_all_else,
    _browsers_forgotten,
    _questions_of_browsers_answered_shortly,
    _no_location_of_an_answer,
    _local_address_sent_on,
    _answers_as_they_come,
    _every_client_let_in,
    _every_name_and_key_of_a_client_taken,
    _every_key_of_a_client_taken,
    _mesh_clients_shut_out,
    _authority_for_the_name_in_the_hello,
    _no_server_name_with_a_wildcard,
    _every_host_at_a_bound_listener,
    _no_gateways_of_networks,
    _copies_of_what_is_looked_up,
    _everybody_takes_mesh_tls,
    _prefix_in_any_case,
    _copies_forgotten,
    _one_try_more,
    _a_reset_is_final,
    _time_of_one_try_forgotten,
    _everything_in_plaintext,
)


@pytest.mark.parametrize("bug", EVALUATOR, ids=lambda bug: bug.__name__)
async def test_a_bug_in_the_evaluator_is_found(
    envoy: Lab, monkeypatch: pytest.MonkeyPatch, bug: Callable[[pytest.MonkeyPatch], None]
) -> None:
    bug(monkeypatch)
    assert await first_difference(envoy), "the wrong evaluator agrees with Envoy"


# --- a bug in the translation ---------------------------------------------------------------------------------------


def _swapped(message: route_pb2.RouteConfiguration) -> None:
    """Two routes in the wrong order."""
    for host in message.virtual_hosts:
        plain = [at for at, route in enumerate(host.routes) if not route.match.HasField("connect_matcher")]
        if len(plain) > 1:
            first, second = plain[:2]
            kept = route_pb2.RouteConfiguration()
            held = kept.virtual_hosts.add().routes.add()
            held.CopyFrom(host.routes[first])
            host.routes[first].CopyFrom(host.routes[second])
            host.routes[second].CopyFrom(held)


def _forwarding(message: route_pb2.RouteConfiguration) -> Iterator[RouteAction]:
    for host in message.virtual_hosts:
        yield from (one.route for one in host.routes if one.HasField("route"))


def _copied_twice(message: route_pb2.RouteConfiguration) -> None:
    for action in _forwarding(message):
        for policy in list(action.request_mirror_policies):
            action.request_mirror_policies.add().CopyFrom(policy)


def _tried_less(message: route_pb2.RouteConfiguration) -> None:
    for action in _forwarding(message):
        if action.retry_policy.num_retries.value:
            action.retry_policy.num_retries.value -= 1


def _in_less_time(message: route_pb2.RouteConfiguration) -> None:
    for action in _forwarding(message):
        if action.timeout.seconds:
            action.timeout.seconds -= 1


def _added_before_it_is_removed(message: route_pb2.RouteConfiguration) -> None:
    """Where a header of the answer is both, it is gone."""
    for host in message.virtual_hosts:
        for route in host.routes:
            gone = set(route.response_headers_to_remove)
            kept = [one for one in route.response_headers_to_add if one.header.key not in gone]
            del route.response_headers_to_add[:]
            route.response_headers_to_add.extend(kept)


def _authority_of_no_upstream(message: route_pb2.RouteConfiguration) -> None:
    if message.name.startswith("upstream|"):
        for action in _forwarding(message):
            action.ClearField("host_rewrite_literal")


def _configured(message: route_pb2.RouteConfiguration, name: str) -> Iterator[any_pb2.Any]:
    for host in message.virtual_hosts:
        yield from (
            one.typed_per_filter_config[name] for one in host.routes if name in one.typed_per_filter_config
        )


def _another_grpc_status(message: route_pb2.RouteConfiguration) -> None:
    for config in _configured(message, "envoy.filters.http.fault"):
        fault = fault_pb2.HTTPFault.FromString(config.value)
        if fault.abort.grpc_status:
            fault.abort.grpc_status += 1
            config.value = fault.SerializeToString()


def _browsers_remember_longer(message: route_pb2.RouteConfiguration) -> None:
    for config in _configured(message, "envoy.filters.http.cors"):
        policy = cors_pb2.CorsPolicy.FromString(config.value)
        if policy.max_age:
            policy.max_age += "0"
            config.value = policy.SerializeToString()


def _without_credentials(message: route_pb2.RouteConfiguration) -> None:
    for config in _configured(message, "envoy.filters.http.cors"):
        policy = cors_pb2.CorsPolicy.FromString(config.value)
        policy.ClearField("allow_credentials")
        config.value = policy.SerializeToString()


@pytest.mark.parametrize(
    "bug",
    [
        _another_grpc_status,
        _browsers_remember_longer,
        _without_credentials,
        _authority_of_no_upstream,
        _added_before_it_is_removed,
        _swapped,
        _copied_twice,
        _tried_less,
        _in_less_time,
    ],
    ids=lambda bug: bug.__name__,
)
async def test_a_bug_in_the_translation_is_found(envoy: Lab, bug: Mutation) -> None:
    envoy.mutate = bug
    assert await first_difference(envoy), "Envoy with the wrong routes agrees with the evaluator"


def _contexts(message: listener_pb2.Listener, change: Callable[[tls_pb2.DownstreamTlsContext], None]) -> None:
    for chain in message.filter_chains:
        if chain.HasField("transport_socket"):
            config = chain.transport_socket.typed_config
            context = tls_pb2.DownstreamTlsContext.FromString(config.value)
            change(context)
            config.value = context.SerializeToString()


async def test_endpoints_of_other_networks_that_are_reached_directly_are_found(
    envoy: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localities, "across", lambda reader, scope, endpoints, mutual: None)
    assert await first_difference(envoy), "Envoy that knows nothing of networks agrees with the evaluator"


def _no_certificate_demanded(message: listener_pb2.Listener) -> None:
    def change(context: tls_pb2.DownstreamTlsContext) -> None:
        context.require_client_certificate.value = False

    _contexts(message, change)


def _without(field: str, message: listener_pb2.Listener) -> None:
    def change(context: tls_pb2.DownstreamTlsContext) -> None:
        if context.common_tls_context.HasField("combined_validation_context"):
            combined = context.common_tls_context.combined_validation_context
            combined.default_validation_context.ClearField(field)

    _contexts(message, change)


def _any_name_in_a_certificate(message: listener_pb2.Listener) -> None:
    _without("match_typed_subject_alt_names", message)


def _any_key_in_a_certificate(message: listener_pb2.Listener) -> None:
    _without("verify_certificate_spki", message)


def _mesh_clients_by_nobody(message: listener_pb2.Listener) -> None:
    """What leads to the cluster that a server name is the name of."""
    for chain in message.filter_chains:
        kept = [one for one in chain.filters if one.name != "envoy.filters.network.sni_cluster"]
        if len(kept) < len(chain.filters):
            del chain.filters[:]
            chain.filters.extend(kept)


def _names_without_a_wildcard(message: listener_pb2.Listener) -> None:
    for chain in message.filter_chains:
        names = [name.removeprefix("*.") for name in chain.filter_chain_match.server_names]
        chain.filter_chain_match.server_names[:] = names


def _sent_nowhere(message: listener_pb2.Listener) -> None:
    for chain in message.filter_chains:
        config = chain.filters[-1].typed_config
        if chain.filters[-1].name == "envoy.filters.network.tcp_proxy":
            proxy = tcp_proxy_pb2.TcpProxy.FromString(config.value)
            proxy.cluster = "BlackHoleCluster"
            config.value = proxy.SerializeToString()


@pytest.mark.parametrize(
    "bug",
    [
        _any_name_in_a_certificate,
        _any_key_in_a_certificate,
        _mesh_clients_by_nobody,
        _no_certificate_demanded,
        _names_without_a_wildcard,
        _sent_nowhere,
    ],
    ids=lambda bug: bug.__name__,
)
async def test_a_bug_in_the_translation_of_a_gateways_connections_is_found(
    envoy: Lab, bug: Callable[[listener_pb2.Listener], None]
) -> None:
    envoy.mutate_listener = bug
    assert await first_difference(envoy), "Envoy with the wrong listeners agrees with the evaluator"


async def first_difference(envoy: Lab) -> bool:
    for seed in range(SEED, SEED + 150):
        if await compared(envoy, seed, REQUESTS):
            return True
    return False
