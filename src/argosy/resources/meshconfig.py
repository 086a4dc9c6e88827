"""MeshConfig: settings of the whole mesh, as far as they shape traffic. Unknown fields are kept out, not refused.

It is written in YAML in the ConfigMap `istio` of the root namespace, key `mesh`; MeshNetworks beside it, key
`meshNetworks`. Defaults are Istio's. Neither is a kind: in a file of its own it is known by its fields.
# Istio: mesh/v1alpha1/{config,network}.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct, field

from argosy.resources import loading
from argosy.resources.kinds import settled
from argosy.resources.networking.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    TcpKeepalive,
    ZoneAwareLoadBalancerSetting,
)
from argosy.resources.networking.virtual_service import HTTPRetry

if TYPE_CHECKING:
    from argosy.resources.semantics.findings import Findings

CONFIG_MAP = "istio"
KEY = "mesh"
NETWORKS_KEY = "meshNetworks"
Settings = TypeVar("Settings", bound=Struct)


class OutboundMode(StrEnum):
    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"
    ALLOW_ANY_DYNAMIC_DNS = "ALLOW_ANY_DYNAMIC_DNS"


class OutboundTrafficPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    mode: OutboundMode = OutboundMode.ALLOW_ANY
    tls: ClientTLSSettings | None = None


class InboundMode(StrEnum):
    PASSTHROUGH = "PASSTHROUGH"
    LOCALHOST = "LOCALHOST"


class InboundTrafficPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    mode: InboundMode = InboundMode.PASSTHROUGH


class MeshH2UpgradePolicy(StrEnum):
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class AccessLogEncoding(StrEnum):
    TEXT = "TEXT"
    JSON = "JSON"


class PathNormalizationType(StrEnum):
    DEFAULT = "DEFAULT"
    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


class PathNormalization(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    normalization: PathNormalizationType = PathNormalizationType.DEFAULT


class MinimumVersion(StrEnum):
    TLS_AUTO = "TLS_AUTO"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class TLSConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    min_protocol_version: MinimumVersion = MinimumVersion.TLS_AUTO
    ecdh_curves: tuple[str, ...] = ()
    cipher_suites: tuple[str, ...] = ()


class DefaultProviders(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Names of extension providers."""

    tracing: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    access_logging: tuple[str, ...] = ()


class DefaultTrafficPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None


class MeshConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    root_namespace: str = "istio-system"
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy()
    inbound_traffic_policy: InboundTrafficPolicy = InboundTrafficPolicy()
    h2_upgrade_policy: MeshH2UpgradePolicy = MeshH2UpgradePolicy.DO_NOT_UPGRADE
    connect_timeout: str = "10s"
    protocol_detection_timeout: str = "0s"
    dns_refresh_rate: str = "60s"
    tcp_keepalive: TcpKeepalive | None = None
    access_log_file: str = ""
    access_log_format: str = ""
    access_log_encoding: AccessLogEncoding = AccessLogEncoding.TEXT
    default_http_retry_policy: HTTPRetry | None = None  # None: 2 attempts on Istio's conditions
    default_inbound_http_retry_policy: HTTPRetry | None = None
    default_traffic_policy: DefaultTrafficPolicy | None = None
    ingress_selector: str = ""
    ingress_service: str = ""
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    default_service_export_to: tuple[str, ...] = ("*",)
    default_virtual_service_export_to: tuple[str, ...] = ("*",)
    default_destination_rule_export_to: tuple[str, ...] = ("*",)
    enable_auto_mtls: bool = True
    enable_tracing: bool = True
    inbound_cluster_stat_name: str = ""
    outbound_cluster_stat_name: str = ""
    path_normalization: PathNormalization = PathNormalization()
    mesh_mtls: TLSConfig | None = field(default=None, name="meshMTLS")
    tls_defaults: TLSConfig | None = None
    default_providers: DefaultProviders = DefaultProviders()
    # Of these only what can be wrong is looked at (`semantics`), and single parts are in force
    proxy_listen_port: int | None = None
    default_config: dict[str, Any] | None = None  # ProxyConfig
    extension_providers: tuple[dict[str, Any], ...] = ()
    service_settings: tuple[dict[str, Any], ...] = ()
    discovery_selectors: tuple[dict[str, Any], ...] = ()  # label selectors of namespaces


class NetworkEndpoints(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Exactly one says which endpoints are in the network."""

    from_cidr: str | None = None
    from_registry: str | None = None


class NetworkGateway(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A way into the network from others: by address, or a service of the registry."""

    address: str | None = None
    registry_service_name: str | None = None
    port: int = 0
    locality: str = ""


class Network(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    endpoints: tuple[NetworkEndpoints, ...] = ()
    gateways: tuple[NetworkGateway, ...] = ()


class MeshNetworks(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    networks: dict[str, Network] = {}


def load(text: str) -> MeshConfig:
    """From YAML. Raises ValueError, whose message names field and remedy."""
    return _typed(_read(text, KEY), MeshConfig, KEY)


def load_networks(text: str) -> MeshNetworks:
    """The same of MeshNetworks."""
    return _typed(_read(text, NETWORKS_KEY), MeshNetworks, NETWORKS_KEY)


def judge(text: str, key: str = KEY) -> Findings:
    """What is wrong with settings written in YAML; each field is relative to them. `key` says which they are."""
    from argosy.resources.semantics.findings import Findings

    try:
        value = _read(text, key)
    except ValueError as error:
        findings = Findings()
        findings.error("", str(error))
        return findings
    return judge_settings(value, key)


def judge_settings(value: Any, key: str = KEY) -> Findings:
    """The same of settings that are read already."""
    from argosy.resources.semantics import mesh_config, mesh_networks
    from argosy.resources.semantics.findings import Findings

    findings = Findings()
    try:
        if key == KEY:
            mesh_config.check(_typed(value, MeshConfig, key), findings)
        else:
            mesh_networks.check(_typed(value, MeshNetworks, key), findings)
    except ValueError as error:
        findings.error("", str(error))
    return findings


def key_of(value: Any) -> str | None:
    """Which settings an object without kind is: of MeshConfig or of MeshNetworks; None: of neither."""
    if not isinstance(value, dict) or not _OBJECT.isdisjoint(value):
        return None
    if not _FIELDS.isdisjoint(value):
        return KEY
    return NETWORKS_KEY if "networks" in value else None


_OBJECT = frozenset(("apiVersion", "kind", "metadata", "spec"))
_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(MeshConfig))


def _read(text: str, key: str) -> Any:
    try:
        documents = loading.load_documents(text, key)
    except loading.LoadError as error:
        raise ValueError(str(error)) from error
    if len(documents) > 1:
        raise ValueError(f"{key}: has {len(documents)} documents; mesh settings are one")
    return documents[0].object if documents else {}


def _typed(value: Any, struct: type[Settings], key: str) -> Settings:
    try:
        return msgspec.convert(settled(value), struct, str_keys=True)
    except msgspec.ValidationError as error:
        raise ValueError(f"{key}: {error}") from error
