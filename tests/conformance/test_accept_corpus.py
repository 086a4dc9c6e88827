"""The corpus of configurations that must be accepted: validated, translated for a matching proxy, taken by Envoy.

A case counts where all that it holds of the mesh is of kinds that are served; the others are named in the skip.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from argosy.cli.main import app
from argosy.resources.kinds import kind_of
from tests.e2e.translate_envoy import validate

pytestmark = pytest.mark.conformance

ROOT = Path(os.environ.get("ARGOSY_CONFORMANCE", Path(__file__).parents[2].parent / "shared" / "conformance"))
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


def argosy(*arguments: str) -> str:
    """What the command says, run in this process (starting Python for each case is most of the time)."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_the_corpus_is_there() -> None:
    if not cases():
        pytest.skip(f"NO CONFORMANCE CASES: {CORPUS} is not there; set ARGOSY_CONFORMANCE")


@pytest.mark.parametrize("case", cases())
def test_accepted(case: str, tmp_path: Path) -> None:
    found = objects(case)
    foreign = {
        f"{one['apiVersion']}/{one['kind']}"
        for one in found
        if kind_of(one["apiVersion"], one["kind"]) is None
    }
    mesh_kinds = ("istio.io", "gateway.networking.k8s.io")
    if later := {name for name in foreign if any(group in name for group in mesh_kinds)}:
        pytest.skip(f"not served yet: {', '.join(sorted(later))}")
    file = str(CORPUS / case / "input.yaml")
    argosy("validate", "-f", file)
    for number, proxy in enumerate(proxies(found)):
        dumped = argosy("xds", "dump", "-f", file, "--proxy", proxy)
        folder = tmp_path / str(number)
        folder.mkdir()
        validate(json.loads(dumped), folder)
