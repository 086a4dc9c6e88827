"""Mesh settings: `ConfigMap istio-system/istio`, keys `mesh` and `meshNetworks`, to `ir.Mesh`.

Facts (Istio: mesh/v1alpha1/config.proto): what is not written keeps its default; fields that this control plane does
not use are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from argosy.model import ir, lower_authorizers, lower_networks, lower_providers, lower_proxy_settings
from argosy.model import lower_mesh_tracing as tracing
from argosy.model.errors import LoweringError
from argosy.model.locality import LocalityBalancing
from argosy.model.lower_destination_rule import (
    client_tls,
    connection_pool,
    keep_alive,
    locality,
    outlier,
    zone_aware,
)
from argosy.model.lower_http import milliseconds, retry_policy
from argosy.resources import loading, meshconfig, proxy_start
from argosy.resources.core import ConfigMap
from argosy.resources.meshconfig import (
    AccessLogEncoding,
    InboundMode,
    MeshConfig,
    MeshH2UpgradePolicy,
    MinimumVersion,
    OutboundMode,
    PathNormalizationType,
    TLSConfig,
)
from argosy.resources.selector import LabelSelector
from argosy.resources.semantics.mesh_config import CURVES, access_log_format, is_json_object
from argosy.resources.semantics.tls import CIPHER_SUITES

NAMESPACE = "istio-system"
NAME = meshconfig.CONFIG_MAP
FIELD = f"data.{meshconfig.KEY}"
NOTHING: Mapping[str, str] = {}


def lower(obj: ConfigMap, defaults: ir.Mesh, environment: Mapping[str, str] = NOTHING) -> ir.Mesh:
    """`environment`: the control plane's, for headers of providers that name a variable of it. Raises LoweringError
    with the field (`data.mesh.connectTimeout`)."""
    text = obj.data.get(meshconfig.KEY, "")
    try:
        config = meshconfig.load(text)
    except ValueError as error:
        raise LoweringError(FIELD, str(error)) from error
    written: set[str] = set()
    for document in loading.load_documents(text, meshconfig.KEY):
        written.update(document.object)
    changes = {attribute: read(config) for name, attribute, read in SETTINGS if name in written}
    if networks := obj.data.get(meshconfig.NETWORKS_KEY, ""):
        changes["networks"] = lower_networks.lower(networks)
    if config.extension_providers:
        changes["providers"] = lower_providers.lower(config.extension_providers, environment)
        changes["authorizers"] = lower_authorizers.lower(config.extension_providers)
    return msgspec.structs.replace(defaults, **changes)


def _default_retry(config: MeshConfig) -> ir.RetryPolicy | None:
    policy = retry_policy(config.default_http_retry_policy, f"{FIELD}.defaultHttpRetryPolicy")
    if policy is None:
        return ir.Mesh().default_retry
    return policy if policy.attempts > 0 else None


def _connect_timeout(config: MeshConfig) -> int | None:
    return milliseconds(config.connect_timeout, f"{FIELD}.connectTimeout")


def _dns_refresh_rate(config: MeshConfig) -> int | None:
    return milliseconds(config.dns_refresh_rate, f"{FIELD}.dnsRefreshRate")


def _default_pool(config: MeshConfig) -> ir.ConnectionPool | None:
    policy = config.default_traffic_policy
    field = f"{FIELD}.defaultTrafficPolicy.connectionPool"
    return connection_pool(policy.connection_pool, field) if policy else None


def _default_outlier(config: MeshConfig) -> ir.OutlierDetection | None:
    policy = config.default_traffic_policy
    field = f"{FIELD}.defaultTrafficPolicy.outlierDetection"
    return outlier(policy.outlier_detection, field) if policy else None


def _locality(config: MeshConfig) -> LocalityBalancing:
    """Facts (Istio): zones by load go before localities."""
    by_zone = zone_aware(config.zone_aware_lb_setting)
    if by_zone is not None and by_zone.enabled:
        return by_zone
    return locality(config.locality_lb_setting) or LocalityBalancing()


def _inbound_retry(config: MeshConfig) -> ir.RetryPolicy | None:
    """Facts (Istio): of the application there is one, so nothing is said of other hosts."""
    written = config.default_inbound_http_retry_policy
    policy = retry_policy(written, f"{FIELD}.defaultInboundHttpRetryPolicy")
    if written is None or policy is None:
        return ir.INBOUND_RETRY
    if policy.attempts == 0:
        return None
    retry_on = policy.retry_on if written.retry_on else ir.INBOUND_RETRY.retry_on
    return msgspec.structs.replace(
        ir.INBOUND_RETRY, attempts=policy.attempts, retry_on=retry_on, backoff=policy.backoff
    )


def _detection_timeout(config: MeshConfig) -> int | None:
    return milliseconds(config.protocol_detection_timeout, f"{FIELD}.protocolDetectionTimeout")


def _log_format(config: MeshConfig) -> str:
    """Facts (Istio): a format that is no JSON where it should be is left out; a line ends. So is one that Envoy would
    refuse every listener for."""
    written = config.access_log_format
    if not written or access_log_format(config) is not None:
        return ""
    if config.access_log_encoding is AccessLogEncoding.JSON:
        return written if is_json_object(written) else ""
    return written if written.endswith("\n") else f"{written}\n"


def _paths(config: MeshConfig) -> ir.Paths:
    written = config.path_normalization.normalization
    return ir.Paths.BASE if written is PathNormalizationType.DEFAULT else ir.Paths(written.value)


def _outbound_tls(config: MeshConfig) -> ir.ClientTls | None:
    """Hosts outside the mesh know nothing of its identities."""
    tls = client_tls(config.outbound_traffic_policy.tls, f"{FIELD}.outboundTrafficPolicy.tls")
    return tls if tls is not None and tls.mode in (ir.TlsMode.SIMPLE, ir.TlsMode.MUTUAL) else None


def _tls(written: TLSConfig | None) -> ir.TlsParameters:
    """Facts (Istio): what is no cipher suite or curve is left out."""
    if written is None:
        return ir.TlsParameters()
    version = written.min_protocol_version
    return ir.TlsParameters(
        min_version="" if version is MinimumVersion.TLS_AUTO else version.value,
        cipher_suites=tuple(dict.fromkeys(one for one in written.cipher_suites if one in CIPHER_SUITES)),
        ecdh_curves=tuple(dict.fromkeys(one for one in written.ecdh_curves if one in CURVES)),
    )


def _ingress_gateway(config: MeshConfig) -> str:
    """Facts (Istio): the service is called as its label is, but for the one of the default installation."""
    service = "" if config.ingress_service == "istio-ingressgateway" else config.ingress_service
    return config.ingress_selector or service or ir.Mesh().ingress_gateway


def _discovery(config: MeshConfig) -> tuple[LabelSelector, ...]:
    try:
        return msgspec.convert(config.discovery_selectors, tuple[LabelSelector, ...])
    except msgspec.ValidationError as error:
        raise LoweringError(f"{FIELD}.discoverySelectors", str(error)) from error


def _default_config(config: MeshConfig) -> str:
    said = config.default_config or {}
    try:
        proxy_start.typed(said)
    except ValueError as error:
        raise LoweringError(f"{FIELD}.defaultConfig", str(error)) from error
    kept = {field: value for field, value in said.items() if field in proxy_start.FIELDS}
    return msgspec.json.encode(kept, order="sorted").decode() if kept else ""


SETTINGS: tuple[tuple[str, str, Callable[[MeshConfig], Any]], ...] = (
    ("trustDomain", "trust_domain", lambda config: config.trust_domain),
    ("trustDomainAliases", "trust_domain_aliases", lambda config: config.trust_domain_aliases),
    ("rootNamespace", "root_namespace", lambda config: config.root_namespace),
    (
        "outboundTrafficPolicy",
        "outbound_allow_any",
        lambda config: config.outbound_traffic_policy.mode is not OutboundMode.REGISTRY_ONLY,
    ),
    (
        "outboundTrafficPolicy",
        "outbound_by_name",
        lambda config: config.outbound_traffic_policy.mode is OutboundMode.ALLOW_ANY_DYNAMIC_DNS,
    ),
    (
        "outboundTrafficPolicy",
        "outbound_tls",
        _outbound_tls,
    ),
    (
        "h2UpgradePolicy",
        "h2_upgrade",
        lambda config: config.h2_upgrade_policy is MeshH2UpgradePolicy.UPGRADE,
    ),
    ("connectTimeout", "connect_timeout", _connect_timeout),
    ("dnsRefreshRate", "dns_refresh_rate", _dns_refresh_rate),
    ("tcpKeepalive", "keepalive", lambda config: keep_alive(config.tcp_keepalive, f"{FIELD}.tcpKeepalive")),
    ("defaultTrafficPolicy", "connection_pool", _default_pool),
    ("defaultTrafficPolicy", "outlier", _default_outlier),
    ("enableAutoMtls", "auto_mtls", lambda config: config.enable_auto_mtls),
    ("accessLogFile", "access_log_file", lambda config: config.access_log_file),
    (
        "accessLogEncoding",
        "access_log_json",
        lambda config: config.access_log_encoding is AccessLogEncoding.JSON,
    ),
    ("defaultHttpRetryPolicy", "default_retry", _default_retry),
    ("localityLbSetting", "locality", _locality),
    ("zoneAwareLbSetting", "locality", _locality),
    ("defaultServiceExportTo", "service_export", lambda config: config.default_service_export_to or ("*",)),
    (
        "defaultVirtualServiceExportTo",
        "virtual_service_export",
        lambda config: config.default_virtual_service_export_to or ("*",),
    ),
    (
        "defaultDestinationRuleExportTo",
        "destination_rule_export",
        lambda config: config.default_destination_rule_export_to or ("*",),
    ),
    ("accessLogFormat", "access_log_format", _log_format),
    ("protocolDetectionTimeout", "detection_timeout", _detection_timeout),
    ("pathNormalization", "paths", _paths),
    (
        "inboundTrafficPolicy",
        "inbound_passthrough",
        lambda config: config.inbound_traffic_policy.mode is InboundMode.PASSTHROUGH,
    ),
    ("defaultInboundHttpRetryPolicy", "inbound_retry", _inbound_retry),
    ("meshMTLS", "mesh_tls", lambda config: _tls(config.mesh_mtls)),
    ("tlsDefaults", "tls_defaults", lambda config: _tls(config.tls_defaults)),
    ("outboundClusterStatName", "outbound_statistics", lambda config: config.outbound_cluster_stat_name),
    ("defaultProviders", "log_providers", lambda config: config.default_providers.access_logging),
    ("defaultProviders", "tracing_providers", lambda config: config.default_providers.tracing),
    ("defaultConfig", "trace_sampling", tracing.sampling),
    ("defaultConfig", "trace_tag_length", tracing.tag_length),
    ("defaultConfig", "trace_tags", tracing.tags),
    ("defaultConfig", "trace_own_tags", tracing.own_tags),
    ("defaultConfig", "mesh_id", tracing.mesh_id),
    ("defaultConfig", "tracer", tracing.tracer),
    ("enableTracing", "tracer", tracing.tracer),
    (
        "defaultConfig",
        "proxy",
        lambda config: lower_proxy_settings.lower(config.default_config or {}, f"{FIELD}.defaultConfig"),
    ),
    ("defaultConfig", "default_config", _default_config),
    ("discoverySelectors", "discovery", _discovery),
    ("ingressSelector", "ingress_gateway", _ingress_gateway),
    ("ingressService", "ingress_gateway", _ingress_gateway),
)
"""(MeshConfig field, attribute of `ir.Mesh`, its value)."""
