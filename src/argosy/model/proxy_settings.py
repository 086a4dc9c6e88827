"""What MeshConfig's defaultConfig says of requests at proxies: whom gateways believe, and which headers they write."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class ForwardedCertificate(StrEnum):
    """What becomes of x-forwarded-client-cert."""

    SANITIZE = "SANITIZE"  # taken off
    FORWARD_ONLY = "FORWARD_ONLY"  # of a client that proves who it is
    APPEND_FORWARD = "APPEND_FORWARD"  # of such a client, with its certificate added
    SANITIZE_SET = "SANITIZE_SET"  # its certificate alone
    ALWAYS_FORWARD_ONLY = "ALWAYS_FORWARD_ONLY"


class CertificateDetails(Struct, frozen=True, kw_only=True):
    """What of a client's certificate is told."""

    subject: bool = False
    cert: bool = False
    chain: bool = False
    dns: bool = False
    uri: bool = False


class ProxySettings(Struct, frozen=True, kw_only=True):
    trusted_proxies: int = 0  # before a gateway, whose x-forwarded-for counts
    gateway_certificate: ForwardedCertificate = ForwardedCertificate.SANITIZE_SET
    proxy_protocol: bool = False  # connections to a gateway begin with a PROXY header
    sidecar_certificate: ForwardedCertificate = ForwardedCertificate.SANITIZE_SET
    sidecar_details: CertificateDetails | None = None
    request_id: bool = True  # whether requests without one get an x-request-id
    server: str | None = None  # of answers; "": as they come; None: as the place has it
    forwarded_port: bool = False  # whether requests get an x-forwarded-port
    debug_headers: bool = True  # Envoy's own, as x-envoy-upstream-service-time
