"""Gateway: which ports and hosts an edge proxy serves, and with which certificates.

# Istio: networking/v1alpha3/gateway.proto
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.resources.meta import Object, Status
from argosy.resources.networking.virtual_service import UInt32


class Port(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port that a gateway listens on."""

    number: UInt32 = 0
    """The number of the port that is listened on."""
    protocol: str = ""
    """What is spoken: HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, REDIS, MYSQL."""
    name: str = ""
    """The name of the port; once in a Gateway."""
    target_port: UInt32 = 0
    """Without effect; must be left out."""


class ServerTLSMode(StrEnum):
    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


class TLSProtocol(StrEnum):
    TLS_AUTO = "TLS_AUTO"
    TLSV1_0 = "TLSV1_0"
    TLSV1_1 = "TLSV1_1"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class TLSCertificate(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A certificate in files of the proxy."""

    server_certificate: str = ""
    """The file with the certificate."""
    private_key: str = ""
    """The file with its private key."""
    ca_certificates: str = ""
    """The file with the authorities that client certificates are verified by."""


class ServerTLSSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a server speaks TLS."""

    https_redirect: bool = False
    """Whether plain HTTP is answered with a redirect to HTTPS."""
    mode: ServerTLSMode = ServerTLSMode.PASSTHROUGH
    """PASSTHROUGH and AUTO_PASSTHROUGH leave TLS to the service, SIMPLE ends it, MUTUAL also demands a certificate of
    the client, OPTIONAL_MUTUAL asks for one, ISTIO_MUTUAL uses the mesh's."""
    server_certificate: str = ""
    """The file with the certificate."""
    private_key: str = ""
    """The file with its private key."""
    ca_certificates: str = ""
    """The file with the authorities that client certificates are verified by."""
    ca_crl: str = ""
    """The file with the client certificates that were revoked."""
    credential_name: str = ""
    """The Secret with certificate, key and authorities, in place of files."""
    credential_names: tuple[str, ...] = ()
    """Two such Secrets, of an RSA and an ECDSA certificate."""
    ca_cert_credential_name: str = ""
    """The Secret or ConfigMap with the authorities alone."""
    tls_certificates: tuple[TLSCertificate, ...] = ()
    """Two certificates in files, RSA and ECDSA."""
    subject_alt_names: tuple[str, ...] = ()
    """The names that a client's certificate may have; none: any."""
    verify_certificate_spki: tuple[str, ...] = ()
    """The hashes (SHA-256, base64) of the public keys that a client may have."""
    verify_certificate_hash: tuple[str, ...] = ()
    """The hashes (SHA-256, hexadecimal) of the certificates that a client may have."""
    min_protocol_version: TLSProtocol = TLSProtocol.TLS_AUTO
    """The oldest version of TLS that is spoken; TLS_AUTO: TLSV1_2."""
    max_protocol_version: TLSProtocol = TLSProtocol.TLS_AUTO
    """The newest version of TLS that is spoken; TLS_AUTO: TLSV1_3."""
    cipher_suites: tuple[str, ...] = ()
    """The cipher suites of TLS 1.2; none: Envoy's."""
    insecure_skip_verify: bool | None = None
    """Whether client certificates are taken unverified."""


class Server(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One port, and the hosts that are served at it."""

    port: Port | None = None
    """The port that is listened on."""
    bind: str = ""
    """The IP address, or unix:// and a path, that is listened on; left out: every address."""
    hosts: tuple[str, ...] = ()
    """The hosts that are served, as HOST or NAMESPACE/HOST, where the VirtualServices are from that namespace."""
    tls: ServerTLSSettings | None = None
    """How TLS is spoken; for protocols HTTPS and TLS."""
    default_endpoint: str = ""
    """Without effect."""
    name: str = ""
    """The name of the server, for messages."""


class GatewaySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which proxies, and what they serve."""

    servers: tuple[Server, ...] = ()
    """What is listened on; at least one."""
    selector: dict[str, str] = {}
    """The labels of the proxies that serve it, ALL of them."""


class Gateway(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What proxies at the edge of the mesh serve; VirtualServices that name it say where requests go."""

    spec: GatewaySpec = GatewaySpec()
    """Which proxies, and what they serve."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""
