"""The table of what is accepted and not in force, or not wholly, with what happens in its place.

Rule: a field that people may write is in force, refused, or stands here; a test walks the kinds and finds one that is
forgotten.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.model import lower_networks, metrics
from argosy.model.hostnames import MESH_GATEWAY
from argosy.model.limits import start
from argosy.model.limits.when import ALWAYS, When, only_if, unless
from argosy.resources.networking import DestinationRule, VirtualService
from argosy.resources.semantics import expressions

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
_NO_VALUE = When(
    "that Envoy cannot compute",
    lambda value, obj: bool(value) and expressions.problem_of_value(value) is not None,
)


class Limit(Struct, frozen=True):
    """`field`: `[*]` is any item of a list or entry of a map, `**.` any way down, `{a,b}` one of these, `~{a,b}` any
    but these; "" is the whole object, whatever it says."""

    kind: str  # as Kind.unique_name
    field: str
    message: str
    when: When = ALWAYS


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
_GONE = "is not in force: Envoy no longer has it; use opentelemetry"
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
        only_if("PASSTHROUGH"),
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
        only_if("POST"),
    ),
    Limit("Gateway", "spec.servers[*].defaultEndpoint", "has no effect, as in Istio; remove it"),
    Limit("Ingress", "spec.defaultBackend", "has no effect, as in Istio; give a rule without a host"),
    Limit("Ingress", "spec.rules[*].http.paths[*].backend.resource", "has no effect; name a service"),
    Limit(
        "WorkloadGroup", "spec.template.address", "has no effect, as in Istio: each workload brings its own"
    ),
    Limit(
        "EnvoyFilter",
        "spec.targetRefs[*].kind",
        "is not in force: it means waypoints, which are not served; name a Gateway of the Gateway API, or use "
        "workloadSelector",
        unless("Gateway"),
    ),
    Limit(
        "EnvoyFilter",
        "spec.configPatches[*].match.context",
        "is not in force: waypoints are not served, and the patch is for nobody else",
        only_if("WAYPOINT"),
    ),
    Limit("EnvoyFilter", "spec.configPatches[*].match.waypoint", "is not in force: waypoints are not served"),
    Limit("EnvoyFilter", "spec.configPatches[*].match.listener.portName", "has no effect, as in Istio"),
    Limit("ProxyConfig", "spec.image", start.IMAGE),
    Limit(
        "Service",
        "spec.type",
        "opens nothing to the outside: as ClusterIP; let a Gateway serve it",
        unless("ClusterIP", "ExternalName"),
    ),
    Limit("Service", "spec.ports[*].nodePort", "is not opened; let a Gateway serve it"),
    Limit(
        "Service",
        "spec.{externalIPs,healthCheckNodePort,loadBalancerIP,loadBalancerClass,loadBalancerSourceRanges}",
        _KUBERNETES,
    ),
    Limit("Service", "spec.allocateLoadBalancerNodePorts", _KUBERNETES, unless(False)),
    Limit("Service", "spec.externalTrafficPolicy", _KUBERNETES, unless("Cluster")),
    Limit(
        "Service",
        "spec.ipFamilies",
        "gives out no address: those in clusterIP and clusterIPs are used as written",
        unless(("IPv4",)),
    ),
    Limit(
        "Service",
        "spec.ipFamilyPolicy",
        "gives out no address: those in clusterIP and clusterIPs are used as written",
        unless("SingleStack"),
    ),
    Limit(
        "Service",
        "spec.sessionAffinity",
        "has no effect, as in Istio; use a DestinationRule with consistentHash.useSourceIp",
        unless("None"),
    ),
    Limit(
        "Service",
        "spec.sessionAffinityConfig",
        "has no effect, as in Istio; use a DestinationRule with consistentHash",
    ),
    Limit("AuthorizationPolicy", "spec.targetRef.kind", _WAYPOINT, unless("Gateway")),
    Limit("AuthorizationPolicy", "spec.targetRefs[*].kind", _WAYPOINT, unless("Gateway")),
    Limit("RequestAuthentication", "spec.targetRef.kind", _WAYPOINT, unless("Gateway")),
    Limit("RequestAuthentication", "spec.targetRefs[*].kind", _WAYPOINT, unless("Gateway")),
    Limit("Telemetry", "spec.targetRef.kind", _WAYPOINT, unless("Gateway")),
    Limit("Telemetry", "spec.targetRefs[*].kind", _WAYPOINT, unless("Gateway")),
    Limit("Telemetry", "spec.metrics[*].providers[*].name", _PROMETHEUS, unless("prometheus")),
    Limit(
        "Telemetry",
        "spec.metrics[*].reportingInterval",
        "is not in force: Envoy says how many bytes a connection has had since its beginning, not since it last said "
        "so; they are added up once, when it ends",
    ),
    Limit(
        "Telemetry",
        "spec.metrics[*].overrides[*].tagOverrides[*].value",
        "is not in force, and the tag is as without it: Envoy cannot compute it. It has string() around a whole "
        "expression only, no macros over lists, no upstream_peer or downstream_peer (what these say stands in the "
        "standard tags), and few other functions",
        _NO_VALUE,
    ),
    Limit(
        "Telemetry",
        "spec.metrics[*].overrides[*].match.customMetric",
        "means no metric: there are Istio's standard metrics alone, under their names without `istio_`; in Istio, too, "
        "another is there only where an EnvoyFilter defines it",
        When("other than the names of standard metrics", lambda value, obj: not metrics.called(value)),
    ),
    Limit(
        "Telemetry",
        "spec.metrics[*].overrides[*].match.metric",
        "is not reported at all: Envoy has the numbers of a stream's messages only as one text, and counts numbers",
        only_if("GRPC_REQUEST_MESSAGES", "GRPC_RESPONSE_MESSAGES"),
    ),
    Limit("WasmPlugin", "", _CODE),
    Limit("TrafficExtension", "", _CODE),
    Limit("Endpoints", "subsets[*].{addresses,notReadyAddresses}[*].targetRef", _REFERENCE),
    Limit("Endpoints", "subsets[*].{addresses,notReadyAddresses}[*].hostname", _ENDPOINT_NAME),
    Limit("Endpoints", "subsets[*].ports[*].{protocol,appProtocol}", _SERVICE_PORT, unless("TCP")),
    Limit(
        "EndpointSlice",
        "addressType",
        "gets no traffic, as in Istio: names are not resolved; use a ServiceEntry that resolves by DNS",
        only_if("FQDN"),
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
    Limit("EndpointSlice", "ports[*].{protocol,appProtocol}", _SERVICE_PORT, unless("TCP")),
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
    Limit(
        "ConfigMap",
        "data.meshNetworks",
        "has gateways that are not used: their addresses are names, and an endpoint is an address; give that, or a "
        "service of the mesh with registryServiceName",
        When(
            "with a gateway whose address is a name", lambda value, obj: lower_networks.names_gateways(value)
        ),
    ),
    Limit(
        "MeshConfig",
        "outboundTrafficPolicy.tls.mode",
        "has no effect: hosts outside the mesh know nothing of its identities",
        only_if("ISTIO_MUTUAL"),
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
        "defaultConfig.connectionSettings.listenerConnectionLimit",
        "is not in force: Envoy has it in its runtime alone, by the name of each listener: write runtimeValues, as "
        "envoy.resource_limits.listener.NAME.connection_limit, or globalDownstreamConnectionLimit",
    ),
    *(
        Limit("MeshConfig", f"defaultConfig.{fields}", message, when)
        for fields, message, when in start.DEFAULT_CONFIG
    ),
    Limit(
        "MeshConfig", "defaultConfig.proxyHeaders.metadataExchangeHeaders", "has no effect: there are none"
    ),
    Limit(
        "MeshConfig",
        "extensionProviders[*].sds",
        "is not in force: nobody is asked for certificates yet",
    ),
    Limit("MeshConfig", "extensionProviders[*].{lightstep,stackdriver,opencensus}", _GONE),
    Limit(
        "MeshConfig",
        "extensionProviders[*].opentelemetry.serviceAttributeEnrichment",
        "is not in force: spans are of the application and its namespace, and resourceDetectors say more",
    ),
    Limit("MeshConfig", "defaultConfig.tracing.{lightstep,stackdriver,openCensusAgent}", _GONE),
    Limit(
        "MeshConfig",
        "defaultConfig.tracing.tlsSettings",
        "is not in force: a collector is a service of the mesh, and a DestinationRule for it says what TLS it gets",
    ),
    Limit("MeshConfig", "defaultProviders.metrics[*]", _PROMETHEUS, unless("prometheus")),
    Limit(
        "MeshConfig", "serviceSettings", "has no effect, as in Istio with one cluster: all of it is reached"
    ),
    Limit("MeshConfig", "inboundClusterStatName", _STATISTICS),
)
"""In the order of kinds and fields; the first that fits a field speaks. MeshConfig stands in the ConfigMap
istio-system/istio."""
