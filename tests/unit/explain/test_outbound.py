"""Where a sidecar's requests go, and why not elsewhere."""

from __future__ import annotations

import pytest

from argosy.explain import render
from argosy.explain.outcome import Answered, Forwarded, Redirected, Undecided, Unrouted
from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.scope import Interception
from tests.unit.explain.asked import SHOP, asked, clusters, endpoint, reasons, service, shop, virtual_service

ITSELF = f"outbound|9080||reviews.{SHOP}"
REVIEWS = "http://reviews:9080/"
REDIRECT = Interception.REDIRECT
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: dr}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
"""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: %s}}
"""


# --- virtual hosts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authority", ["reviews:9080", "REVIEWS.shop:9080", f"reviews.{SHOP}:9080"])
def test_without_a_virtual_service_a_host_is_its_service(authority: str) -> None:
    found = asked(shop(), f"http://{authority}/")
    assert clusters(found) == [ITSELF]
    assert found.steps[-1].because == "no VirtualService says otherwise"
    assert found.arrives


def test_explicit_a_port_must_be_named_but_for_80() -> None:
    assert clusters(asked(shop(), "http://reviews/")) == ["PassthroughCluster"]
    assert clusters(asked(shop(), "http://reviews/", interception=REDIRECT)) == ["PassthroughCluster"], (
        "port 80"
    )
    assert clusters(asked(shop(), REVIEWS, interception=REDIRECT)) == [ITSELF]


def test_an_unknown_host_leaves_the_mesh_or_goes_nowhere() -> None:
    assert clusters(asked(shop(), "http://else.org/")) == ["PassthroughCluster"]
    refused = asked(shop(allow_any=False), "http://reviews.other:9080/")
    assert isinstance(refused.verdict, Unrouted)
    assert (refused.verdict.status, refused.arrives) == (502, False)
    assert refused.misses[0].name == f"reviews.{SHOP}:9080", "almost the same name"


def test_who_is_not_seen_is_told() -> None:
    made = shop(allow_any=False)
    from msgspec.structs import replace

    made.put_service(replace(made.services[f"reviews.{SHOP}"], export_to=("other",)))
    assert "it is exported to other, not to shop" in reasons(asked(made, REVIEWS))


def test_a_host_that_only_a_virtual_service_names_is_served_on_port_80() -> None:
    made = shop(virtual_service("[{route: [{destination: {host: reviews}}]}]", hosts="['*.virtual.test']"))
    assert clusters(asked(made, "http://a.virtual.test/")) == [ITSELF]
    assert clusters(asked(made, "http://virtual.test/")) == ["PassthroughCluster"]


# --- routes ---------------------------------------------------------------------------------------------------------


def test_the_first_route_that_matches_decides_and_the_others_say_why_not() -> None:
    made = shop(
        SUBSETS,
        virtual_service("""
  - {name: jason, match: [{headers: {end-user: {exact: jason}}}], route: [{destination: {host: reviews, subset: v2}}]}
  - {name: port, match: [{port: 80}], route: [{destination: {host: reviews}}]}
  - {name: rest, route: [{destination: {host: reviews, subset: v1}}]}
"""),
    )
    found = asked(made, REVIEWS)
    assert clusters(found) == [f"outbound|9080|v1|reviews.{SHOP}"]
    assert [(one.name, one.because) for one in found.misses] == [
        ("jason", "header end-user is not there"),
        ("shop/vs", "it is for port 80, not 9080"),
    ]
    assert [(one.name, one.field) for one in found.misses[0].origins] == [("vs", "spec.http[0].match[0]")]
    assert found.steps[-1].origins[0].field == "spec.http[2]"
    other = asked(made, REVIEWS, ("end-user", "jason"))
    assert clusters(other) == [f"outbound|9080|v2|reviews.{SHOP}"]
    assert not other.arrives, "its one endpoint is not healthy"


def test_a_virtual_service_that_has_no_say_is_told() -> None:
    all_hosts = virtual_service(
        "[{directResponse: {status: 404}}]", hosts="['*.svc.cluster.local']", name="all"
    )
    made = shop(all_hosts, virtual_service("[{directResponse: {status: 200, body: {string: hello}}}]"))
    found = asked(made, REVIEWS)
    assert found.verdict == Answered(200, "hello")
    assert reasons(found) == ["VirtualService shop/vs names the host more exactly"]


def test_of_a_delegate_both_places_are_named() -> None:
    root = virtual_service("[{name: a, match: [{uri: {prefix: /a}}], delegate: {name: part}}]")
    part = root.replace("name: vs", "name: part").replace("hosts: [reviews]", "hosts: []")
    part = part.replace("delegate: {name: part}", "route: [{destination: {host: reviews}}]")
    (origin, from_) = asked(shop(root, part), f"{REVIEWS}a").steps[-1].origins
    assert (origin.name, origin.field, from_.name, from_.field) == (
        "part",
        "spec.http[0]",
        "vs",
        "spec.http[0]",
    )


def test_no_route_is_404() -> None:
    found = asked(shop(virtual_service("[{match: [{uri: {exact: /a}}], redirect: {uri: /b}}]")), REVIEWS)
    assert found.verdict == Unrouted(404, "none of the routes is for this request")
    assert reasons(found) == ["path / is not /a"]


def test_what_cannot_be_evaluated_is_told_and_not_guessed() -> None:
    found = asked(shop(virtual_service(r"[{match: [{uri: {regex: '/\pL'}}], redirect: {uri: /b}}]")), REVIEWS)
    assert isinstance(found.verdict, Undecided)
    assert "Unicode" in found.verdict.because


# --- destinations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("destination", "missing"),
    [
        ("{host: nobody}", f"no service has the host nobody.{SHOP}"),
        ("{host: reviews, port: {number: 7}}", f"7 is not a port of reviews.{SHOP}; its ports are: 9080"),
        (
            "{host: reviews, subset: v9}",
            f"no DestinationRule gives reviews.{SHOP} a subset v9; there are: v1, v2",
        ),
    ],
)
def test_why_there_is_no_such_cluster(destination: str, missing: str) -> None:
    found = asked(shop(SUBSETS, virtual_service(f"[{{route: [{{destination: {destination}}}]}}]")), REVIEWS)
    assert isinstance(found.verdict, Forwarded)
    assert (found.verdict.targets[0].cluster.missing, found.arrives) == (missing, False)


@pytest.mark.parametrize(
    ("mode", "tls", "refused"),
    [
        ("STRICT", "", ("mutual", "")),
        ("PERMISSIVE", "", ("mutual", "")),
        ("DISABLE", "", ("plaintext", "")),
        ("STRICT", "DISABLE", ("plaintext", "PeerAuthentication is STRICT and the connection is plaintext")),
        ("PERMISSIVE", "DISABLE", ("plaintext", "")),
        (
            "DISABLE",
            "ISTIO_MUTUAL",
            ("mutual", "PeerAuthentication is DISABLE and the connection is mesh mutual TLS"),
        ),
    ],
)
def test_who_takes_a_connection(mode: str, tls: str, refused: tuple[str, str]) -> None:
    rule = SUBSETS.replace("host: reviews,", f"host: reviews, trafficPolicy: {{tls: {{mode: {tls}}}}},")
    found = asked(shop(STRICT % mode, rule if tls else SUBSETS), REVIEWS)
    assert isinstance(found.verdict, Forwarded)
    first = found.verdict.targets[0].cluster.endpoints[0]
    assert (first.tls, first.refused) == refused
    assert (first.mode, first.policies[0].name) == (mode, "default")
    assert found.arrives is not bool(refused[1])


def test_an_endpoint_without_a_sidecar_gets_plaintext() -> None:
    made = shop()
    made.put_endpoints(f"reviews.{SHOP}", (endpoint("v1", mtls=False),))
    found = asked(made, REVIEWS)
    assert isinstance(found.verdict, Forwarded)
    (only,) = found.verdict.targets[0].cluster.endpoints
    assert (only.tls, only.mode, only.refused) == ("plaintext", "", "")


def test_policy_in_words() -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: dr}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {consistentHash: {httpHeaderName: x-user}}
    connectionPool: {tcp: {maxConnections: 3}}
    outlierDetection: {consecutive5xxErrors: 2}
"""
    found = asked(shop(rule), REVIEWS)
    assert isinstance(found.verdict, Forwarded)
    cluster = found.verdict.targets[0].cluster
    assert cluster.load_balancer == "RING_HASH on header x-user"
    assert cluster.limits == ("at most 3 connections",)
    assert cluster.outlier_detection == ("after 2 errors (5xx) in a row",)
    assert [one.kind for one in cluster.origins] == ["Service", "DestinationRule"]
    assert found.verdict.hash_on == ("header x-user",)


# --- connections ----------------------------------------------------------------------------------------------------

TCP = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: l4}
spec:
  hosts: [cache, secure]
  tcp: [{route: [{destination: {host: reviews}}]}]
  tls: [{match: [{sniHosts: [secure.test]}], route: [{destination: {host: cache, port: {number: 6379}}}]}]
"""


@pytest.mark.parametrize("interception", list(Interception))
def test_a_connection_goes_to_its_service_or_where_a_virtual_service_says(interception: Interception) -> None:
    itself = asked(shop(), "cache:6379", interception=interception)
    assert clusters(itself) == [f"outbound|6379||cache.{SHOP}"]
    elsewhere = asked(shop(TCP), "cache:6379", interception=interception)
    assert clusters(elsewhere) == [ITSELF]
    assert elsewhere.steps[-1].origins[0].field == "spec.tcp[0]"


def test_http_within_a_tunnel_to_http_only() -> None:
    assert asked(shop(), "https://reviews:9080/").verdict == Unrouted(
        0, "the port speaks HTTP: what is within the tunnel must be plain HTTP, and this is TLS"
    )
    assert isinstance(asked(shop(), "http://cache:6379/").verdict, Unrouted), "no HTTP routes to a TCP port"


def test_captured_tls_goes_by_the_name_in_its_hello() -> None:
    assert clusters(asked(shop(), "https://secure.shop.svc.cluster.local:8443/", interception=REDIRECT)) == [
        f"outbound|8443||secure.{SHOP}"
    ]
    found = asked(shop(TCP), "https://secure.test:8443/", interception=REDIRECT)
    assert clusters(found) == [f"outbound|6379||cache.{SHOP}"]
    assert found.steps[-1].origins[0].field == "spec.tls[0]"
    other = asked(shop(TCP), "https://other.test:8443/", interception=REDIRECT)
    assert clusters(other) == ["PassthroughCluster"]
    assert reasons(other) == ["the name in the TLS hello is other.test"]


# --- what a Sidecar lets its workloads see --------------------------------------------------------------------------

SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow}
spec:
  egress: [{hosts: [%s]}]
  %s
"""


def test_what_a_sidecar_does_not_import_is_not_there() -> None:
    found = asked(shop(SIDECAR % ("./cache.shop.svc.cluster.local", "")), REVIEWS)
    assert clusters(found) == ["PassthroughCluster"], "the mesh says ALLOW_ANY"
    assert "it is not imported by Sidecar shop/narrow" in reasons(found)
    policy = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"
    closed = asked(shop(SIDECAR % ("./cache.shop.svc.cluster.local", policy)), REVIEWS)
    assert isinstance(closed.verdict, Unrouted)
    assert "Sidecar shop/narrow says REGISTRY_ONLY" in closed.verdict.because


BOUND = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: own}
spec:
  egress:
  - {port: {number: 9999, protocol: %s, name: p}, bind: %s, captureMode: NONE, hosts: [./cache.shop.svc.cluster.local]}
  - {port: {number: 9080, protocol: HTTP, name: h}, bind: 127.0.0.2, hosts: [./reviews.shop.svc.cluster.local]}
  - {hosts: [./*]}
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
"""
HOST = ("host", f"reviews.{SHOP}:9080")


def test_a_listener_of_a_sidecar_has_the_hosts_that_it_imports() -> None:
    made = shop(BOUND % ("HTTP", "127.0.0.1"))
    found = asked(made, "http://127.0.0.2:9080/", HOST)
    assert clusters(found) == [ITSELF]
    assert [one.name for one in found.steps if one.stage == "listener"] == ["127.0.0.2_9080"]
    other = asked(made, "http://127.0.0.1:9999/", HOST).verdict
    assert isinstance(other, Unrouted)
    assert other.status == 502
    assert asked(made, "http://127.0.0.3:9080/", HOST).steps[0].name == "outbound_proxy"


def test_where_traffic_is_captured_a_bind_alone_binds_nothing() -> None:
    made = shop(BOUND % ("HTTP", "127.0.0.1"))
    request = "http://127.0.0.2:9080/"
    found = asked(made, request, HOST, interception=Interception.REDIRECT)
    assert found.steps[0].because.startswith("its port is"), "it is captured there"


def test_without_http_the_oldest_service_of_a_listener_has_its_connections() -> None:
    made = shop((BOUND % ("TCP", "127.0.0.1")).replace("9999", "6379"))
    found = asked(made, "tcp://127.0.0.1:6379", ("host", "anything.example"))
    assert clusters(found) == [f"outbound|6379||cache.{SHOP}"]


def test_a_virtual_service_that_is_not_imported_is_told() -> None:
    rule = virtual_service("[{directResponse: {status: 418}}]").replace(
        "name: vs", "name: vs, namespace: other"
    )
    rule = rule.replace("hosts: [reviews]", f"hosts: [reviews.{SHOP}]")
    found = asked(shop(SIDECAR % ("./*", ""), rule), REVIEWS)
    assert clusters(found) == [ITSELF]
    assert reasons(found) == ["Sidecar shop/narrow does not import it"]


def test_the_host_of_a_service_that_is_not_seen_is_that_of_its_virtual_service() -> None:
    """On port 80, whatever the ports of the service are."""
    rule = virtual_service("[{redirect: {authority: else.test}}]", hosts=f"[reviews.{SHOP}, only.test]")
    narrow = SIDECAR % ("./only.test", "")
    assert asked(shop(narrow, rule), f"http://reviews.{SHOP}/").verdict == Redirected(
        301, "http://else.test/"
    )


NETWORKS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  meshNetworks: "networks: {there: {gateways: [{address: 10.9.0.1, port: 15443}, {address: 10.9.0.2, port: 15443}]}}"
"""


def test_an_endpoint_of_another_network_is_behind_its_gateways() -> None:
    made = shop(NETWORKS)
    made.put_workload(ir.Workload(name="web-1", namespace="shop", network="here"))
    made.put_endpoints(
        f"reviews.{SHOP}",
        (
            endpoint("v1", network="there"),
            endpoint("v2", network="there", mtls=False),
            endpoint("v3", network="here"),
        ),
    )
    outcome = asked(made, "http://reviews:9080/")
    assert isinstance(outcome.verdict, Forwarded)
    behind, lost, near = outcome.verdict.targets[0].cluster.endpoints
    assert behind.through == lost.through == ("10.9.0.1:15443", "10.9.0.2:15443")
    assert (behind.refused, near.through, near.refused) == ("", (), "")
    assert "only mutual TLS" in lost.refused
    said = "\n".join(render.lines(outcome))
    assert "through 10.9.0.1:15443 or 10.9.0.2:15443, the gateway of its network" in said


def test_connections_go_by_the_address_that_they_are_for() -> None:
    """Of a tunnel the one that it names; of a name the first of its service."""
    routes = """tcp:
  - {match: [{destinationSubnets: [10.2.0.0/16]}], route: [{destination: {host: reviews, port: {number: 9080}}}]}"""
    made = shop(virtual_service("[]", hosts="[cache]", more=routes))
    made.put_service(service("cache", (6379, Protocol.TCP), addresses=("10.1.0.3", "10.2.0.3")))
    for host, to in (("cache", "cache"), ("10.1.0.3", "cache"), ("10.2.0.3", "reviews")):
        port = 6379 if to == "cache" else 9080
        for interception in Interception:
            found = asked(made, f"tcp://{host}:6379", interception=interception)
            assert clusters(found) == [f"outbound|{port}||{to}.{SHOP}"], (host, interception)


def test_a_connection_through_a_proxy_says_so() -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: t}
spec: {host: cache, trafficPolicy: {tunnel: {targetHost: a.example, targetPort: 443}}}
"""
    verdict = asked(shop(rule), "tcp://cache:6379").verdict
    assert isinstance(verdict, Forwarded)
    assert verdict.targets[0].notes == ("it is a proxy, and asked for a.example:443 by CONNECT",)


def test_endpoints_of_other_hosts_take_nothing_of_a_node_local_service() -> None:
    made = shop()
    made.put_service(service("reviews", (9080, Protocol.HTTP), node_local=True))
    made.put_workload(ir.Workload(name="web-1", namespace="shop", address="10.0.0.1"))
    verdict = asked(made, REVIEWS).verdict
    assert isinstance(verdict, Forwarded)
    near, far = verdict.targets[0].cluster.endpoints
    assert (near.refused, far.refused) == (
        "",
        "it is on another host, and the Service's internalTrafficPolicy is Local",
    )
