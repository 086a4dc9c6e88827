"""EnvoyFilter to `EnvoyFilterRule`.

Facts (Istio): patches for waypoints are for nobody here; INSERT_* of a part that has no order is ADD; filters may be
called by their old names; a Gateway of the Gateway API selects the proxies with its label.
"""

from __future__ import annotations

import json
import re

from argosy.model import envoy_patches as ir
from argosy.model.lower_http import pairs
from argosy.model.rules import EnvoyFilterRule, ProxyPatch
from argosy.model.scope import Selector, SelectorUse
from argosy.resources.networking import EnvoyFilter
from argosy.resources.networking import envoy_filter as written
from argosy.resources.semantics.envoy_parts import NEW_NAMES

GATEWAY = ("gateway.networking.k8s.io", "Gateway")
GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"
_WITH_ORDER = (ir.Part.LISTENER_FILTER, ir.Part.NETWORK_FILTER, ir.Part.HTTP_FILTER, ir.Part.HTTP_ROUTE)
_INSERT = (ir.Operation.INSERT_BEFORE, ir.Operation.INSERT_AFTER, ir.Operation.INSERT_FIRST)


def lower(obj: EnvoyFilter) -> EnvoyFilterRule:
    """Raises ValueError for what no proxy could be given."""
    meta, spec = obj.metadata, obj.spec
    return EnvoyFilterRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        priority=spec.priority,
        selectors=_selectors(obj),
        patches=tuple(
            _patch(index, one)
            for index, one in enumerate(spec.config_patches)
            if one.match is None or one.match.context is not written.PatchContext.WAYPOINT
        ),
    )


def _selectors(obj: EnvoyFilter) -> tuple[Selector, ...] | None:
    namespace, spec = obj.metadata.namespace, obj.spec
    if spec.target_refs:
        gateways = sorted({ref.name for ref in spec.target_refs if (ref.group, ref.kind) == GATEWAY})
        return tuple(_selector(namespace, {GATEWAY_LABEL: name}) for name in gateways)
    if spec.workload_selector is None or not spec.workload_selector.labels:
        return None
    return (_selector(namespace, spec.workload_selector.labels),)


def _selector(namespace: str, labels: dict[str, str]) -> Selector:
    return Selector(SelectorUse.ENVOY_FILTER, pairs(labels), namespace)


def _patch(index: int, one: written.EnvoyConfigObjectPatch) -> ProxyPatch:
    at = f"spec.configPatches[{index}]"
    if one.patch is None:
        raise ValueError(f"{at}.patch: is missing; say how the part is changed")
    match = one.match or written.EnvoyConfigObjectMatch()
    try:
        part, operation = ir.Part(one.apply_to), ir.Operation(one.patch.operation)
    except ValueError as error:
        raise ValueError(f"{at}: applyTo or patch.operation is missing; give both") from error
    if operation in _INSERT and part not in _WITH_ORDER:
        operation = ir.Operation.ADD
    value = one.patch.value
    return ProxyPatch(
        index,
        ir.EnvoyPatch(
            part=part,
            operation=operation,
            side=ir.Side(match.context),
            value=""
            if value is None or operation is ir.Operation.REMOVE
            else json.dumps(value, sort_keys=True),
            filter_class=ir.FilterClass(one.patch.filter_class),
            listener=_listener(match.listener) if match.listener is not None else None,
            routes=_routes(match.route_configuration) if match.route_configuration is not None else None,
            cluster=_cluster(match.cluster) if match.cluster is not None else None,
        ),
        _node(at, match.proxy),
    )


def _node(at: str, match: written.ProxyMatch | None) -> Selector | None:
    if match is None or not (match.proxy_version or match.metadata):
        return None
    try:
        re.compile(match.proxy_version)
    except re.error as error:
        raise ValueError(f"{at}.match.proxy.proxyVersion: {match.proxy_version!r}: {error}") from error
    return Selector(SelectorUse.NODE, pairs(match.metadata), version=match.proxy_version)


def _listener(match: written.ListenerMatch) -> ir.ListenerMatch:
    return ir.ListenerMatch(
        name=match.name,
        port=match.port_number,
        listener_filter=_new_name(match.listener_filter),
        chain=_chain(match.filter_chain) if match.filter_chain is not None else None,
    )


def _chain(match: written.FilterChainMatch) -> ir.ChainMatch:
    sub = match.filter.sub_filter if match.filter is not None else None
    return ir.ChainMatch(
        name=match.name,
        sni=match.sni,
        transport_protocol=match.transport_protocol,
        application_protocols=tuple(filter(None, match.application_protocols.split(","))),
        destination_port=match.destination_port,
        filter=_new_name(match.filter.name) if match.filter is not None else None,
        sub_filter=_new_name(sub.name) if sub is not None else None,
    )


def _new_name(name: str) -> str:
    return NEW_NAMES.get(name, name)


def _routes(match: written.RouteConfigurationMatch) -> ir.RoutesMatch:
    host = match.vhost
    return ir.RoutesMatch(
        name=match.name,
        port=match.port_number,
        port_name=match.port_name,
        gateway=match.gateway,
        virtual_host=None
        if host is None
        else ir.VirtualHostMatch(
            name=host.name,
            domain=host.domain_name,
            route=ir.RouteMatch(name=host.route.name, action=str(host.route.action)) if host.route else None,
        ),
    )


def _cluster(match: written.ClusterMatch) -> ir.ClusterMatch:
    return ir.ClusterMatch(
        name=match.name, port=match.port_number, service=match.service, subset=match.subset
    )
