"""The suite analyzers: every case, those of Kubernetes too, judged by (code, origin) as the command answers."""

import json
from collections import Counter
from functools import cache
from typing import Any

import pytest
from typer.testing import CliRunner

from argosy.cli.main import app
from argosy.explain.analysis.analyze import ALL
from argosy.explain.analysis.catalogue import BY_NAME
from tests.conformance.suites import ROOT as CASES

SUITE = CASES / "analyzers"
CODES = {each.name: each.codes for each in ALL}
CALLED_HERE = {
    "schemaValidation.CollectionValidationAnalyzer": ("schema.ValidationAnalyzer",),
    "destinationrule.PodNotSelectedAnalyzer": (
        "destinationrule.PodNotSelectedAnalyzer",
        "destinationrule.HostAnalyzer",
    ),
    "virtualservice.DestinationHostAnalyzer": (
        "virtualservice.DestinationHostAnalyzer",
        "virtualservice.IngressSubsetAnalyzer",
    ),
}
"""Analyzers of which we have made several, or that have another name."""

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(
        not CASES.is_dir(), reason=f"NO CONFORMANCE DATA in {CASES}: set ARGOSY_CONFORMANCE to its folder"
    ),
]


@cache
def _index() -> dict[str, Any]:
    path = SUITE / "index.json"
    if not path.is_file():
        return {"cases": [], "messages": {}}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("case", _index()["cases"], ids=lambda case: str(case["case"]))
def test_case_is_analysed_as_by_istio(case: dict[str, Any]) -> None:
    folder = SUITE / case["case"]
    arguments = ["analyze", "-o", "json"]
    for name in case["inputs"]:
        arguments += ["-f", str(folder / name)]
    if "meshConfigFile" in case:
        arguments += ["--mesh-config", str(folder / case["meshConfigFile"])]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code in (0, 1), done.output
    judged = {code for name in CALLED_HERE.get(case["analyzer"], (case["analyzer"],)) for code in CODES[name]}
    told = [each for each in json.loads(done.stdout) if each["code"] in judged]
    expected = Counter((each["code"], each["origin"]) for each in case["expected"])
    assert Counter((each["code"], each["origin"]) for each in told) == expected, told
    levels = {each["code"]: each["level"] for each in case["expected"]}
    assert {each["code"]: each["level"] for each in told} == levels


def test_the_catalogue_is_istios() -> None:
    ours = {name: (each.code, each.level.label) for name, each in BY_NAME.items()}
    assert {name: (each["code"], each["level"]) for name, each in _index()["messages"].items()} == ours
