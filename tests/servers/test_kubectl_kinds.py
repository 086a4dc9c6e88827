"""The real kubectl and every kind of Istio: written in each version, shown, explained, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.resources.kinds import KINDS, Kind
from tests.servers.api import running_api
from tests.servers.kubectl import OF_EVERY_RUN, Kubectl, tools
from tests.unit.resources.rich import RICH

Json = dict[str, Any]
ISTIO = [kind for kind in KINDS if kind.group.endswith(".istio.io")]
OBJECTS = {one["kind"]: one for one in RICH if one["apiVersion"].partition("/")[0].endswith(".istio.io")}
BAD = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: bad, namespace: shop}
spec: {configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: soon}}}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: bad, namespace: shop}
spec: {egress: [{hosts: [reviews]}]}
"""


@pytest.fixture(params=OF_EVERY_RUN)
def kubectl(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kubectl]:
    found = tools(request.param)
    with running_api(tmp_path) as config:
        yield Kubectl(found.kubectl, config, tmp_path)


def rich(kind: Kind, version: str) -> Json:
    one = OBJECTS[kind.kind]
    return one | {
        "apiVersion": f"{kind.group}/{version}",
        "metadata": {"name": f"rich-{version}", "namespace": "shop"},
    }


def test_every_kind_of_istio_has_an_object_here() -> None:
    assert OBJECTS.keys() == {kind.kind for kind in ISTIO}


def test_each_is_written_in_every_version_and_all_are_shown_together(kubectl: Kubectl) -> None:
    every = [rich(kind, version) for kind in ISTIO for version in kind.versions]
    written = json.dumps({"apiVersion": "v1", "kind": "List", "items": every})
    said = kubectl.ok("apply", "--server-side", "-f", "-", stdin=written)
    assert said.count("serverside-applied") == len(every)
    shown = kubectl.ok("get", "istio-io", "-n", "shop", "-o", "name").split()
    assert len(shown) == len(every)
    assert {name.partition(".")[0] for name in shown} == {kind.singular for kind in ISTIO}
    again = kubectl.ok("apply", "--server-side", "-f", "-", stdin=written)
    assert again.count("serverside-applied") == len(every)
    resources = ",".join(
        f"{kind.plural}.{version}.{kind.group}" for kind in ISTIO for version in kind.versions
    )
    found = json.loads(kubectl.ok("get", resources, "-n", "shop", "-o", "json"))["items"]
    in_each_version = [
        (f"{kind.group}/{asked}", kind.kind, f"rich-{written}")
        for kind in ISTIO
        for asked in kind.versions
        for written in kind.versions
    ]
    told = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in found]
    assert sorted(told) == sorted(in_each_version)
    for one in found:
        assert one["spec"] == OBJECTS[one["kind"]]["spec"]
        assert one["metadata"]["generation"] == 1, "what is the same was not written again"


def test_their_fields_are_explained(kubectl: Kubectl) -> None:
    for kind in ISTIO:
        said = kubectl.ok("explain", f"{kind.plural}.{kind.group}")
        assert "DESCRIPTION:" in said
        assert "<no description>" not in said
    assert "captureMode" in kubectl.ok("explain", "sidecar.spec.egress")
    assert "filterClass" in kubectl.ok("explain", "ef.spec.configPatches.patch")


def test_what_istio_refuses_is_refused_at_its_field(kubectl: Kubectl) -> None:
    done = kubectl("create", "-f", "-", stdin=BAD)
    assert done.returncode == 1
    assert "spec.configPatches[0].patch.value" in done.stderr
    assert "spec.egress[0].hosts[0]" in done.stderr
    assert kubectl.ok("get", "ef,sidecar", "-n", "shop", "-o", "name") == ""
