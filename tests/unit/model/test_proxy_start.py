"""What a proxy is started with: who says it, and whose word counts."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from argosy.model.proxy_start import start_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.resources.proxy_start import ProxyStart, TracingServiceName
from tests.unit.model.written import mesh_config

Json = dict[str, Any]
LABELS = {"app": "reviews", "version": "v1"}


def proxy_config(
    name: str, namespace: str, spec: Json, created: str = "2026-01-01T00:00:00Z", **selector: str
) -> Any:
    chosen = {"selector": {"matchLabels": selector}} if selector else {}
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return decode(
        {
            "apiVersion": "networking.istio.io/v1beta1",
            "kind": "ProxyConfig",
            "metadata": metadata,
            "spec": {**chosen, **spec},
        }
    )


def threads(number: int) -> Json:
    return {"concurrency": number}


MESH = mesh_config("defaultConfig: {concurrency: 1, proxyMetadata: {A: mesh, B: mesh}}")
ROOT = proxy_config("root", "istio-system", threads(2) | {"environmentVariables": {"B": "root"}})
NAMESPACE = proxy_config("all", "shop", threads(3))
SELECTED = proxy_config("one", "shop", threads(5), app="reviews")
ANNOTATION = "{concurrency: 4, proxyMetadata: {C: own}}"


def started(*objects: Any, annotations: tuple[str, ...] = (), namespace: str = "shop") -> ProxyStart:
    snapshot = Snapshot()
    for obj in objects:
        assert snapshot.put_config(obj) == set() or obj.kind == "ConfigMap"
    assert snapshot.rejected == {}
    return start_of(snapshot, namespace, LABELS, annotations)


@pytest.mark.parametrize(
    ("objects", "annotations", "concurrency"),
    [
        ((), (), None),
        ((MESH,), (), 1),
        ((ROOT, MESH), (), 2),
        ((NAMESPACE, ROOT, MESH), (), 3),
        ((NAMESPACE, ROOT, MESH), (ANNOTATION,), 4),
        ((SELECTED, NAMESPACE, ROOT, MESH), (ANNOTATION,), 5),
        ((NAMESPACE,), (ANNOTATION, "concurrency: 7"), 7),
        ((NAMESPACE,), ("concurrency: 0",), 0),
    ],
)
def test_the_nearest_word_counts(
    objects: tuple[Any, ...], annotations: tuple[str, ...], concurrency: int | None
) -> None:
    assert started(*objects, annotations=annotations).concurrency == concurrency


def test_environments_are_merged_by_name() -> None:
    found = started(MESH, ROOT, NAMESPACE, annotations=(ANNOTATION,))
    assert found.proxy_metadata == {"A": "mesh", "B": "root", "C": "own"}


def test_other_fields_replace_what_was_said() -> None:
    mesh = mesh_config("defaultConfig: {runtimeValues: {a: '1'}, tracingServiceName: CANONICAL_NAME_ONLY}")
    found = started(mesh, annotations=("runtimeValues: {b: '2'}",))
    assert found.runtime_values == {"b": "2"}
    assert found.tracing_service_name is TracingServiceName.CANONICAL_NAME_ONLY


@pytest.mark.parametrize(
    "other",
    [
        proxy_config("elsewhere", "other", threads(9)),
        proxy_config("elsewhere", "other", threads(9), app="reviews"),
        proxy_config("not-it", "shop", threads(9), app="ratings"),
        proxy_config("not-all-of-it", "shop", threads(9), app="reviews", version="v2"),
        proxy_config("younger", "shop", threads(9), "2026-02-01T00:00:00Z"),
        proxy_config("root-selects", "istio-system", threads(9), app="reviews"),
        proxy_config("none", "shop", {"selector": {}, **threads(9)}, "2025-01-01T00:00:00Z"),
    ],
    ids=lambda obj: obj.metadata.name,
)
def test_who_it_is_not_for_is_not_told(other: Any) -> None:
    assert started(NAMESPACE, other).concurrency == 3


def test_the_root_namespace_is_what_the_mesh_says() -> None:
    mesh = mesh_config("rootNamespace: config")
    root = proxy_config("root", "config", threads(2))
    assert started(mesh, root, ROOT).concurrency == 2
    assert started(mesh, ROOT).concurrency is None


def test_what_is_taken_away_no_longer_counts() -> None:
    snapshot = Snapshot()
    for obj in (NAMESPACE, ROOT):
        snapshot.put_config(obj)
    snapshot.remove_config("ProxyConfig", "shop", "all")
    assert start_of(snapshot, "shop", LABELS).concurrency == 2
    snapshot.put_config(proxy_config("root", "istio-system", {}))
    assert start_of(snapshot, "shop", LABELS).concurrency is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concurrency: many", "concurrency"),
        ("concurrency: -1", "concurrency"),
        ("[1]", "is not one ProxyConfig"),
        ("{", "proxy.istio.io/config"),
        ("terminationDrainDuration: soon", "terminationDrainDuration"),
        ("readinessProbe: {httpGet: {port: 0}}", "readinessProbe"),
        ("readinessProbe: {}", "readinessProbe"),
        ("proxyStatsMatcher: {inclusionRegexps: ['(']}", "inclusionRegexps"),
        ("proxyMetadata: {A: 1}", "proxyMetadata"),
    ],
)
def test_an_annotation_that_is_none_is_refused_with_its_field(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("[", r"\[")):
        started(annotations=(text,))


def test_the_mesh_settings_of_a_start_are_all_that_is_kept() -> None:
    config = {"concurrency": 2, "tracing": {"sampling": 5}, "proxyHeaders": {}, "configPath": "/a"}
    snapshot = Snapshot()
    snapshot.put_config(mesh_config(yaml.safe_dump({"defaultConfig": config})))
    assert snapshot.mesh.default_config == '{"concurrency":2}'
