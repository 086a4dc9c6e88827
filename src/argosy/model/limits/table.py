"""The table of what is accepted and not in force, or not wholly, with what happens in its place.

Rule: a field that people may write is in force, refused, or stands here; a test walks the kinds and finds one that is
forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from argosy.model.hostnames import MESH_GATEWAY
from argosy.resources.meta import Object
from argosy.resources.networking import DestinationRule, VirtualService


class When(Struct, frozen=True):
    """Which values of a field, as written in an object, have no effect; `values` in words, "" for all."""

    values: str
    holds: Callable[[Any, Object], bool]


def _if(*values: Any) -> When:
    return When(" or ".join(map(str, values)), lambda value, obj: value in values)


def _unless(*values: Any) -> When:
    return When(f"other than {' or '.join(map(_shown, values))}", lambda value, obj: value not in values)


def _shown(value: Any) -> str:
    return (
        ", ".join(value) if isinstance(value, tuple) else str(value).lower() if value is False else str(value)
    )


_ALWAYS = When("", lambda value, obj: True)
_UNSELECTED = When(
    "without workloadSelector",
    lambda value, obj: isinstance(obj, DestinationRule) and obj.spec.workload_selector is None,
)
_AT_GATEWAYS = When(
    "with gateways other than mesh",
    lambda value, obj: (
        isinstance(obj, VirtualService) and any(one != MESH_GATEWAY for one in obj.spec.gateways)
    ),
)


class Limit(Struct, frozen=True):
    """`field`: `[*]` is any item of a list or entry of a map, `**.` any way down, `{a,b}` one of these, `~{a,b}` any
    but these; "" is the whole object, whatever it says."""

    kind: str  # as Kind.unique_name
    field: str
    message: str
    when: When = _ALWAYS


_NETWORK = "is not in force: the address is connected to directly, whatever the network"
_KUBERNETES = "is not in force: it is for Kubernetes' own load balancing, which has no part in the mesh"
_REFERENCE = "is not looked at: an endpoint is its address; write a WorkloadEntry for one that has a sidecar"
_ENDPOINT_NAME = "has no effect: the endpoints of a service have no names of their own"
_SERVICE_PORT = "has no effect, as in Istio: the Service's port says it"
_STATISTICS = (
    "is not in force: inbound clusters are counted under their own names, by which a workload that leaves waits for "
    "what it still serves"
)
_GATEWAY_API = "is not in force yet: the Gateway API is not served; use Istio's Gateway and VirtualService"
_WAYPOINT = (
    "is not in force: it means waypoints, which are not served; name a Gateway of the Gateway API, or use "
    "a selector"
)
_PROMETHEUS = "is not in force: metrics are there for Prometheus to scrape"
_PART = "is not in force; the provider's other fields are"
_GONE = "is not in force: Envoy no longer has it; use opentelemetry"
_STARTED = "is not in force: proxies are started as the agent that runs them is told"
_CODE = "is not in force yet: proxies run none of its code: traffic passes as if this object did not exist"

TABLE: tuple[Limit, ...] = (
    Limit(
        "VirtualService",
        "spec.{tls,tcp}[*].match[*].destinationSubnets",
        "has no effect at gateways, as in Istio: there connections are to the gateway's own address",
        _AT_GATEWAYS,
    ),
    Limit(
        "DestinationRule",
        "spec.**.loadBalancer.simple",
        "holds where traffic is captured (redirect); elsewhere the endpoints are balanced by LEAST_REQUEST",
        _if("PASSTHROUGH"),
    ),
    Limit(
        "DestinationRule",
        "spec.**.tls.credentialName",
        "is given to gateways alone, as in Istio; without it the TLS connections of sidecars to this host fail: select "
        "those that are to have it with a workloadSelector",
        _UNSELECTED,
    ),
    Limit(
        "DestinationRule",
        "spec.**.tunnel.protocol",
        "holds for captured connections, at gateways and for declared upstreams; a CONNECT of the application goes on "
        "as CONNECT",
        _if("POST"),
    ),
    Limit("Gateway", "spec.servers[*].defaultEndpoint", "has no effect, as in Istio; remove it"),
    Limit("Ingress", "spec.defaultBackend", "has no effect, as in Istio; give a rule without a host"),
    Limit("Ingress", "spec.rules[*].http.paths[*].backend.resource", "has no effect; name a service"),
    Limit("ServiceEntry", "spec.endpoints[*].network", _NETWORK),
    Limit("WorkloadEntry", "spec.network", _NETWORK),
    Limit(
        "WorkloadGroup",
        "",
        "is not in force yet: no WorkloadEntry is made from it, and nothing is probed; `argosy run` writes the entries "
        "of the workloads that it starts",
    ),
    Limit(
        "EnvoyFilter",
        "spec.targetRefs[*].kind",
        "is not in force: it means waypoints, which are not served; name a Gateway of the Gateway API, or use "
        "workloadSelector",
        _unless("Gateway"),
    ),
    Limit(
        "EnvoyFilter",
        "spec.configPatches[*].applyTo",
        "is not in force: agents write the bootstrap as they start a proxy, and no EnvoyFilter changes it; patch "
        "what proxies get from the control plane",
        _if("BOOTSTRAP"),
    ),
    Limit(
        "EnvoyFilter",
        "spec.configPatches[*].match.context",
        "is not in force: waypoints are not served, and the patch is for nobody else",
        _if("WAYPOINT"),
    ),
    Limit("EnvoyFilter", "spec.configPatches[*].match.waypoint", "is not in force: waypoints are not served"),
    Limit("EnvoyFilter", "spec.configPatches[*].match.listener.portName", "has no effect, as in Istio"),
    Limit(
        "ProxyConfig",
        "",
        "is not in force: concurrency, environmentVariables and image are of how a proxy is started, which the agent "
        "that runs it is told; what proxies get while they run stands in MeshConfig, defaultConfig",
    ),
    Limit(
        "Service",
        "spec.type",
        "opens nothing to the outside: as ClusterIP; let a Gateway serve it",
        _unless("ClusterIP", "ExternalName"),
    ),
    Limit("Service", "spec.ports[*].nodePort", "is not opened; let a Gateway serve it"),
    Limit(
        "Service",
        "spec.{externalIPs,healthCheckNodePort,loadBalancerIP,loadBalancerClass,loadBalancerSourceRanges}",
        _KUBERNETES,
    ),
    Limit("Service", "spec.allocateLoadBalancerNodePorts", _KUBERNETES, _unless(False)),
    Limit("Service", "spec.externalTrafficPolicy", _KUBERNETES, _unless("Cluster")),
    Limit(
        "Service",
        "spec.ipFamilies",
        "gives out no address: those in clusterIP and clusterIPs are used as written",
        _unless(("IPv4",)),
    ),
    Limit(
        "Service",
        "spec.ipFamilyPolicy",
        "gives out no address: those in clusterIP and clusterIPs are used as written",
        _unless("SingleStack"),
    ),
    Limit(
        "Service",
        "spec.sessionAffinity",
        "has no effect, as in Istio; use a DestinationRule with consistentHash.useSourceIp",
        _unless("None"),
    ),
    Limit(
        "Service",
        "spec.sessionAffinityConfig",
        "has no effect, as in Istio; use a DestinationRule with consistentHash",
    ),
    Limit(
        "AuthorizationPolicy",
        "",
        "IS NOT ENFORCED: this version applies no AuthorizationPolicy; requests that this one denies ARE LET "
        "THROUGH, as if this object did not exist: do not rely on it, and check in the application",
    ),
    Limit(
        "RequestAuthentication",
        "",
        "IS NOT ENFORCED: this version checks no tokens; requests with an invalid token, or without one, ARE LET "
        "THROUGH, as if this object did not exist: do not rely on it, and check in the application",
    ),
    Limit("Telemetry", "spec.targetRef.kind", _WAYPOINT, _unless("Gateway")),
    Limit("Telemetry", "spec.targetRefs[*].kind", _WAYPOINT, _unless("Gateway")),
    Limit(
        "Telemetry",
        "spec.tracing[*].enableIstioTags",
        "is not in force: spans have Envoy's own tags and customTags",
        _if(True),
    ),
    Limit(
        "Telemetry",
        "spec.tracing[*].disableContextPropagation",
        "is not in force: what a request says of its trace is passed on",
        _if(True),
    ),
    Limit("Telemetry", "spec.metrics[*].providers[*].name", _PROMETHEUS, _unless("prometheus")),
    Limit(
        "Telemetry",
        "spec.metrics[*].reportingInterval",
        "is not in force: TCP connections are reported as they open and as they end",
    ),
    Limit(
        "Telemetry",
        "spec.metrics[*].overrides[*].tagOverrides",
        "is not in force: metrics have Istio's standard tags",
    ),
    Limit(
        "Telemetry",
        "spec.metrics[*].overrides[*].match.customMetric",
        "is not in force: there are Istio's standard metrics alone",
    ),
    Limit(
        "Telemetry",
        "spec.metrics[*].overrides[*].match.metric",
        "is not reported at all",
        _if("GRPC_REQUEST_MESSAGES", "GRPC_RESPONSE_MESSAGES"),
    ),
    Limit("WasmPlugin", "", _CODE),
    Limit("TrafficExtension", "", _CODE),
    Limit("Endpoints", "subsets[*].{addresses,notReadyAddresses}[*].targetRef", _REFERENCE),
    Limit("Endpoints", "subsets[*].{addresses,notReadyAddresses}[*].hostname", _ENDPOINT_NAME),
    Limit("Endpoints", "subsets[*].ports[*].{protocol,appProtocol}", _SERVICE_PORT, _unless("TCP")),
    Limit(
        "EndpointSlice",
        "addressType",
        "gets no traffic, as in Istio: names are not resolved; use a ServiceEntry that resolves by DNS",
        _if("FQDN"),
    ),
    Limit("EndpointSlice", "endpoints[*].targetRef", _REFERENCE),
    Limit("EndpointSlice", "endpoints[*].hostname", _ENDPOINT_NAME),
    Limit(
        "EndpointSlice",
        "endpoints[*].hints",
        "has no effect, as in Istio: use trafficDistribution or a DestinationRule with localityLbSetting",
    ),
    Limit(
        "EndpointSlice",
        "endpoints[*].conditions.{serving,terminating}",
        "has no effect, as in Istio: who is not ready gets no traffic",
    ),
    Limit("EndpointSlice", "ports[*].{protocol,appProtocol}", _SERVICE_PORT, _unless("TCP")),
    *(
        Limit(f"{kind}.gateway.networking.k8s.io", "", _GATEWAY_API)
        for kind in (
            "GatewayClass",
            "Gateway",
            "ListenerSet",
            "HTTPRoute",
            "GRPCRoute",
            "TLSRoute",
            "TCPRoute",
            "UDPRoute",
        )
    ),
    Limit(
        "ReferenceGrant.gateway.networking.k8s.io",
        "",
        "is not in force yet: the Gateway API is not served, so nothing refers to objects of this namespace",
    ),
    Limit(
        "BackendTLSPolicy.gateway.networking.k8s.io",
        "",
        "IS NOT ENFORCED: the Gateway API is not served yet; connections to these backends are NOT ENCRYPTED by it and "
        "nothing is verified: use a DestinationRule with tls",
    ),
    Limit("ConfigMap", "binaryData", "is not read: mesh settings are text, in data"),
    Limit("ConfigMap", "data.meshNetworks", _NETWORK),
    Limit(
        "MeshConfig",
        "outboundTrafficPolicy.tls.mode",
        "has no effect: hosts outside the mesh know nothing of its identities",
        _if("ISTIO_MUTUAL"),
    ),
    Limit(
        "MeshConfig",
        "outboundTrafficPolicy.tls.credentialName",
        "is given to no sidecar: TLS connections to unknown hosts fail; name files",
    ),
    Limit(
        "MeshConfig",
        "proxyListenPort",
        "is not in force: the agent chooses the ports that sidecars listen on",
    ),
    Limit(
        "MeshConfig",
        "defaultConfig.connectionSettings",
        "is not in force yet: connections have Envoy's own limits and time-outs",
    ),
    Limit("MeshConfig", "defaultConfig.~{tracing,gatewayTopology,proxyHeaders}", _STARTED),
    Limit(
        "MeshConfig", "defaultConfig.proxyHeaders.metadataExchangeHeaders", "has no effect: there are none"
    ),
    Limit(
        "MeshConfig",
        "defaultConfig.proxyHeaders.{attemptCount,preserveHttp1HeaderCase,xForwardedHost}",
        "is not in force: these headers are as Envoy and Istio have them by default",
    ),
    Limit(
        "MeshConfig",
        "defaultConfig.tracing.~{sampling,maxPathTagLength}",
        "is not in force: write a provider and name it in defaultProviders.tracing, or tags in a Telemetry",
    ),
    Limit(
        "MeshConfig",
        "extensionProviders[*].{envoyExtAuthzHttp,envoyExtAuthzGrpc,sds}",
        "is not in force: nobody is asked for decisions or certificates yet",
    ),
    Limit("MeshConfig", "extensionProviders[*].{lightstep,stackdriver,opencensus}", _GONE),
    Limit("MeshConfig", "extensionProviders[*].skywalking", "is not served; use opentelemetry or zipkin"),
    Limit(
        "MeshConfig",
        "extensionProviders[*].zipkin.~{service,port,maxTagLength,enable64bitTraceId,path}",
        _PART,
    ),
    Limit(
        "MeshConfig",
        "extensionProviders[*].opentelemetry.~{service,port,maxTagLength,http,grpc}",
        _PART,
    ),
    Limit("MeshConfig", "extensionProviders[*].opentelemetry.http.headers[*].envName", _PART),
    Limit("MeshConfig", "extensionProviders[*].opentelemetry.grpc.initialMetadata[*].envName", _PART),
    Limit("MeshConfig", "defaultProviders.metrics[*]", _PROMETHEUS, _unless("prometheus")),
    Limit(
        "MeshConfig", "serviceSettings", "is not in force: the mesh is one cluster, all of which is reached"
    ),
    Limit(
        "MeshConfig",
        "discoverySelectors",
        "is not in force: services of every namespace are seen; write exportTo, or defaultServiceExportTo",
    ),
    Limit(
        "MeshConfig",
        "enableTracing",
        "has no effect by itself: name a provider in defaultProviders.tracing or in a Telemetry",
    ),
    Limit("MeshConfig", "inboundClusterStatName", _STATISTICS),
)
"""In the order of kinds and fields; the first that fits a field speaks. MeshConfig stands in the ConfigMap
istio-system/istio."""
