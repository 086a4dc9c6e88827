"""Which resources a patch concerns: names and ports are Istio's, wherever ours are others."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model.envoy_patches import Side
from argosy.translate.patches import subject
from argosy.translate.patches.subject import Subject, concerns
from tests.unit.translate.patches.written import lowered

Json = dict[str, Any]
IN, OUT, GATEWAY = Side.INBOUND, Side.OUTBOUND, Side.GATEWAY
HOST = "reviews.default.svc.cluster.local"

LISTENERS: list[tuple[Subject, str, Json, bool]] = [
    # (resource, applyTo, match, whether it is concerned)
    (subject.listener(OUT, "0.0.0.0_9080"), "LISTENER", {}, True),
    (subject.listener(OUT, "0.0.0.0_9080"), "LISTENER", {"listener": {"name": "0.0.0.0_9080"}}, True),
    (subject.listener(OUT, "0.0.0.0_9080"), "LISTENER", {"listener": {"name": "0.0.0.0_9081"}}, False),
    (subject.listener(OUT, "10.0.0.1_6379"), "LISTENER", {"listener": {"portNumber": 6379}}, True),
    (subject.listener(OUT, "10.0.0.1_6379"), "LISTENER", {"listener": {"portNumber": 6380}}, False),
    (subject.listener(OUT, "10.0.0.1_6379"), "LISTENER", {"context": "SIDECAR_INBOUND"}, False),
    (subject.listener(OUT, "10.0.0.1_6379"), "LISTENER", {"context": "SIDECAR_OUTBOUND"}, True),
    # Listeners for all ports: ports are those of their chains, but for the listener itself.
    (subject.listener(IN, "virtualInbound"), "HTTP_FILTER", {"listener": {"portNumber": 9080}}, True),
    (subject.listener(IN, "virtualInbound"), "LISTENER", {"listener": {"portNumber": 9080}}, False),
    # Explicit interception.
    (subject.listener(IN, "inbound_9080"), "LISTENER", {"listener": {"name": "virtualInbound"}}, True),
    (subject.listener(IN, "inbound_9080"), "LISTENER", {"listener": {"portNumber": 9080}}, True),
    (subject.listener(IN, "inbound_9080"), "HTTP_FILTER", {"listener": {"portNumber": 20001}}, False),
    (subject.listener(OUT, "upstream_9080_a.b"), "LISTENER", {"listener": {"name": "0.0.0.0_9080"}}, True),
    (subject.listener(OUT, "upstream_9080_a.b"), "LISTENER", {"listener": {"portNumber": 9080}}, True),
    (subject.listener(OUT, "outbound_proxy"), "HTTP_FILTER", {}, True),
    (subject.listener(OUT, "outbound_proxy"), "HTTP_FILTER", {"listener": {"portNumber": 9080}}, False),
    # Gateways: the port of the server, and the one that is bound for it.
    (subject.listener(GATEWAY, "127.0.0.1_80", 8080), "LISTENER", {"listener": {"portNumber": 80}}, True),
    (subject.listener(GATEWAY, "127.0.0.1_80", 8080), "LISTENER", {"listener": {"portNumber": 8080}}, True),
    (
        subject.listener(GATEWAY, "127.0.0.1_80", 8080),
        "LISTENER",
        {"context": "GATEWAY", "listener": {"name": "0.0.0.0_8080"}},
        True,
    ),
]


def rc(**match: Any) -> Json:
    return {"routeConfiguration": match}


ROUTES: list[tuple[Subject, Json, bool]] = [
    (subject.routes(OUT, "9080"), rc(portNumber=9080), True),
    (subject.routes(OUT, "9080"), rc(portNumber=80), False),
    (subject.routes(OUT, "9080"), rc(name="9080"), True),
    (subject.routes(OUT, "9080"), rc(gateway="a/b"), True),  # is looked at for gateways alone
    (subject.routes(IN, "inbound|9080||"), rc(portNumber=9080), True),
    (subject.routes(IN, "inbound|9080||"), rc(name="inbound|9080||"), True),
    (subject.routes(OUT, "upstream|9080|a"), rc(name="9080"), True),
    (subject.routes(OUT, "http_proxy"), {}, True),
    (subject.routes(OUT, "http_proxy"), rc(portNumber=9080), False),
    (subject.virtual_host(OUT, "http_proxy", "a:9080", 9080), rc(portNumber=9080), True),
    (subject.virtual_host(OUT, "http_proxy", "a:9080", 9080), rc(name="9080"), True),
    (subject.virtual_host(OUT, "http_proxy", "a:9080", 9080), rc(name="http_proxy"), True),
    (subject.virtual_host(OUT, "http_proxy", "a:9080", 9080), rc(portNumber=80), False),
    (subject.virtual_host(OUT, "9080", "a:9080"), rc(vhost={"name": "a:9080"}), True),
    (subject.virtual_host(OUT, "9080", "a:9080"), rc(vhost={"name": "b:9080"}), False),
    (subject.virtual_host(OUT, "9080", "a:9080"), rc(vhost={"domainName": "b"}), True),
    (subject.routes(OUT, "9080"), rc(vhost={"name": "b:9080"}), True),
    (subject.routes(OUT, "upstream|9080|a", ("a.b:9080",)), rc(vhost={"name": "a.b:9080"}), True),
    (subject.routes(OUT, "upstream|9080|a", ("a.b:9080",)), rc(vhost={"name": "b:9080"}), False),
    (subject.routes(IN, "inbound|9080||", ("inbound|http|80",)), rc(vhost={"name": "inbound|http|80"}), True),
    (subject.routes(GATEWAY, "http.80"), rc(portNumber=80, name="http.80"), True),
    (subject.routes(GATEWAY, "http.80"), rc(gateway="default/edge"), False),  # it is of all Gateways
    (subject.routes(GATEWAY, "http.80"), rc(portName="http"), False),
    (subject.routes(GATEWAY, "https.443.web.edge.shop"), rc(gateway="shop/edge", portName="web"), True),
    (subject.routes(GATEWAY, "https.443.web.edge.shop"), rc(gateway="shop/other"), False),
    (subject.routes(GATEWAY, "https.443.web.edge.shop"), rc(portNumber=443), True),
]

CLUSTERS: list[tuple[Subject, Json, bool]] = [
    (subject.cluster(OUT, f"outbound|9080|v1|{HOST}"), {"service": HOST, "portNumber": 9080}, True),
    (subject.cluster(OUT, f"outbound|9080|v1|{HOST}"), {"subset": "v1"}, True),
    (subject.cluster(OUT, f"outbound|9080|v1|{HOST}"), {"subset": "v2"}, False),
    (subject.cluster(OUT, f"outbound|9080|v1|{HOST}"), {"service": "reviews"}, False),
    (subject.cluster(OUT, f"outbound|9080|v1|{HOST}"), {"portNumber": 80}, False),
    (subject.cluster(OUT, f"outbound|9080||{HOST}"), {"name": f"outbound|9080||{HOST}"}, True),
    # A name is all that counts.
    (
        subject.cluster(OUT, f"outbound|9080||{HOST}"),
        {"name": f"outbound|9080||{HOST}", "portNumber": 1},
        True,
    ),
    (subject.cluster(IN, "inbound|9080||", (HOST,)), {"service": HOST, "portNumber": 9080}, True),
    (subject.cluster(IN, "inbound|9080||", (HOST,)), {"service": "other"}, False),
    (subject.cluster(OUT, "PassthroughCluster"), {}, True),
    (subject.cluster(OUT, "PassthroughCluster"), {"portNumber": 80}, False),
    (subject.cluster(OUT, "PassthroughCluster"), {"name": "PassthroughCluster"}, True),
]


def asks(part: str, match: Json, subject: Subject) -> bool:
    operation = {"operation": "MERGE", "value": {}}
    (patch,) = lowered({"applyTo": part, "match": match, "patch": operation})
    return concerns(patch, subject)


@pytest.mark.parametrize("case", LISTENERS, ids=str)
def test_listeners(case: tuple[Subject, str, Json, bool]) -> None:
    found, part, match, wanted = case
    assert asks(part, match, found) is wanted


@pytest.mark.parametrize("case", ROUTES, ids=str)
def test_routes(case: tuple[Subject, Json, bool]) -> None:
    found, match, wanted = case
    assert asks("HTTP_ROUTE", match, found) is wanted


@pytest.mark.parametrize("case", CLUSTERS, ids=str)
def test_clusters(case: tuple[Subject, Json, bool]) -> None:
    found, match, wanted = case
    assert asks("CLUSTER", {"cluster": match} if match else {}, found) is wanted
