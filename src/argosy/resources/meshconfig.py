"""MeshConfig: settings of the whole mesh, as far as they shape traffic. Unknown fields are kept out, not refused.

It is written in YAML in the ConfigMap `istio` of the root namespace, key `mesh`. Defaults are Istio's.
# Istio: mesh/v1alpha1/config.proto
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct, field

from argosy.resources import loading
from argosy.resources.kinds import settled
from argosy.resources.networking.destination_rule import (
    ConnectionPoolSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    TcpKeepalive,
    ZoneAwareLoadBalancerSetting,
)
from argosy.resources.networking.virtual_service import HTTPRetry
from argosy.resources.problem import Problem

CONFIG_MAP = "istio"
KEY = "mesh"


class OutboundMode(StrEnum):
    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"
    ALLOW_ANY_DYNAMIC_DNS = "ALLOW_ANY_DYNAMIC_DNS"


class OutboundTrafficPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    mode: OutboundMode = OutboundMode.ALLOW_ANY


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


class TLSConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    min_protocol_version: str = "TLS_AUTO"
    ecdh_curves: tuple[str, ...] = ()
    cipher_suites: tuple[str, ...] = ()


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
    default_traffic_policy: DefaultTrafficPolicy | None = None
    ingress_selector: str = ""
    ingress_service: str = ""
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    default_service_export_to: tuple[str, ...] = ("*",)
    default_virtual_service_export_to: tuple[str, ...] = ("*",)
    default_destination_rule_export_to: tuple[str, ...] = ("*",)
    enable_auto_mtls: bool = True
    enable_tracing: bool = False
    inbound_cluster_stat_name: str = ""
    outbound_cluster_stat_name: str = ""
    path_normalization: PathNormalization = PathNormalization()
    mesh_mtls: TLSConfig | None = field(default=None, name="meshMTLS")
    tls_defaults: TLSConfig | None = None


def load(text: str) -> MeshConfig:
    """From YAML. Raises ValueError, whose message names field and remedy."""
    try:
        documents = loading.load_documents(text, KEY)
    except loading.LoadError as error:
        raise ValueError(str(error)) from error
    if len(documents) > 1:
        raise ValueError(f"{KEY}: has {len(documents)} documents; mesh settings are one")
    value = settled(documents[0].object) if documents else {}
    try:
        return msgspec.convert(value, MeshConfig, str_keys=True)
    except msgspec.ValidationError as error:
        raise ValueError(f"{KEY}: {error}") from error


def problems(text: str) -> list[Problem]:
    """What is wrong with mesh settings written in YAML; each field is relative to them."""
    from argosy.resources.semantics import mesh_config
    from argosy.resources.semantics.findings import Findings

    try:
        config = load(text)
    except ValueError as error:
        return [Problem("", str(error))]
    findings = Findings()
    mesh_config.check(config, findings)
    return findings.errors
