"""Keys of outbound clusters, endpoints and virtual hosts: Istio's rules, one by one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.ir import Protocol, Resolution
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.model.tables.mesh_settings import PLACE
from argosy.translate import outbound
from argosy.translate.cluster import Application, ClusterKey, Discovery, Encryption
from argosy.translate.route import Tunnel
from argosy.translate.tls import MeshTls
from tests.unit.translate.mesh import SUFFIX, endpoint, put, service

HOST = f"reviews.{SUFFIX}"
EXPLICIT = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")
REDIRECT = Scope(type=ProxyType.SIDECAR, interception=Interception.REDIRECT, namespace="default")
ROUTER = Scope(type=ProxyType.ROUTER, interception=Interception.EXPLICIT, namespace="default")


def mesh(protocol: Protocol = Protocol.HTTP, *, h2_upgrade: bool = True, **fields: Any) -> Snapshot:
    snapshot = Snapshot(ir.Mesh(h2_upgrade=h2_upgrade))
    snapshot.put_service(service("reviews", (9080, protocol), **fields))
    snapshot.put_endpoints(
        HOST,
        (
            endpoint("reviews", "v1", 9080, 1),
            endpoint("reviews", "v2", 9080, 2, service_account="other", healthy=False),
        ),
    )
    return snapshot


def rule(policy: str, subsets: str = "[]") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: r, namespace: default}}
spec: {{host: reviews, trafficPolicy: {policy}, subsets: {subsets}}}
"""


def key(snapshot: Snapshot, scope: Scope = EXPLICIT, subset: str = "", host: str = HOST) -> ClusterKey:
    found = outbound.cluster(Reader(snapshot), scope, host, 9080, subset)
    assert found is not None
    return found


# --- HTTP/2 between sidecars ----------------------------------------------------------------------------------------


def test_http_is_upgraded_between_sidecars() -> None:
    assert key(mesh()).application is Application.HTTP2
    assert key(mesh(h2_upgrade=False)).application is Application.HTTP1


@pytest.mark.parametrize(
    ("policy", "application"),
    [
        ("{connectionPool: {tcp: {maxConnections: 1}}}", Application.HTTP1),
        ("{connectionPool: {http: {http1MaxPendingRequests: 1}}}", Application.HTTP1),
        ("{connectionPool: {http: {http2MaxRequests: 1}}}", Application.HTTP2),
        ("{connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}}", Application.HTTP1),
        ("{connectionPool: {http: {useClientProtocol: true}}}", Application.DOWNSTREAM),
        ("{tls: {mode: DISABLE}}", Application.HTTP1),
        ("{tls: {mode: ISTIO_MUTUAL}}", Application.HTTP2),
        ("{tls: {mode: SIMPLE}}", Application.HTTP1),
    ],
)
def test_a_destination_rule_decides_whether_it_is(policy: str, application: Application) -> None:
    snapshot = mesh()
    put(snapshot, rule(policy))
    assert key(snapshot).application is application


def test_a_rule_upgrades_where_the_mesh_does_not() -> None:
    snapshot = mesh(h2_upgrade=False)
    put(snapshot, rule("{connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}"))
    assert key(snapshot).application is Application.HTTP2


def test_one_endpoint_without_a_sidecar_healthy_or_not_keeps_http1() -> None:
    snapshot = mesh()
    plain = endpoint("reviews", "v3", 9080, 3, mtls=False, healthy=False)
    snapshot.put_endpoints(HOST, (*snapshot.endpoints[HOST], plain))
    assert key(snapshot).application is Application.HTTP1


def test_peer_authentication_disable_keeps_http1_and_plaintext() -> None:
    snapshot = mesh()
    put(
        snapshot,
        """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: DISABLE}}
""",
    )
    assert key(snapshot).application is Application.HTTP1
    found = outbound.load_assignment(Reader(snapshot), EXPLICIT, HOST, 9080, "")
    assert found is not None
    assert [one.mtls for one in found.localities[0].endpoints] == [0]


@pytest.mark.parametrize(
    ("protocol", "application"),
    [
        (Protocol.HTTP2, Application.HTTP2),
        (Protocol.GRPC, Application.HTTP2),
        (Protocol.TCP, Application.TCP),
        (Protocol.TLS, Application.TCP),
        (Protocol.UNSUPPORTED, Application.DOWNSTREAM),
    ],
)
def test_other_protocols_speak_for_themselves(protocol: Protocol, application: Application) -> None:
    assert key(mesh(protocol, h2_upgrade=False)).application is application


# --- encryption -----------------------------------------------------------------------------------------------------


def test_automatic_mutual_tls_names_the_accounts_of_all_endpoints() -> None:
    found = key(mesh())
    assert found.encryption is Encryption.PER_ENDPOINT
    assert found.tls == MeshTls(
        sni=f"outbound_.9080_._.{HOST}",
        identities=(
            "spiffe://cluster.local/ns/default/sa/other",
            "spiffe://cluster.local/ns/default/sa/reviews",
        ),
        alpn=("istio", "h2"),
    )


def with_settings(**settings: Any) -> Snapshot:
    snapshot = mesh()
    snapshot.settings.set(PLACE, replace(snapshot.mesh, **settings))
    return snapshot


def test_identities_of_an_alias_of_the_trust_domain_are_the_meshs_own() -> None:
    found = key(with_settings(trust_domain_aliases=("old",)))
    assert isinstance(found.tls, MeshTls)
    assert found.tls.identities == (
        "spiffe://cluster.local/ns/default/sa/other",
        "spiffe://cluster.local/ns/default/sa/reviews",
        "spiffe://old/ns/default/sa/other",
        "spiffe://old/ns/default/sa/reviews",
    )


def test_what_a_service_says_that_it_may_run_as_is_known_under_every_alias_too() -> None:
    snapshot = with_settings(trust_domain_aliases=("old",))
    service = snapshot.services.get(HOST)
    assert service is not None
    names = ("spiffe://cluster.local/ns/default/sa/a", "spiffe://elsewhere/ns/default/sa/b")
    snapshot.services[HOST] = replace(service, subject_alt_names=names)
    found = key(snapshot)
    assert isinstance(found.tls, MeshTls)
    assert found.tls.identities == (*names, "spiffe://old/ns/default/sa/a")


def test_without_automatic_mutual_tls_only_a_rule_encrypts() -> None:
    snapshot = with_settings(auto_mtls=False)
    assert (key(snapshot).encryption, key(snapshot).application) == (Encryption.NEVER, Application.HTTP1)
    put(snapshot, rule("{tls: {mode: ISTIO_MUTUAL}}"))
    assert key(snapshot).encryption is Encryption.ALWAYS


def test_the_meshs_policy_is_for_who_has_none_of_his_own() -> None:
    pool, outlier = ir.ConnectionPool(max_connections=7), ir.OutlierDetection(consecutive_5xx=7)
    keepalive = ir.KeepAlive(probes=1, time=2000)
    snapshot = with_settings(connection_pool=pool, outlier=outlier, keepalive=keepalive)
    assert key(snapshot).policy.connection_pool == replace(pool, keepalive=keepalive)
    assert key(snapshot).policy.outlier == outlier
    put(
        snapshot,
        rule("{connectionPool: {tcp: {tcpKeepalive: {time: 5s}}}, outlierDetection: {interval: 1s}}"),
    )
    found = key(snapshot).policy
    assert found.connection_pool == ir.ConnectionPool(keepalive=ir.KeepAlive(probes=1, time=5000))
    assert found.outlier == ir.OutlierDetection(interval=1000)


def test_the_identities_of_the_service_win() -> None:
    found = key(mesh(subject_alt_names=("spiffe://x/ns/a/sa/b",)))
    assert isinstance(found.tls, MeshTls)
    assert found.tls.identities == ("spiffe://x/ns/a/sa/b",)


def test_an_external_service_is_not_encrypted_by_itself() -> None:
    assert key(mesh(external=True)).encryption is Encryption.NEVER


@pytest.mark.parametrize(
    ("tls", "encryption"),
    [
        ("{mode: DISABLE}", Encryption.NEVER),
        ("{mode: ISTIO_MUTUAL, sni: other, subjectAltNames: [spiffe://a]}", Encryption.ALWAYS),
        ("{mode: SIMPLE, sni: a.example}", Encryption.ALWAYS),
    ],
)
def test_a_rule_decides_on_tls(tls: str, encryption: Encryption) -> None:
    snapshot = mesh()
    put(snapshot, rule(f"{{tls: {tls}}}"))
    found = key(snapshot)
    assert found.encryption is encryption
    if "ISTIO_MUTUAL" in tls:
        assert found.tls == MeshTls("other", ("spiffe://a",), ("istio", "h2"))
    if "SIMPLE" in tls:
        assert isinstance(found.tls, ir.ClientTls)
        assert found.tls.sni == "a.example"


# --- discovery ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "hostname", "scope", "discovery"),
    [
        (Resolution.STATIC, "a.b", EXPLICIT, Discovery.EDS),
        (Resolution.DNS, "a.b", EXPLICIT, Discovery.STRICT_DNS),
        (Resolution.DNS_ROUND_ROBIN, "a.b", EXPLICIT, Discovery.LOGICAL_DNS),
        (Resolution.NONE, "a.b", REDIRECT, Discovery.ORIGINAL_DST),
        (Resolution.NONE, "a.b", EXPLICIT, Discovery.STRICT_DNS),
        (Resolution.NONE, "*.b", EXPLICIT, Discovery.FORWARD_PROXY),
        (Resolution.NONE, "a.b", ROUTER, Discovery.STRICT_DNS),
        (Resolution.NONE, "*.b", ROUTER, Discovery.STATIC),
    ],
)
def test_resolution(resolution: Resolution, hostname: str, scope: Scope, discovery: Discovery) -> None:
    snapshot = mesh(hostname=hostname, resolution=resolution, external=True, kubernetes=False)
    assert key(snapshot, scope, host=hostname).discovery is discovery


def test_a_host_that_resolves_itself_is_its_own_endpoint() -> None:
    snapshot = mesh(hostname="a.b", resolution=Resolution.NONE, external=True, kubernetes=False)
    (group,) = key(snapshot, host="a.b").load
    assert [(one.address, one.port) for one in group.endpoints] == [("a.b", 9080)]


def test_one_endpoint_travels_in_a_logical_dns_cluster() -> None:
    snapshot = mesh(hostname="a.b", resolution=Resolution.DNS_ROUND_ROBIN, external=True, kubernetes=False)
    names = ("one.example", "two.example")
    snapshot.put_endpoints("a.b", tuple(ir.Endpoint(address=n, port=80, port_name="p9080") for n in names))
    (group,) = key(snapshot, host="a.b").load
    assert len(group.endpoints) == 1


# --- endpoints ------------------------------------------------------------------------------------------------------


def test_only_healthy_endpoints_of_the_subset_are_listed_by_locality() -> None:
    snapshot = mesh()
    put(snapshot, rule("{}", "[{name: v1, labels: {version: v1}}, {name: none, labels: {version: x}}]"))
    near = endpoint("reviews", "v1", 9080, 5, locality="r/z/s", weight=3)
    name = endpoint("reviews", "v1", 9080, 6, address="a.name")
    snapshot.put_endpoints(HOST, (*snapshot.endpoints[HOST], near, name))

    def ports(subset: str) -> dict[str, list[int]]:
        found = outbound.load_assignment(Reader(snapshot), EXPLICIT, HOST, 9080, subset)
        assert found is not None
        return {one.locality: [e.port for e in one.endpoints] for one in found.localities}

    assert ports("") == {"": [1], "r/z/s": [5]}, (
        "an unhealthy one and a name that nobody resolves are not there"
    )
    assert ports("v1") == {"": [1], "r/z/s": [5]}
    assert ports("none") == {}


def test_all_unhealthy_is_an_empty_assignment() -> None:
    snapshot = mesh()
    snapshot.put_endpoints(HOST, (endpoint("reviews", "v1", 9080, 1, healthy=False),))
    found = outbound.load_assignment(Reader(snapshot), EXPLICIT, HOST, 9080, "")
    assert found is not None
    assert found.localities == ()


# --- virtual hosts --------------------------------------------------------------------------------------------------


def test_a_service_without_a_virtual_service_gets_the_mesh_retries() -> None:
    (route,) = outbound.routes(Reader(mesh()), EXPLICIT, HOST, 9080)
    assert isinstance(route.action, ir.Forward)
    assert route.action.retry == ir.Mesh().default_retry
    assert route.action.timeout is None


def test_the_tunnel_of_a_port_follows_its_protocol() -> None:
    for protocol, scope, tunnel in (
        (Protocol.HTTP, EXPLICIT, Tunnel.HTTP),
        (Protocol.TCP, EXPLICIT, Tunnel.TCP),
        (Protocol.UNSUPPORTED, EXPLICIT, Tunnel.TCP),
        (Protocol.HTTP, REDIRECT, Tunnel.NONE),
    ):
        found = outbound.virtual_host(Reader(mesh(protocol)), scope, HOST, 9080, ("a",))
        assert found is not None
        assert found.tunnel is tunnel


def test_only_what_may_reach_the_forward_proxy_is_guarded() -> None:
    snapshot = mesh()
    found = outbound.virtual_host(Reader(snapshot), EXPLICIT, HOST, 9080, ("a",))
    assert found is not None
    assert not found.guarded
    put(
        snapshot,
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r, namespace: default}
spec: {hosts: [reviews], http: [{route: [{destination: {host: "*.example.com", port: {number: 80}}}]}]}
""",
    )
    found = outbound.virtual_host(Reader(snapshot), EXPLICIT, HOST, 9080, ("a",))
    assert found is not None
    assert found.guarded


def test_tls_routes_lead_a_tunnel_by_the_name_in_the_hello() -> None:
    snapshot = mesh(Protocol.TLS)
    put(
        snapshot,
        f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: r, namespace: default}}
spec:
  hosts: [reviews]
  tls:
  - match: [{{sniHosts: [other.example]}}]
    route: [{{destination: {{host: a.example, port: {{number: 1}}}}}}]
  - match: [{{sniHosts: ["{HOST}"]}}]
    route: [{{destination: {{host: reviews, subset: v2}}}}]
""",
    )
    clusters = outbound.tcp_clusters(Reader(snapshot), EXPLICIT, HOST, 9080)
    assert [name for name, _ in clusters] == [f"outbound|9080|v2|{HOST}"]


def test_the_host_of_a_service_that_is_not_seen_is_that_of_its_virtual_service() -> None:
    """The evaluator, held against real Envoy, found it missing where the service has no port 80."""
    snapshot = mesh()
    put(
        snapshot,
        f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: narrow, namespace: default}}
spec: {{egress: [{{hosts: ["./only.test"]}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs, namespace: default}}
spec: {{hosts: [{HOST}, only.test], http: [{{directResponse: {{status: 418}}}}]}}
""",
    )
    reader = Reader(snapshot)
    found = outbound.virtual_host(reader, scope_of(reader, namespace="default"), HOST, 80, (HOST,))
    assert found is not None
    assert [type(one.action) for one in found.routes] == [ir.DirectResponse]
