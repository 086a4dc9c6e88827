"""Requests from outside, at a gateway."""

from __future__ import annotations

from argosy.explain.outcome import Redirected, Unrouted
from tests.unit.explain.asked import SHOP, asked_at_gateway, clusters, reasons, shop, virtual_service

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
