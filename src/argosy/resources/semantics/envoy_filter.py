"""EnvoyFilter: patches whose parts fit each other, and values that are parts of Envoy's configuration.

# Istio: ValidateEnvoyFilter, CRD rules
"""

from __future__ import annotations

from argosy.resources.networking.envoy_filter import (
    ApplyTo,
    EnvoyConfigObjectMatch,
    EnvoyConfigObjectPatch,
    EnvoyFilter,
    FilterMatch,
    Operation,
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
    if one.patch.value is not None:
        envoy_parts.check(f"{path}.patch.value", one.apply_to, one.patch.value, findings)


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
