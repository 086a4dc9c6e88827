"""Gateway to `GatewayRule`.

Facts (Istio): a host without a namespace is `*/host`, `./host` is of the Gateway's own namespace; a Gateway without a
selector is for every gateway proxy; the protocol is written in any case; of servers with one name the first counts; the
annotation `internal.istio.io/gateway-service` binds a Gateway to services in place of labels. HTTP/3 has no field
there, and is asked for by an annotation of our own.
"""

from __future__ import annotations

import base64

from msgspec.structs import replace as _replace

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.lower_http import pairs
from argosy.model.protocols import parse_protocol
from argosy.model.rules import GatewayRule
from argosy.model.scope import Selector, SelectorUse
from argosy.resources.networking import Gateway, Server, ServerTLSSettings
from argosy.resources.networking.gateway import TLSProtocol
from argosy.resources.semantics import digests
from argosy.resources.semantics.gateway import HTTP3, is_http3
from argosy.resources.semantics.tls import CIPHER_SUITES, MAX_CERTIFICATES

SERVICES_ANNOTATION = "internal.istio.io/gateway-service"
UNIX = "unix://"
NOBODYS_SPKI = base64.b64encode(bytes(32)).decode()
NOBODYS_HASH = bytes(32).hex()
"""In place of a hash that is none: Envoy would refuse the listener with all its servers, and without it everybody would
be let in."""


def lower(obj: Gateway) -> GatewayRule:
    """Raises LoweringError with the field."""
    meta, spec = obj.metadata, obj.spec
    servers: dict[str, ir.GatewayServer] = {}
    http3 = meta.annotations.get(HTTP3)
    for index, written in enumerate(spec.servers):
        server = _server(written, f"{meta.namespace}/{meta.name}", f"spec.servers[{index}]")
        server = _replace(server, http3=_http3_port(http3, server.port))
        servers.setdefault(written.name or f"[{index}]", server)
    labels = pairs(spec.selector)
    services = meta.annotations.get(SERVICES_ANNOTATION)
    return GatewayRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        selector=Selector(SelectorUse.GATEWAY, labels) if labels and services is None else None,
        servers=tuple(servers.values()),
        services=None if services is None else tuple(name.strip() for name in services.split(",")),
    )


def _http3_port(written: str | None, port: int) -> int:
    """Which port answers name: as written, or the server's own; 0: no HTTP/3."""
    if written is None or not is_http3(written):
        return 0
    return port if written == "true" else 0 if written == "false" else int(written)


def _server(server: Server, gateway: str, field: str) -> ir.GatewayServer:
    if server.port is None or not (server.port.number or server.bind.startswith(UNIX)):
        raise LoweringError(f"{field}.port", "needs a number; write the port to listen on")
    protocol = parse_protocol(server.port.protocol)
    if protocol in (ir.Protocol.UNSUPPORTED, ir.Protocol.UDP):
        raise LoweringError(
            f"{field}.port.protocol",
            f"{server.port.protocol or '(empty)'} is not one of HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS",
        )
    namespace = gateway.partition("/")[0]
    return ir.GatewayServer(
        gateway=gateway,
        name=server.name or server.port.name,
        port=server.port.number,
        protocol=protocol,
        hosts=tuple(dict.fromkeys(_host(host, namespace) for host in server.hosts)),
        bind=server.bind,
        tls=server_tls(server.tls),
        port_name=server.port.name,
    )


def _host(host: str, namespace: str) -> str:
    owner, slash, name = host.partition("/")
    if not slash:
        return f"*/{host}"
    return f"{namespace if owner == '.' else owner}/{name}"


def server_tls(written: ServerTLSSettings | None) -> ir.GatewayTls | None:
    if written is None:
        return None
    mode = ir.ServerTlsMode(written.mode)
    if mode.passes or mode is ir.ServerTlsMode.ISTIO_MUTUAL:
        return _common(written, ir.GatewayTls(mode=mode, https_redirect=written.https_redirect))
    credentials = written.credential_names or ((written.credential_name,) if written.credential_name else ())
    certificates = tuple((one.server_certificate, one.private_key) for one in written.tls_certificates) or (
        ((written.server_certificate, written.private_key),) if written.server_certificate else ()
    )
    authorities = next((one.ca_certificates for one in written.tls_certificates if one.ca_certificates), "")
    return _common(
        written,
        ir.GatewayTls(
            mode=mode,
            https_redirect=written.https_redirect,
            credentials=tuple(_secret(one) for one in credentials[:MAX_CERTIFICATES]),
            ca_credential=_secret(written.ca_cert_credential_name or next(iter(credentials), ""))
            if mode.verifies
            else "",
            certificates=() if credentials else certificates[:MAX_CERTIFICATES],
            ca_certificates=(written.ca_certificates or authorities) if mode.verifies else "",
            ca_crl=written.ca_crl if mode.verifies else "",
        ),
    )


def _common(written: ServerTLSSettings, tls: ir.GatewayTls) -> ir.GatewayTls:
    """With what holds wherever TLS ends."""
    if tls.mode.passes:
        return tls
    looks = tls.mode is not ir.ServerTlsMode.SIMPLE
    return _replace(
        tls,
        subject_alt_names=written.subject_alt_names if looks else (),
        certificate_spki=tuple(map(_spki, written.verify_certificate_spki)) if looks else (),
        certificate_hash=tuple(map(_hash, written.verify_certificate_hash)) if looks else (),
        insecure_skip_verify=bool(written.insecure_skip_verify) and tls.mode.verifies,
        min_version=_version(written.min_protocol_version),
        max_version=_version(written.max_protocol_version),
        cipher_suites=tuple(dict.fromkeys(one for one in written.cipher_suites if _is_suite(one))),
    )


def _spki(written: str) -> str:
    return written if digests.is_spki(written) else NOBODYS_SPKI


def _hash(written: str) -> str:
    return written if digests.is_certificate_hash(written) else NOBODYS_HASH


def _version(written: TLSProtocol) -> str:
    return "" if written is TLSProtocol.TLS_AUTO else str(written)


def _is_suite(written: str) -> bool:
    """Facts (Istio): what is no suite is left out; expressions of BoringSSL's (`-SHA`) are passed on."""
    return written == "ALL" or not written[:1].isalnum() or written in CIPHER_SUITES


def _secret(written: str) -> str:
    return written.removeprefix("kubernetes://")
