"""WorkloadGroup: a template that entries can be made from, a probe that can be asked.

# Istio: ValidateWorkloadGroup, CRD rules
"""

from __future__ import annotations

from argosy.resources.networking.workload_group import ReadinessProbe, WorkloadGroup
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.workload_entry import check_config, check_parts


def check(obj: WorkloadGroup, findings: Findings) -> None:
    spec = obj.spec
    check_parts("spec.template", spec.template, findings)  # each workload brings its address
    if spec.metadata is not None:
        for wrong in names.labels(spec.metadata.labels):
            findings.error("spec.metadata.labels", wrong)
        check_config("spec.metadata.annotations", spec.metadata.annotations, findings)
    if spec.probe is not None:
        check_probe("spec.probe", spec.probe, findings)


def check_probe(path: str, probe: ReadinessProbe, findings: Findings) -> None:
    ways = {
        "httpGet": probe.http_get,
        "tcpSocket": probe.tcp_socket,
        "exec": probe.exec,
        "grpc": probe.grpc,
    }
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        said = (
            f"has {' and '.join(given)}; keep one of them" if given else f"is empty; give {', '.join(ways)}"
        )
        findings.error(path, said)
    if probe.http_get is not None and probe.http_get.scheme not in ("", "HTTP", "HTTPS"):
        findings.error(f"{path}.httpGet.scheme", f"{names.shown(probe.http_get.scheme)} is not HTTP or HTTPS")
