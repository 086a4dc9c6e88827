"""Configuration, a proxy, calls, and where each call ends: the cluster, or the class of error.

Names of listeners, chains, routes and virtual hosts are advisory; hosts are compared in full, as the suite leaves the
mesh's domain out.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.simulation import Call, simulate
from tests.conformance.suites import ROOT, dump

pytestmark = pytest.mark.conformance

SUITE = ROOT / "traffic-simulation"
DOMAIN = ".svc.cluster.local"

NOT_YET = {
    "gateway-conflicts/duplicate-tls-gateway": (
        "by choice: Istio sends Envoy a listener that it refuses as a whole; here the older server keeps the name"
    ),
}
"""Cases that fail, and why; a case that passes must not stand here."""


def cases() -> list[Any]:
    if not (SUITE / "index.json").exists():
        return []
    found = json.loads((SUITE / "index.json").read_text())["cases"]
    marks = {case: pytest.mark.xfail(strict=True, reason=reason) for case, reason in NOT_YET.items()}
    return [pytest.param(one, id=one["case"], marks=marks.get(one["case"], ())) for one in found]


def in_full(cluster: str) -> str:
    """`outbound|80||a.default` is of the service a in default, as the suite writes it."""
    direction, bar, rest = cluster.partition("|")
    host = cluster.rpartition("|")[2]
    short = direction == "outbound" and host.count(".") == 1 and not host.endswith((".io", ".bar", "domain"))
    return f"{cluster}{DOMAIN}" if bar and rest and short else cluster


def test_the_suite_is_there() -> None:
    if not cases():
        pytest.skip(f"NO CONFORMANCE CASES: {SUITE} is not there; set ARGOSY_CONFORMANCE")


@pytest.mark.parametrize("case", cases())
def test_each_call_ends_where_it_should(case: dict[str, Any]) -> None:
    folder = SUITE / case["case"]
    expected = json.loads((folder / case["expected"]).read_text())
    dumped = dump([folder / name for name in case["inputs"]], expected["proxy"])
    wrong = []
    for one in expected["calls"]:
        result = simulate(dumped, Call.written(one["call"]), case["proxy_type"])
        want = one["want"]
        wanted = (want.get("error", ""), in_full(want.get("clusterMatched", "")))
        if (result.error, "" if result.error else result.cluster) != wanted:
            wrong.append((one["name"], wanted, result))
    assert wrong == []
