"""DestinationRules: whose rule holds, how several are joined, what inherits."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.lower_destination_rule import lower
from argosy.model.reader import Reader
from argosy.model.snapshot import Snapshot
from argosy.resources.networking import DestinationRule
from tests.unit.model.written import REVIEWS, mesh_config, obj, scope, service, snapshot

BALANCERS = ("RANDOM", "ROUND_ROBIN", "LEAST_REQUEST")


def dr(name: str, host: str, balancer: str = "", **more: Any) -> Any:
    created = more.pop("created", "")
    spec: dict[str, Any] = {"host": host} | more
    if balancer:
        spec["trafficPolicy"] = {"loadBalancer": {"simple": balancer}}
    return obj("DestinationRule", name, spec, created=created)


def policy(made: Snapshot, host: str = REVIEWS, **who: str) -> ir.DestinationPolicy | None:
    return Reader(made).destination(scope(made, **who), host)  # type: ignore[arg-type]


def balancer(made: Snapshot, host: str = REVIEWS, **who: str) -> str | None:
    found = policy(made, host, **who)
    return str(found.policy("", 80).load_balancer) if found else None


def subset(name: str, **policy: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "labels": {"version": name}}
    return made | ({"trafficPolicy": policy} if policy else {})


# --- whose rule -----------------------------------------------------------------------------------------------------


def test_without_a_rule_there_is_no_policy() -> None:
    assert policy(snapshot(service("reviews", 80))) is None


@pytest.mark.parametrize(
    ("rules", "client", "expected"),
    [
        (["client", "default", "istio-system"], "client", "RANDOM"),
        (["default", "istio-system"], "client", "ROUND_ROBIN"),
        (["istio-system"], "client", "LEAST_REQUEST"),
        (["other"], "client", None),
        (["default", "istio-system"], "istio-system", "ROUND_ROBIN"),
        (["istio-system"], "istio-system", "LEAST_REQUEST"),
    ],
)
def test_the_clients_namespace_goes_before_the_services_before_the_root(
    rules: list[str], client: str, expected: str | None
) -> None:
    kinds = {"client": "RANDOM", "default": "ROUND_ROBIN", "istio-system": "LEAST_REQUEST", "other": "RANDOM"}
    made = snapshot(service("reviews", 80), *(dr(f"{ns}/d", REVIEWS, kinds[ns]) for ns in rules))
    assert balancer(made, namespace=client) == expected


def test_the_root_namespace_is_what_mesh_settings_say() -> None:
    made = snapshot(service("reviews", 80), dr("root/d", REVIEWS, "RANDOM"))
    assert balancer(made) is None
    made.put_config(mesh_config("rootNamespace: root"))
    assert balancer(made) == "RANDOM"


def test_the_most_specific_host_decides() -> None:
    made = snapshot(
        dr("d1", "*", "RANDOM"),
        dr("d2", "*.default.svc.cluster.local", "ROUND_ROBIN"),
        dr("d3", "reviews", ""),
    )
    assert balancer(made) == "LEAST_REQUEST"
    assert balancer(made, "ratings.default.svc.cluster.local") == "ROUND_ROBIN"
    assert balancer(made, "else.com") == "RANDOM"


@pytest.mark.parametrize(
    ("export", "seen"), [(["*"], True), (["."], False), (["client"], True), (["x"], False)]
)
def test_a_rule_of_another_namespace_must_be_exported(export: list[str], seen: bool) -> None:
    made = snapshot(service("reviews", 80), dr("default/d", REVIEWS, "RANDOM", exportTo=export))
    assert (balancer(made, namespace="client") == "RANDOM") is seen


# --- several rules --------------------------------------------------------------------------------------------------


def test_rules_for_one_host_are_joined_the_oldest_first() -> None:
    made = snapshot(
        dr("b", "reviews", "RANDOM", created="2021-01-01T00:00:00Z", subsets=[subset("v2"), subset("v3")]),
        dr(
            "a",
            "reviews",
            created="2020-01-01T00:00:00Z",
            subsets=[subset("v1"), subset("v2", loadBalancer={"simple": "ROUND_ROBIN"})],
        ),
    )
    found = policy(made)
    assert found is not None
    assert [item.name for item in found.subsets] == ["v1", "v2", "v3"]
    assert found.policy("", 80).load_balancer is ir.LoadBalancer.RANDOM
    assert found.policy("v2", 80).load_balancer is ir.LoadBalancer.ROUND_ROBIN


def test_a_workload_selector_holds_for_the_workloads_it_selects_in_its_namespace() -> None:
    selector = {"matchLabels": {"app": "web"}}
    made = snapshot(
        service("reviews", 80),
        dr("default/all", REVIEWS, "ROUND_ROBIN", subsets=[subset("v1")]),
        dr("default/web", REVIEWS, "RANDOM", workloadSelector=selector),
    )
    assert balancer(made, app="web") == "RANDOM"
    assert balancer(made, app="other") == "ROUND_ROBIN"
    assert balancer(made, namespace="client", app="web") == "ROUND_ROBIN"
    found = policy(made, app="web")
    assert found is not None
    assert [item.name for item in found.subsets] == ["v1"], "what it does not say comes from the others"


def test_a_workload_selector_without_labels_selects_its_namespace() -> None:
    made = snapshot(service("reviews", 80), dr("default/d", REVIEWS, "RANDOM", workloadSelector={}))
    assert balancer(made) == "RANDOM"
    assert balancer(made, namespace="client") is None


# --- what inherits --------------------------------------------------------------------------------------------------

INHERITING = """
host: reviews
trafficPolicy:
  loadBalancer: {simple: RANDOM}
  connectionPool: {tcp: {maxConnections: 10}}
  outlierDetection: {consecutive5xxErrors: 7}
  portLevelSettings:
  - port: {number: 90}
    connectionPool: {tcp: {maxConnections: 90}}
subsets:
- name: plain
- name: own
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    portLevelSettings:
    - port: {number: 91}
      outlierDetection: {consecutive5xxErrors: 91}
"""


@pytest.mark.parametrize(
    ("subset_name", "port", "expected"),
    [
        ("", 80, ("RANDOM", 10, 7)),
        ("", 90, ("LEAST_REQUEST", 90, None)),
        ("plain", 80, ("RANDOM", 10, 7)),
        ("plain", 90, ("LEAST_REQUEST", 90, None)),
        ("own", 80, ("ROUND_ROBIN", 10, 7)),
        ("own", 90, ("ROUND_ROBIN", 90, None)),
        ("own", 91, ("LEAST_REQUEST", None, 91)),
    ],
)
def test_a_subset_inherits_each_field_and_a_port_inherits_nothing(
    subset_name: str, port: int, expected: tuple[str, int | None, int | None]
) -> None:
    found = policy(snapshot(obj("DestinationRule", "d", INHERITING)))
    assert found is not None
    chosen = found.policy(subset_name, port)
    outlier = chosen.outlier.consecutive_5xx if chosen.outlier else None
    assert (chosen.load_balancer, chosen.connection_pool.max_connections, outlier) == expected


# --- fields ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{}", ir.TrafficPolicy()),
        ("{loadBalancer: {simple: LEAST_CONN}}", ir.TrafficPolicy()),
        ("{loadBalancer: {simple: UNSPECIFIED}}", ir.TrafficPolicy()),
        (
            "{loadBalancer: {simple: PASSTHROUGH}}",
            ir.TrafficPolicy(load_balancer=ir.LoadBalancer.PASSTHROUGH),
        ),
        (
            "{loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 30s}}}",
            ir.TrafficPolicy(load_balancer=ir.LoadBalancer.ROUND_ROBIN, warmup=ir.Warmup(window=30_000)),
        ),
        (
            "{loadBalancer: {consistentHash: {httpCookie: {name: c, path: /p, ttl: 0s}, minimumRingSize: 9}}}",
            ir.TrafficPolicy(
                load_balancer=ir.LoadBalancer.RING_HASH,
                hash=ir.HashPolicy(cookie_name="c", cookie_path="/p", cookie_ttl=0),
                minimum_ring_size=9,
            ),
        ),
        (
            "{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}}",
            ir.TrafficPolicy(load_balancer=ir.LoadBalancer.MAGLEV, hash=ir.HashPolicy(source_ip=True)),
        ),
        (
            "{connectionPool: {tcp: {maxConnections: 1, connectTimeout: 2s, idleTimeout: 3s, maxConnectionDuration: 4s,"
            " tcpKeepalive: {probes: 5, time: 6s, interval: 7s}}, http: {http1MaxPendingRequests: 8,"
            " http2MaxRequests: 9, maxRequestsPerConnection: 10, maxRetries: 11, idleTimeout: 12s,"
            " h2UpgradePolicy: UPGRADE, useClientProtocol: true, maxConcurrentStreams: 13}}}",
            ir.TrafficPolicy(
                connection_pool=ir.ConnectionPool(
                    max_connections=1,
                    connect_timeout=2000,
                    tcp_idle_timeout=3000,
                    max_connection_duration=4000,
                    keepalive=ir.KeepAlive(probes=5, time=6000, interval=7000),
                    http1_max_pending_requests=8,
                    http2_max_requests=9,
                    max_requests_per_connection=10,
                    max_retries=11,
                    idle_timeout=12_000,
                    h2_upgrade_policy="UPGRADE",
                    use_client_protocol=True,
                    max_concurrent_streams=13,
                )
            ),
        ),
        (
            "{outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, interval: 1s,"
            " consecutiveLocalOriginFailures: 3, splitExternalLocalOriginErrors: true,"
            " baseEjectionTime: 5s, maxEjectionPercent: 100, minHealthPercent: 30}}",
            ir.TrafficPolicy(
                outlier=ir.OutlierDetection(
                    consecutive_5xx=0,
                    consecutive_gateway=2,
                    consecutive_local_origin=3,
                    split_external_local_origin=True,
                    interval=1000,
                    base_ejection_time=5000,
                    max_ejection_percent=100,
                    min_health_percent=30,
                )
            ),
        ),
        (
            "{outlierDetection: {consecutiveErrors: 4}}",
            ir.TrafficPolicy(outlier=ir.OutlierDetection(consecutive_gateway=4)),
        ),
        ("{tls: {mode: DISABLE}}", ir.TrafficPolicy(tls=ir.ClientTls(mode=ir.TlsMode.DISABLE))),
        (
            "{tls: {mode: MUTUAL, sni: s, subjectAltNames: [a], clientCertificate: c, privateKey: k,"
            " caCertificates: r, insecureSkipVerify: true}}",
            ir.TrafficPolicy(
                tls=ir.ClientTls(
                    mode=ir.TlsMode.MUTUAL,
                    sni="s",
                    subject_alt_names=("a",),
                    client_certificate="c",
                    private_key="k",
                    ca_certificates="r",
                    insecure_skip_verify=True,
                )
            ),
        ),
    ],
)
def test_a_traffic_policy(written: str, expected: ir.TrafficPolicy) -> None:
    found = policy(snapshot(obj("DestinationRule", "d", f"{{host: reviews, trafficPolicy: {written}}}")))
    assert found is not None
    assert found.policy("", 80) == expected


@pytest.mark.parametrize(
    ("written", "field"),
    [
        (
            "{connectionPool: {tcp: {connectTimeout: x}}}",
            "spec.trafficPolicy.connectionPool.tcp.connectTimeout",
        ),
        ("{outlierDetection: {interval: x}}", "spec.trafficPolicy.outlierDetection.interval"),
        ("{portLevelSettings: [{loadBalancer: {}}]}", "spec.trafficPolicy.portLevelSettings[0].port"),
    ],
)
def test_what_cannot_be_lowered_names_its_field(written: str, field: str) -> None:
    made = obj("DestinationRule", "d", f"{{host: reviews, trafficPolicy: {written}}}")
    assert isinstance(made, DestinationRule)
    with pytest.raises(LoweringError) as caught:
        lower(made, "cluster.local")
    assert caught.value.field == field


def test_what_a_ports_settings_cannot_say_holds_for_the_port_too() -> None:
    written = """
host: reviews
trafficPolicy:
  proxyProtocol: {version: V1}
  retryBudget: {percent: 10}
  portLevelSettings: [{port: {number: 90}, loadBalancer: {simple: RANDOM}}]
subsets:
- {name: own, trafficPolicy: {proxyProtocol: {version: V2}}}
"""
    found = policy(snapshot(obj("DestinationRule", "d", written)))
    assert found is not None
    for subset_name, version in (("", "V1"), ("own", "V2")):
        for port in (80, 90):
            chosen = found.policy(subset_name, port)
            assert (chosen.proxy_protocol, chosen.retry_budget) == (version, ir.RetryBudget(percent=10))


def test_a_tunnel_is_of_the_whole_or_of_one_subset() -> None:
    """It is no part of what a subset inherits."""
    own = {"tunnel": {"protocol": "POST", "targetHost": "2001:db8::1", "targetPort": 443}}
    whole = {"tunnel": {"targetHost": "a.example", "targetPort": 80}}
    rule = dr("a", "reviews", subsets=[subset("v1", **own), subset("v2")], trafficPolicy=whole)
    found = policy(snapshot(service("reviews", 80), rule))
    assert found is not None
    assert found.tunnel_of("") == ir.Tunnel("a.example:80")
    assert found.tunnel_of("v1") == ir.Tunnel("[2001:db8::1]:443", post=True)
    assert found.tunnel_of("v2") is found.tunnel_of("nobody") is None
