"""authz-rbac: the filters of each case decide as the expected ones, over random requests around what its policies say.

What decides is compared, and what is told of it: the rule that denied, audited, asked or would have decided. The
numbers of filters, and how their rules are written, are free.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from tests.conformance import rbac
from tests.conformance.sampled import Sampler
from tests.conformance.suites import ROOT, Case, cases, dump

SUITE = "authz-rbac"
SAMPLES = 600
SAMPLED = f"{SAMPLES} random requests in each"
WORKLOAD = """
{apiVersion: v1, kind: Service, metadata: {name: httpbin, namespace: foo},
 spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 80}]}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: httpbin-1, namespace: foo}
spec: {address: 1.1.1.1, labels: {app: httpbin, version: v1}}
"""
"""What the case's proxy is: a port of HTTP; what nobody declares passes as bytes."""

pytestmark = pytest.mark.conformance


def ours(case: Case, folder: Path) -> list[Any]:
    proxy = {"type": "sidecar", **json.loads((ROOT / SUITE / "index.json").read_text())["proxy"]}
    workload = folder / "workload.yaml"
    workload.write_text(WORKLOAD)
    files = [case.folder / case.spec["input"], workload]
    if case.spec["services"]:
        files.append(case.folder / case.spec["services"])
    found = dump(files, proxy, case.folder / case.spec["meshconfig"])
    (listener,) = (one for one in found["listeners"] if one["name"] == "virtualInbound")
    chain = "80_mtls" if case.spec["case"].startswith("http/") else "0_mtls"
    (filters,) = (one["filters"] for one in listener["filter_chains"] if one["name"] == chain)
    if case.spec["case"].startswith("http/"):
        filters = filters[-1]["typed_config"]["http_filters"]
    return rbac.read(filters)


def expected(case: Case) -> list[Any]:
    return rbac.read(yaml.safe_load((case.folder / name).read_text()) for name in case.spec["expected"])


def asking(filters: list[Any]) -> list[Any]:
    return [one for one in filters if hasattr(one, "failure_mode_allow")]


def differences(case: Case, folder: Path) -> list[tuple[rbac.Request, Any, Any]]:
    text = (case.folder / case.spec["input"]).read_text()
    policies = [one for one in yaml.safe_load_all(text) if one]
    mesh = yaml.safe_load((case.folder / case.spec["meshconfig"]).read_text()) or {}
    sampler = Sampler(Random(case.spec["case"]), policies, mesh)
    made, wanted = ours(case, folder), expected(case)
    found = []
    for request in sampler.requests(SAMPLES):
        for compared in (rbac.outcome, rbac.parts):
            got, want = compared(made, request), compared(wanted, request)
            if got != want:
                found.append((request, got, want))
    return found


@pytest.mark.parametrize("case", cases(SUITE))
def test_every_request_is_decided_as_expected(case: Case, tmp_path: Path) -> None:
    assert differences(case, tmp_path) == []
    assert asking(ours(case, tmp_path)) == asking(expected(case)), "who is asked, and how"


def test_the_samples_meet_both_sides_of_every_condition() -> None:
    """A condition that never holds, or always, would hide a difference. (Some do: `*` means whatever is there.)"""
    if not (ROOT / SUITE).is_dir():
        pytest.skip(f"NO CONFORMANCE CASES in {ROOT}: set ARGOSY_CONFORMANCE")
    alternatives = one_sided = 0
    for case in found():
        wanted = expected(case)
        policies = [one for one in yaml.safe_load_all((case.folder / case.spec["input"]).read_text()) if one]
        sampler = Sampler(Random(1), policies, {})
        seen: dict[tuple[str, int], set[tuple[bool, ...]]] = {}
        for request in sampler.requests(SAMPLES):
            for name, listed in rbac.parts(wanted, request).items():
                for at, holds in enumerate(listed):
                    seen.setdefault((name, at), set()).add(holds)
        meaningful = [held for held in seen.values() if held != {(True,)}]  # any
        alternatives += len(meaningful)
        one_sided += sum(len(held) == 1 for held in meaningful)
    assert alternatives > 20
    assert one_sided == 0


def found() -> list[Case]:
    return [parameter.values[0] for parameter in cases(SUITE)]


def passed() -> int:
    """How many cases pass, for docs/compatibility.md."""
    with TemporaryDirectory() as folder:
        return sum(holds(case, Path(folder)) for case in found())


def holds(case: Case, folder: Path) -> bool:
    return not differences(case, folder) and asking(ours(case, folder)) == asking(expected(case))
