"""EnvoyFilter: patches whose parts fit each other, and values that are parts of Envoy's configuration.

# Istio: ValidateEnvoyFilter, CRD rules
"""

from __future__ import annotations

from argosy.resources.networking.envoy_filter import (
    ApplyTo,
    EnvoyConfigObjectMatch,
    EnvoyConfigObjectPatch,
    EnvoyFilter,
    FilterClass,
    FilterMatch,
    Operation,
    Patch,
    PatchContext,
    WaypointMatch,
)
from argosy.resources.semantics import attachment, envoy_parts, names, regex, selectors
from argosy.resources.semantics.findings import Findings

_CONNECTION_MANAGERS = ("envoy.filters.network.http_connection_manager", "envoy.http_connection_manager")
_ROUTES = (ApplyTo.ROUTE_CONFIGURATION, ApplyTo.VIRTUAL_HOST, ApplyTo.HTTP_ROUTE)
_FITS = (
    {part: "listener" for part in (ApplyTo.LISTENER, ApplyTo.FILTER_CHAIN)}
    | {part: "listener" for part in (ApplyTo.NETWORK_FILTER, ApplyTo.HTTP_FILTER)}
    | {part: "routeConfiguration" for part in _ROUTES}
    | {ApplyTo.CLUSTER: "cluster"}
)
_INSERT = (Operation.INSERT_BEFORE, Operation.INSERT_AFTER, Operation.INSERT_FIRST)
_ADD = (Operation.ADD, *_INSERT)  # without an order, what is inserted is added
_OPERATIONS = {
    ApplyTo.LISTENER: (*_ADD, Operation.MERGE, Operation.REMOVE),
    ApplyTo.LISTENER_FILTER: (*_ADD, Operation.REPLACE, Operation.REMOVE),
    ApplyTo.FILTER_CHAIN: (*_ADD, Operation.MERGE, Operation.REMOVE),
    ApplyTo.NETWORK_FILTER: tuple(Operation),
    ApplyTo.HTTP_FILTER: tuple(Operation),
    ApplyTo.ROUTE_CONFIGURATION: (Operation.MERGE,),
    ApplyTo.VIRTUAL_HOST: (*_ADD, Operation.MERGE, Operation.REPLACE, Operation.REMOVE),
    ApplyTo.HTTP_ROUTE: (*_ADD, Operation.MERGE, Operation.REMOVE),
    ApplyTo.CLUSTER: (*_ADD, Operation.MERGE, Operation.REMOVE),
    ApplyTo.EXTENSION_CONFIG: _ADD,
    ApplyTo.BOOTSTRAP: (Operation.MERGE,),
}
"""Those that change something."""
_NOT_HERE = ("istio.", "istio_")
_NOT_OF_WAYPOINTS = (ApplyTo.LISTENER, ApplyTo.LISTENER_FILTER, ApplyTo.BOOTSTRAP, ApplyTo.EXTENSION_CONFIG)


def check(obj: EnvoyFilter, findings: Findings) -> None:
    spec = obj.spec
    if spec.workload_selector is not None:
        selectors.check_selector("spec.workloadSelector.labels", spec.workload_selector.labels, findings)
        if spec.target_refs:
            findings.error("spec.targetRefs", "cannot stand beside workloadSelector; keep one of them")
    attachment.check_targets(spec.target_refs, findings)
    for i, patch in enumerate(spec.config_patches):
        _patch(f"spec.configPatches[{i}]", patch, findings)


def _patch(path: str, one: EnvoyConfigObjectPatch, findings: Findings) -> None:
    if one.apply_to == ApplyTo.INVALID:
        findings.error(f"{path}.applyTo", "is missing; say which part of the configuration is patched")
        return
    if one.match is not None:
        _match(f"{path}.match", one.apply_to, one.match, findings)
    if one.patch is None:
        findings.error(f"{path}.patch", "is missing; say how the part is changed")
        return
    if one.patch.operation == Operation.INVALID:
        findings.error(f"{path}.patch.operation", "is missing; say how the part is changed")
    elif one.patch.value is None and one.patch.operation != Operation.REMOVE:
        findings.error(f"{path}.patch.value", f"is missing, which {one.patch.operation} needs; give it")
    else:
        _effect(path, one, one.patch, findings)
    if one.patch.value is not None:
        envoy_parts.check(f"{path}.patch.value", one.apply_to, one.patch.value, findings)


def _effect(path: str, one: EnvoyConfigObjectPatch, patch: Patch, findings: Findings) -> None:
    """Warns of a patch that can change nothing."""
    part, operation = one.apply_to, patch.operation
    does = _OPERATIONS.get(part)
    if does is not None and operation not in does:
        can = ", ".join(sorted(does))
        findings.warn(
            f"{path}.patch.operation", f"{operation} changes nothing with applyTo {part}; use {can}"
        )
    if (
        patch.filter_class != FilterClass.UNSPECIFIED
        and (part, operation) != (ApplyTo.HTTP_FILTER, Operation.ADD)
        and does is not None
    ):
        findings.warn(
            f"{path}.patch.filterClass",
            "has no effect but with applyTo HTTP_FILTER and operation ADD; remove it",
        )
    if operation in (Operation.REPLACE, Operation.REMOVE, Operation.MERGE):
        _names_a_filter(path, one, findings)


def _names_a_filter(path: str, one: EnvoyConfigObjectPatch, findings: Findings) -> None:
    """Facts (Istio): a filter is replaced, removed or (of HTTP) merged only where it is named."""
    match = one.match or EnvoyConfigObjectMatch()
    operation = one.patch.operation if one.patch is not None else Operation.INVALID
    listener = match.listener
    if match.context == PatchContext.WAYPOINT:
        return
    chain = listener.filter_chain if listener is not None else None
    named = chain.filter if chain is not None else None
    missing = ""
    if one.apply_to == ApplyTo.LISTENER_FILTER and operation != Operation.MERGE:
        missing = "" if listener is not None and listener.listener_filter else "listener.listenerFilter"
    elif one.apply_to == ApplyTo.NETWORK_FILTER and operation != Operation.MERGE:
        missing = "" if named is not None else "listener.filterChain.filter"
    elif one.apply_to == ApplyTo.HTTP_FILTER:
        found = named is not None and named.sub_filter is not None
        missing = "" if found else "listener.filterChain.filter.subFilter"
    if missing:
        findings.warn(f"{path}.match.{missing}", f"is missing: {operation} changes nothing; name the filter")


def _match(path: str, part: ApplyTo, match: EnvoyConfigObjectMatch, findings: Findings) -> None:
    objects = {
        "listener": match.listener,
        "routeConfiguration": match.route_configuration,
        "cluster": match.cluster,
        "waypoint": match.waypoint,
    }
    given = findings.at_most_one(path, objects)
    if match.proxy is not None and match.proxy.proxy_version:
        findings.error(f"{path}.proxy.proxyVersion", regex.syntax(match.proxy.proxy_version))
    if match.context == PatchContext.WAYPOINT:
        _waypoint(path, part, match.waypoint, findings)
        return
    if match.waypoint is not None:
        findings.error(f"{path}.waypoint", f"is for context WAYPOINT, not for {match.context}; change one")
    fits = _FITS.get(part)
    for name in given:
        if fits is not None and name not in (fits, "waypoint"):
            findings.error(f"{path}.{name}", f"does not fit applyTo {part}; match by {fits}")
    chain = match.listener.filter_chain if match.listener is not None else None
    if chain is not None and chain.filter is not None and fits == "listener":
        at = f"{path}.listener.filterChain.filter"
        if part in (ApplyTo.LISTENER, ApplyTo.FILTER_CHAIN):
            findings.warn(at, f"has no effect with applyTo {part}; remove it")
        _filter(at, part, chain.filter, findings)


def _waypoint(path: str, part: ApplyTo, waypoint: WaypointMatch | None, findings: Findings) -> None:
    if part in _NOT_OF_WAYPOINTS:
        findings.error(f"{path}.context", f"WAYPOINT does not support applyTo {part}; change one of them")
    if waypoint is None:
        findings.error(f"{path}.waypoint", "is missing, which context WAYPOINT needs; give it")
        return
    fits = _FITS.get(part)
    if waypoint.filter is not None:
        if fits == "listener":
            _filter(f"{path}.waypoint.filter", part, waypoint.filter, findings)
        else:
            findings.error(f"{path}.waypoint.filter", f"does not fit applyTo {part}; remove it")
    if waypoint.route is not None and part not in _ROUTES:
        findings.error(f"{path}.waypoint.route", f"does not fit applyTo {part}; remove it")


def _filter(path: str, part: ApplyTo, match: FilterMatch, findings: Findings) -> None:
    if not match.name:
        findings.error(f"{path}.name", "is missing; name the filter")
    findings.warn(f"{path}.name", envoy_parts.renamed(match.name))
    _is_here(f"{path}.name", match.name, findings)
    sub = match.sub_filter
    if sub is None:
        return
    if part != ApplyTo.HTTP_FILTER:
        findings.error(f"{path}.subFilter", f"is for applyTo HTTP_FILTER, not for {part}; remove it")
    elif match.name not in _CONNECTION_MANAGERS:
        findings.error(
            f"{path}.name",
            f"{names.shown(match.name)} has no filters within it; with subFilter name {_CONNECTION_MANAGERS[0]}",
        )
    if not sub.name:
        findings.error(f"{path}.subFilter.name", "is missing; name the filter")
    findings.warn(f"{path}.subFilter.name", envoy_parts.renamed(sub.name))
    _is_here(f"{path}.subFilter.name", sub.name, findings)


def _is_here(path: str, name: str, findings: Findings) -> None:
    if name.startswith(_NOT_HERE):
        findings.warn(
            path,
            f"{names.shown(name)} is of Istio's own Envoy, and in no proxy here: the patch finds nothing",
        )
