"""Kinds of `networking.istio.io`: how traffic flows. Served as v1, v1beta1 and v1alpha3, which are the same; but for
EnvoyFilter and ProxyConfig, of which Istio has one version each.

Every field of Istio's API is described here once. Durations and enumerations are texts as people write them;
`None` is "not set" where that differs from the zero value.
"""

from __future__ import annotations

from argosy.resources.kind import AGE, Kind
from argosy.resources.meta import Object
from argosy.resources.networking.columns import COLUMNS
from argosy.resources.networking.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    ConsistentHash,
    DestinationRule,
    DestinationRuleSpec,
    LoadBalancerSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    PortTrafficPolicy,
    Subset,
    TrafficPolicy,
    ZoneAwareLoadBalancerSetting,
)
from argosy.resources.networking.envoy_filter import EnvoyFilter, EnvoyFilterSpec
from argosy.resources.networking.gateway import Gateway, GatewaySpec, Port, Server, ServerTLSSettings
from argosy.resources.networking.proxy_config import ProxyConfig, ProxyConfigSpec
from argosy.resources.networking.service_entry import (
    ServiceEntry,
    ServiceEntrySpec,
    ServicePort,
    WorkloadEntry,
    WorkloadEntrySpec,
    WorkloadSelector,
)
from argosy.resources.networking.sidecar import Sidecar, SidecarSpec
from argosy.resources.networking.virtual_service import (
    CorsPolicy,
    Destination,
    Headers,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
    HTTPRouteDestination,
    L4MatchAttributes,
    Percent,
    RouteDestination,
    StringMatch,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualService,
    VirtualServiceSpec,
)
from argosy.resources.networking.workload_group import WorkloadGroup, WorkloadGroupSpec

__all__ = [
    "KINDS",
    "ClientTLSSettings",
    "ConnectionPoolSettings",
    "ConsistentHash",
    "CorsPolicy",
    "Destination",
    "DestinationRule",
    "DestinationRuleSpec",
    "EnvoyFilter",
    "EnvoyFilterSpec",
    "Gateway",
    "GatewaySpec",
    "HTTPFaultInjection",
    "HTTPMatchRequest",
    "HTTPRedirect",
    "HTTPRetry",
    "HTTPRewrite",
    "HTTPRoute",
    "HTTPRouteDestination",
    "Headers",
    "L4MatchAttributes",
    "LoadBalancerSettings",
    "LocalityLoadBalancerSetting",
    "OutlierDetection",
    "Percent",
    "Port",
    "PortTrafficPolicy",
    "ProxyConfig",
    "ProxyConfigSpec",
    "RouteDestination",
    "Server",
    "ServerTLSSettings",
    "ServiceEntry",
    "ServiceEntrySpec",
    "ServicePort",
    "Sidecar",
    "SidecarSpec",
    "StringMatch",
    "Subset",
    "TCPRoute",
    "TLSMatchAttributes",
    "TLSRoute",
    "TrafficPolicy",
    "VirtualService",
    "VirtualServiceSpec",
    "WorkloadEntry",
    "WorkloadEntrySpec",
    "WorkloadGroup",
    "WorkloadGroupSpec",
    "WorkloadSelector",
    "ZoneAwareLoadBalancerSetting",
]


_VERSIONS = ("v1", "v1beta1", "v1alpha3")


def _kind(
    struct: type[Object], plural: str, *short_names: str, versions: tuple[str, ...] = _VERSIONS
) -> Kind:
    return Kind(
        group="networking.istio.io",
        versions=versions,
        kind=struct.__name__,
        plural=plural,
        singular=struct.__name__.lower(),
        short_names=short_names,
        categories=("istio-io", "networking-istio-io"),
        columns=COLUMNS.get(struct.__name__, (AGE,)),
        struct=struct,
    )


KINDS = (
    _kind(VirtualService, "virtualservices", "vs"),
    _kind(DestinationRule, "destinationrules", "dr"),
    _kind(Gateway, "gateways", "gw"),
    _kind(ServiceEntry, "serviceentries", "se"),
    _kind(WorkloadEntry, "workloadentries", "we"),
    _kind(WorkloadGroup, "workloadgroups", "wg"),
    _kind(Sidecar, "sidecars"),
    _kind(EnvoyFilter, "envoyfilters", "ef", versions=("v1alpha3",)),
    _kind(ProxyConfig, "proxyconfigs", versions=("v1beta1",)),
)
