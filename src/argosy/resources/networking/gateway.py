"""Gateway: which ports and hosts an edge proxy serves, and with which certificates.

# Istio: networking/v1alpha3/gateway.proto
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.resources.meta import Object, Status
from argosy.resources.networking.virtual_service import UInt32


class Port(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    number: UInt32 = 0
    protocol: str = ""
    name: str = ""
    target_port: UInt32 = 0  # deprecated, without effect


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
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


class ServerTLSSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    https_redirect: bool = False
    mode: ServerTLSMode = ServerTLSMode.PASSTHROUGH
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    credential_names: tuple[str, ...] = ()
    ca_cert_credential_name: str = ""
    tls_certificates: tuple[TLSCertificate, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    min_protocol_version: TLSProtocol = TLSProtocol.TLS_AUTO
    max_protocol_version: TLSProtocol = TLSProtocol.TLS_AUTO
    cipher_suites: tuple[str, ...] = ()
    insecure_skip_verify: bool | None = None


class Server(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    port: Port | None = None
    bind: str = ""
    hosts: tuple[str, ...] = ()  # `[namespace/]host`
    tls: ServerTLSSettings | None = None
    default_endpoint: str = ""  # without effect
    name: str = ""


class GatewaySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    servers: tuple[Server, ...] = ()
    selector: dict[str, str] = {}  # labels of the proxies that serve it


class Gateway(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    spec: GatewaySpec = GatewaySpec()
    status: Status = Status()
