"""Gateway to `GatewayRule`.

Facts (Istio): a host without a namespace is `*/host`, `./host` is of the Gateway's own namespace; a Gateway without a
selector is for every gateway proxy; the protocol is written in any case.
"""

from __future__ import annotations

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.lower_http import pairs
from argosy.model.protocols import parse_protocol
from argosy.model.rules import GatewayRule
from argosy.model.scope import Selector, SelectorUse
from argosy.resources.networking import Gateway, ServerTLSSettings


def _host(host: str, namespace: str) -> str:
    owner, slash, name = host.partition("/")
    if not slash:
        return f"*/{host}"
    return f"{namespace if owner == '.' else owner}/{name}"


def _tls(written: ServerTLSSettings | None) -> ir.GatewayTls | None:
    if written is None:
        return None
    return ir.GatewayTls(
        mode=str(written.mode),
        https_redirect=written.https_redirect,
        credential_name=written.credential_name,
        server_certificate=written.server_certificate,
        private_key=written.private_key,
        ca_certificates=written.ca_certificates,
    )


def lower(obj: Gateway) -> GatewayRule:
    """Raises LoweringError with the field."""
    meta, spec = obj.metadata, obj.spec
    servers = []
    for index, server in enumerate(spec.servers):
        field = f"spec.servers[{index}]"
        if server.port is None or not server.port.number:
            raise LoweringError(f"{field}.port", "needs a number; write the port to listen on")
        protocol = parse_protocol(server.port.protocol)
        if protocol is ir.Protocol.UNSUPPORTED:
            raise LoweringError(
                f"{field}.port.protocol",
                f"{server.port.protocol or '(empty)'} is not one of HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS",
            )
        servers.append(
            ir.GatewayServer(
                gateway=f"{meta.namespace}/{meta.name}",
                name=server.name or server.port.name,
                port=server.port.number,
                protocol=protocol,
                hosts=tuple(dict.fromkeys(_host(host, meta.namespace) for host in server.hosts)),
                bind=server.bind,
                tls=_tls(server.tls),
            )
        )
    labels = pairs(spec.selector)
    return GatewayRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        selector=Selector(SelectorUse.GATEWAY, labels) if labels else None,
        servers=tuple(servers),
    )
