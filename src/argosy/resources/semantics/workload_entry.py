"""WorkloadEntry: one workload's address and ports, alone or within a ServiceEntry.

# Istio: ValidateWorkloadEntry, CRD rules
"""

from __future__ import annotations

from collections.abc import Mapping

from argosy.resources import proxy_start
from argosy.resources.networking.service_entry import WorkloadEntry, WorkloadEntrySpec
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings


def check(obj: WorkloadEntry, findings: Findings) -> None:
    spec = obj.spec
    check_entry("spec", spec, findings)
    check_config("metadata.annotations", obj.metadata.annotations, findings)
    if spec.address and not names.is_unix(spec.address) and not names.is_ip(spec.address):
        wrong = names.fqdn(spec.address)
        findings.error(
            "spec.address",
            f"{names.shown(spec.address)} is neither an IP address nor a host name" if wrong else None,
        )


def check_entry(path: str, entry: WorkloadEntrySpec, findings: Findings) -> None:
    """What holds wherever an entry stands for a workload; which kinds of address are right depends on that."""
    if not entry.address:
        if entry.network:
            findings.warn(
                f"{path}.address", f"is missing: traffic goes through the gateway of {entry.network!r}"
            )
        else:
            findings.error(
                f"{path}.address", "is missing; give an IP address, a host name, or unix:// and a path"
            )
    check_parts(path, entry, findings)


def check_parts(path: str, entry: WorkloadEntrySpec, findings: Findings) -> None:
    """What is there must be right; in a template the address may be missing."""
    if names.is_unix(entry.address):
        findings.error(f"{path}.address", names.unix_address(entry.address))
        if entry.ports:
            findings.error(f"{path}.ports", "has no meaning for a Unix socket; remove it")
    for name, number in entry.ports.items():
        findings.error(f"{path}.ports", names.dns_label(name))
        findings.error(f"{path}.ports[{name!r}]", names.port(number))
    for wrong in names.labels(entry.labels):
        findings.error(f"{path}.labels", wrong)


def check_config(path: str, annotations: Mapping[str, str], findings: Findings) -> None:
    """Any text is an annotation: what is no ProxyConfig is left out, and said."""
    try:
        proxy_start.read(annotations.get(proxy_start.ANNOTATION, ""))
    except ValueError as error:
        findings.warn(f"{path}[{proxy_start.ANNOTATION!r}]", f"is left out: {error}")
