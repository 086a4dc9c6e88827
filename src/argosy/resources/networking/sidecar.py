"""Sidecar: what the proxies of a namespace's workloads take in, and what of the mesh they see.

# Istio: networking/v1alpha3/sidecar.proto
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.resources.meta import Object, Status
from argosy.resources.networking.destination_rule import ConnectionPoolSettings
from argosy.resources.networking.gateway import ServerTLSSettings
from argosy.resources.networking.service_entry import WorkloadSelector
from argosy.resources.networking.virtual_service import Destination, UInt32


class CaptureMode(StrEnum):
    DEFAULT = "DEFAULT"
    IPTABLES = "IPTABLES"
    NONE = "NONE"


class SidecarOutboundMode(StrEnum):
    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"
    ALLOW_ANY_DYNAMIC_DNS = "ALLOW_ANY_DYNAMIC_DNS"


class SidecarPort(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The port of a listener of a sidecar."""

    number: UInt32 = 0
    """The number of the port; 0 where an egress listener is bound to a Unix socket."""
    protocol: str = ""
    """What is spoken: HTTP, HTTP2, GRPC, HTTPS, TLS, TCP and others; left out: it is detected."""
    name: str = ""
    """The name of the port, for messages and statistics."""
    target_port: UInt32 = 0
    """Without meaning here; must be left out."""


class IstioIngressListener(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port on which the sidecar takes requests for its workload."""

    port: SidecarPort | None = None
    """The port that is listened on; once each."""
    bind: str = ""
    """The IP address that is listened on; left out: the workload's."""
    capture_mode: CaptureMode = CaptureMode.DEFAULT
    """How traffic comes to the listener: IPTABLES is captured, NONE is sent to it; DEFAULT is as the mesh does it."""
    default_endpoint: str = ""
    """Where requests go: 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix:///PATH; left out: to the
    workload's own port."""
    tls: ServerTLSSettings | None = None
    """The TLS that ends here, for clients outside of the mesh; it needs PeerAuthentication DISABLE at the port."""
    connection_pool: ConnectionPoolSettings | None = None
    """How much of the workload this port may use at once; goes before inboundConnectionPool."""


class IstioEgressListener(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which hosts the workload reaches, at one port or at all."""

    port: SidecarPort | None = None
    """The port that is listened on; left out: every port of the hosts. Only the last listener may leave it out."""
    bind: str = ""
    """The IP address, or unix:// and a path, that is listened on; left out: as the hosts' addresses demand."""
    capture_mode: CaptureMode = CaptureMode.DEFAULT
    """How traffic comes to the listener: IPTABLES is captured, NONE is sent to it; DEFAULT is as the mesh does it."""
    hosts: tuple[str, ...] = ()
    """What is seen, as NAMESPACE/HOST: the namespace * is any, . the Sidecar's own; the host * is any. ~ before the
    namespace takes hosts out again; ~/* alone sees nothing."""


class OutboundTrafficPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What becomes of requests to hosts that the workload does not see."""

    mode: SidecarOutboundMode = SidecarOutboundMode.REGISTRY_ONLY
    """REGISTRY_ONLY refuses them, ALLOW_ANY lets them through; ALLOW_ANY_DYNAMIC_DNS is for MeshConfig alone."""
    egress_proxy: Destination | None = None
    """The service that they are sent to; needs ALLOW_ANY and a port."""


class SidecarSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which workloads, and what their sidecars listen on and see; at least one of the parts besides the selector."""

    workload_selector: WorkloadSelector | None = None
    """The workloads of the namespace that it is for; left out: all that no other Sidecar selects."""
    ingress: tuple[IstioIngressListener, ...] = ()
    """The ports of the workload; none: those that its services and its WorkloadEntry name."""
    egress: tuple[IstioEgressListener, ...] = ()
    """What the workload sees; none: as the Sidecar of the root namespace says, else everything."""
    inbound_connection_pool: ConnectionPoolSettings | None = None
    """How much of the workload may be used at once, at each port that does not say it itself."""
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
    """What becomes of requests to hosts that the workload does not see; left out: as MeshConfig says."""


class Sidecar(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the sidecars of workloads listen on, and which hosts they know. Fewer hosts are less configuration in each
    proxy."""

    spec: SidecarSpec = SidecarSpec()
    """Which workloads, and what their sidecars listen on and see."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""
