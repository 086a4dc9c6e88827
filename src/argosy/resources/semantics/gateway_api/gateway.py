"""Gateway, GatewayClass, ListenerSet: listeners that can be told apart, each with the TLS that its protocol needs.

# Gateway API: apis/v1/{gateway,gatewayclass,listenerset}_types.go
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from argosy.resources.gateway_api.gateway import (
    Gateway,
    GatewayClass,
    GatewayInfrastructure,
    GatewaySpecAddress,
    GatewayTLSConfig,
    Listener,
    ListenerSet,
    TLSMode,
)
from argosy.resources.semantics import names, selectors
from argosy.resources.semantics.findings import Findings

_PLAIN = ("HTTP", "TCP", "UDP")
_WITHOUT_HOST = ("TCP", "UDP")
_HOSTNAME = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def check(obj: Gateway | GatewayClass | ListenerSet, findings: Findings) -> None:
    if isinstance(obj, GatewayClass):
        return
    _listeners(obj.spec.listeners, findings)
    if isinstance(obj, ListenerSet):
        return
    spec = obj.spec
    _addresses(spec.addresses, findings)
    _infrastructure(spec.infrastructure, findings)
    _tls(spec.tls, findings)
    allowed = spec.allowed_listeners.namespaces if spec.allowed_listeners is not None else None
    if allowed is not None and allowed.selector is not None:
        selectors.check_label_selector(
            "spec.allowedListeners.namespaces.selector", allowed.selector, findings
        )


def check_change(
    old: Gateway | GatewayClass | ListenerSet, new: Gateway | GatewayClass | ListenerSet, findings: Findings
) -> None:
    if not isinstance(old, GatewayClass) or not isinstance(new, GatewayClass):
        return
    before, after = old.spec.controller_name, new.spec.controller_name
    if before != after:
        findings.error(
            "spec.controllerName", f"cannot be changed from {before} to {after}; create another GatewayClass"
        )


def _listeners(listeners: Sequence[Listener], findings: Findings) -> None:
    seen_names: set[str] = set()
    seen: set[tuple[int, str, str | None]] = set()
    for index, listener in enumerate(listeners):
        path = f"spec.listeners[{index}]"
        if listener.name in seen_names:
            findings.error(
                f"{path}.name", f"{names.shown(listener.name)} is there twice; name each listener once"
            )
        seen_names.add(listener.name)
        key = (listener.port, listener.protocol, listener.hostname)
        if key in seen:
            host = f" and hostname {listener.hostname}" if listener.hostname else ""
            same = f"port {listener.port}, protocol {listener.protocol}{host}"
            findings.error(path, f"has {same} as another has; join them")
        seen.add(key)
        _listener(path, listener, findings)


def _listener(path: str, listener: Listener, findings: Findings) -> None:
    protocol, tls = listener.protocol.upper(), listener.tls
    if protocol in _PLAIN and tls is not None:
        findings.error(f"{path}.tls", f"is not for protocol {protocol}; remove it, or use HTTPS or TLS")
    elif protocol == "HTTPS" and tls is not None and tls.mode != TLSMode.TERMINATE:
        findings.error(
            f"{path}.tls.mode", f"{tls.mode} is not for protocol HTTPS; use Terminate, or protocol TLS"
        )
    elif protocol == "TLS" and tls is None:
        findings.error(f"{path}.tls", "is missing, which protocol TLS needs; give it, with its mode")
    if tls is not None and tls.mode == TLSMode.TERMINATE and not tls.certificate_refs and not tls.options:
        findings.error(
            f"{path}.tls.certificateRefs", "is empty, and mode Terminate needs a certificate; name a Secret"
        )
    if protocol in _WITHOUT_HOST and listener.hostname:
        findings.error(f"{path}.hostname", f"is not for protocol {protocol}, which has none; remove it")
    selector = listener.allowed_routes.namespaces.selector
    if selector is not None:
        selectors.check_label_selector(f"{path}.allowedRoutes.namespaces.selector", selector, findings)


def _addresses(addresses: Sequence[GatewaySpecAddress], findings: Findings) -> None:
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(addresses):
        path = f"spec.addresses[{index}].value"
        if address.type == "IPAddress" and address.value:
            findings.error(path, names.ip(address.value))
        elif address.type == "Hostname" and address.value and not _HOSTNAME.fullmatch(address.value):
            findings.error(path, f"{names.shown(address.value)} is not a host name; use lower-case labels")
        key = (address.type, address.value)
        if address.value and address.type in ("IPAddress", "Hostname") and key in seen:
            findings.error(path, f"{names.shown(address.value)} is there twice; keep one")
        seen.add(key)


def _infrastructure(infrastructure: GatewayInfrastructure | None, findings: Findings) -> None:
    if infrastructure is None:
        return
    for wrong in names.labels(infrastructure.labels):
        findings.error("spec.infrastructure.labels", wrong)
    for key in infrastructure.annotations:
        findings.error("spec.infrastructure.annotations", names.label_key(key))


def _tls(tls: GatewayTLSConfig | None, findings: Findings) -> None:
    ports: set[int] = set()
    for index, one in enumerate(
        tls.frontend.per_port if tls is not None and tls.frontend is not None else ()
    ):
        if one.port in ports:
            findings.error(f"spec.tls.frontend.perPort[{index}].port", f"{one.port} is there twice; keep one")
        ports.add(one.port)
