"""MeshConfig: durations, names, retry and traffic defaults.

# Istio: ValidateMeshConfig
"""

from __future__ import annotations

import json

from argosy.resources.duration import parse_duration
from argosy.resources.meshconfig import AccessLogEncoding, MeshConfig
from argosy.resources.networking.destination_rule import OutlierDetection
from argosy.resources.networking.virtual_service import HTTPRetry
from argosy.resources.semantics import (
    extension_providers,
    format_strings,
    http_route,
    locality,
    mesh_proxy_config,
    names,
    traffic_policy,
)
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.tls import CIPHER_SUITES, check_client

_CONNECT_MAX = 3_600_000
CURVES = frozenset(("P-256", "P-384", "P-521", "P-224", "X25519", "X25519MLKEM768"))  # Envoy (BoringSSL)


def check(config: MeshConfig, findings: Findings) -> None:
    wrong = names.duration(config.connect_timeout)
    if wrong is None and parse_duration(config.connect_timeout) > _CONNECT_MAX:
        wrong = f"{config.connect_timeout!r} is more than 1h; give less"
    findings.error("connectTimeout", wrong)
    findings.error("protocolDetectionTimeout", names.duration_or_zero(config.protocol_detection_timeout))
    findings.error("dnsRefreshRate", names.duration(config.dns_refresh_rate))
    findings.error("trustDomain", _trust_domain(config.trust_domain))
    for i, alias in enumerate(config.trust_domain_aliases):
        findings.error(f"trustDomainAliases[{i}]", _trust_domain(alias))
    findings.error("rootNamespace", names.namespace_name(config.root_namespace))
    _retries(config, findings)
    if config.default_traffic_policy is not None:
        traffic_policy.check_defaults("defaultTrafficPolicy", config.default_traffic_policy, findings)
    if config.locality_lb_setting is not None:
        locality.check_setting("localityLbSetting", config.locality_lb_setting, OutlierDetection(), findings)
    if config.zone_aware_lb_setting is not None:
        locality.check_zone_aware(
            "zoneAwareLbSetting", config.zone_aware_lb_setting, OutlierDetection(), findings
        )
    _tls(config, findings)
    check_client("outboundTrafficPolicy.tls", config.outbound_traffic_policy.tls, findings)
    written = config.access_log_format
    if written and config.access_log_encoding is AccessLogEncoding.JSON and not is_json_object(written):
        findings.warn("accessLogFormat", "is no JSON object, which accessLogEncoding asks for: it is ignored")
    elif written:
        findings.error("accessLogFormat", access_log_format(config))
    if config.proxy_listen_port is not None:
        findings.error("proxyListenPort", names.port(config.proxy_listen_port))
    if config.default_config is not None:
        mesh_proxy_config.check("defaultConfig", config.default_config, findings)
    extension_providers.check("extensionProviders", config.extension_providers, findings)
    _service_settings(config, findings)


def access_log_format(config: MeshConfig) -> str | None:
    """What is wrong with the format that is written; None for nothing."""
    written = config.access_log_format
    if config.access_log_encoding is AccessLogEncoding.JSON and is_json_object(written):
        return format_strings.in_any(json.loads(written))
    return format_strings.anywhere(written)


def is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _trust_domain(text: str) -> str | None:
    """As of names of hosts, but that the last label may be a number."""
    if not text:
        return "is empty; name the trust domain"
    for label in text.removesuffix(".").split("."):
        if not names.is_dns_label(label):
            return f"{names.shown(text)} is not a trust domain: {names.dns_label(label)}"
    return None


def _retries(config: MeshConfig, findings: Findings) -> None:
    for field, policy in (
        ("defaultHttpRetryPolicy", config.default_http_retry_policy),
        ("defaultInboundHttpRetryPolicy", config.default_inbound_http_retry_policy),
    ):
        if policy is None:
            continue
        http_route.check_retries(field, policy, findings)
        if policy.attempts == 0 and policy.backoff is not None:
            findings.error(f"{field}.backoff", "has no effect: attempts is 0 (no retries); remove it")
        if field == "defaultInboundHttpRetryPolicy":
            _ignored_inbound(field, policy, findings)


def _ignored_inbound(path: str, policy: HTTPRetry, findings: Findings) -> None:
    """A sidecar has one workload to try again."""
    ignored = {
        "perTryTimeout": policy.per_try_timeout,
        "retryRemoteLocalities": policy.retry_remote_localities,
        "retryIgnorePreviousHosts": policy.retry_ignore_previous_hosts,
    }
    for name, value in ignored.items():
        if value is not None:
            findings.warn(f"{path}.{name}", "is ignored for inbound requests; remove it")


def _tls(config: MeshConfig, findings: Findings) -> None:
    for field, tls in (("meshMTLS", config.mesh_mtls), ("tlsDefaults", config.tls_defaults)):
        for i, suite in enumerate(tls.cipher_suites if tls is not None else ()):
            if suite not in CIPHER_SUITES:
                path = f"{field}.cipherSuites[{i}]"
                findings.warn(path, f"{names.shown(suite)} is not a cipher suite of Envoy's; it is ignored")
    if config.mesh_mtls is not None and config.mesh_mtls.ecdh_curves:
        findings.error("meshMTLS.ecdhCurves", "is not supported; use tlsDefaults.ecdhCurves")
    seen: set[str] = set()
    for i, curve in enumerate(config.tls_defaults.ecdh_curves if config.tls_defaults is not None else ()):
        path = f"tlsDefaults.ecdhCurves[{i}]"
        if curve not in CURVES:
            findings.warn(path, f"{names.shown(curve)} is no curve; use {', '.join(sorted(CURVES))}")
        elif curve in seen:
            findings.warn(path, f"{curve!r} is there twice; remove one")
        seen.add(curve)


def _service_settings(config: MeshConfig, findings: Findings) -> None:
    for i, settings in enumerate(config.service_settings):
        hosts = settings.get("hosts") or ()
        path = f"serviceSettings[{i}].hosts"
        if not isinstance(hosts, (list, tuple)):
            findings.error(path, f"{names.shown(hosts)} is not a list")
            continue
        for j, host in enumerate(hosts):
            wrong = names.wildcard_host(host) if isinstance(host, str) else f"{names.shown(host)} is not text"
            findings.error(f"{path}[{j}]", wrong)
