"""What a member of a WorkloadGroup is told, against the bundle that Istio's command writes for a machine.

There is no bundle here: what is in one the server tells as the workload joins. What Istio's command adds by itself
(names and addresses of its installation, DNS capture) has no place in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from argosy.model.proxy_start import start_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.resources.networking import WorkloadGroup
from argosy.resources.proxy_start import ANNOTATION, read, typed
from argosy.server.starting import told
from tests.conformance.suites import ROOT

SUITE = ROOT / "vm-onboarding"
CASES = sorted(path.parent for path in SUITE.rglob("workloadgroup.yaml"))
BY_THE_COMMAND = "ISTIO_META_DNS_CAPTURE"

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"NO CONFORMANCE DATA in {ROOT}: set ARGOSY_CONFORMANCE"),
]


def written(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text()) if path.exists() else {}
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda path: str(path.relative_to(SUITE)))
def test_a_member_is_told_what_stands_in_the_bundle(case: Path) -> None:
    group = decode({"apiVersion": "networking.istio.io/v1", **written(case / "workloadgroup.yaml")})
    assert isinstance(group, WorkloadGroup)
    mesh = written(case / "meshconfig.yaml")
    snapshot = Snapshot()
    snapshot.put_config(
        decode(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "istio", "namespace": "istio-system"},
                "data": {"mesh": yaml.safe_dump(mesh)},
            }
        )
    )
    namespace, account = group.metadata.namespace, group.spec.template.service_account
    annotation = group.spec.metadata.annotations.get(ANNOTATION, "") if group.spec.metadata else ""
    said = start_of(snapshot, namespace, {}, [annotation] if annotation else [])
    start = told(said, workload="vm", namespace=namespace, labels={}, probe=group.spec.probe)

    bundle = written(case / "mesh.yaml.golden")["defaultConfig"]
    given = {
        **mesh.get("defaultConfig", {}).get("proxyMetadata", {}),
        **read(annotation).get("proxyMetadata", {}),
    }
    for name in given.keys() - {BY_THE_COMMAND}:
        assert start.environment[name] == bundle["proxyMetadata"][name]
    assert start.environment.keys() <= bundle["proxyMetadata"].keys()
    asked = typed({"readinessProbe": bundle["readinessProbe"]})
    assert start.probe == told(asked, workload="vm", namespace=namespace, labels={}).probe
    assert (namespace, account) == (
        bundle["proxyMetadata"]["POD_NAMESPACE"],
        bundle["proxyMetadata"]["SERVICE_ACCOUNT"],
    )


def test_there_are_cases() -> None:
    assert len(CASES) == 2
