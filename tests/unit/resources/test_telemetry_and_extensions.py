"""Telemetry, WasmPlugin and TrafficExtension: what is refused at which field, and what is warned of."""

from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.validation import Verdict

Judge = Callable[..., Verdict]
Json = dict[str, Any]
LUA = {"inlineCode": "function envoy_on_request(handle) end"}
WASM = {"url": "oci://registry.example/module:1"}


def errors(verdict: Verdict) -> list[str]:
    return [problem.field for problem in verdict.errors]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"tracing": [{"providers": [{"name": ""}]}]}, "spec.tracing[0].providers[0].name"),
        ({"tracing": [{"randomSamplingPercentage": -1}]}, "spec.tracing[0].randomSamplingPercentage"),
        (
            {"tracing": [{"customTags": {"a": {"literal": {"value": "b"}, "header": {"name": "c"}}}}]},
            "spec.tracing[0].customTags['a']",
        ),
        (
            {"tracing": [{"customTags": {"a": {"literal": {"value": ""}}}}]},
            "spec.tracing[0].customTags.a.literal.value",
        ),
        (
            {"tracing": [{"customTags": {"a": {"header": {"name": "b\nc"}}}}]},
            "spec.tracing[0].customTags['a'].header.name",
        ),
        (
            {"tracing": [{"customTags": {"a": {"formatter": {"value": "100%"}}}}]},
            "spec.tracing[0].customTags['a'].formatter.value",
        ),
        ({"metrics": [{"reportingInterval": "often"}]}, "spec.metrics[0].reportingInterval"),
        (
            {"metrics": [{"overrides": [{"match": {"metric": "REQUEST_COUNT", "customMetric": "a"}}]}]},
            "spec.metrics[0].overrides[0].match",
        ),
        ({"accessLogging": [{"match": {"mode": "BOTH"}}]}, "spec.accessLogging[0].match.mode"),
        ({"selector": {"matchLabels": {"a": "*"}}}, "spec.selector.matchLabels"),
        *(
            ({"accessLogging": [{"filter": {"expression": text}}]}, "spec.accessLogging[0].filter.expression")
            for text in ("", "response.code >=", "a b", "size(a", "'a", "(" * 4096, "a" * 4097)
        ),
    ],
)
def test_telemetry_that_cannot_be_reported_is_refused_at_its_field(
    judge: Judge, spec: Json, field: str
) -> None:
    assert field in errors(judge("Telemetry", spec))


def test_a_tag_that_says_nothing_is_warned_of(judge: Judge) -> None:
    """Envoy has no such tag: it is left out."""
    verdict = judge("Telemetry", {"tracing": [{"customTags": {"a": {}}}]})
    assert verdict.valid
    assert [problem.field for problem in verdict.warnings] == ["spec.tracing[0].customTags['a']"]


def test_telemetry_of_every_part_is_valid(judge: Judge) -> None:
    spec = {
        "tracing": [
            {
                "match": {"mode": "SERVER"},
                "providers": [{"name": "otel"}],
                "randomSamplingPercentage": 12.5,
                "customTags": {"a": {"environment": {"name": "A", "defaultValue": "b"}}},
                "enableIstioTags": False,
            }
        ],
        "metrics": [
            {
                "overrides": [
                    {
                        "match": {"metric": "ALL_METRICS", "mode": "CLIENT"},
                        "tagOverrides": {"x": {"value": "request.host"}, "y": {"operation": "REMOVE"}},
                    }
                ],
                "reportingInterval": "5s",
            }
        ],
        "accessLogging": [{"filter": {"expression": "response.code >= 400"}, "disabled": False}],
    }
    verdict = judge("Telemetry", spec)
    assert verdict.errors == verdict.warnings == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.url"),
        (WASM | {"url": "a b"}, "spec.url"),
        *(
            (WASM | {"url": url}, "spec.url")
            for url in (
                "http://",
                "docker://a",
                "http://a.com:80a",
                "http://a.com/%zz",
                "http://[::1",
                "a:b:99999999",
            )
        ),
        (WASM | {"sha256": "A" * 64}, "spec.sha256"),
        (WASM | {"imagePullPolicy": "IF_NOT_PRESENT"}, "spec.imagePullPolicy"),
        (WASM | {"imagePullSecret": "a" * 254}, "spec.imagePullSecret"),
        (WASM | {"phase": "LAST"}, "spec.phase"),
        (WASM | {"vmConfig": {"env": [{"name": "a"}, {"name": "a"}]}}, "spec.vmConfig.env[1].name"),
        (WASM | {"match": [{"ports": [{"number": 0}]}]}, "spec.match[0].ports[0].number"),
        (WASM | {"pluginConfig": "text"}, "spec.pluginConfig"),
    ],
)
def test_a_module_that_cannot_be_loaded_is_refused_at_its_field(judge: Judge, spec: Json, field: str) -> None:
    assert field in errors(judge("WasmPlugin", spec))


@pytest.mark.parametrize(
    "url",
    [
        "file:///a.wasm",
        "http://[::1]:80/a?b=%20",
        "oci://a.com/b:1",
        "localhost:5000/a",
        "a.com/b@sha256:12",
        "b:1",
    ],
)
def test_a_module_is_at_a_url_or_an_image(judge: Judge, url: str) -> None:
    assert judge("WasmPlugin", WASM | {"url": url}).errors == ()


def test_an_extension_is_wasm_or_lua(judge: Judge) -> None:
    def found(spec: Json) -> list[str]:
        return errors(judge("TrafficExtension", spec))

    assert found({"lua": LUA}) == found({"wasm": WASM, "phase": "AUTHN", "priority": -1}) == []
    assert found({}) == found({"lua": LUA, "wasm": WASM}) == ["spec"]
    assert found({"lua": {"inlineCode": "a" * 65537}}) == ["spec.lua.inlineCode"]
    assert found({"lua": {"inlineCode": ""}}) == ["spec.lua.inlineCode"]
    assert found({"wasm": {"url": "ftp://a"}}) == ["spec.wasm.url"]
