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


class Connections(Struct, frozen=True, kw_only=True):
    """Limits of what comes to a proxy, in milliseconds and bytes; None: as Envoy and the place have it."""

    listener_buffer: int | None = None  # of one connection
    idle_timeout: int | None = None  # of a connection without requests
    max_duration: int | None = None  # of a connection
    drain_timeout: int | None = None  # between the word that a connection ends and its end
    request_timeout: int | None = None  # for the whole request to have come
    headers_timeout: int | None = None  # for its headers to have come
    stream_idle_timeout: int | None = None
    max_stream_duration: int | None = None
    max_streams: int | None = None  # at once, of one HTTP/2 connection
    stream_window: int | None = None
    connection_window: int | None = None
    underscores: str = ""  # ALLOW | REJECT_REQUEST | DROP_HEADER, of headers with them; "": as Envoy
    merge_slashes: bool | None = None  # None: as the mesh writes paths; so is the next
    escaped_slashes: str = (
        ""  # KEEP_UNCHANGED | REJECT_REQUEST | UNESCAPE_AND_REDIRECT | UNESCAPE_AND_FORWARD
    )


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
    attempt_count: bool = True  # whether a request says which attempt it is (x-envoy-attempt-count)
    forwarded_host: bool | None = (
        None  # x-forwarded-host where the host is rewritten; None: by rewrite.authority
    )
    preserve_case: bool = False  # of the names of HTTP/1 headers
    connections: Connections = Connections()  # of sidecars
    gateway_connections: Connections = Connections()
    cluster_buffer: int | None = None  # of one connection to an endpoint, in bytes
    gateway_cluster_buffer: int | None = None
