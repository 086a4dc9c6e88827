"""docs/compatibility.md opens with the number of cases passed in each suite: that number is counted here.

`python -m tests.conformance.test_counts` writes it. The cases of a suite are run by its own tests; what counts here as
passed is what those do not name as failing.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance import test_authz_rbac as authorization
from tests.conformance import test_traffic_simulation as simulation
from tests.conformance.suites import ROOT
from tests.conformance.test_validation import _entry as judged

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
BEGIN, END = "<!-- suites: begin -->", "<!-- suites: end -->"

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"NO CONFORMANCE DATA in {ROOT}: set ARGOSY_CONFORMANCE"),
]


def table() -> str:
    lines = ["| suite | passed | of | left out, and why |", "| --- | --- | --- | --- |"]
    for suite in ("validation-crds", "validation-tables", "accept-corpus", "analyzers", "sidecar-routes"):
        cases = json.loads((ROOT / suite / "index.json").read_text())["cases"]
        why, failing = "", 0
        if suite.startswith("validation"):
            failing = sum(judged(suite, case)["valid"] != case["valid"] for case in cases)
        if left := sum(bool(case.get("templated")) for case in cases):
            why = f"{left} that is a template, and not YAML yet"
        counted = len(cases) - left
        lines.append(f"| {suite} | {counted - failing} | {counted} | {why} |")
    cases = json.loads((ROOT / "traffic-simulation" / "index.json").read_text())["cases"]
    why = "; ".join(f"{case}: {reason}" for case, reason in simulation.NOT_YET.items())
    lines.append(f"| traffic-simulation | {len(cases) - len(simulation.NOT_YET)} | {len(cases)} | {why} |")
    lines.append(
        f"| authz-rbac | {authorization.passed()} | {len(authorization.found())} | {authorization.SAMPLED} |"
    )
    return "\n".join(lines)


def page() -> str:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def test_the_page_opens_with_what_passes() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.conformance.test_counts"


if __name__ == "__main__":
    PAGE.write_text(page())
