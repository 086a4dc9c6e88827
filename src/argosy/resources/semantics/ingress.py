"""Ingress: hosts, paths, and exactly one backend each.

# Kubernetes: networking/v1 ValidateIngress
"""

from __future__ import annotations

from argosy.resources.ingress import Ingress, IngressBackend, IngressRule, PathType
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings


def check(obj: Ingress, findings: Findings) -> None:
    spec = obj.spec
    if not spec.rules and spec.default_backend is None:
        findings.error("spec", "has neither rules nor defaultBackend; give one of them")
    if spec.default_backend is not None:
        _backend("spec.defaultBackend", spec.default_backend, findings)
    for i, tls in enumerate(spec.tls):
        for j, host in enumerate(tls.hosts):
            _host(f"spec.tls[{i}].hosts[{j}]", host, findings)
    for i, rule in enumerate(spec.rules):
        _rule(f"spec.rules[{i}]", rule, findings)


def _rule(path: str, rule: IngressRule, findings: Findings) -> None:
    if rule.host:
        _host(f"{path}.host", rule.host, findings)
    if rule.http is None:
        return
    if not rule.http.paths:
        findings.error(f"{path}.http.paths", "is empty; give at least one path")
    for i, one in enumerate(rule.http.paths):
        at = f"{path}.http.paths[{i}]"
        if one.path_type is not PathType.IMPLEMENTATION_SPECIFIC and not one.path.startswith("/"):
            findings.error(f"{at}.path", f"{names.shown(one.path)} does not begin with /; write it so")
        _backend(f"{at}.backend", one.backend, findings)


def _backend(path: str, backend: IngressBackend, findings: Findings) -> None:
    if (backend.service is None) == (backend.resource is None):
        findings.error(path, "needs a service or a resource, and not both")
    if backend.service is None:
        return
    findings.error(f"{path}.service.name", names.dns_label(backend.service.name))
    port = backend.service.port
    if bool(port.name) == bool(port.number):
        findings.error(f"{path}.service.port", "needs a name or a number, and not both")
    elif port.number:
        findings.error(f"{path}.service.port.number", names.port(port.number))


def _host(path: str, host: str, findings: Findings) -> None:
    if names.is_ip(host):
        findings.error(path, f"{names.shown(host)} is an address; write a host name")
    else:
        findings.error(path, names.wildcard_host(host))
