"""AuthorizationPolicy: rules that can match, values that can be compared.

# Istio: ValidateAuthorizationPolicy, pkg/config/security, CRD rules
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from argosy.resources.security import (
    AuthorizationAction,
    AuthorizationCondition,
    AuthorizationPolicy,
    Operation,
    Rule,
    Source,
)
from argosy.resources.semantics import attachment, names, path_templates
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.metadata import DRY_RUN

_BOOLEANS = frozenset(("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"))
_NO_TEMPLATE = re.compile(
    r"/\{\w+=\*\*?\}|\{\w*\}|/\*\*?|\*\*?/"
)  # named variables, and wildcards beside templates
_HEADER = re.compile(r":?[0-9A-Za-z!#$%&'*+\-.^_|~`]+")
_ADDRESSES = frozenset(("source.ip", "remote.ip", "destination.ip"))
_PLAIN = frozenset(
    (
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "connection.sni",
    )
)
_KEYED = ("request.headers", "request.auth.claims", "experimental.envoy.filters.")
_REPLACED = {
    "destination.namespace": "was replaced by the namespace of the policy; remove it",
    "destination.name": "is of an older version of the API; use spec.selector",
    "destination.user": "is of an older version of the API; use spec.selector",
}
_PROVEN = ("source.namespace", "source.principal", "source.serviceAccount", "request.auth.")
_MEANINGLESS = "which never matches; write a rule, or an empty one ({}) for every request"


def check(obj: AuthorizationPolicy, findings: Findings) -> None:
    spec = obj.spec
    attachment.check(spec.selector, spec.target_ref, spec.target_refs, findings)
    _dry_run(obj, findings)
    _action(obj, findings)
    for index, rule in enumerate(spec.rules or ()):
        _rule(f"spec.rules[{index}]", rule, spec.action, findings)


def _dry_run(obj: AuthorizationPolicy, findings: Findings) -> None:
    written = obj.metadata.annotations.get(DRY_RUN)
    if written is None:
        return
    path = f"metadata.annotations[{DRY_RUN!r}]"
    if obj.spec.action not in (AuthorizationAction.ALLOW, AuthorizationAction.DENY):
        findings.error(path, f"is for ALLOW and DENY alone, not for {obj.spec.action}; remove it")
    elif written not in _BOOLEANS:
        findings.error(path, f"{names.shown(written)} is not true or false")


def _action(obj: AuthorizationPolicy, findings: Findings) -> None:
    spec = obj.spec
    custom = spec.action == AuthorizationAction.CUSTOM
    if spec.provider is not None and not custom:
        findings.error("spec.provider", f"is for action CUSTOM alone, not for {spec.action}; remove it")
    if spec.action in (AuthorizationAction.DENY, AuthorizationAction.CUSTOM):
        if spec.rules is None:
            findings.error(
                "spec.rules", f"is missing: {spec.action} without rules is a policy {_MEANINGLESS}"
            )
        elif not spec.rules:
            findings.warn("spec.rules", f"is empty: {spec.action} without rules is a policy {_MEANINGLESS}")
    if custom and spec.rules is not None and (spec.provider is None or not spec.provider.name):
        findings.error("spec.provider.name", "is missing; name the extension provider that decides")


def _rule(path: str, rule: Rule, action: AuthorizationAction, findings: Findings) -> None:
    sources = [one.source for one in rule.from_ or () if one.source is not None]
    operations = [one.operation for one in rule.to or () if one.operation is not None]
    for name, items in (("from", rule.from_), ("to", rule.to)):
        if items is not None and not items:
            findings.error(f"{path}.{name}", "is empty; give it an entry or remove it")
    for index, one in enumerate(rule.from_ or ()):
        _source(f"{path}.from[{index}].source", one.source, action, findings)
    for index, to in enumerate(rule.to or ()):
        _operation(f"{path}.to[{index}].operation", to.operation, findings)
    for index, condition in enumerate(rule.when):
        _condition(f"{path}.when[{index}]", condition, action, findings)
    if action == AuthorizationAction.DENY:
        only_http = operations and not any(one.ports or one.not_ports for one in operations)
        if only_http or (sources and not operations and not any(map(_of_connections, sources))):
            findings.warn(
                path,
                "has only what HTTP requests have, so it denies all traffic of TCP ports, too; name the ports that "
                "are meant in to.operation.ports",
            )


def _of_connections(source: Source) -> bool:
    """Whether it says something about connections that are not HTTP."""
    return bool(
        source.principals
        or source.not_principals
        or source.namespaces
        or source.not_namespaces
        or source.service_accounts
        or source.not_service_accounts
        or source.ip_blocks
        or source.not_ip_blocks
        or source.remote_ip_blocks
        or source.not_remote_ip_blocks
        or source.trust_domains
        or source.not_trust_domains
    )


def _source(path: str, source: Source | None, action: AuthorizationAction, findings: Findings) -> None:
    if source is None:
        findings.error(path, "is missing; say where requests come from")
        return
    fields = {
        "principals": source.principals,
        "notPrincipals": source.not_principals,
        "requestPrincipals": source.request_principals,
        "notRequestPrincipals": source.not_request_principals,
        "namespaces": source.namespaces,
        "notNamespaces": source.not_namespaces,
        "serviceAccounts": source.service_accounts,
        "notServiceAccounts": source.not_service_accounts,
        "ipBlocks": source.ip_blocks,
        "notIpBlocks": source.not_ip_blocks,
        "remoteIpBlocks": source.remote_ip_blocks,
        "notRemoteIpBlocks": source.not_remote_ip_blocks,
        "trustDomains": source.trust_domains,
        "notTrustDomains": source.not_trust_domains,
    }
    if not any(fields.values()):
        findings.error(path, "is empty; give it a field or remove it")
    for name, values in fields.items():
        _not_empty(f"{path}.{name}", values, findings)
        if name.lower().endswith("ipblocks"):
            _addresses(f"{path}.{name}", values, findings)
        elif name.lower().endswith("serviceaccounts"):
            _service_accounts(f"{path}.{name}", values, findings)
        elif (
            action == AuthorizationAction.CUSTOM
            and name.lower().endswith(("principals", "namespaces"))
            and values
        ):
            findings.error(f"{path}.{name}", "is not supported with action CUSTOM; remove it")
    if source.service_accounts or source.not_service_accounts:
        for name in ("principals", "notPrincipals", "namespaces", "notNamespaces"):
            if fields[name]:
                findings.error(f"{path}.{name}", "cannot stand beside serviceAccounts; write two sources")


def _service_accounts(path: str, values: Sequence[str], findings: Findings) -> None:
    for index, value in enumerate(values):
        if "*" in value:
            findings.error(f"{path}[{index}]", f"{names.shown(value)}: wildcards are not supported here")
        elif value.count("/") > 1 or value.startswith("/") or value.endswith("/"):
            findings.error(
                f"{path}[{index}]", f"{names.shown(value)} is not NAMESPACE/NAME or NAME; write one of them"
            )


def _operation(path: str, operation: Operation | None, findings: Findings) -> None:
    if operation is None:
        findings.error(path, "is missing; say what requests do")
        return
    fields = {
        "hosts": operation.hosts,
        "notHosts": operation.not_hosts,
        "ports": operation.ports,
        "notPorts": operation.not_ports,
        "methods": operation.methods,
        "notMethods": operation.not_methods,
        "paths": operation.paths,
        "notPaths": operation.not_paths,
    }
    if not any(fields.values()):
        findings.error(path, "is empty; give it a field or remove it")
    for name, values in fields.items():
        _not_empty(f"{path}.{name}", values, findings)
        if name.lower().endswith("ports"):
            _ports(f"{path}.{name}", values, findings)
        elif name.lower().endswith("paths"):
            _paths(f"{path}.{name}", values, findings)


def _condition(
    path: str, condition: AuthorizationCondition, action: AuthorizationAction, findings: Findings
) -> None:
    key = condition.key
    if not key:
        findings.error(f"{path}.key", "is empty; name the attribute")
        return
    if not condition.values and not condition.not_values:
        findings.error(path, f"{names.shown(key)} has neither values nor notValues; give one of them")
    findings.error(f"{path}.key", _attribute(key))
    if action == AuthorizationAction.CUSTOM and key.startswith(_PROVEN):
        findings.error(f"{path}.key", f"{names.shown(key)} is not supported with action CUSTOM; remove it")
    for name, values in (("values", condition.values), ("notValues", condition.not_values)):
        _not_empty(f"{path}.{name}", values, findings)
        if key in _ADDRESSES:
            _addresses(f"{path}.{name}", values, findings)
        elif key == "destination.port":
            _ports(f"{path}.{name}", values, findings)


def _attribute(key: str) -> str | None:
    if key in _PLAIN or key in _ADDRESSES or key == "destination.port":
        return None
    if key in _REPLACED:
        return f"{names.shown(key)} {_REPLACED[key]}"
    if key.startswith("destination.labels"):
        return f"{names.shown(key)} was replaced by spec.selector; use that"
    if key.startswith(_KEYED):
        opened = key.find("[")
        if key.endswith("]") and 0 < opened < len(key) - 2:
            header = key.startswith("request.headers") and not is_header(key[opened + 1 : -1])
            return f"{names.shown(key)} has no header's name in brackets" if header else None
        return f"{names.shown(key)} has no name in brackets; write one, as in request.headers[x-user]"
    return f"{names.shown(key)} is not an attribute that is known"


def is_header(name: str) -> bool:
    """Whether a header can be called so. # Envoy: HTTP_HEADER_NAME"""
    return _HEADER.fullmatch(name) is not None


def _not_empty(path: str, values: Iterable[str], findings: Findings) -> None:
    for index, value in enumerate(values):
        if not value:
            findings.error(f"{path}[{index}]", "is empty; give a value or remove it")


def _addresses(path: str, values: Iterable[str], findings: Findings) -> None:
    for index, value in enumerate(values):
        if value:
            findings.error(f"{path}[{index}]", names.subnet(value))


def _ports(path: str, values: Iterable[str], findings: Findings) -> None:
    for index, value in enumerate(values):
        if value and not (value.isascii() and value.isdigit() and len(value) <= 5 and int(value) <= 65535):
            findings.error(f"{path}[{index}]", f"{names.shown(value)} is not a port; use 1 to 65535")


def _paths(path: str, values: Iterable[str], findings: Findings) -> None:
    for index, value in enumerate(values):
        if not path_templates.is_template(value):
            continue
        if _NO_TEMPLATE.search(value):
            findings.error(
                f"{path}[{index}]",
                f"{names.shown(value)}: beside {{*}} and {{**}} no other wildcards or variables are supported",
            )
        else:
            findings.error(f"{path}[{index}]", path_templates.problem(value))
