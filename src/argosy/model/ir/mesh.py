"""Who may connect, and what MeshConfig says of everything."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.model.ir.destinations import ClientTls, ConnectionPool, KeepAlive, OutlierDetection
from argosy.model.ir.routes import BUILT_IN_RETRY, INBOUND_RETRY, RetryPolicy
from argosy.model.locality import LocalityBalancing
from argosy.model.networks import Networks
from argosy.model.providers import ExternalAuthorization, Provider, Tag, Tracer
from argosy.model.proxy_settings import ProxySettings
from argosy.resources.selector import LabelSelector


class MtlsMode(StrEnum):
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class Paths(StrEnum):
    """How the path of a request is written before anything looks at it."""

    NONE = "NONE"  # as it came
    BASE = "BASE"  # RFC 3986
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


class TlsParameters(Struct, frozen=True, kw_only=True):
    min_version: str = ""  # TLSV1_2 | TLSV1_3; "": as the place has it
    cipher_suites: tuple[str, ...] = ()  # of TLS 1.2
    ecdh_curves: tuple[str, ...] = ()


class Mesh(Struct, frozen=True, kw_only=True):
    """The parts of MeshConfig that shape configuration; defaults are Istio's."""

    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()  # other domains whose identities count as the mesh's own
    root_namespace: str = "istio-system"
    domain_suffix: str = "cluster.local"
    outbound_allow_any: bool = True
    outbound_by_name: bool = False  # captured requests to unknown hosts go where their host is looked up
    outbound_tls: ClientTls | None = None  # and over this TLS
    h2_upgrade: bool = False
    connect_timeout: int = 10_000
    dns_refresh_rate: int = 60_000  # where an answer has no time to live
    keepalive: KeepAlive | None = None  # of connections whose destination says nothing of it
    connection_pool: ConnectionPool | None = None  # of destinations that have none
    outlier: OutlierDetection | None = None  # of destinations that have none
    auto_mtls: bool = True
    access_log_file: str = ""
    access_log_json: bool = False
    access_log_format: str = ""  # operators of Envoy's, in a line or (json) an object; "": Istio's fields
    detection_timeout: int | None = None  # for the first bytes of a connection; 0: none
    paths: Paths = Paths.BASE
    inbound_passthrough: bool = False  # captured connections go on to the address that they were for
    inbound_retry: RetryPolicy | None = INBOUND_RETRY  # by a sidecar, of requests to its application
    mesh_tls: TlsParameters = TlsParameters()  # between proxies
    tls_defaults: TlsParameters = TlsParameters()  # of all other TLS
    outbound_statistics: str = (
        ""  # what clusters are counted as, with parts such as %SERVICE%; "": by their names
    )
    default_retry: RetryPolicy | None = BUILT_IN_RETRY
    locality: LocalityBalancing = LocalityBalancing()  # of destinations that say nothing of it
    # Who sees what does not say it itself: namespaces, "." the object's own
    service_export: tuple[str, ...] = ("*",)
    virtual_service_export: tuple[str, ...] = ("*",)
    destination_rule_export: tuple[str, ...] = ("*",)
    # Where log lines and spans may go, by name, and where they go if nobody says so
    providers: tuple[tuple[str, Provider], ...] = ()
    authorizers: tuple[tuple[str, ExternalAuthorization], ...] = ()  # who decides for CUSTOM, by name
    log_providers: tuple[str, ...] = ()  # (): access_log_file
    tracing_providers: tuple[str, ...] = ()
    trace_sampling: float = 1.0  # percent
    trace_tag_length: int | None = None
    trace_tags: tuple[Tag, ...] = ()  # where nobody says others
    trace_own_tags: bool = True  # Istio's, where no provider is named
    tracer: Tracer | None = None  # where no provider is named
    mesh_id: str = ""  # as spans say it; "": the trust domain
    proxy: ProxySettings = ProxySettings()
    networks: Networks = ()
    default_config: str = (
        ""  # defaultConfig as JSON: what of it proxies are started with (`model.proxy_start`)
    )
    discovery: tuple[LabelSelector, ...] = ()  # of namespaces: ANY; (): every one is seen
    ingress_gateway: str = "ingressgateway"  # the label `istio` of the gateways that serve Ingresses
