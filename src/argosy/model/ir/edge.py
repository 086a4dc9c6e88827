"""What gateways listen on, and what they serve there."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.model.ir.routes import RouteTable
from argosy.model.ir.services import Protocol


class ServerTlsMode(StrEnum):
    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"

    @property
    def passes(self) -> bool:
        """Whether TLS goes on to the service as it came."""
        return self in (ServerTlsMode.PASSTHROUGH, ServerTlsMode.AUTO_PASSTHROUGH)

    @property
    def verifies(self) -> bool:
        """Whether a client's certificate is looked at, by authorities that the server names."""
        return self in (ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL)


class GatewayTls(Struct, frozen=True, kw_only=True):
    """Secrets are of the namespace of the proxy that serves them; files are the proxy's."""

    mode: ServerTlsMode = ServerTlsMode.PASSTHROUGH
    https_redirect: bool = False
    credentials: tuple[str, ...] = ()  # Secrets with certificate and key
    ca_credential: str = ""  # the Secret with the authorities: NAME-cacert, else NAME
    certificates: tuple[tuple[str, str], ...] = ()  # files with certificate and key
    ca_certificates: str = ""  # file
    ca_crl: str = ""  # file, beside ca_certificates
    subject_alt_names: tuple[str, ...] = ()  # ANY; none: every name
    certificate_spki: tuple[str, ...] = ()  # base64
    certificate_hash: tuple[str, ...] = ()  # hexadecimal
    min_version: str = ""  # TLSV1_0 … TLSV1_3; "": TLSV1_2
    max_version: str = ""  # "": TLSV1_3
    cipher_suites: tuple[str, ...] = ()
    insecure_skip_verify: bool = False


class ListenerKind(StrEnum):
    """What shares a port of a gateway: plain HTTP by host, TLS by server name, or all that comes."""

    HTTP = "HTTP"
    TLS = "TLS"
    TCP = "TCP"


class GatewayServer(Struct, frozen=True, kw_only=True, cache_hash=True):
    """One server of a Gateway. `hosts` are `namespace/host` with namespace `*` or a name ('.' resolved)."""

    gateway: str  # namespace/name
    name: str
    port: int  # as the Gateway says
    protocol: Protocol
    hosts: tuple[str, ...]
    bind: str = ""
    tls: GatewayTls | None = None
    port_name: str = ""
    http3: int = 0  # beside TCP, and the port that answers name for it; 0: no HTTP/3
    binding: str = ""  # what VirtualServices name to be served here; "": the Gateway

    @property
    def bound_by(self) -> str:
        return self.binding or self.gateway

    @property
    def kind(self) -> ListenerKind:
        if self.protocol.is_http:
            return ListenerKind.HTTP
        return ListenerKind.TLS if self.tls is not None else ListenerKind.TCP

    @property
    def passes(self) -> bool:
        return self.kind is ListenerKind.TLS and self.tls is not None and self.tls.mode.passes

    @property
    def routes_http(self) -> bool:
        """Plain HTTP, or what is inside the TLS that ends here."""
        return self.protocol.is_http or (
            self.protocol is Protocol.HTTPS and self.tls is not None and not self.passes
        )

    @property
    def serves_http3(self) -> bool:
        """Where it is asked for and the gateway ends TLS 1.3 for HTTP, by certificates of its own."""
        tls = self.tls
        if not self.http3 or tls is None or not self.routes_http or self.protocol.is_http:
            return False
        own = tls.mode in (ServerTlsMode.SIMPLE, ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL)
        return own and tls.max_version in ("", "TLSV1_3") and not self.bind.startswith("unix://")

    @property
    def server_names(self) -> tuple[str, ...]:
        """Its hosts as a TLS hello may name them."""
        return tuple(dict.fromkeys(host.rpartition("/")[2] for host in self.hosts))


class GatewayListener(Struct, frozen=True, kw_only=True, cache_hash=True):
    """One address and port of a gateway proxy, and the servers that share it, the oldest Gateway's first."""

    bind: str  # "": wherever the proxy binds; an address, or `unix://path`
    port: int  # the workload port; 0 of a Unix socket
    kind: ListenerKind
    servers: tuple[GatewayServer, ...]


class GatewayHost(Struct, frozen=True):
    """The routes of one host name at a gateway port."""

    host: str  # as in the domain list: exact, `*.suffix` or `*`
    table: RouteTable
