"""Names on the wire (ARCHITECTURE.md): of clusters, routes, listeners, secrets, and the SNI and ALPN of the mesh."""

from __future__ import annotations

PASSTHROUGH = "PassthroughCluster"
BLACK_HOLE = "BlackHoleCluster"
INBOUND_PASSTHROUGH = "InboundPassthroughCluster"
HTTP_PROXY = "http_proxy"  # explicit: the one RouteConfiguration of every host and port
OUTBOUND_PROXY = "outbound_proxy"
CONNECT_HTTP = "connect_http"  # internal listener, and the cluster that leads to it
VIRTUAL_OUTBOUND = "virtualOutbound"
VIRTUAL_INBOUND = "virtualInbound"
PEER_AUTHENTICATION = "peer-authentication/"  # beginning of the names of its filters

CERTIFICATE = "default"  # SDS: own key and chain, served by the agent
ROOTS = "ROOTCA"  # SDS: the trust bundle, served by the agent

MESH_ALPN = "istio"
"""Offered first by mesh clients, chosen by nobody: an inbound filter chain recognises mesh traffic by it."""


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


def gateway_route(port: int) -> str:
    return f"http.{port}"


def peer_authentication(port: int) -> str:
    return f"{PEER_AUTHENTICATION}{port}"


def spiffe(trust_domain: str, namespace: str, service_account: str) -> str:
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
