"""Sidecar: listeners that can be told apart, hosts that can be seen, TLS that a sidecar can end.

# Istio: ValidateSidecar, ValidateNamespaceSlashWildcardHostname
"""

from __future__ import annotations

from argosy.resources.addresses import overlap
from argosy.resources.networking.gateway import ServerTLSMode, ServerTLSSettings
from argosy.resources.networking.sidecar import (
    CaptureMode,
    IstioEgressListener,
    IstioIngressListener,
    OutboundTrafficPolicy,
    Sidecar,
    SidecarOutboundMode,
    SidecarPort,
    SidecarSpec,
)
from argosy.resources.semantics import destinations, names, protocols, selectors, tls, traffic_policy
from argosy.resources.semantics.findings import Findings

_OWN = frozenset(("", "127.0.0.1", "0.0.0.0", "::1", "::"))  # noqa: S104 - hosts that are the workload itself
_LOOPBACK = "127.0.0.1"
_ENDPOINT = "write 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix:// and a path, or leave it out"


def check(obj: Sidecar, findings: Findings) -> None:
    spec = obj.spec
    if spec.workload_selector is not None:
        selectors.check_selector("spec.workloadSelector.labels", spec.workload_selector.labels, findings)
    if not (spec.egress or spec.ingress or spec.outbound_traffic_policy or spec.inbound_connection_pool):
        findings.error("spec", "says nothing; give it ingress, egress, or what else the sidecars are to do")
    _ingress(spec, findings)
    if spec.inbound_connection_pool is not None:
        traffic_policy.check_connection_pool(
            "spec.inboundConnectionPool", spec.inbound_connection_pool, findings
        )
    _egress(spec, obj.metadata.namespace, findings)
    _sockets(spec, findings)
    if spec.outbound_traffic_policy is not None:
        _outbound("spec.outboundTrafficPolicy", spec.outbound_traffic_policy, findings)


def _ingress(spec: SidecarSpec, findings: Findings) -> None:
    seen: set[int] = set()
    for i, listener in enumerate(spec.ingress):
        path = f"spec.ingress[{i}]"
        _ingress_listener(path, listener, findings)
        if listener.port is None:
            continue
        if listener.port.number in seen:
            findings.error(
                f"{path}.port.number", f"{listener.port.number} is there twice; give each listener its own"
            )
        seen.add(listener.port.number)


def _sockets(spec: SidecarSpec, findings: Findings) -> None:
    """An address and a port can be listened on once."""
    bound = {
        listener.port.number: (i, listener.bind or _LOOPBACK)
        for i, listener in enumerate(spec.egress)
        if listener.port is not None
        and listener.port.number
        and (listener.bind or listener.capture_mode == CaptureMode.NONE)
    }
    for i, listener in enumerate(spec.ingress):
        number = listener.port.number if listener.port is not None else 0
        if number not in bound:
            continue
        at, address = bound[number]
        own = listener.bind or _LOOPBACK
        if overlap(own, address):
            findings.warn(
                f"spec.ingress[{i}].port.number",
                f"{number} at {own} is where spec.egress[{at}] listens, too: where both would, ingress does not; "
                "change one of them",
            )


def _ingress_listener(path: str, listener: IstioIngressListener, findings: Findings) -> None:
    port = listener.port
    if port is None:
        findings.error(f"{path}.port", "is missing; give the port that is listened on")
    else:
        _port(f"{path}.port", port, findings)
        findings.error(f"{path}.port.number", names.port(port.number))
    if listener.bind:
        findings.error(f"{path}.bind", names.ip(listener.bind))
    if listener.default_endpoint:
        findings.error(f"{path}.defaultEndpoint", _default_endpoint(listener.default_endpoint))
    if listener.tls is not None:
        _tls(f"{path}.tls", listener.tls, findings)
    pool = listener.connection_pool
    if pool is None:
        return
    traffic_policy.check_connection_pool(f"{path}.connectionPool", pool, findings)
    if pool.http is not None and port is not None and port.protocol.upper() not in protocols.HTTP:
        findings.warn(
            f"{path}.connectionPool.http",
            f"has no effect: the protocol is {port.protocol or 'not declared'}; use tcp",
        )


def _port(path: str, port: SidecarPort, findings: Findings) -> None:
    if port.name:
        findings.error(f"{path}.name", names.dns_label(port.name))
    if port.protocol:
        findings.error(f"{path}.protocol", protocols.known(port.protocol))
    if port.target_port:
        findings.error(f"{path}.targetPort", "has no effect in a Sidecar; remove it")


def _default_endpoint(text: str) -> str | None:
    if names.is_unix(text):
        return names.unix_address(text)
    parts = names.host_and_port(text)
    if parts is None or parts[0] not in _OWN:
        return f"{names.shown(text)} is not the workload itself; {_ENDPOINT}"
    return names.port_text(parts[1])


def _tls(path: str, settings: ServerTLSSettings, findings: Findings) -> None:
    """What ends TLS at a sidecar comes from files: it has no way to fetch more than its own certificate."""
    unsupported = {
        "subjectAltNames": settings.subject_alt_names,
        "httpsRedirect": settings.https_redirect,
        "credentialName": settings.credential_name,
        "credentialNames": settings.credential_names,
        "caCertCredentialName": settings.ca_cert_credential_name,
        "tlsCertificates": settings.tls_certificates,
    }
    for name, value in unsupported.items():
        if value:
            findings.error(f"{path}.{name}", "is not supported at a sidecar; remove it")
    if settings.mode in (ServerTLSMode.ISTIO_MUTUAL, ServerTLSMode.AUTO_PASSTHROUGH):
        findings.error(f"{path}.mode", f"{settings.mode} is for gateways; use SIMPLE or MUTUAL")
    tls.check_server(path, settings, findings)


def _egress(spec: SidecarSpec, namespace: str, findings: Findings) -> None:
    ports: set[int] = set()
    sockets: set[str] = set()
    for i, listener in enumerate(spec.egress):
        path = f"spec.egress[{i}]"
        if listener.port is None:
            if i < len(spec.egress) - 1:
                findings.error(f"{path}.port", "is missing; only the last listener may be without")
        else:
            _egress_port(path, listener, listener.port, findings)
            number = listener.port.number
            if number and number in ports:
                findings.error(f"{path}.port.number", f"{number} is there twice; give each listener its own")
            elif not number and listener.bind in sockets:
                findings.error(
                    f"{path}.bind",
                    f"{names.shown(listener.bind)} is there twice; give each listener its own socket",
                )
            (ports.add(number) if number else sockets.add(listener.bind))
        _egress_hosts(path, listener, namespace, findings)


def _egress_port(path: str, listener: IstioEgressListener, port: SidecarPort, findings: Findings) -> None:
    _port(f"{path}.port", port, findings)
    if port.number:
        findings.error(f"{path}.port.number", names.port(port.number))
        if listener.bind:
            findings.error(f"{path}.bind", names.ip(listener.bind))
        return
    if names.is_unix(listener.bind):
        findings.error(f"{path}.bind", names.unix_address(listener.bind))
    else:
        findings.error(
            f"{path}.port.number", "is 0, which is for a Unix socket; give a port, or bind unix:// and a path"
        )
    if listener.capture_mode == CaptureMode.IPTABLES:
        findings.error(f"{path}.captureMode", "IPTABLES cannot capture a Unix socket; use DEFAULT or NONE")


def _egress_hosts(path: str, listener: IstioEgressListener, namespace: str, findings: Findings) -> None:
    if not listener.hosts:
        findings.error(f"{path}.hosts", "is empty; give at least one, as in */* or shop/*")
    seen: dict[str, set[str]] = {}
    for i, entry in enumerate(listener.hosts):
        at = f"{path}.hosts[{i}]"
        findings.error(at, _egress_host(entry))
        of, slash, host = entry.partition("/")
        if not slash:
            continue
        known = seen.setdefault(namespace if of == "." else of, set())
        if (known and host == "*") or host in known or "*" in known:
            findings.warn(at, f"{names.shown(entry)} overlaps another of the same namespace; keep one")
        known.add(host)
    included = [of for of in seen if not of.startswith("~")]
    if "*" in seen.get("*", ()) and len(included) > 1:
        findings.warn(f"{path}.hosts", "has '*/*', which is every host, and others; remove those")


def _egress_host(entry: str) -> str | None:
    """`[~]namespace/host`; the namespace `*`, `.`, a name, or nothing behind `~`; the host `*` or with a domain."""
    namespace, slash, host = entry.partition("/")
    if not slash or not namespace or not host:
        return f"{names.shown(entry)} is not of the form namespace/host; write one as in */* or shop/*"
    of = namespace.removeprefix("~")
    if of not in ("*", ".") and not (of == "" and namespace == "~"):
        wrong = names.dns_label(of)
        if wrong is not None:
            return f"namespace {wrong}; or use '*' or '.', with '~' before it to take hosts out"
    if host != "*" and "." not in host:
        return f"{names.shown(host)} is a short name; write the full host name"
    return names.wildcard_host(host) or names.partial_wildcard(host)


def _outbound(path: str, policy: OutboundTrafficPolicy, findings: Findings) -> None:
    if policy.mode == SidecarOutboundMode.ALLOW_ANY_DYNAMIC_DNS:
        findings.error(f"{path}.mode", f"{policy.mode} is for MeshConfig alone; use ALLOW_ANY")
    proxy = policy.egress_proxy
    if proxy is None:
        return
    if policy.mode != SidecarOutboundMode.ALLOW_ANY:
        findings.error(f"{path}.egressProxy", f"needs mode ALLOW_ANY, not {policy.mode}; change one of them")
        return
    findings.error(f"{path}.egressProxy.host", names.fqdn(proxy.host))
    if proxy.port is None:
        findings.error(f"{path}.egressProxy.port", "is missing; give the port of the service")
    destinations.check_destination(f"{path}.egressProxy", proxy, findings)
