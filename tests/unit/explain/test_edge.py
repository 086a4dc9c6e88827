"""Requests from outside, at a gateway."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from argosy.explain.clients import shut_out
from argosy.explain.evaluate import Evaluator, gateway
from argosy.explain.outcome import Forwarded, Redirected, Unrouted
from argosy.explain.request import Certified, ClientCertificate, to
from argosy.model import ir
from argosy.translate import resource
from argosy.translate.compiler import Compiler
from tests.unit.explain.asked import (
    SHOP,
    asked,
    asked_at_gateway,
    clusters,
    reasons,
    service,
    shop,
    virtual_service,
)
from tests.unit.translate.mesh import decoded

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [%s]%s}
"""
ROUTE = "[{match: [{uri: {prefix: /r}}], route: [{destination: {host: reviews, port: {number: 9080}}}]}]"
BOUND = virtual_service(ROUTE, hosts="['*.example.com']", more="gateways: [front]")


def test_a_host_of_a_server_is_routed_by_the_virtual_services_bound_to_it() -> None:
    made = shop(GATEWAY % ("'*.example.com'", ""), BOUND)
    for authority in ("a.example.com", "a.example.com:80", "A.EXAMPLE.COM:8080"):
        found = asked_at_gateway(made, f"http://{authority}/r".replace(":8080", ":80"))
        assert clusters(found) == [f"outbound|9080||reviews.{SHOP}"]
    assert [one.stage for one in found.steps] == ["listener", "virtual host", "route"]
    assert found.steps[-1].origins[0].field == "spec.http[0].match[0]"
    assert reasons(asked_at_gateway(made, "http://a.example.com/x")) == ["path /x does not begin with /r"]


def test_why_not_at_a_gateway() -> None:
    made = shop(
        GATEWAY % ("b.example.com", ""), BOUND, BOUND.replace("name: vs", "name: other").replace("*.e", "*.f")
    )
    found = asked_at_gateway(made, "http://a.example.com/r")
    assert found.verdict == Unrouted(404, "no VirtualService is for a.example.com at this port")
    assert reasons(found) == ["Gateway shop/front serves none of its hosts (*.fxample.com) on port 80"]
    nowhere = asked_at_gateway(made, "http://b.example.com:81/r")
    assert nowhere.verdict == Unrouted(0, "no Gateway has a server on port 81")
    assert [one.name for one in nowhere.misses] == ["port 80"]


def test_plaintext_is_sent_to_https_where_a_server_says_so() -> None:
    made = shop(GATEWAY % ("'*'", ", tls: {httpsRedirect: true}"))
    found = asked_at_gateway(made, "http://a.example.com/r?q")
    assert found.verdict == Redirected(301, "https://a.example.com/r?q")


# --- TLS and TCP ----------------------------------------------------------------------------------------------------

SECURE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [a.example.com]
    tls: {mode: SIMPLE, credentialName: cert}
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [b.example.com], tls: {mode: PASSTHROUGH}}
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}
"""
CONNECTIONS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: l4}
spec:
  hosts: ["*.example.com"]
  gateways: [front]
  tls: [{match: [{sniHosts: [b.example.com]}], route: [{destination: {host: secure, port: {number: 8443}}}]}]
  tcp: [{route: [{destination: {host: cache, port: {number: 6379}}}]}]
"""


def test_tls_that_ends_here_is_routed_as_http_of_its_scheme() -> None:
    rule = (
        "[{match: [{scheme: {exact: https}}], route: [{destination: {host: reviews, port: {number: 9080}}}]}]"
    )
    bound = virtual_service(rule, hosts="[a.example.com]", more="gateways: [front]")
    found = asked_at_gateway(shop(SECURE, bound), "https://a.example.com/r")
    assert clusters(found) == [f"outbound|9080||reviews.{SHOP}"]
    assert [one.stage for one in found.steps] == ["listener", "filter chain", "TLS", "virtual host", "route"]


@pytest.mark.parametrize(
    ("destination", "cluster", "field"),
    [
        ("https://b.example.com/", f"outbound|8443||secure.{SHOP}", "spec.tls[0]"),
        ("tcp://any.example.com:9000", f"outbound|6379||cache.{SHOP}", "spec.tcp[0]"),
    ],
)
def test_connections_go_where_a_virtual_service_says(destination: str, cluster: str, field: str) -> None:
    found = asked_at_gateway(shop(SECURE, CONNECTIONS), destination)
    assert clusters(found) == [cluster]
    assert found.steps[-1].origins[0].field == field


def test_a_name_that_no_server_has_is_closed() -> None:
    found = asked_at_gateway(shop(SECURE, CONNECTIONS), "https://c.example.com/")
    assert found.verdict == Unrouted(0, "no server is for the name c.example.com")
    assert [one.name for one in found.misses] == ["a.example.com", "b.example.com"]
    plain = asked_at_gateway(shop(SECURE, CONNECTIONS), "http://a.example.com:443/")
    assert plain.verdict == Unrouted(0, "the port speaks TLS, and this does not")


CLIENTS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: tls, protocol: TLS}
    hosts: ["*"]
    tls: {mode: %s, credentialName: cert%s}
"""
TO_CACHE = virtual_service(
    "[]",
    hosts="['*']",
    more="gateways: [front]\n  tcp: [{route: [{destination: {host: cache, port: {number: 6379}}}]}]",
)


@pytest.mark.parametrize(
    ("mode", "more", "refused"),
    [
        ("SIMPLE", "", ()),
        ("MUTUAL", "", ("none", "untrusted")),
        ("MUTUAL", ", insecureSkipVerify: true", ("none",)),
        ("OPTIONAL_MUTUAL", "", ("untrusted",)),
    ],
)
def test_what_a_client_must_show_where_tls_ends(mode: str, more: str, refused: tuple[str, ...]) -> None:
    made = shop(CLIENTS % (mode, more), TO_CACHE)
    for shown in ClientCertificate:
        found = asked_at_gateway(made, "https://a.example.com/", certificate=shown)
        if shown in refused:
            assert isinstance(found.verdict, Unrouted)
            assert "certificate" in found.verdict.because
        else:
            assert clusters(found) == [f"outbound|6379||cache.{SHOP}"]
        assert found.steps[2].name == mode


MINE = Certified(names=("spiffe://td/ns/a/sa/b", "a.example.com", "*.example.org"), spki="k", digest="ab:CD")


@pytest.mark.parametrize(
    ("asked_for", "let_in"),
    [
        ({}, True),
        ({"subject_alt_names": ("spiffe://td/ns/a/sa/b",)}, True),
        ({"subject_alt_names": ("spiffe://td/ns/a/sa/B",)}, False),
        ({"subject_alt_names": ("nobody.test", "A.example.COM")}, True),
        ({"subject_alt_names": ("x.example.org",)}, True),
        ({"subject_alt_names": ("x.y.example.org",)}, False),
        ({"subject_alt_names": ("nobody.test",)}, False),
        ({"certificate_spki": ("k",)}, True),
        ({"certificate_spki": ("other",)}, False),
        ({"certificate_hash": ("ABCD",)}, True),
        ({"certificate_hash": ("00",), "certificate_spki": ("k",)}, True),
        ({"certificate_hash": ("00",)}, False),
        ({"certificate_hash": ("ABCD",), "subject_alt_names": ("nobody.test",)}, False),
        ({"subject_alt_names": ("nobody.test",), "insecure_skip_verify": True}, True),
    ],
)
def test_which_certificates_a_server_takes(asked_for: dict[str, Any], let_in: bool) -> None:
    for mode in (ir.ServerTlsMode.MUTUAL, ir.ServerTlsMode.ISTIO_MUTUAL, ir.ServerTlsMode.OPTIONAL_MUTUAL):
        tls = ir.GatewayTls(mode=mode, **asked_for)
        assert (shut_out(tls, ClientCertificate.TRUSTED, MINE) == "") is let_in
        assert shut_out(tls, ClientCertificate.TRUSTED, None) == "", "nothing is known of it"
        assert shut_out(tls, ClientCertificate.UNKNOWN, MINE) == ""
        narrows = bool(asked_for) and "insecure_skip_verify" not in asked_for
        demanded = mode is not ir.ServerTlsMode.OPTIONAL_MUTUAL or narrows
        assert bool(shut_out(tls, ClientCertificate.NONE, None)) is demanded, mode
    simple = ir.GatewayTls(mode=ir.ServerTlsMode.SIMPLE, **asked_for)
    assert shut_out(simple, ClientCertificate.UNTRUSTED, MINE) == ""


def test_a_hello_without_a_name_is_for_the_server_of_every_name() -> None:
    for hosts, there in (('["*"]', True), ('["a.example.com"]', False)):
        made = shop((CLIENTS % ("SIMPLE", "")).replace('["*"]', hosts), TO_CACHE)
        request = replace(to("https://a.example.com/")[0], server_name="")
        outcome = Evaluator(made, gateway(made, "shop", (("istio", "ingressgateway"),))).outcome(request)
        if there:
            assert clusters(outcome) == [f"outbound|6379||cache.{SHOP}"]
        else:
            assert outcome.verdict == Unrouted(0, "no server is for the name (none)")


def test_bytes_without_a_hello_are_passed_on_where_every_name_is() -> None:
    sni = "gateways: [front]\n  tls: [{match: [{sniHosts: ['%s']}], route: [{destination: {host: secure}}]}]"
    for name, passed in (("*", True), ("*.example.com", False)):
        served = CLIENTS.replace(", credentialName: cert%s", "") % "PASSTHROUGH"
        made = shop(served, virtual_service("[]", hosts=f"['{name}']", more=sni % name))
        found = asked_at_gateway(made, "tcp://a.example.com:443")
        assert isinstance(found.verdict, Forwarded if passed else Unrouted), name


MESH = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: mesh}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: mesh, protocol: TLS}, hosts: ["*.%s"], tls: {mode: AUTO_PASSTHROUGH}}
"""


def test_mesh_clients_are_passed_on_by_the_cluster_that_their_server_name_is() -> None:
    made = shop(MESH % SHOP)
    found = asked_at_gateway(made, f"https://outbound_.9080_._.reviews.{SHOP}")
    assert clusters(found) == [f"outbound_.9080_._.reviews.{SHOP}"]
    assert isinstance(found.verdict, Forwarded)
    (target,) = found.verdict.targets
    assert target.cluster.tls == "the client's, passed on"
    assert found.steps[-1].name == "auto-passthrough"


@pytest.mark.parametrize(
    ("name", "because"),
    [
        (f"reviews.{SHOP}", "the server is for mesh clients alone (AUTO_PASSTHROUGH)"),
        (f"outbound_.1_._.reviews.{SHOP}", "1 is not a port of"),
        (f"outbound_.9080_._.nobody.{SHOP}", "no service has the host"),
        ("outbound_.9080_._.elsewhere.example", "no server is for the name"),
    ],
)
def test_who_is_not_passed_on(name: str, because: str) -> None:
    verdict = asked_at_gateway(shop(MESH % SHOP), f"https://{name}").verdict
    assert isinstance(verdict, Unrouted)
    assert verdict.status == 0
    assert because in verdict.because


def test_an_ingress_is_named_as_what_people_wrote() -> None:
    ingress = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: istio
  rules:
  - host: shop.example.com
    http: {paths: [{path: /r, pathType: Prefix, backend: {service: {name: reviews, port: {number: 9080}}}}]}
"""
    found = asked_at_gateway(shop(ingress), "http://shop.example.com/r/1")
    assert clusters(found) == [f"outbound|9080||reviews.{SHOP}"]
    for step in (found.steps[0], found.steps[-1]):
        assert [(one.kind, one.namespace, one.name) for one in step.origins] == [("Ingress", "shop", "web")]


def test_connections_go_by_where_the_client_is() -> None:
    routes = """gateways: [front]
  tcp:
  - {match: [{sourceSubnet: 192.168.0.0/16}], route: [{destination: {host: cache, port: {number: 6379}}}]}"""
    made = shop(
        (GATEWAY % ("'*'", "")).replace("name: http, protocol: HTTP", "name: tcp, protocol: TCP"),
        virtual_service("[]", more=routes),
    )
    found = asked_at_gateway(made, "tcp://any:80", source="192.168.1.1")
    assert clusters(found) == [f"outbound|6379||cache.{SHOP}"]
    assert found.steps[-1].origins[0].field == "spec.tcp[0]"
    for source in ("10.0.0.1", ""):
        refused = asked_at_gateway(made, "tcp://any:80", source=source)
        assert isinstance(refused.verdict, Unrouted)
        assert reasons(refused) == ["it is for clients in 192.168.0.0/16"]


TWO = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %s}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: %s, protocol: TLS}, hosts: ["%s"], tls: {mode: SIMPLE, credentialName: c}}
"""


@pytest.mark.parametrize(
    ("source", "name", "host"),
    [
        ("192.168.0.1", "a.example.com", "narrow"),
        ("10.0.0.1", "a.example.com", ""),
        ("10.0.0.1", "b.example.com", "cache"),
        ("192.168.0.1", "b.example.com", "cache"),
    ],
)
def test_of_the_chains_for_a_name_the_clients_network_decides_and_no_other_is_asked(
    source: str, name: str, host: str
) -> None:
    to = "gateways: [%s]\n  tcp: [{%s route: [{destination: {host: %s, port: {number: 6379}}}]}]"
    narrow = to % ("one", "match: [{sourceSubnet: 192.168.0.0/16}],", "narrow")
    made = shop(
        TWO % ("one", "one", "a.example.com"),
        TWO % ("two", "two", "*"),
        virtual_service("[]", hosts="[a.example.com]", name="one", more=narrow),
        virtual_service("[]", hosts="['*']", name="two", more=to % ("two", "", "cache")),
    )
    made.put_service(service("narrow", (6379, ir.Protocol.TCP)))
    found = asked_at_gateway(made, f"https://{name}/", source=source)
    if host:
        assert clusters(found) == [f"outbound|6379||{host}.{SHOP}"]
    else:
        assert found.verdict == Unrouted(0, "it is for clients in 192.168.0.0/16 alone")


WILD: dict[str, Any] = {
    "hostname": "*.wild.example",
    "resolution": ir.Resolution.DYNAMIC_DNS,
    "kubernetes": False,
    "external": True,
}
TO_WILD = "[{destination: {host: '*.wild.example', port: {number: 443}}}]"


@pytest.mark.parametrize(
    ("mode", "routes", "arrives"),
    [
        ("SIMPLE, credentialName: c", f"tcp: [{{route: {TO_WILD}}}]", False),
        ("PASSTHROUGH", f"tls: [{{match: [{{sniHosts: ['*']}}], route: {TO_WILD}}}]", True),
    ],
)
def test_nothing_but_the_name_in_a_hello_that_is_passed_on_is_looked_up(
    mode: str, routes: str, arrives: bool
) -> None:
    served = CLIENTS.replace("mode: %s, credentialName: cert%s", f"mode: {mode}")
    more = f"gateways: [front]\n  {routes}".replace("['*']", "['*.wild.example']")
    made = shop(
        served, virtual_service("[]", hosts="['*']" if not arrives else "['*.wild.example']", more=more)
    )
    made.put_service(service("wild", (443, ir.Protocol.TLS), **WILD))
    found = asked_at_gateway(made, "https://a.wild.example/")
    assert clusters(found) == ["outbound|443||*.wild.example"]
    assert found.arrives is arrives


def test_copies_to_names_that_are_looked_up_are_lost() -> None:
    route = (
        "[{mirror: {host: '*.wild.example', port: {number: 443}}, route: [{destination: {host: reviews}}]}]"
    )
    made = shop(
        GATEWAY % ("'*'", ""), virtual_service(route, hosts="[a.example.com]", more="gateways: [front]")
    )
    made.put_service(service("wild", (443, ir.Protocol.HTTP), **WILD))
    gate = asked_at_gateway(made, "http://a.example.com/").verdict
    assert not isinstance(gate, Forwarded), "a gateway leaves the route out"
    own = shop(virtual_service(route))
    own.put_service(service("wild", (443, ir.Protocol.HTTP), **WILD))
    verdict = asked(own, "http://reviews:9080/").verdict
    assert isinstance(verdict, Forwarded)
    assert verdict.targets[0].cluster.answers
    assert not verdict.mirrors[0].cluster.answers


def test_names_under_a_wildcard_are_looked_up_and_no_others() -> None:
    """Else whoever reaches the gateway could have anything looked up from where it stands."""
    to = "{destination: {host: '*.wild.example', port: {number: 80}}}"
    route = f"[{{match: [{{uri: {{prefix: /w}}}}], REWRITE route: [{to}]}}]"
    for rewrite, host, expected in (
        ("", "'*.wild.example'", True),
        ("", "a.wild.example", True),
        ("", "b.example.com", False),
        ("", "'*'", False),
        ("rewrite: {authority: c.wild.example},", "b.example.com", True),
        ("rewrite: {authority: d.example.com},", "a.wild.example", False),
        ("headers: {request: {set: {Host: '%REQ(x-to)%'}}},", "a.wild.example", False),
    ):
        http = route.replace("REWRITE", rewrite)
        made = shop(GATEWAY % ("'*'", ""), virtual_service(http, hosts=f"[{host}]", more="gateways: [front]"))
        made.put_service(service("wild", (80, ir.Protocol.HTTP), **WILD))
        asked_for = host.strip("'").replace("*", "x.wild.example" if host == "'*'" else "x")
        found = asked_at_gateway(made, f"http://{asked_for}/w")
        if expected:
            assert clusters(found) == ["outbound|80||*.wild.example"]
            assert found.arrives
            assert "the host of the request, looked up, at port 80" in str(found.verdict)
        else:
            assert isinstance(found.verdict, Unrouted), (rewrite, host)
        scope = gateway(made, "shop", (("istio", "ingressgateway"),)).scope
        routes = decoded(Compiler(made).shared(scope).resources[resource.ROUTE]["http.80"])
        assert bool(routes["virtual_hosts"][0].get("routes")) == expected, (rewrite, host)
