"""What the policies of endpoints say of a request as it is sent to them."""

from __future__ import annotations

from msgspec.structs import replace

from argosy.explain.evaluate import Evaluator, gateway
from argosy.explain.outcome import EndpointState, Forwarded, Outcome
from argosy.explain.request import to
from argosy.model import ir
from argosy.model.snapshot import Snapshot
from tests.unit.explain.asked import LABELS, asked, shop, virtual_service

POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec: {rules: [%s]}
"""
FROM_WEB = '{from: [{source: {principals: ["cluster.local/ns/shop/sa/web"]}}]}'


def first(outcome: Outcome) -> EndpointState:
    assert isinstance(outcome.verdict, Forwarded), outcome.verdict
    return outcome.verdict.targets[0].cluster.endpoints[0]


def with_web(made: Snapshot, account: str = "web") -> Snapshot:
    made.put_workload(
        ir.Workload(
            name="web-1", namespace="shop", service_account=account, address="10.0.0.9", labels=LABELS
        )
    )
    return made


def test_the_sender_is_known_by_its_account() -> None:
    found = asked(with_web(shop(POLICY % FROM_WEB)), "http://reviews:9080/")
    assert (first(found).refused, found.arrives) == ("", True)
    assert first(found).admits == "AuthorizationPolicy shop/p rules[0] allows it"
    assert [one.label for one in first(found).policies] == ["AuthorizationPolicy shop/p spec.rules[0]"]
    denied = asked(with_web(shop(POLICY % FROM_WEB), "other"), "http://reviews:9080/")
    assert not denied.arrives
    assert first(denied).refused == "AuthorizationPolicy shop/p allows some calls, and not this one (403)"
    assert first(denied).admits.endswith(
        "is cluster.local/ns/shop/sa/other and not cluster.local/ns/shop/sa/web"
    )


def test_of_a_sender_that_nobody_knows_it_cannot_be_told() -> None:
    found = asked(shop(POLICY % FROM_WEB), "http://reviews:9080/")
    assert (first(found).refused, first(found).admits) == (
        "",
        "whether it takes it cannot be told: the caller's service account is not known, and a policy asks for it",
    )


def test_the_request_is_judged_as_it_comes_there() -> None:
    rewritten = virtual_service("[{rewrite: {uri: /in}, route: [{destination: {host: reviews}}]}]")
    of_path = POLICY % "{to: [{operation: {paths: [/in]}}]}"
    assert asked(shop(of_path, rewritten), "http://reviews:9080/").arrives
    assert not asked(shop(of_path), "http://reviews:9080/").arrives


def test_the_port_is_the_workloads_and_connections_have_no_paths() -> None:
    assert asked(shop(POLICY % '{to: [{operation: {ports: ["9080"]}}]}'), "http://reviews:9080/").arrives
    assert not asked(shop(POLICY % '{to: [{operation: {ports: ["20000"]}}]}'), "http://reviews:9080/").arrives
    assert not asked(shop(POLICY % "{to: [{operation: {paths: [/]}}]}"), "tcp://cache:6379").arrives


def test_a_client_of_a_gateway_is_seen_behind_it() -> None:
    block = POLICY % "{from: [{source: {remoteIpBlocks: [192.0.2.0/24]}}]}"
    edge = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
"""
    routed = virtual_service("[{route: [{destination: {host: reviews}}]}]", more="gateways: [gw]")
    made = shop(block, edge, routed)
    made.put_workload(
        ir.Workload(name="gw", namespace="shop", address="10.0.0.8", labels=(("istio", "ingressgateway"),))
    )
    evaluator = Evaluator(made, gateway(made, "shop", (("istio", "ingressgateway"),)))
    request, _ = to("http://reviews.shop.svc.cluster.local/")
    assert "cannot be told" in first(evaluator.outcome(request)).admits
    assert first(evaluator.outcome(replace(request, source="192.0.2.7"))).refused == ""
    assert first(evaluator.outcome(replace(request, source="198.51.100.7"))).refused != ""
