"""Gateway: its servers: ports, hosts, TLS.

# Istio: ValidateGateway, validateServer
"""

from __future__ import annotations

from argosy.resources.networking.gateway import Gateway, Server, ServerTLSMode
from argosy.resources.semantics import names, protocols, tls
from argosy.resources.semantics.findings import Findings

HTTP3 = "gateway.argosy.dev/http3"
"""An annotation: HTTPS servers whose TLS ends here are served over HTTP/3 as well. `true`, or the port that clients
reach them at, where it is not the server's."""


def is_http3(value: str) -> bool:
    return value in ("true", "false") or (value.isascii() and value.isdigit() and 0 < int(value) < 65536)


def check(obj: Gateway, findings: Findings) -> None:
    if not obj.spec.servers:
        findings.error("spec.servers", "is empty; give at least one server")
    port_names: set[str] = set()
    for i, server in enumerate(obj.spec.servers):
        path = f"spec.servers[{i}]"
        _server(path, server, findings)
        name = server.port.name if server.port is not None else ""
        if name and name in port_names:
            findings.error(
                f"{path}.port.name", f"{name!r} is there twice; give each server's port its own name"
            )
        port_names.add(name)
    http3 = obj.metadata.annotations.get(HTTP3)
    if http3 is not None and not is_http3(http3):
        at = f"metadata.annotations[{HTTP3!r}]"
        findings.error(
            at, f"{http3!r} is neither true nor a port; write true, or the port that clients reach"
        )
    for wrong in names.labels(obj.spec.selector):
        findings.error("spec.selector", wrong)


def _server(path: str, server: Server, findings: Findings) -> None:
    if not server.hosts:
        findings.error(f"{path}.hosts", "is empty; give at least one host, or '*'")
    for i, host in enumerate(server.hosts):
        _host(f"{path}.hosts[{i}]", host, findings)
    tls.check_server(f"{path}.tls", server.tls, findings)
    if names.is_unix(server.bind):
        findings.error(f"{path}.bind", names.unix_address(server.bind))
    elif server.bind:
        findings.error(f"{path}.bind", names.ip(server.bind))
    if server.port is None:
        findings.error(f"{path}.port", "is missing; give number, name and protocol")
        return
    port = server.port
    if names.is_unix(server.bind):
        if port.number:
            findings.error(f"{path}.port.number", f"{port.number} is not 0, but bind is a Unix socket; use 0")
    else:
        findings.error(f"{path}.port.number", names.port(port.number))
    if not port.name:
        findings.error(f"{path}.port.name", "is empty; name the port")
    if port.target_port:
        findings.error(f"{path}.port.targetPort", "has no effect in a Gateway; remove it")
    wrong = protocols.known(port.protocol)
    findings.error(f"{path}.port.protocol", wrong)
    if wrong is None:
        _tls_fits(path, server, port.protocol.upper(), findings)


def _tls_fits(path: str, server: Server, protocol: str, findings: Findings) -> None:
    settings = server.tls
    if settings is None:
        if protocol in protocols.TLS:
            findings.error(f"{path}.tls", f"is missing, which protocol {protocol} needs; give it a mode")
        return
    if settings.https_redirect and protocol not in protocols.HTTP:
        findings.warn(f"{path}.tls.httpsRedirect", f"is for protocol HTTP, not {protocol}; remove it")
    if protocol in protocols.TLS:
        return
    terminates = (
        settings.mode not in (ServerTLSMode.PASSTHROUGH, ServerTLSMode.AUTO_PASSTHROUGH)
        or settings.server_certificate
        or settings.private_key
        or settings.ca_certificates
    )
    if protocol not in protocols.HTTP:
        findings.error(f"{path}.tls", f"is for protocols HTTPS and TLS, not {protocol}; remove it")
    elif terminates:
        findings.error(f"{path}.tls", f"is for protocols HTTPS and TLS; with {protocol} it may only redirect")


def _host(path: str, text: str, findings: Findings) -> None:
    """`[namespace/]host`; namespace `*`, `.` or a name; host an address or a host name with a domain."""
    namespace, slash, host = text.partition("/")
    if not slash:
        host = text
    elif not host or not namespace:
        findings.error(path, f"{names.shown(text)} has an empty part; write namespace/host")
        return
    elif namespace not in ("*", "."):
        wrong = names.dns_label(namespace)
        findings.error(path, f"namespace {wrong}; or use '*' or '.'" if wrong else None)
    if names.is_ip(host):
        return
    if host != "*" and "." not in host:
        findings.error(path, f"{names.shown(host)} is a short name; write the full host name")
    findings.error(path, names.wildcard_host(host) or names.partial_wildcard(host))
