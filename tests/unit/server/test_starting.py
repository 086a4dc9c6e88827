"""Settings as people write them, and what the agent is told."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.resources.networking.workload_group import ExecHealthCheckConfig, ReadinessProbe
from argosy.resources.proxy_start import read, typed
from argosy.server.starting import told
from argosy.xds.start import (
    GrpcProbe,
    HttpProbe,
    KeepAlive,
    MetricsService,
    Probe,
    ProxyStart,
    Statsd,
    TcpProbe,
)


def start(text: str, labels: dict[str, str] | None = None, probe: ReadinessProbe | None = None) -> ProxyStart:
    return told(typed(read(text)), workload="reviews-v1", namespace="shop", labels=labels or {}, probe=probe)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("concurrency: 0", {"concurrency": 0}),
        ("drainDuration: 5s", {"drain_seconds": 5}),
        ("terminationDrainDuration: 1500ms", {"leave_seconds": 1.5}),
        ("terminationDrainDuration: 0s", {"leave_seconds": 0.0}),
        ("serviceCluster: mine", {"service_cluster": "mine"}),
        ("serviceCluster: istio-proxy", {}),
        ("meshId: far", {"mesh_id": "far"}),
        ("statsdUdpAddress: 10.0.0.1:9125", {"statsd": Statsd(address="10.0.0.1", port=9125)}),
        ("statsdUdpAddress: 'metrics.example:9125'", {}),
        (
            "envoyMetricsService: {address: 'm.example:15000', tcpKeepalive: {probes: 3, time: 60s, interval: 5s}}",
            {
                "metrics_service": MetricsService(
                    host="m.example", port=15000, keepalive=KeepAlive(probes=3, time=60, interval=5)
                )
            },
        ),
        ("runtimeValues: {a: 'true', b: ''}", {"runtime": {"a": "true", "b": ""}}),
        (
            "proxyStatsMatcher: {inclusionPrefixes: [a], inclusionSuffixes: [b], inclusionRegexps: [c.*]}",
            {"stats_prefixes": ("a",), "stats_suffixes": ("b",), "stats_regexes": ("c.*",)},
        ),
        ("proxyMetadata: {ISTIO_META_A: b}", {"environment": {"ISTIO_META_A": "b"}}),
        ("fileFlushInterval: 2s", {"log_flush_ms": 2000}),
        ("fileFlushMinSizeKb: 8", {"log_flush_kb": 8}),
        ("connectionSettings: {globalDownstreamConnectionLimit: 7}", {"max_connections": 7}),
        ("readinessProbe: {tcpSocket: {port: 80}}", {"probe": Probe(tcp=TcpProbe(port=80))}),
        ("readinessProbe: {exec: {command: [rm]}}", {}),
    ],
)
def test_each_field_is_told(text: str, expected: dict[str, Any]) -> None:
    assert start(text) == ProxyStart(**expected)


@pytest.mark.parametrize(
    ("labels", "only", "with_namespace"),
    [
        ({}, "reviews-v1", "reviews-v1.shop"),
        ({"app": "r"}, "r", "r.shop"),
        ({"app": "r", "app.kubernetes.io/name": "k"}, "k", "k.shop"),
        ({"service.istio.io/canonical-name": "c", "app.kubernetes.io/name": "k"}, "c", "c.shop"),
    ],
)
def test_the_service_of_a_proxy_is_called_as_asked(
    labels: dict[str, str], only: str, with_namespace: str
) -> None:
    assert start("tracingServiceName: CANONICAL_NAME_ONLY", labels).service_cluster == only
    assert start("tracingServiceName: CANONICAL_NAME_AND_NAMESPACE", labels).service_cluster == with_namespace
    assert start("tracingServiceName: APP_LABEL_AND_NAMESPACE", labels).service_cluster == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{httpGet: {port: 80}}", Probe(http=HttpProbe(port=80))),
        (
            "{httpGet: {port: 80, path: /ok, host: a, scheme: HTTPS, httpHeaders: [{name: x, value: y}, {name: x}]}}",
            Probe(http=HttpProbe(port=80, path="/ok", host="a", tls=True, headers=(("x", "y"), ("x", "")))),
        ),
        ("{tcpSocket: {port: 80, host: a}}", Probe(tcp=TcpProbe(port=80, host="a"))),
        ("{grpc: {port: 80, service: a.B}}", Probe(grpc=GrpcProbe(port=80, service="a.B"))),
        (
            "{initialDelaySeconds: 1, timeoutSeconds: 2, periodSeconds: 3, successThreshold: 4, failureThreshold: 5,"
            " grpc: {port: 80}}",
            Probe(
                initial_delay=1,
                timeout=2,
                period=3,
                successes=4,
                failures=5,
                grpc=GrpcProbe(port=80, service=""),
            ),
        ),
    ],
)
def test_probes_have_kubernetes_defaults(text: str, expected: Probe) -> None:
    assert start(f"readinessProbe: {text}").probe == expected


def test_the_groups_probe_has_precedence_and_may_be_a_command() -> None:
    group = ReadinessProbe(exec=ExecHealthCheckConfig(command=("test", "-e", "/up")))
    found = start("readinessProbe: {tcpSocket: {port: 80}}", probe=group)
    assert found.probe == Probe(command=("test", "-e", "/up"))
