"""Tracing of a connection manager: each collector, tags, and where spans say they come from."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)
from google.protobuf.json_format import MessageToDict

from argosy.model import telemetry
from argosy.model.providers import Collector, Detector, Sampler, Tag, Tracer, TracerKind
from argosy.translate.filters.tracing import Origin, Tracing, trace

COLLECTOR = Collector("otel.example", 9000)
API = Sampler(to=Collector("dt.example", 443), path="/s", tenant="t", cluster_id=7, headers=(("b", "c"),))
ZIPKIN = {
    "collector_endpoint_version": "HTTP_JSON",
    "trace_id_128bit": True,
    "shared_span_context": False,
}
GRPC = {
    "envoy_grpc": {"cluster_name": "c", "authority": "otel.example"},
    "initial_metadata": [{"key": "a", "value": "b"}],
}


def added(key: str, value: str) -> list[Any]:
    return [{"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]


def traced(to: Tracer, origin: Origin | None = None, **said: Any) -> dict[str, Any]:
    out = manager_pb2.HttpConnectionManager()
    said = {"sampling": 5.0, **said}
    key = Tracing(
        said=telemetry.Tracing(to=to, **said),
        cluster="c",
        service="web.shop",
        sampler_cluster="s",
        origin=origin,
    )
    trace(key, out)
    made: dict[str, Any] = MessageToDict(out, preserving_proto_field_name=True)
    return made


def without_types(value: Any) -> Any:
    if isinstance(value, list):
        return [without_types(one) for one in value]
    if isinstance(value, dict):
        return {key: without_types(one) for key, one in value.items() if key != "@type"}
    return value


@pytest.mark.parametrize(
    ("to", "name", "config"),
    [
        (
            Tracer(kind=TracerKind.ZIPKIN, to=COLLECTOR, path="/p"),
            "zipkin",
            {
                **ZIPKIN,
                "collector_cluster": "c",
                "collector_endpoint": "/p",
                "collector_hostname": "otel.example",
            },
        ),
        (
            Tracer(kind=TracerKind.ZIPKIN, to=COLLECTOR, path="/p", headers=(("a", "b"),), w3c=True),
            "zipkin",
            {
                **ZIPKIN,
                "trace_context_option": "USE_B3_WITH_W3C_PROPAGATION",
                "collector_service": {
                    "http_uri": {"uri": "http://otel.example/p", "cluster": "c", "timeout": "5s"},
                    "request_headers_to_add": added("a", "b"),
                },
            },
        ),
        (
            Tracer(kind=TracerKind.DATADOG, to=COLLECTOR),
            "datadog",
            {"collector_cluster": "c", "collector_hostname": "otel.example", "service_name": "web.shop"},
        ),
        (
            Tracer(kind=TracerKind.SKYWALKING, to=COLLECTOR, token="t"),
            "skywalking",
            {
                "grpc_service": {"envoy_grpc": {"cluster_name": "c", "authority": "otel.example"}},
                "client_config": {"backend_token": "t"},
            },
        ),
        (
            Tracer(kind=TracerKind.OPEN_TELEMETRY, to=COLLECTOR, headers=(("a", "b"),)),
            "opentelemetry",
            {"service_name": "web.shop", "grpc_service": GRPC},
        ),
        (
            Tracer(
                kind=TracerKind.OPEN_TELEMETRY_HTTP,
                to=COLLECTOR,
                path="/p",
                headers=(("a", "b"),),
                detectors=(Detector.ENVIRONMENT, Detector.DYNATRACE),
                sampler=API,
            ),
            "opentelemetry",
            {
                "service_name": "web.shop",
                "http_service": {
                    "http_uri": {"uri": "otel.example/p", "cluster": "c", "timeout": "3s"},
                    "request_headers_to_add": added("a", "b"),
                },
                "resource_detectors": [
                    {"name": f"envoy.tracers.opentelemetry.resource_detectors.{name}", "typed_config": {}}
                    for name in ("environment", "dynatrace")
                ],
                "sampler": {
                    "name": "envoy.tracers.opentelemetry.samplers.dynatrace",
                    "typed_config": {
                        "tenant": "t",
                        "cluster_id": 7,
                        "http_service": {
                            "http_uri": {"uri": "dt.example/s", "cluster": "s", "timeout": "3s"},
                            "request_headers_to_add": added("b", "c"),
                        },
                    },
                },
            },
        ),
    ],
    ids=lambda one: one.kind if isinstance(one, Tracer) else "",
)
def test_spans_go_to_their_collector(to: Tracer, name: str, config: dict[str, Any]) -> None:
    provider = traced(to)["tracing"]["provider"]
    assert provider["name"] == f"envoy.tracers.{name}"
    assert without_types(provider["typed_config"]) == config


def test_what_is_traced_and_with_which_tags() -> None:
    tags = (
        Tag(name="l", literal="x"),
        Tag(name="h", header="x-h"),
        Tag(name="f", formatter="%PROTOCOL%"),
        Tag(name="e", environment="E", default="d"),
    )
    to = Tracer(kind=TracerKind.DATADOG, to=COLLECTOR)
    made = traced(to, tags=tags, by_request_id=False, max_tag_length=7)
    found = made["tracing"]
    assert found["random_sampling"] == {"value": 5.0}
    assert found["client_sampling"] == found["overall_sampling"] == {"value": 100.0}
    assert found["max_path_tag_length"] == 7
    assert found["custom_tags"] == [
        {"tag": "e", "environment": {"name": "E", "default_value": "d"}},
        {"tag": "f", "value": "%PROTOCOL%"},
        {"tag": "h", "request_header": {"name": "x-h"}},
        {"tag": "l", "literal": {"value": "x"}},
    ]
    assert made["request_id_extension"]["typed_config"]["use_request_id_for_trace_sampling"] is False


def test_istios_own_tags_say_what_is_known_and_have_the_proxy_say_the_rest() -> None:
    to = Tracer(kind=TracerKind.DATADOG, to=COLLECTOR)

    def tags(origin: Origin) -> dict[str, Any]:
        made = traced(to, origin)["tracing"]["custom_tags"]
        return {one["tag"]: one.get("literal", {}).get("value") or one["value"] for one in made}

    assert tags(Origin(service="web", revision="v1", namespace="shop", mesh="m")) == {
        "istio.canonical_revision": "v1",
        "istio.canonical_service": "web",
        "istio.cluster_id": "Kubernetes",
        "istio.mesh_id": "m",
        "istio.namespace": "shop",
    }
    shared = tags(Origin(namespace="shop", mesh="m"))
    assert shared["istio.canonical_service"].startswith("%CEL('service.istio.io/canonical-name' in ")
    assert shared["istio.canonical_service"].endswith(": xds.node.metadata['NAME'])%")
    assert "custom_tags" not in traced(to)["tracing"]


def test_a_context_that_is_not_propagated_is_said_in_a_field_newer_than_our_classes() -> None:
    out = manager_pb2.HttpConnectionManager()
    said = telemetry.Tracing(to=Tracer(kind=TracerKind.DATADOG, to=COLLECTOR), sampling=1, propagates=False)
    trace(Tracing(said=said, cluster="c", service="s"), out)
    kept = out.tracing.SerializeToString(deterministic=True)
    assert kept.endswith(b"\x68\x01")  # field 13, true
