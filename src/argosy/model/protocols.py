"""Protocols by their names: in a port's name, an appProtocol or a `protocol` field.

Facts (Istio): appProtocol wins over the port's name; of a name the part before the first `-` counts; a port that names
none is TCP where it is well known for a protocol in which the server speaks first, else it is to be detected.
"""

from __future__ import annotations

from argosy.model.ir import Protocol

NAMES = {
    "http": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "grpc-web": Protocol.GRPC_WEB,
    "https": Protocol.HTTPS,
    "tls": Protocol.TLS,
    "tcp": Protocol.TCP,
    "mongo": Protocol.MONGO,
    "redis": Protocol.REDIS,
    "mysql": Protocol.MYSQL,
    "udp": Protocol.UDP,
}
KUBERNETES_APP_PROTOCOLS = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
}
SERVER_SPEAKS_FIRST = frozenset({25, 53, 3306, 27017})  # SMTP, DNS, MySQL, MongoDB


def parse_protocol(name: str) -> Protocol:
    return NAMES.get(name.lower(), Protocol.UNSUPPORTED)


def service_port_protocol(
    *, number: int, name: str, transport: str = "TCP", app_protocol: str | None = None
) -> Protocol:
    """The protocol of a port of a v1 Service."""
    if transport.upper() == "UDP":
        return Protocol.UDP
    if app_protocol in KUBERNETES_APP_PROTOCOLS:
        return KUBERNETES_APP_PROTOCOLS[app_protocol]
    text = (app_protocol or name).lower()
    if text == "grpc-web" or text.startswith("grpc-web-"):
        return Protocol.GRPC_WEB
    found = parse_protocol(text.partition("-")[0])
    if found is Protocol.UNSUPPORTED and number in SERVER_SPEAKS_FIRST:
        return Protocol.TCP
    return found
