"""The corpus of configurations that must be accepted: validated, translated for a matching proxy, taken by Envoy.

Every case counts. That all their kinds of the mesh are served is a case of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from argosy.resources.kinds import kind_of
from tests.conformance.suites import ROOT, argosy
from tests.e2e.translate_envoy import validate

pytestmark = pytest.mark.conformance

CORPUS = ROOT / "accept-corpus"


def cases() -> list[str]:
    if not (CORPUS / "index.json").exists():
        return []
    index = json.loads((CORPUS / "index.json").read_text())
    return [case["case"] for case in index["cases"] if not case["templated"]]


def objects(case: str) -> list[dict[str, Any]]:
    found = yaml.safe_load_all((CORPUS / case / "input.yaml").read_text())
    return [one for one in found if isinstance(one, dict)]


def proxies(found: list[dict[str, Any]]) -> list[str]:
    """A sidecar of each namespace, and a gateway proxy for each selector."""
    spaces = sorted({one.get("metadata", {}).get("namespace", "default") for one in found})
    described = [f"type=sidecar,namespace={space}" for space in spaces]
    for one in found:
        if one["kind"] == "Gateway" and one["apiVersion"].startswith("networking.istio.io"):
            labels = ";".join(f"{k}={v}" for k, v in one["spec"].get("selector", {}).items())
            space = one.get("metadata", {}).get("namespace", "default")
            described.append(f"type=router,namespace={space},labels={labels}")
    return described


def test_the_corpus_is_there() -> None:
    if not cases():
        pytest.skip(f"NO CONFORMANCE CASES: {CORPUS} is not there; set ARGOSY_CONFORMANCE")


def test_every_kind_of_the_mesh_in_it_is_served() -> None:
    groups = ("istio.io", "gateway.networking.k8s.io")
    named = {(one["apiVersion"], one["kind"]) for case in cases() for one in objects(case)}
    of_the_mesh = {one for one in named if one[0].partition("/")[0].endswith(groups)}
    assert cases() == [] or of_the_mesh
    assert {one for one in of_the_mesh if kind_of(*one) is None} == set()


@pytest.mark.parametrize("case", cases())
def test_accepted(case: str, tmp_path: Path) -> None:
    found = objects(case)
    file = str(CORPUS / case / "input.yaml")
    argosy("validate", "-f", file)
    for number, proxy in enumerate(proxies(found)):
        dumped = argosy("xds", "dump", "-f", file, "--proxy", proxy)
        folder = tmp_path / str(number)
        folder.mkdir()
        validate(json.loads(dumped), folder)
