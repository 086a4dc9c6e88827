"""Of a ProxyConfig, what holds for the mesh alone is told where a workload says it (proxy.istio.io/config)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from argosy.model.limits import annotation_not_in_force, not_in_force
from argosy.resources import proxy_settings
from argosy.resources.kinds import decode
from argosy.resources.proxy_start import ANNOTATION
from argosy.resources.validation import validate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "concurrency: 2",
        "{meshId: a, proxyMetadata: {A: b}, connectionSettings: {globalDownstreamConnectionLimit: 3}}",
        "concurrency: many",  # is no ProxyConfig: told as such, elsewhere
    ],
)
def test_what_a_proxy_is_started_with_is_in_force(text: str) -> None:
    assert annotation_not_in_force(text) == ()


@pytest.mark.parametrize(
    ("text", "field", "word"),
    [
        ("proxyHeaders: {requestId: {disabled: true}}", "proxyHeaders", "the mesh's"),
        ("gatewayTopology: {numTrustedProxies: 2}", "gatewayTopology", "the mesh's"),
        ("tracing: {sampling: 5}", "tracing", "Telemetry"),
        ("tracing: {openCensusAgent: {address: a}}", "tracing", "the mesh's"),
        ("connectionSettings: {profile: EDGE}", "connectionSettings.profile", "the mesh's"),
        (
            "connectionSettings: {httpMergeSlashes: true, globalDownstreamConnectionLimit: 3}",
            "connectionSettings.httpMergeSlashes",
            "the mesh's",
        ),
        (
            "connectionSettings: {listenerConnectionLimit: 3}",
            "connectionSettings.listenerConnectionLimit",
            "runtimeValues",
        ),
        ("statusPort: 4", "statusPort", "no port"),
        ("readinessProbe: {exec: {command: [a]}}", "readinessProbe.exec", "WorkloadGroup"),
        ("nonesuch: 4", "nonesuch", "no setting that this version knows"),
    ],
)
def test_the_rest_is_told(text: str, field: str, word: str) -> None:
    ((found, message),) = annotation_not_in_force(text)
    assert found == field
    assert word in message


def test_every_field_that_proxies_get_while_they_run_is_told() -> None:
    """As MeshConfig's examples write them, so that a new field is not forgotten here."""
    settings: dict[str, Any] = {}
    for one in msgspec.structs.fields(proxy_settings.ConnectionSettings):
        settings[one.encode_name] = _example(one.name)
    told = {
        field
        for field, _ in annotation_not_in_force(
            msgspec.json.encode({"connectionSettings": settings}).decode()
        )
    }
    assert told == {f"connectionSettings.{name}" for name in settings} - {
        "connectionSettings.globalDownstreamConnectionLimit"
    }


def _example(attribute: str) -> Any:
    choices = {
        "profile": "EDGE",
        "http_headers_with_underscores_action": "HEADERS_WITH_UNDERSCORES_ALLOW",
        "http_merge_slashes": True,
        "http_path_with_escaped_slashes_action": "KEEP_UNCHANGED",
    }
    return choices.get(attribute, "3s" if attribute in proxy_settings.DURATIONS else 70000)


def _entry(text: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": "a", "namespace": "shop", "annotations": {ANNOTATION: text}},
        "spec": {"address": "10.0.0.1"},
    }


def _group(text: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"template": {}, "metadata": {"annotations": {ANNOTATION: text}}},
    }


@pytest.mark.parametrize(
    ("obj", "place"),
    [
        (_entry("tracing: {sampling: 5}"), "metadata.annotations['proxy.istio.io/config'].tracing"),
        (_group("tracing: {sampling: 5}"), "spec.metadata.annotations['proxy.istio.io/config'].tracing"),
    ],
)
def test_an_object_that_is_applied_is_told_of(obj: dict[str, Any], place: str) -> None:
    assert [field for field, _ in not_in_force(decode(obj))] == [place]
    assert validate(obj).valid


def test_an_entry_whose_annotation_is_no_proxy_config_is_warned_of() -> None:
    found = validate(_entry("concurrency: many"))
    assert found.valid
    (warning,) = found.warnings
    assert "is left out" in str(warning)
