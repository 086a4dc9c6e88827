"""WorkloadGroup and ProxyConfig: what is refused at which field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.validation import Verdict

Judge = Callable[..., Verdict]
Json = dict[str, Any]


def group(**probe: Any) -> Json:
    return {"template": {"serviceAccount": "reviews", "ports": {"http": 8080}}, "probe": probe}


VALID: list[tuple[str, Json]] = [
    ("WorkloadGroup", {"template": {}}),
    (
        "WorkloadGroup",
        {"template": {"network": "far"}, "metadata": {"labels": {"app.kubernetes.io/name": "a"}}},
    ),
    ("WorkloadGroup", {"template": {}, "metadata": {"annotations": {"a": "any text"}}}),
    ("WorkloadGroup", group(httpGet={"port": 80, "scheme": "HTTPS", "httpHeaders": [{"name": "a"}] * 2})),
    ("WorkloadGroup", group(tcpSocket={"port": 65535, "host": "a"}, failureThreshold=3)),
    ("WorkloadGroup", group(exec={"command": ["true"]}, periodSeconds=0)),
    ("WorkloadGroup", group(grpc={"port": 1, "service": "a.B"})),
    ("ProxyConfig", {}),
    ("ProxyConfig", {"selector": {"matchLabels": {"app": "a"}}, "concurrency": 0}),
    ("ProxyConfig", {"environmentVariables": {"A": ""}, "image": {"imageType": "distroless"}}),
]

REFUSED: list[tuple[str, Json, str]] = [
    ("WorkloadGroup", {}, "spec.template"),
    ("WorkloadGroup", {"template": {"ports": {"http": 0}}}, "spec.template.ports['http']"),
    ("WorkloadGroup", {"template": {"ports": {"a_b": 1}}}, "spec.template.ports"),
    ("WorkloadGroup", {"template": {"labels": {"a b": ""}}}, "spec.template.labels"),
    (
        "WorkloadGroup",
        {"template": {"address": "unix:///a", "ports": {"http": 1}}},
        "spec.template.ports",
    ),
    ("WorkloadGroup", {"template": {}, "metadata": {"labels": {"a": "b c"}}}, "spec.metadata.labels"),
    ("WorkloadGroup", group(), "spec.probe"),
    ("WorkloadGroup", group(tcpSocket={"port": 1}, grpc={"port": 1}), "spec.probe"),
    ("WorkloadGroup", group(tcpSocket={}), "spec.probe.tcpSocket.port"),
    ("WorkloadGroup", group(tcpSocket={"port": 65536}), "spec.probe.tcpSocket.port"),
    ("WorkloadGroup", group(grpc={}), "spec.probe.grpc.port"),
    ("WorkloadGroup", group(exec={"command": []}), "spec.probe.exec.command"),
    ("WorkloadGroup", group(exec={"command": [""]}), "spec.probe.exec.command[0]"),
    ("WorkloadGroup", group(httpGet={"port": 0}), "spec.probe.httpGet.port"),
    ("WorkloadGroup", group(httpGet={"port": 1, "scheme": "https"}), "spec.probe.httpGet.scheme"),
    (
        "WorkloadGroup",
        group(httpGet={"port": 1, "httpHeaders": [{"name": "a b"}]}),
        "spec.probe.httpGet.httpHeaders[0].name",
    ),
    (
        "WorkloadGroup",
        group(httpGet={"port": 1, "httpHeaders": [{}]}),
        "spec.probe.httpGet.httpHeaders[0].name",
    ),
    ("WorkloadGroup", group(tcpSocket={"port": 1}, periodSeconds=-1), "spec.probe.periodSeconds"),
    ("WorkloadGroup", group(tcpSocket={"port": 1}, successThreshold=-1), "spec.probe.successThreshold"),
    ("ProxyConfig", {"concurrency": -1}, "spec.concurrency"),
    ("ProxyConfig", {"selector": {"matchLabels": {"": "a"}}}, "spec.selector.matchLabels"),
    ("ProxyConfig", {"selector": {"matchLabels": {"a": "*"}}}, "spec.selector.matchLabels"),
    ("ProxyConfig", {"environmentVariables": {"A": "b" * 2049}}, "spec.environmentVariables.A"),
    ("ProxyConfig", {"environmentVariables": {"A": 1}}, "spec.environmentVariables.A"),
]


@pytest.mark.parametrize(("kind", "spec"), VALID)
def test_what_istio_takes_is_valid(judge: Judge, kind: str, spec: Json) -> None:
    verdict = judge(kind, spec)
    assert verdict.errors == verdict.warnings == ()


@pytest.mark.parametrize(("kind", "spec", "field"), REFUSED)
def test_what_cannot_be_is_refused_at_its_field(judge: Judge, kind: str, spec: Json, field: str) -> None:
    assert field in [problem.field for problem in judge(kind, spec).errors]


def test_a_group_has_a_spec(judge: Judge) -> None:
    assert [problem.field for problem in judge("WorkloadGroup", None).errors] == ["spec"]
