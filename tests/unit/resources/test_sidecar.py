"""Sidecar: what is refused at which field, and what is warned of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.validation import Verdict

Judge = Callable[..., Verdict]
Json = dict[str, Any]

EVERYTHING: Json = {"hosts": ["*/*"]}


def taking(number: int = 9080, protocol: str = "HTTP", **fields: Any) -> Json:
    """A Sidecar with one ingress listener."""
    return {"ingress": [{"port": {"number": number, "protocol": protocol, "name": "p"}} | fields]}


def seeing(*hosts: str, **fields: Any) -> Json:
    """A Sidecar with one egress listener."""
    return {"egress": [{"hosts": list(hosts)} | fields]}


def ending_tls(**tls: Any) -> Json:
    files = {"mode": "SIMPLE", "serverCertificate": "/c.pem", "privateKey": "/k.pem"}
    return taking(443, "HTTPS", tls=files | tls)


VALID: list[Json] = [
    seeing("*/*"),
    seeing("./*", "istio-system/*"),
    seeing("shop/reviews.shop.svc.cluster.local", "*/*.example.com", "shop/*.example.com"),
    seeing("~/*"),
    seeing("*/*", "~shop/*", "~./*", "~*/a.example.com", "~/b.example.com", "~other/c.example.com"),
    seeing("shop/a.com", port={"number": 80, "protocol": "HTTP"}, bind="10.0.0.1", captureMode="IPTABLES"),
    seeing("shop/a.com", port={"number": 0, "protocol": "HTTP"}, bind="unix:///run/a", captureMode="NONE"),
    seeing("shop/a.com", port={"number": 0}, bind="unix://@a"),
    {"egress": [{"port": {"number": 80}, "hosts": ["a/*"]}, {"port": {"number": 81}, "hosts": ["a/*"]}]},
    {"egress": [{"port": {"number": 80}, "hosts": ["a/*"]}, EVERYTHING]},
    taking(),
    taking(protocol=""),
    taking(bind="::1", defaultEndpoint=":8080", captureMode="NONE"),
    taking(defaultEndpoint="0.0.0.0:1"),
    taking(defaultEndpoint="[::]:65535"),
    taking(defaultEndpoint="unix:///run/app"),
    taking(connectionPool={"http": {"maxRetries": 1}}),
    taking(443, "TCP", connectionPool={"tcp": {"maxConnections": 1}}),
    ending_tls(),
    ending_tls(mode="MUTUAL", caCertificates="/ca.pem"),
    {"inboundConnectionPool": {"tcp": {"maxConnections": 1}}},
    {"outboundTrafficPolicy": {}},
    {"outboundTrafficPolicy": {"mode": "ALLOW_ANY", "egressProxy": {"host": "a.com", "port": {"number": 1}}}},
    {"workloadSelector": {"labels": {"app": "reviews"}}, "egress": [EVERYTHING]},
]

REFUSED: list[tuple[Json, str]] = [
    ({}, "spec"),
    ({"workloadSelector": {"labels": {"app": "a"}}}, "spec"),
    ({"workloadSelector": {"labels": {"app": "*"}}, "egress": [EVERYTHING]}, "spec.workloadSelector.labels"),
    (seeing(), "spec.egress[0].hosts"),
    (seeing("*"), "spec.egress[0].hosts[0]"),
    (seeing("a.com"), "spec.egress[0].hosts[0]"),
    (seeing("/a.com"), "spec.egress[0].hosts[0]"),
    (seeing("shop/"), "spec.egress[0].hosts[0]"),
    (seeing("shop/reviews"), "spec.egress[0].hosts[0]"),
    (seeing("shop/a*.com"), "spec.egress[0].hosts[0]"),
    (seeing("shop/*a.com"), "spec.egress[0].hosts[0]"),
    (seeing("sh_op/*"), "spec.egress[0].hosts[0]"),
    (seeing("*/*", "~~/*"), "spec.egress[0].hosts[1]"),
    (seeing("*/*", "~sh_op/*"), "spec.egress[0].hosts[1]"),
    (seeing("a/*", port={"number": 0}), "spec.egress[0].port.number"),
    (seeing("a/*", port={"number": 65536}), "spec.egress[0].port.number"),
    (seeing("a/*", port={"number": 1, "protocol": "ODD"}), "spec.egress[0].port.protocol"),
    (seeing("a/*", port={"number": 1, "name": "a_b"}), "spec.egress[0].port.name"),
    (seeing("a/*", port={"number": 1, "targetPort": 2}), "spec.egress[0].port.targetPort"),
    (seeing("a/*", port={"number": 1}, bind="a"), "spec.egress[0].bind"),
    (seeing("a/*", port={"number": 0}, bind="unix:///run/"), "spec.egress[0].bind"),
    (
        seeing("a/*", port={"number": 0}, bind="unix:///run/a", captureMode="IPTABLES"),
        "spec.egress[0].captureMode",
    ),
    (seeing("a/*", captureMode="SOME"), "spec.egress[0].captureMode"),
    ({"egress": [EVERYTHING, {"port": {"number": 1}, "hosts": ["a/*"]}]}, "spec.egress[0].port"),
    ({"egress": [EVERYTHING, EVERYTHING]}, "spec.egress[0].port"),
    (
        {"egress": [{"port": {"number": 1}, "hosts": ["a/*"]}, {"port": {"number": 1}, "hosts": ["b/*"]}]},
        "spec.egress[1].port.number",
    ),
    (
        {"egress": [{"port": {"number": 0}, "bind": "unix:///a", "hosts": ["a/*"]}] * 2},
        "spec.egress[1].bind",
    ),
    ({"ingress": [{}]}, "spec.ingress[0].port"),
    (taking(0), "spec.ingress[0].port.number"),
    (taking(bind="localhost"), "spec.ingress[0].bind"),
    (taking(defaultEndpoint="10.0.0.1:80"), "spec.ingress[0].defaultEndpoint"),
    (taking(defaultEndpoint="127.0.0.1"), "spec.ingress[0].defaultEndpoint"),
    (taking(defaultEndpoint="127.0.0.1:"), "spec.ingress[0].defaultEndpoint"),
    (taking(defaultEndpoint="127.0.0.1:0"), "spec.ingress[0].defaultEndpoint"),
    (taking(defaultEndpoint="127.0.0.1:٣"), "spec.ingress[0].defaultEndpoint"),
    (taking(defaultEndpoint="::1:80"), "spec.ingress[0].defaultEndpoint"),
    (taking(defaultEndpoint="unix://run"), "spec.ingress[0].defaultEndpoint"),
    ({"ingress": [*taking()["ingress"], *taking(protocol="TCP")["ingress"]]}, "spec.ingress[1].port.number"),
    (taking(connectionPool={}), "spec.ingress[0].connectionPool"),
    ({"inboundConnectionPool": {"http": {"maxRetries": -1}}}, "spec.inboundConnectionPool.http.maxRetries"),
    (ending_tls(httpsRedirect=True), "spec.ingress[0].tls.httpsRedirect"),
    (ending_tls(subjectAltNames=["a"]), "spec.ingress[0].tls.subjectAltNames"),
    (ending_tls(caCertCredentialName="a"), "spec.ingress[0].tls.caCertCredentialName"),
    (ending_tls(mode="ISTIO_MUTUAL"), "spec.ingress[0].tls.mode"),
    (ending_tls(mode="AUTO_PASSTHROUGH"), "spec.ingress[0].tls.mode"),
    (ending_tls(privateKey=""), "spec.ingress[0].tls.privateKey"),
    ({"outboundTrafficPolicy": {"mode": "ALLOW_ANY_DYNAMIC_DNS"}}, "spec.outboundTrafficPolicy.mode"),
    ({"outboundTrafficPolicy": {"egressProxy": {"host": "a.com"}}}, "spec.outboundTrafficPolicy.egressProxy"),
    (
        {"outboundTrafficPolicy": {"mode": "ALLOW_ANY", "egressProxy": {"host": "a.com"}}},
        "spec.outboundTrafficPolicy.egressProxy.port",
    ),
    (
        {"outboundTrafficPolicy": {"mode": "ALLOW_ANY", "egressProxy": {"host": "*", "port": {"number": 1}}}},
        "spec.outboundTrafficPolicy.egressProxy.host",
    ),
]

WARNED: list[tuple[Json, str]] = [
    (seeing("*/*") | {"workloadSelector": {}}, "spec.workloadSelector.labels"),
    (seeing("shop/a.com", "shop/a.com"), "spec.egress[0].hosts[1]"),
    (seeing("shop/*", "shop/a.com"), "spec.egress[0].hosts[1]"),
    (seeing("shop/a.com", "shop/*"), "spec.egress[0].hosts[1]"),
    (seeing("shop/a.com", "./a.com"), "spec.egress[0].hosts[1]"),
    (seeing("*/*", "shop/a.com"), "spec.egress[0].hosts"),
    (
        taking(443, "TCP", connectionPool={"http": {"maxRetries": 1}}),
        "spec.ingress[0].connectionPool.http",
    ),
]


@pytest.mark.parametrize("spec", VALID)
def test_what_istio_takes_is_valid(judge: Judge, spec: Json) -> None:
    verdict = judge("Sidecar", spec)
    assert verdict.errors == verdict.warnings == ()


@pytest.mark.parametrize(("spec", "field"), REFUSED)
def test_what_cannot_be_is_refused_at_its_field(judge: Judge, spec: Json, field: str) -> None:
    assert field in [problem.field for problem in judge("Sidecar", spec).errors]


@pytest.mark.parametrize(("spec", "field"), WARNED)
def test_what_says_less_than_it_seems_is_warned_of(judge: Judge, spec: Json, field: str) -> None:
    verdict = judge("Sidecar", spec)
    assert verdict.errors == ()
    assert [problem.field for problem in verdict.warnings] == [field]
