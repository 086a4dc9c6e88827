"""Every message the analysis has: code, name, level, sentence. One visible list.

Facts (Istio: reference/config/analysis): codes, names and levels. `{…}` are what a Finding brings.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

DOCUMENTATION = "https://istio.io/latest/docs/reference/config/analysis/"


class Level(IntEnum):
    """How bad it is; the greater the worse."""

    INFO = 0
    WARNING = 1
    ERROR = 2

    @property
    def label(self) -> str:
        """As it is written: `Error`."""
        return self.name.capitalize()


class MessageType(Struct, frozen=True):
    code: str
    name: str
    level: Level
    template: str

    @property
    def documentation(self) -> str:
        return f"{DOCUMENTATION}{self.code.lower()}/"


INFO, WARN, ERROR = Level.INFO, Level.WARNING, Level.ERROR

MESSAGES: tuple[MessageType, ...] = (
    MessageType("IST0001", "InternalError", ERROR, "the analysis itself failed: {error}"),
    MessageType("IST0002", "Deprecated", WARN, "{problem}"),
    MessageType("IST0101", "ReferencedResourceNotFound", ERROR, "{value}: {missing}; {remedy}"),
    MessageType(
        "IST0102",
        "NamespaceNotInjected",
        INFO,
        "no label says whether sidecars are injected here; set istio-injection=enabled, or disabled",
    ),
    MessageType(
        "IST0103",
        "PodMissingProxy",
        WARN,
        "has no proxy though its namespace has sidecars injected; restart the workload",
    ),
    MessageType("IST0106", "SchemaValidationError", ERROR, "{problem}"),
    MessageType(
        "IST0107", "MisplacedAnnotation", WARN, "{annotation} has no effect here; it belongs on: {kinds}"
    ),
    MessageType(
        "IST0108",
        "UnknownAnnotation",
        WARN,
        "{annotation} is none of Istio's annotations; correct or remove it",
    ),
    MessageType(
        "IST0109",
        "ConflictingMeshGatewayVirtualServiceHosts",
        ERROR,
        "{host}: {owners} have this host; sidecars use {winner}, the older: join their routes in one of them",
    ),
    MessageType(
        "IST0110",
        "ConflictingSidecarWorkloadSelectors",
        ERROR,
        "{owners} all select workload {workload}, of which one is used; select disjoint workloads",
    ),
    MessageType(
        "IST0111",
        "MultipleSidecarsWithoutWorkloadSelectors",
        ERROR,
        "{owners} are all for the whole namespace, of which one is used; keep one, or select workloads with the others",
    ),
    MessageType(
        "IST0112",
        "VirtualServiceDestinationPortSelectorRequired",
        ERROR,
        "{host} has several ports ({ports}); say which with port.number",
    ),
    MessageType(
        "IST0116",
        "DeploymentAssociatedToMultipleServices",
        WARN,
        "its port {port} has several protocols, by {services}; use one protocol a port",
    ),
    MessageType(
        "IST0118",
        "PortNameIsNotUnderNamingConvention",
        INFO,
        "port {port} is named {name!r}, which says no protocol; name it PROTOCOL or PROTOCOL-…, as http-web, or set "
        "appProtocol",
    ),
    MessageType(
        "IST0123",
        "NamespaceMultipleInjectionLabels",
        WARN,
        "has several labels that choose how its workloads join the mesh ({labels}); keep one",
    ),
    MessageType("IST0125", "InvalidAnnotation", WARN, "{annotation}: {value!r} {problem}"),
    MessageType(
        "IST0126",
        "UnknownMeshNetworksServiceRegistry",
        ERROR,
        "network {network}: {registry!r} is no service registry that is known; the registries are: {known}",
    ),
    MessageType(
        "IST0127",
        "NoMatchingWorkloadsFound",
        WARN,
        "no workload of the mesh is selected{by}; correct the selector, or start the workload",
    ),
    MessageType(
        "IST0128",
        "NoServerCertificateVerificationDestinationLevel",
        WARN,
        "TLS mode {mode} to {host} does not verify the server: it trusts no authority; set caCertificates",
    ),
    MessageType(
        "IST0129",
        "NoServerCertificateVerificationPortLevel",
        WARN,
        "TLS mode {mode} to {host}, port {port}, verifies no server: it trusts no authority; set caCertificates",
    ),
    MessageType("IST0130", "VirtualServiceUnreachableRule", WARN, "{problem}"),
    MessageType("IST0131", "VirtualServiceIneffectiveMatch", INFO, "{problem}"),
    MessageType(
        "IST0132",
        "VirtualServiceHostNotFoundInGateway",
        WARN,
        "{value}: Gateway {gateway} serves none of this object's hosts ({hosts}); its servers' hosts are: {served}",
    ),
    MessageType("IST0133", "SchemaWarning", WARN, "{problem}"),
    MessageType(
        "IST0134",
        "ServiceEntryAddressesRequired",
        WARN,
        "port {port} is plain TCP, which is told apart by address alone; give spec.addresses",
    ),
    MessageType("IST0135", "DeprecatedAnnotation", INFO, "{annotation} is deprecated{instead}"),
    MessageType(
        "IST0136", "AlphaAnnotation", INFO, "{annotation} belongs to an alpha feature and may change"
    ),
    MessageType(
        "IST0137",
        "DeploymentConflictingPorts",
        WARN,
        "{services} reach its port {target} from different ports ({ports}); use one port for it",
    ),
    MessageType(
        "IST0138",
        "GatewayDuplicateCertificate",
        WARN,
        "{owners} use the same certificate: clients that reuse an HTTP/2 connection get 404; serve these hosts by one "
        "Gateway",
    ),
    MessageType("IST0139", "InvalidWebhook", ERROR, "webhook {webhook}: {problem}"),
    MessageType(
        "IST0140",
        "IngressRouteRulesNotAffected",
        WARN,
        "{host}: the subsets by which {owner} routes this host do not hold for requests through a gateway; name the "
        "subset here",
    ),
    MessageType("IST0141", "InsufficientPermissions", ERROR, "you may not create {what}: {why}"),
    MessageType(
        "IST0142", "UnsupportedKubernetesVersion", ERROR, "Kubernetes {version} is older than {minimum}"
    ),
    MessageType(
        "IST0143",
        "LocalhostListener",
        ERROR,
        "port {port} is in a Service, but the workload listens on localhost alone; listen on the workload's address",
    ),
    MessageType(
        "IST0144",
        "InvalidApplicationUID",
        WARN,
        "runs as user 1337, which is the sidecar's: its traffic would pass the sidecar by; choose another runAsUser",
    ),
    MessageType(
        "IST0145",
        "ConflictingGateways",
        ERROR,
        "{owners} select the same gateway ({selector}) and serve the same hosts ({hosts}) at port {port}, of which "
        "one is used; join their servers in one of them",
    ),
    MessageType(
        "IST0146",
        "ImageAutoWithoutInjectionWarning",
        WARN,
        "has `image: auto`, which injection replaces, but no injection webhook selects its pods; label them or their "
        "namespace",
    ),
    MessageType(
        "IST0147",
        "ImageAutoWithoutInjectionError",
        ERROR,
        "has `image: auto`, which injection should have replaced; label it or its namespace, and create it again",
    ),
    MessageType(
        "IST0148",
        "NamespaceInjectionEnabledByDefault",
        INFO,
        "has sidecars injected although no label says so: enableNamespacesByDefault is set",
    ),
    MessageType(
        "IST0149",
        "JwtClaimBasedRoutingWithoutRequestAuthN",
        ERROR,
        "routes by {claim}, but no RequestAuthentication is for workload {workload} of gateway {gateway}, so that "
        "there are no claims; create one",
    ),
    MessageType(
        "IST0150",
        "ExternalNameServiceTypeInvalidPortName",
        WARN,
        "port {port} is named {name!r}: of a service outside, such a port takes all other traffic to it; name it "
        "after its protocol, as https",
    ),
    MessageType(
        "IST0151",
        "EnvoyFilterUsesRelativeOperation",
        WARN,
        "{operation} depends on the order of EnvoyFilters, and this one has no priority; set spec.priority",
    ),
    MessageType(
        "IST0152",
        "EnvoyFilterUsesReplaceOperationIncorrectly",
        ERROR,
        "REPLACE is for HTTP_FILTER and NETWORK_FILTER, not for {target}; use another operation",
    ),
    MessageType(
        "IST0153",
        "EnvoyFilterUsesAddOperationIncorrectly",
        ERROR,
        "ADD is ignored for {target}; use MERGE or INSERT_FIRST",
    ),
    MessageType(
        "IST0154",
        "EnvoyFilterUsesRemoveOperationIncorrectly",
        ERROR,
        "REMOVE is ignored for {target}; use another operation",
    ),
    MessageType(
        "IST0155",
        "EnvoyFilterUsesRelativeOperationWithProxyVersion",
        WARN,
        "{operation} depends on the order of EnvoyFilters, and a patch of the same name holds for one proxy version "
        "alone: it may be lost at an upgrade; set spec.priority",
    ),
    MessageType(
        "IST0156",
        "UnsupportedGatewayAPIVersion",
        ERROR,
        "the definitions of the Gateway API are of {version}, older than {minimum}; update them",
    ),
    MessageType(
        "IST0157",
        "InvalidTelemetryProvider",
        WARN,
        "names no provider, and the mesh has no default one, so that it has no effect; name one",
    ),
    MessageType(
        "IST0158",
        "PodsIstioProxyImageMismatchInNamespace",
        WARN,
        "the proxies of {pods} are not of the image that is injected now; restart the workloads",
    ),
    MessageType(
        "IST0159",
        "ConflictingTelemetryWorkloadSelectors",
        ERROR,
        "{owners} all select workload {workload}, of which one is used; select disjoint workloads",
    ),
    MessageType(
        "IST0160",
        "MultipleTelemetriesWithoutWorkloadSelectors",
        ERROR,
        "{owners} are all for the whole namespace, of which one is used; keep one, or give the others a selector",
    ),
    MessageType(
        "IST0161",
        "InvalidGatewayCredential",
        ERROR,
        "{value}: Secret {secret} holds no certificate and key to serve with: {problem}",
    ),
    MessageType(
        "IST0162",
        "GatewayPortNotDefinedOnService",
        WARN,
        "{port} is no target port of the Services before {selector} ({ports}), and cannot be reached through them; add "
        "it there",
    ),
    MessageType(
        "IST0163",
        "InvalidExternalControlPlaneConfig",
        WARN,
        "webhook {webhook}: its address {url!r} {problem}",
    ),
    MessageType(
        "IST0164",
        "ExternalControlPlaneAddressIsNotAHostname",
        INFO,
        "webhook {webhook}: {url} is an address, which may change; use a host name",
    ),
    MessageType(
        "IST0165",
        "ReferencedInternalGateway",
        WARN,
        "{gateway} is a Gateway that a controller makes and renames; bind an HTTPRoute to the Gateway it is made from",
    ),
    MessageType(
        "IST0166",
        "IneffectiveSelector",
        WARN,
        "a selector has no effect on Gateway {gateway} of the Kubernetes Gateway API; use targetRefs",
    ),
    MessageType("IST0167", "IneffectivePolicy", WARN, "has no effect: {reason}"),
    MessageType("IST0168", "UnknownUpgradeCompatibility", WARN, "{what} changed in {release}: {change}"),
    MessageType("IST0169", "UpdateIncompatibility", WARN, "{what} changed in {release}: {change}"),
    MessageType("IST0170", "MultiClusterInconsistentService", WARN, "differs between clusters: {difference}"),
    MessageType("IST0171", "NegativeConditionStatus", WARN, "its condition {type} says {reason}: {message}"),
    MessageType(
        "IST0172",
        "FutureUnsupportedGatewayAPIVersion",
        WARN,
        "the definitions of the Gateway API are of {version}; the next version needs {minimum}",
    ),
    MessageType(
        "IST0173",
        "DestinationRuleSubsetNotSelectPods",
        ERROR,
        "no workload of {host} has the labels of subset {subset} ({labels}), so that requests to it fail with 503",
    ),
    MessageType("IST0174", "UnknownDestinationRuleHost", WARN, "{value}: no service has this host; {remedy}"),
    MessageType(
        "IST0175",
        "JwksUriFetchUnrestricted",
        WARN,
        "keys of tokens are fetched from wherever {policies} say; set BLOCKED_CIDRS_IN_JWKS_URIS",
    ),
    MessageType(
        "IST0176",
        "GatewayAPICRDVersionBelowMinimum",
        WARN,
        "is of version {version} of the Gateway API; below {minimum} its objects are not looked at: update it",
    ),
    MessageType(
        "IST0177",
        "ConflictingServiceEntryProtocol",
        WARN,
        "{owners} give port {port} of {host} different protocols ({protocols}); agree on one",
    ),
)
BY_NAME = {each.name: each for each in MESSAGES}
