"""MeshConfig: durations, names, retry and traffic defaults.

# Istio: ValidateMeshConfig
"""

from __future__ import annotations

from argosy.resources.duration import parse_duration
from argosy.resources.meshconfig import MeshConfig
from argosy.resources.networking.destination_rule import OutlierDetection, TrafficPolicy
from argosy.resources.semantics import http_route, locality, names, traffic_policy
from argosy.resources.semantics.findings import Findings

_CONNECT_MAX = 3_600_000


def check(config: MeshConfig, findings: Findings) -> None:
    wrong = names.duration(config.connect_timeout)
    if wrong is None and parse_duration(config.connect_timeout) > _CONNECT_MAX:
        wrong = f"{config.connect_timeout!r} is more than 1h; give less"
    findings.error("connectTimeout", wrong)
    findings.error("protocolDetectionTimeout", names.duration_or_zero(config.protocol_detection_timeout))
    findings.error("dnsRefreshRate", names.duration(config.dns_refresh_rate))
    findings.error("trustDomain", names.fqdn(config.trust_domain))
    for i, alias in enumerate(config.trust_domain_aliases):
        findings.error(f"trustDomainAliases[{i}]", names.fqdn(alias))
    findings.error("rootNamespace", names.namespace_name(config.root_namespace))
    if config.default_http_retry_policy is not None:
        http_route.check_retries("defaultHttpRetryPolicy", config.default_http_retry_policy, findings)
    if config.default_traffic_policy is not None:
        policy = TrafficPolicy(
            connection_pool=config.default_traffic_policy.connection_pool,
            outlier_detection=config.default_traffic_policy.outlier_detection,
        )
        traffic_policy.check("defaultTrafficPolicy", policy, findings)
    if config.locality_lb_setting is not None:
        locality.check_setting("localityLbSetting", config.locality_lb_setting, OutlierDetection(), findings)
    if config.zone_aware_lb_setting is not None:
        locality.check_zone_aware(
            "zoneAwareLbSetting", config.zone_aware_lb_setting, OutlierDetection(), findings
        )
    if config.mesh_mtls is not None and config.mesh_mtls.ecdh_curves:
        findings.error("meshMTLS.ecdhCurves", "is not supported; use tlsDefaults.ecdhCurves")
