"""Gateways: filter chains of their listeners, RouteConfigurations, and the secrets that go with them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2

from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.translate.compiler import Compiler
from argosy.translate.graph import ViewBuild
from argosy.translate.proxy import Proxy
from argosy.translate.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET
from tests.unit.pki import Authority, Pair, encoded
from tests.unit.translate.mesh import SUFFIX, decoded, put

ROOT = Authority()
ONE, OTHER = ROOT.issue("shop.example"), ROOT.issue("shop.example")
SPKI = "NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A="
HASH = "df6ff72fe9116521268f6f2dd4966f51df479883fe7037b39f75916ac3049d1a"
Json = dict[str, Any]


def gateway(servers: str, name: str = "edge") -> str:
    """`servers`: a list in YAML."""
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"servers": yaml.safe_load(servers)},
    }
    return yaml.safe_dump(body)


def bound(spec: str, name: str = "bound") -> str:
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"gateways": ["edge"], **yaml.safe_load(spec)},
    }
    return yaml.safe_dump(body)


def secret(name: str, namespace: str = "edge", **data: bytes) -> Any:
    metadata = {"name": name, "namespace": namespace}
    return decode({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded(**data)})


def pair(name: str, held: Pair, namespace: str = "edge") -> Any:
    return secret(name, namespace, tls_crt=held.certificate, tls_key=held.key)


class Edge:
    """A gateway proxy of the namespace `edge`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.compiler = Compiler(snapshot)
        scope = scope_of(Reader(snapshot), type=ProxyType.ROUTER, namespace="edge")
        self.shared: ViewBuild = self.compiler.shared(scope)
        self.own: ViewBuild = self.compiler.own(
            Proxy(namespace="edge", name="gw", scope=scope, port_map=((443, 8443),))
        )

    def put(self, *objects: Any) -> None:
        for one in objects:
            self.compiler.apply(self.snapshot.put_config(one))

    def apply(self, text: str) -> None:
        self.compiler.apply(put(self.snapshot, text))

    def listener(self, port: int = 443) -> Json:
        return decoded(self.own.resources[LISTENER][f"127.0.0.1_{port}"])

    def chains(self, port: int = 443) -> list[tuple[list[str], str]]:
        """Of each chain: its server names, and its route or cluster."""
        found = []
        for chain in self.listener(port)["filter_chains"]:
            config = chain["filters"][-1]["typed_config"]
            to = config["rds"]["route_config_name"] if "rds" in config else config.get("cluster", "weighted")
            found.append((chain.get("filter_chain_match", {}).get("server_names", []), to))
        return found

    def secrets(self) -> set[str]:
        return set(self.own.resources.get(SECRET, {}))

    def secret(self, name: str) -> secret_pb2.Secret:
        frame = self.own.resources[SECRET][name].frame
        return secret_pb2.Secret.FromString(discovery_pb2.Resource.FromString(frame).resource.value)


@pytest.fixture
def edge(snapshot: Snapshot) -> Edge:
    return Edge(snapshot)


HTTPS = gateway("""
- port: {number: 443, name: https, protocol: HTTPS}
  hosts: [shop.example, "default/*.shop.example"]
  tls: {mode: SIMPLE, credentialName: cert}
""")
SHOP = bound("{hosts: ['*'], http: [{route: [{destination: {host: reviews}}]}]}")


# --- HTTPS ----------------------------------------------------------------------------------------------------------


def test_an_https_server_has_a_chain_by_name_and_routes_of_its_own(edge: Edge) -> None:
    edge.apply(HTTPS)
    edge.apply(SHOP)
    found = edge.listener()
    assert found["address"]["socket_address"]["port_value"] == 8443
    assert [one["name"] for one in found["listener_filters"]] == ["envoy.filters.listener.tls_inspector"]
    route = "https.443.https.edge.default"
    assert edge.chains() == [(["shop.example", "*.shop.example"], route)]
    hosts = decoded(edge.shared.resources[ROUTE][route])["virtual_hosts"]
    assert [one["name"] for one in hosts] == ["*.shop.example:443", "shop.example:443"]
    assert hosts[0]["routes"][0]["route"]["cluster"] == f"outbound|9080||reviews.{SUFFIX}"


def test_a_host_of_no_virtual_service_is_a_black_hole(edge: Edge) -> None:
    edge.apply(HTTPS)
    (host,) = decoded(edge.shared.resources[ROUTE]["https.443.https.edge.default"])["virtual_hosts"]
    assert (host["name"], host["domains"], "routes" in host) == ("blackhole:443", ["*"], False)


@pytest.mark.parametrize(
    ("mode", "certificate", "authorities", "demanded"),
    [
        ("SIMPLE", "kubernetes://edge/cert", None, False),
        ("MUTUAL", "kubernetes://edge/cert", "kubernetes://edge/cert-cacert", True),
        ("OPTIONAL_MUTUAL", "kubernetes://edge/cert", "kubernetes://edge/cert-cacert", False),
        ("ISTIO_MUTUAL", "default", "ROOTCA", True),
    ],
)
def test_the_modes_of_tls_that_ends_here(
    edge: Edge, mode: str, certificate: str, authorities: str | None, demanded: bool
) -> None:
    credential = "" if mode == "ISTIO_MUTUAL" else ", credentialName: cert"
    edge.apply(
        gateway(f"""
- port: {{number: 443, name: https, protocol: HTTPS}}
  hosts: ["*"]
  tls: {{mode: {mode}{credential}}}
""")
    )
    context = edge.listener()["filter_chains"][0]["transport_socket"]["typed_config"]
    common = context["common_tls_context"]
    assert [one["name"] for one in common["tls_certificate_sds_secret_configs"]] == [certificate]
    validation = common.get("combined_validation_context", {})
    by = validation.get("validation_context_sds_secret_config", {}).get("name")
    assert (by, context.get("require_client_certificate", False)) == (authorities, demanded)
    assert common["alpn_protocols"] == ["h2", "http/1.1"]
    assert common["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_2"


def test_what_a_server_says_of_clients_versions_and_ciphers(edge: Edge) -> None:
    edge.apply(
        gateway(
            """
- port: {number: 443, name: tls, protocol: HTTPS}
  hosts: ["*"]
  tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca, caCrl: /crl, subjectAltNames:
    ["spiffe://a", a.example, 10.0.0.1, a@example.com], verifyCertificateSpki: [SPKI, s],
    verifyCertificateHash: [HASH, h], minProtocolVersion: TLSV1_3, cipherSuites: [AES128-SHA], insecureSkipVerify: true}
""".replace("SPKI", SPKI).replace("HASH", HASH)
        )
    )
    common = edge.listener()["filter_chains"][0]["transport_socket"]["typed_config"]["common_tls_context"]
    assert [one["name"] for one in common["tls_certificate_sds_secret_configs"]] == ["file-cert:/c~/k"]
    combined = common["combined_validation_context"]
    assert combined["validation_context_sds_secret_config"]["name"] == "file-root:/ca~/crl"
    validation = combined["default_validation_context"]
    kinds = [one["san_type"] for one in validation["match_typed_subject_alt_names"]]
    assert kinds == ["URI", "DNS", "IP_ADDRESS", "EMAIL"]
    assert validation["verify_certificate_spki"] == [SPKI, "A" * 43 + "="], "what is no hash is nobody's"
    assert validation["verify_certificate_hash"] == [HASH, "0" * 64]
    assert validation["trust_chain_verification"] == "ACCEPT_UNTRUSTED"
    assert common["tls_params"] == {
        "tls_minimum_protocol_version": "TLSv1_3",
        "tls_maximum_protocol_version": "TLSv1_3",
        "cipher_suites": ["AES128-SHA"],
    }
    files = edge.secret("file-cert:/c~/k").tls_certificate
    assert (files.certificate_chain.filename, files.private_key.filename) == ("/c", "/k")
    assert files.watched_directory.path == "/"
    roots = edge.secret("file-root:/ca~/crl").validation_context
    assert (roots.trusted_ca.filename, roots.crl.filename) == ("/ca", "/crl")


def test_a_unix_socket_is_bound_by_its_path(edge: Edge) -> None:
    server = "[{port: {number: 0, name: http, protocol: HTTP}, bind: 'unix:///run/edge', hosts: ['*']}]"
    edge.apply(gateway(server))
    found = decoded(edge.own.resources[LISTENER]["unix:///run/edge"])
    assert found["address"] == {"pipe": {"path": "/run/edge"}}
    assert set(edge.shared.resources[ROUTE]) == {"http.0.unix:///run/edge"}


# --- what goes on ---------------------------------------------------------------------------------------------------


def test_tls_goes_on_by_server_name_and_the_first_of_a_name_has_it(edge: Edge) -> None:
    edge.apply(
        gateway("""
- {port: {number: 443, name: tls, protocol: TLS}, hosts: ["*.example"], tls: {mode: PASSTHROUGH}}
- {port: {number: 443, name: more, protocol: HTTPS}, hosts: ["*"], tls: {mode: PASSTHROUGH}}
""")
    )
    assert edge.own.resources.get(LISTENER, {}) == {}, "it leads nowhere"
    edge.apply(
        bound("""
hosts: ["*.example"]
tls:
- {match: [{sniHosts: [a.example]}], route: [{destination: {host: cache}}]}
- {match: [{sniHosts: [a.example, "*.example"]}], route: [{destination: {host: httpbin.org, port: {number: 443}}}]}
""")
    )
    assert edge.chains() == [
        (["a.example"], f"outbound|6379||cache.{SUFFIX}"),
        (["*.example"], "outbound|443||httpbin.org"),
    ]
    assert "transport_socket" not in edge.listener()["filter_chains"][0]


def test_tcp_goes_where_a_virtual_service_says_with_tls_or_without(edge: Edge) -> None:
    edge.apply(
        gateway("""
- {port: {number: 9000, name: tcp, protocol: MONGO}, hosts: ["*"]}
- {port: {number: 9001, name: tls, protocol: TLS}, hosts: [a.example], tls: {mode: SIMPLE, credentialName: cert}}
""")
    )
    edge.apply(
        bound("""
hosts: ["*"]
tcp: [{route: [{destination: {host: cache}, weight: 1}, {destination: {host: cache, subset: v1}, weight: 3}]}]
""")
    )
    assert edge.chains(9000) == [([], "weighted")]
    assert "listener_filters" not in edge.listener(9000)
    assert edge.chains(9001) == [(["a.example"], "weighted")]
    assert edge.secrets() == set()
    edge.put(pair("cert", ONE))
    assert edge.secrets() == {"kubernetes://edge/cert"}


AUTO = gateway("""
- {port: {number: 15443, name: tls, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}
""")


def test_auto_passthrough_leads_to_clusters_of_endpoints_that_take_mesh_tls(edge: Edge) -> None:
    name = f"outbound_.6379_._.cache.{SUFFIX}"
    assert name not in edge.shared.resources[CLUSTER]
    edge.apply(AUTO)
    (chain,) = edge.listener(15443)["filter_chains"]
    assert chain["filter_chain_match"]["server_names"] == ["*.local"]
    assert "istio" in chain["filter_chain_match"]["application_protocols"]
    *asked, guard, by_sni, proxy = chain["filters"]
    assert {one["name"].partition("/")[0] for one in asked} == {"authorization"}
    (policy,) = guard["typed_config"]["rules"]["policies"].values()
    assert policy["permissions"] == [{"requested_server_name": {"prefix": "outbound_."}}]
    assert by_sni["name"] == "envoy.filters.network.sni_cluster"
    assert proxy["typed_config"]["cluster"] == "BlackHoleCluster"
    cluster = decoded(edge.shared.resources[CLUSTER][name])
    assert "transport_socket" not in cluster
    assert "transport_socket_matches" not in cluster
    assert name in edge.shared.resources[ENDPOINT]
    assert not any(
        "httpbin.org" in one for one in edge.shared.resources[CLUSTER] if one.startswith("outbound_.")
    )
    edge.compiler.apply(edge.snapshot.remove_config("Gateway", "default", "edge"))
    assert name not in edge.shared.resources[CLUSTER]
    assert name not in edge.shared.resources[ENDPOINT]


def test_a_gateway_that_changes_rebuilds_what_is_its_own(edge: Edge) -> None:
    tls = "tls: {credentialName: a, mode: SIMPLE}"
    server = f"[{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [HOST], {tls}}}]"
    for number in range(20):
        edge.apply(gateway(server.replace("HOST", f"a{number}.example"), f"edge-{number}"))
    assert len(edge.listener()["filter_chains"]) == 20
    before = edge.compiler.rebuilt
    edge.apply(gateway(server.replace("HOST", "b.example"), "edge-7"))
    after = edge.compiler.rebuilt
    assert (after[ROUTE] - before[ROUTE], after[LISTENER] - before[LISTENER]) == (0, 1), (
        "it serves nobody yet"
    )
    edge.apply(bound("{hosts: [b.example], gateways: [edge-7], http: [{redirect: {uri: /}}]}"))
    assert edge.compiler.rebuilt[ROUTE] - after[ROUTE] == 1


# --- secrets --------------------------------------------------------------------------------------------------------


def test_only_secrets_that_listeners_name_are_given_and_only_of_the_own_namespace(edge: Edge) -> None:
    edge.put(pair("cert", ONE, "default"), pair("other", ONE))
    edge.apply(HTTPS)
    assert edge.secrets() == set()
    edge.put(pair("cert", OTHER))
    found = edge.secret("kubernetes://edge/cert").tls_certificate
    assert found.certificate_chain.inline_bytes == OTHER.certificate
    assert found.private_key.inline_bytes == OTHER.key
    edge.compiler.apply(edge.snapshot.remove_config("Gateway", "default", "edge"))
    assert edge.secrets() == set()


def test_a_secret_is_renewed_without_a_change_of_the_listener(edge: Edge) -> None:
    edge.put(pair("cert", ONE))
    edge.apply(HTTPS)
    changes = edge.compiler.apply(edge.snapshot.put_config(pair("cert", OTHER)))
    assert [(view, set(kinds)) for view, kinds in changes] == [(edge.own, {SECRET})]


def test_a_broken_secret_leaves_the_last_good_one_and_is_told(edge: Edge) -> None:
    edge.put(pair("cert", ONE))
    edge.apply(HTTPS)
    edge.put(secret("cert", tls_crt=ONE.certificate, tls_key=OTHER.key))
    assert edge.secret("kubernetes://edge/cert").tls_certificate.private_key.inline_bytes == ONE.key
    assert edge.compiler.errors == {
        (SECRET, "kubernetes://edge/cert"): (
            "Unfitting: Secret edge/cert: tls.key is not the key of tls.crt; put the two that belong together"
        )
    }
    edge.compiler.apply(edge.snapshot.remove_config("Secret", "edge", "cert"))
    assert (edge.secrets(), edge.compiler.errors) == (set(), {})


CLIENT_TLS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin, namespace: default}
spec:
  host: httpbin.org
  workloadSelector: {matchLabels: {app: a}}
  trafficPolicy: {tls: {mode: MUTUAL, credentialName: cert, sni: httpbin.org}}
"""


@pytest.mark.parametrize(
    ("type", "selected", "labels", "given"),
    [
        (ProxyType.ROUTER, False, "b", True),
        (ProxyType.SIDECAR, True, "a", True),
        (ProxyType.SIDECAR, False, "a", False),
    ],
)
def test_client_tls_by_secret_is_for_gateways_and_selected_sidecars(
    snapshot: Snapshot, type: ProxyType, selected: bool, labels: str, given: bool
) -> None:
    text = CLIENT_TLS if selected else CLIENT_TLS.replace("  workloadSelector: {matchLabels: {app: a}}\n", "")
    put(snapshot, text)
    both = secret("cert", "default", tls_crt=ONE.certificate, tls_key=ONE.key, ca_crt=ROOT.certificate)
    snapshot.put_config(both)
    scope = scope_of(
        Reader(snapshot),
        type=type,
        interception=Interception.REDIRECT,
        namespace="default",
        labels=(("app", labels),),
    )
    view = Compiler(snapshot).shared(scope)
    wanted = {"kubernetes://default/cert", "kubernetes://default/cert-cacert"} if given else set()
    assert set(view.resources.get(SECRET, {})) == wanted
    cluster = decoded(view.resources[CLUSTER]["outbound|443||httpbin.org"])
    common = cluster["transport_socket"]["typed_config"]["common_tls_context"]
    (certificate,) = common["tls_certificate_sds_secret_configs"]
    assert certificate["name"] == ("kubernetes://default/cert" if given else "kubernetes://cert")
