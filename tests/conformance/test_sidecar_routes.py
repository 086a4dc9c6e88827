"""Which clusters each virtual host of a route leads to, with what Sidecars and exportTo let a proxy see: the suite
`sidecar-routes`. Virtual hosts are known by their domain; one that must be absent is `null`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.suites import cases, dump

pytestmark = pytest.mark.conformance

SUITE = "sidecar-routes"


@pytest.mark.parametrize("case", cases(SUITE))
def test_sidecar_routes(case: Any) -> None:
    folder: Path = case.folder
    expected = json.loads((folder / case.spec["expected"]).read_text())
    found = dump([folder / case.spec["input"]], expected["proxy"])
    route = next((one for one in found["routes"] if one["name"] == expected["routeName"]), None)
    if expected["virtualhost_clusters"] is None:
        assert route is None
        return
    assert route is not None
    clusters = {
        domain: [cluster for entry in host.get("routes", ()) for cluster in _clusters(entry.get("route", {}))]
        for host in route.get("virtual_hosts", ())
        for domain in host["domains"]
    }
    for domain, wanted in expected["virtualhost_clusters"].items():
        assert clusters.get(domain) == wanted, domain


def _clusters(action: dict[str, Any]) -> list[str]:
    if "cluster" in action:
        return [action["cluster"]]
    return [one["name"] for one in action.get("weighted_clusters", {}).get("clusters", ())]
