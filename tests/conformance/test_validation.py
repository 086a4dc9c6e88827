"""The suites validation-crds, validation-tables and accept-corpus: every case, of every kind, mesh settings too."""

import json
from functools import cache
from typing import Any

import pytest

from argosy.resources.loading import load_documents
from argosy.resources.report import report
from tests.conformance.suites import ROOT as CASES

EMBEDDED_MAY_DIFFER = 0.03  # conformance/README: of cases that were wrapped in a minimal parent
AGREE = {"validation-crds": 1.0, "validation-tables": 0.99}  # what is promised of each suite

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(
        not CASES.is_dir(), reason=f"NO CONFORMANCE DATA in {CASES}: set ARGOSY_CONFORMANCE to its folder"
    ),
]


@cache
def _index(suite: str) -> list[dict[str, Any]]:
    path = CASES / suite / "index.json"
    if not path.is_file():
        return []
    cases: list[dict[str, Any]] = json.loads(path.read_text())["cases"]
    return cases


def _entry(suite: str, case: dict[str, Any]) -> dict[str, Any]:
    path = CASES / suite / case["case"] / case.get("input", "input.yaml")
    (entry,) = report(load_documents(path.read_text(), case["case"]))
    assert "skipped" not in entry
    assert entry["kind"] == case["kind"]
    return entry


@pytest.mark.parametrize("case", _index("validation-crds"), ids=lambda case: str(case["case"]))
def test_crd_case_is_judged_as_by_istio(case: dict[str, Any]) -> None:
    entry = _entry("validation-crds", case)
    assert entry["valid"] == case["valid"], (case["error"], entry["errors"])


@pytest.mark.parametrize(
    "case",
    [case for case in _index("validation-tables") if not case["embedded"]],
    ids=lambda case: str(case["case"]),
)
def test_table_case_is_judged_as_by_istio(case: dict[str, Any]) -> None:
    entry = _entry("validation-tables", case)
    assert entry["valid"] == case["valid"], (case.get("error_contains"), entry["errors"])


def test_embedded_table_cases_are_judged_as_by_istio() -> None:
    cases = [case for case in _index("validation-tables") if case["embedded"]]
    differ = {
        case["case"]: entry["errors"]
        for case in cases
        if (entry := _entry("validation-tables", case))["valid"] != case["valid"]
    }
    assert cases
    assert len(differ) <= EMBEDDED_MAY_DIFFER * len(cases), differ


@pytest.mark.parametrize("suite", AGREE)
def test_as_many_cases_of_a_suite_agree_as_is_promised(suite: str) -> None:
    cases = _index(suite)
    differ = [case["case"] for case in cases if _entry(suite, case)["valid"] != case["valid"]]
    assert cases
    assert len(cases) - len(differ) >= AGREE[suite] * len(cases), differ


def test_warnings_are_where_istio_has_them() -> None:
    cases = [
        case for case in _index("validation-tables") if case["valid"] and case.get("warning") is not None
    ]
    differ = {
        case["case"]: entry["warnings"]
        for case in cases
        if bool((entry := _entry("validation-tables", case))["warnings"]) != case["warning"]
    }
    assert cases
    assert len(differ) <= EMBEDDED_MAY_DIFFER * len(cases), differ


def test_every_manifest_of_the_gateway_api_is_accepted() -> None:
    """But for those in which something is still to be put in place of a name."""
    refused, judged = [], 0
    folder = CASES / "gateway-api-conformance"
    for path in sorted(folder.rglob("*.yaml")):
        text = path.read_text()
        if "PLACEHOLDER" in text or "{GATEWAY_CONTROLLER_NAME}" in text:
            continue
        for entry in report(load_documents(text, str(path.relative_to(folder)))):
            judged += not entry.get("skipped")
            if not entry["valid"]:
                refused.append(entry)
    assert judged
    assert not refused


def test_every_object_of_the_corpus_is_accepted() -> None:
    refused = []
    judged = 0
    for case in _index("accept-corpus"):
        if case["templated"]:
            continue
        for path in sorted((CASES / "accept-corpus" / case["case"]).glob("*.yaml")):
            for entry in report(load_documents(path.read_text(), f"{case['case']}/{path.name}")):
                judged += not entry.get("skipped")
                if not entry["valid"]:
                    refused.append(entry)
    assert judged
    assert not refused
