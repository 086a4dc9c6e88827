"""Names on the wire (ARCHITECTURE.md): of clusters, routes, listeners, secrets, and the SNI and ALPN of the mesh."""

from __future__ import annotations

from argosy.model.ir import GatewayServer

PASSTHROUGH = "PassthroughCluster"
BLACK_HOLE = "BlackHoleCluster"
BY_NAME = "AllowAnyDynamicDNSCluster"
INBOUND_PASSTHROUGH = "InboundPassthroughCluster"
HTTP_PROXY = "http_proxy"  # explicit: the one RouteConfiguration of every host and port
OUTBOUND_PROXY = "outbound_proxy"
LOCAL_CLUSTER = (
    "local_cluster"  # in the bootstrap of a proxy that knows where it is: those of its own service
)
CONNECT_HTTP = "connect_http"  # internal listener, and the cluster that leads to it
VIRTUAL_OUTBOUND = "virtualOutbound"
VIRTUAL_INBOUND = "virtualInbound"
REQUEST_AUTHENTICATION = "envoy.filters.http.jwt_authn"  # as Istio's filter, by which EnvoyFilters find it
CLAIM_HEADERS = "claim-headers"
PEER_AUTHENTICATION = "peer-authentication/"  # beginning of the names of its filters

AUTHORIZATION = "authorization/"  # and of those of authorization

CERTIFICATE = "default"  # SDS: own key and chain, served by the agent
ROOTS = "ROOTCA"  # SDS: the trust bundle, served by the agent

MESH_ALPN = "istio"
"""Offered first by mesh clients, chosen by nobody: an inbound filter chain recognises mesh traffic by it."""

ISTIO_ALPN = (MESH_ALPN, "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")
"""All that Istio's sidecars may offer."""


def outbound(host: str, port: int, subset: str = "") -> str:
    return f"outbound|{port}|{subset}|{host}"


def of_outbound(name: str) -> tuple[str, int, str]:
    """(host, port, subset) of an outbound cluster."""
    _, port, subset, host = name.split("|")
    return host, int(port), subset


def inbound(port: int) -> str:
    """Cluster and RouteConfiguration of a workload port."""
    return f"inbound|{port}||"


def sni(host: str, port: int, subset: str = "") -> str:
    return f"outbound_.{port}_.{subset}_.{host}"


def upstream_route(host: str, port: int) -> str:
    return f"upstream|{port}|{host}"


def upstream_listener(host: str, port: int) -> str:
    return f"upstream_{port}_{host}"


def inbound_listener(port: int) -> str:
    return f"inbound_{port}"


def of_sni(name: str) -> tuple[str, int, str]:
    """(host, port, subset) of what `sni` made."""
    _, port, subset, host = name.split("_.", 3)
    return host, int(port), subset


def is_sni(name: str) -> bool:
    return name.startswith("outbound_.")


def gateway_listener(bind: str, address: str, port: int) -> str:
    """`address`: what is bound where a Gateway says nothing."""
    return bind if bind.startswith("unix://") else f"{bind or address}_{port}"


def quic_listener(bind: str, address: str, port: int) -> str:
    """HTTP/3 beside `gateway_listener`, as Istio calls it."""
    return f"udp_{gateway_listener(bind, address, port)}"


def gateway_route(server: GatewayServer, port: int) -> str:
    """The RouteConfiguration of a server that routes HTTP; `port` is listened on. Plain HTTP of a port is one."""
    bind = f".{server.bind}" if server.bind else ""
    if server.protocol.is_http:
        return f"http.{port}{bind}"
    namespace, _, name = server.gateway.partition("/")
    return f"https.{server.port}.{server.port_name}.{name}.{namespace}{bind}"


SECRETS = "kubernetes://"


def credential(namespace: str, name: str) -> str:
    """A Secret with certificate and key, as a proxy of `namespace` names it."""
    name = name.removeprefix(SECRETS)
    return f"{SECRETS}{name if '/' in name else f'{namespace}/{name}'}"


def withheld(name: str) -> str:
    return f"{SECRETS}{name}"


def authorities(namespace: str, name: str) -> str:
    """The authorities in the Secret NAME-cacert, or else NAME."""
    return f"{credential(namespace, name)}-cacert"


def certificate_files(certificate: str, key: str) -> str:
    return f"file-cert:{certificate}~{key}"


def authority_file(certificates: str, revoked: str) -> str:
    return f"file-root:{certificates}~{revoked}" if revoked else f"file-root:{certificates}"


def peer_authentication(port: int) -> str:
    return f"{PEER_AUTHENTICATION}{port}"


def authorization(layer: str, slot: str, port: int) -> str:
    """`port`: the workload port, where Envoy sees another number than that; 0: one for all ports."""
    return f"{AUTHORIZATION}{layer}/{slot}/{port}" if port else f"{AUTHORIZATION}{layer}/{slot}"


def spiffe(trust_domain: str, namespace: str, service_account: str) -> str:
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
