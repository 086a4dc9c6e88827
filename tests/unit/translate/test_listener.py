"""Listeners on the wire: chains by mTLS mode, what stands in them, and the dump."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.ir import MtlsMode, Protocol, ServerTlsMode
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.translate import names
from argosy.translate.connection_manager import ConnectionManager, Place
from argosy.translate.dump import dump
from argosy.translate.filters import order
from argosy.translate.http_or_tcp import Handling
from argosy.translate.listener_inbound import (
    InboundListenerKey,
    InboundPort,
    VirtualInboundKey,
    inbound_listener,
    virtual_inbound,
)
from argosy.translate.listener_outbound import (
    CapturedListenerKey,
    Chain,
    ConnectHttpKey,
    OutboundProxyKey,
    UpstreamListenerKey,
    captured_listener,
    connect_http,
    outbound_proxy,
    upstream_listener,
)
from argosy.translate.proxy import Proxy
from argosy.translate.tls import ServerTls
from tests.unit.translate.mesh import decoded, populate, put

MESH = {"transport_protocol": "tls"}


def inbound(mode: MtlsMode, handling: Handling = Handling.HTTP) -> dict[str, Any]:
    port = InboundPort(port=9080, handling=handling, mode=mode, service="reviews.default.svc.cluster.local")
    return decoded(inbound_listener(InboundListenerKey(address="127.0.0.1", bind=20001, inbound=port)))


@pytest.mark.parametrize(
    ("mode", "chains"),
    [
        (MtlsMode.STRICT, {"mtls": {"transport_protocol": "tls"}}),
        (
            MtlsMode.PERMISSIVE,
            {
                "mtls": {"transport_protocol": "tls", "application_protocols": list(names.ISTIO_ALPN)},
                "plaintext": {"transport_protocol": "raw_buffer"},
                "tls": {"transport_protocol": "tls"},
            },
        ),
        (MtlsMode.DISABLE, {"plaintext": None}),
    ],
)
@pytest.mark.parametrize("handling", [Handling.HTTP, Handling.TCP])
def test_chains_by_mode(mode: MtlsMode, chains: dict[str, Any], handling: Handling) -> None:
    """TLS of the application's own is not for a port that is declared to be HTTP."""
    found = inbound(mode, handling)
    wanted = {name: match for name, match in chains.items() if name != "tls" or handling is Handling.TCP}
    assert {one["name"]: one.get("filter_chain_match") for one in found["filter_chains"]} == wanted
    assert found["enable_reuse_port"] is False
    assert found["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 20001}
    for chain in found["filter_chains"]:
        assert ("transport_socket" in chain) == (chain["name"] == "mtls")
        http = handling is Handling.HTTP and chain["name"] != "tls"
        kind = "http_connection_manager" if http else "tcp_proxy"
        assert chain["filters"][-1]["name"] == f"envoy.filters.network.{kind}"
        asked = [one["name"] for one in chain["filters"][:-1]]
        assert asked == ([] if http else [f"authorization/tcp/{slot}" for slot in SLOTS])


SLOTS = ("custom", "ext-authz", "audit", "deny", "allow")
OWN_TLS = ServerTls(mode=ServerTlsMode.SIMPLE, certificates=("file-cert:/cert~/key",))


@pytest.mark.parametrize(
    ("mode", "chains"),
    [(MtlsMode.DISABLE, ["tls"]), (MtlsMode.STRICT, ["mtls"]), (MtlsMode.PERMISSIVE, ["mtls", "plaintext"])],
)
def test_a_sidecar_ends_the_applications_tls_where_the_mesh_has_none(
    mode: MtlsMode, chains: list[str]
) -> None:
    port = InboundPort(port=9080, handling=Handling.HTTP, mode=mode, ends=OWN_TLS)
    made = inbound_listener(InboundListenerKey(address="127.0.0.1", bind=20001, inbound=port))
    found = decoded(made)
    assert [one["name"] for one in found["filter_chains"]] == chains
    assert found["listener_filters"][0]["name"] == "envoy.filters.listener.tls_inspector"
    if mode is MtlsMode.DISABLE:
        assert found["filter_chains"][0]["filter_chain_match"] == MESH
        context = found["filter_chains"][0]["transport_socket"]["typed_config"]
        assert not context.get("require_client_certificate")


def test_undeclared_ports_are_held_to_the_same_modes_and_nothing_takes_what_they_refuse() -> None:
    """A default chain would take plaintext that the chains of a STRICT port do not."""
    ports = (
        InboundPort(port=9080, handling=Handling.HTTP, mode=MtlsMode.STRICT),
        InboundPort(port=9000, handling=Handling.TCP, mode=MtlsMode.DISABLE, passes=True),
        InboundPort(port=0, handling=Handling.TCP, mode=MtlsMode.STRICT, passes=True),
    )
    found = decoded(virtual_inbound(VirtualInboundKey(ports=ports)))
    assert "default_filter_chain" not in found
    chains = [
        (one.get("filter_chain_match", {}).get("destination_port"), one["filters"][-1]["typed_config"])
        for one in found["filter_chains"]
    ]
    assert [port for port, _ in chains] == [9080, 9000, None]
    assert {config["cluster"] for _, config in chains[1:]} == {"InboundPassthroughCluster"}


def test_the_mesh_chain_demands_a_certificate_and_tls_1_3() -> None:
    (chain,) = inbound(MtlsMode.STRICT)["filter_chains"]
    context = chain["transport_socket"]["typed_config"]
    assert context["require_client_certificate"] is True
    assert context["common_tls_context"]["alpn_protocols"] == ["h2", "http/1.1"]
    assert context["common_tls_context"]["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_3"


def test_an_inbound_connection_manager() -> None:
    (chain,) = inbound(MtlsMode.STRICT)["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    assert manager["rds"]["route_config_name"] == "inbound|9080||"
    assert manager["forward_client_cert_details"] == "SANITIZE_SET"
    assert manager["set_current_client_cert_details"] == {"uri": True}
    assert manager["upgrade_configs"] == [{"upgrade_type": "websocket"}]
    assert manager["normalize_path"] is True
    *policies, router = manager["http_filters"]
    assert policies[0]["name"] == "peer-authentication/9080"
    for policy in policies:
        assert "ads" in policy["config_discovery"]["config_source"]
        assert "default_config" not in policy["config_discovery"], "a missing policy denies"
    assert router["name"] == "envoy.filters.http.router"


def test_the_order_of_filters() -> None:
    def names(filters: order.HttpFilters) -> list[str]:
        return [one.name.removeprefix("envoy.filters.http.") for one in filters]

    custom, asks, *behind = (f"authorization/http/{slot}" for slot in SLOTS)
    tokens = ["claim-headers", custom, asks, "jwt_authn"]
    assert names(order.inbound(1)) == ["peer-authentication/1", *tokens, *behind, "router"]
    assert names(order.inbound(1, told_apart=2))[2] == "authorization/http/custom/2"
    assert names(order.outbound()) == ["cors", "fault", "router"]
    assert names(order.gateway()) == [*tokens, "cors", *behind, "fault", "router"]
    assert names(order.outbound_proxy(())) == [
        "cors",
        "fault",
        "argosy.asked_host",
        "argosy.destination",
        "dynamic_forward_proxy",
        "argosy.loopback_guard",
        "router",
    ]


def test_the_guard_knows_the_loopback_and_own_addresses() -> None:
    guard = next(one for one in order.outbound_proxy(("10.1.2.3", "0.0.0.0")) if "guard" in one.name)
    text = guard.typed_config.value
    for address in (b"127.0.0.0", b"0.0.0.0", b"::1", b"10.1.2.3"):
        assert address in text


def test_explicit_listeners() -> None:
    proxy = decoded(outbound_proxy(OutboundProxyKey(port=15080)))
    assert proxy["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 15080}
    manager = proxy["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["rds"]["route_config_name"] == "http_proxy"
    assert [one["upgrade_type"] for one in manager["upgrade_configs"]] == ["websocket", "CONNECT"]
    internal = decoded(connect_http(ConnectHttpKey()))
    assert internal["internal_listener"] == {}
    manager = internal["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["rds"]["route_config_name"] == "http_proxy"
    assert [one["upgrade_type"] for one in manager["upgrade_configs"]] == ["websocket"]


def test_a_connection_manager_key_holds_its_place() -> None:
    one = ConnectionManager(place=Place.INBOUND, route="r", stat_prefix="s", port=1)
    assert one == ConnectionManager(place=Place.INBOUND, route="r", stat_prefix="s", port=1)
    assert one != ConnectionManager(place=Place.GATEWAY, route="r", stat_prefix="s", port=1)


# --- redirect, dumped -----------------------------------------------------------------------------------------------


@pytest.fixture
def dumped() -> dict[str, list[dict[str, Any]]]:
    snapshot = Snapshot(ir.Mesh())
    populate(snapshot)
    scope = Scope(type=ProxyType.SIDECAR, interception=Interception.REDIRECT, namespace="default")
    return dump(snapshot, Proxy(namespace="default", name="reviews-v1", scope=scope))


def test_a_dump_shows_policies_inline_and_leaves_out_what_does_nothing() -> None:
    def filters(*objects: str) -> list[dict[str, Any]]:
        snapshot = Snapshot(ir.Mesh())
        populate(snapshot)
        for text in objects:
            put(snapshot, text)
        scope = Scope(interception=Interception.REDIRECT, namespace="default")
        found = dump(snapshot, Proxy(namespace="default", name="reviews-v1", scope=scope))
        (listener,) = (one for one in found["listeners"] if one["name"] == "virtualInbound")
        made: list[dict[str, Any]] = listener["filter_chains"][0]["filters"][0]["typed_config"][
            "http_filters"
        ]
        return made

    assert [one["name"] for one in filters()] == ["envoy.filters.http.router"]
    policy = """{apiVersion: security.istio.io/v1, kind: KIND, metadata: {name: a, namespace: default}, spec: SPEC}"""
    strict = policy.replace("KIND", "PeerAuthentication").replace("SPEC", "{mtls: {mode: STRICT}}")
    deny = policy.replace("KIND", "AuthorizationPolicy").replace("SPEC", "{action: DENY, rules: [{}]}")
    mode, decides, _ = filters(strict, deny)
    assert (mode["name"], decides["name"]) == ("peer-authentication/9080", "authorization/http/deny")
    assert mode["typed_config"]["@type"].endswith("filters.http.rbac.v3.RBAC")
    assert list(decides["typed_config"]["rules"]["policies"]) == ["ns[default]-policy[a]-rule[0]"]


def test_redirect_has_istios_listeners_and_routes(dumped: dict[str, list[dict[str, Any]]]) -> None:
    listeners = {one["name"]: one for one in dumped["listeners"]}
    assert {"virtualInbound", "virtualOutbound", "0.0.0.0_9080", "0.0.0.0_9090", "10.0.0.3_6379"} <= set(
        listeners
    )
    assert listeners["virtualOutbound"]["use_original_dst"] is True
    assert listeners["0.0.0.0_9080"]["bind_to_port"] is False
    ports = {
        one.get("filter_chain_match", {}).get("destination_port", 0)
        for one in listeners["virtualInbound"]["filter_chains"]
    }
    assert ports == {0, 9080}  # 0: what passes through
    routes = {one["name"]: one for one in dumped["routes"]}
    assert {"80", "9080", "9090", "inbound|9080||"} == set(routes)
    hosts = {one["name"]: one["domains"] for one in routes["9080"]["virtual_hosts"]}
    assert hosts == {
        "reviews.default.svc.cluster.local:9080": [
            "reviews.default.svc.cluster.local",
            "reviews.default.svc",
            "reviews.default",
            "reviews",
            "10.0.0.1",
            "reviews.default.svc.cluster.local:9080",
            "reviews.default.svc:9080",
            "reviews.default:9080",
            "reviews:9080",
            "10.0.0.1:9080",
        ],
        "allow_any": ["*"],
    }
    names = {one["name"] for one in dumped["clusters"]}
    assert {"PassthroughCluster", "BlackHoleCluster", "InboundPassthroughCluster", "inbound|9080||"} <= names
    assert {one["cluster_name"] for one in dumped["endpoints"]} <= names


def test_tls_on_a_shared_port_is_told_apart_by_name(dumped: dict[str, list[dict[str, Any]]]) -> None:
    listener = next(one for one in dumped["listeners"] if one["name"] == "0.0.0.0_443")
    assert [one["name"] for one in listener["listener_filters"]] == ["envoy.filters.listener.tls_inspector"]
    chains = {
        tuple(one["filter_chain_match"]["server_names"]): one["filters"][0]["typed_config"]["cluster"]
        for one in listener["filter_chains"]
    }
    assert chains == {
        ("httpbin.org",): "outbound|443||httpbin.org",
        ("*.example.com",): "outbound|443||*.example.com",
    }
    rest = listener["default_filter_chain"]["filters"][0]["typed_config"]
    assert rest["cluster"] == "PassthroughCluster"


@pytest.mark.parametrize("protocol", [Protocol.MONGO, Protocol.REDIS, Protocol.MYSQL, Protocol.TCP])
def test_a_port_of_mongo_has_its_filter_wherever_it_is_proxied(protocol: Protocol) -> None:
    """Redis and MySQL are bytes, as in Istio."""
    own = [f"authorization/tcp/{slot}" for slot in SLOTS]
    filters = ["mongo_proxy"] * (protocol is Protocol.MONGO) + ["tcp_proxy"]
    to = (("outbound|1||a", 1),)
    chain = Chain(blocks=("10.0.0.0/8",), clusters=to, protocol=protocol)
    port = InboundPort(port=1, handling=Handling.TCP, mode=MtlsMode.PERMISSIVE, protocol=protocol)
    for made in (
        captured_listener(
            CapturedListenerKey(
                address="0.0.0.0",
                port=1,
                handling=Handling.TCP,
                protocol=protocol,
                chains=(chain,),
                clusters=to,
            )
        ),
        upstream_listener(
            UpstreamListenerKey(
                host="a", port=1, bind=2, handling=Handling.TCP, protocol=protocol, clusters=to
            )
        ),
        inbound_listener(InboundListenerKey(address="127.0.0.1", bind=20001, inbound=port)),
    ):
        found = decoded(made)
        default = [found["default_filter_chain"]] if "default_filter_chain" in found else []
        for one in (*found["filter_chains"], *default):
            before = own if found["name"] == "inbound_1" else []
            assert [each["name"].rpartition(".")[2] for each in one["filters"]] == [*before, *filters]
