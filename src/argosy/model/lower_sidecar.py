"""Sidecar to `SidecarRule`.

Facts (Istio): a Sidecar without egress sees every host; captureMode DEFAULT is as the proxy's traffic is intercepted,
for a listener on a Unix socket it is NONE.
"""

from __future__ import annotations

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.hostnames import full_name
from argosy.model.lower_destination_rule import connection_pool
from argosy.model.lower_gateway import server_tls
from argosy.model.lower_http import pairs
from argosy.model.protocols import parse_protocol
from argosy.model.rules import Target
from argosy.model.scope import Selector, SelectorUse
from argosy.model.sidecars import EVERY_PORT, EgressListener, IngressListener, SidecarRule, imports
from argosy.resources.addresses import EVERY_ADDRESS
from argosy.resources.networking import Sidecar
from argosy.resources.networking.gateway import ServerTLSSettings
from argosy.resources.networking.sidecar import (
    CaptureMode,
    IstioEgressListener,
    IstioIngressListener,
    OutboundTrafficPolicy,
    SidecarOutboundMode,
)

EVERYTHING = EgressListener(imports=imports(("*/*",), ""))


def _egress(written: IstioEgressListener, namespace: str) -> EgressListener:
    port = written.port
    return EgressListener(
        imports=imports(written.hosts, namespace),
        port=port.number if port else EVERY_PORT,
        protocol=parse_protocol(port.protocol) if port else ir.Protocol.UNSUPPORTED,
        bind=written.bind,
        captured=written.capture_mode is not CaptureMode.NONE and not written.bind.startswith("unix://"),
    )


def _endpoint(text: str) -> tuple[str, int] | None:
    """`address:port` of the application; the wildcard address stands for the workload's own."""
    if not text:
        return None
    if text.startswith("unix://"):
        return text, 0
    address, _, port = text.rpartition(":")
    address = address.strip("[]")
    return ("" if address in EVERY_ADDRESS else address), int(port)


def _ingress(written: IstioIngressListener, field: str) -> IngressListener:
    port = written.port
    if port is None or not port.number:
        raise LoweringError(f"{field}.port", "needs a number; write the port to listen on")
    return IngressListener(
        port=port.number,
        protocol=parse_protocol(port.protocol),
        name=port.name,
        bind=written.bind,
        captured=written.capture_mode is not CaptureMode.NONE,
        endpoint=_endpoint(written.default_endpoint),
        tls=_ends(written.tls),
        connection_pool=connection_pool(written.connection_pool, f"{field}.connectionPool"),
    )


def _ends(written: ServerTLSSettings | None) -> ir.GatewayTls | None:
    """The TLS that a sidecar ends: none where it goes on to the application as it comes."""
    tls = server_tls(written)
    return None if tls is None or tls.mode.passes else tls


def _egress_proxy(policy: OutboundTrafficPolicy | None, namespace: str, domain_suffix: str) -> Target | None:
    if policy is None or policy.egress_proxy is None:
        return None
    proxy = policy.egress_proxy
    port = proxy.port.number if proxy.port else None
    return Target(full_name(proxy.host, namespace, domain_suffix), port, proxy.subset)


def lower(obj: Sidecar, domain_suffix: str) -> SidecarRule:
    """Raises LoweringError with the field."""
    meta, spec = obj.metadata, obj.spec
    labels = pairs(spec.workload_selector.labels) if spec.workload_selector else ()
    policy = spec.outbound_traffic_policy
    return SidecarRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        selector=Selector(SelectorUse.SIDECAR, labels, meta.namespace) if labels else None,
        ingress=tuple(
            _ingress(listener, f"spec.ingress[{index}]") for index, listener in enumerate(spec.ingress)
        ),
        connection_pool=connection_pool(spec.inbound_connection_pool, "spec.inboundConnectionPool"),
        egress=tuple(_egress(listener, meta.namespace) for listener in spec.egress) or (EVERYTHING,),
        allow_any=policy.mode is not SidecarOutboundMode.REGISTRY_ONLY if policy else None,
        egress_proxy=_egress_proxy(policy, meta.namespace, domain_suffix),
    )
