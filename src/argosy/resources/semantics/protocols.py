"""Names of port protocols, in any case, as Istio knows them."""

from __future__ import annotations

from argosy.resources.semantics.names import shown

HTTP = frozenset(("HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB"))
TLS = frozenset(("HTTPS", "TLS"))
TCP = TLS | {"TCP", "MONGO", "REDIS", "MYSQL", "HBONE", "DOUBLE_HBONE"}
KNOWN = HTTP | TCP | {"UDP"}


def known(protocol: str) -> str | None:
    if protocol.upper() in KNOWN:
        return None
    return f"{shown(protocol)} is not a protocol; use HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, REDIS, MYSQL"
