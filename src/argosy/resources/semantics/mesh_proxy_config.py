"""ProxyConfig within MeshConfig (`defaultConfig`): addresses, ports and times that a proxy can be started with.

What is not given keeps Istio's default, which is right. Only what can be wrong is in these structs.
# Istio: ValidateMeshConfigProxyConfig
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from argosy.resources import proxy_start
from argosy.resources.duration import parse_duration
from argosy.resources.networking.destination_rule import ClientTLSSettings
from argosy.resources.proxy_settings import DURATIONS, ConnectionSettings, GatewayTopology, ProxyHeaders
from argosy.resources.semantics import names, regex, tls, workload_group
from argosy.resources.semantics.findings import Findings

_HOST_IP = "$(HOST_IP)"  # put in where the proxy starts


class AuthenticationPolicy(StrEnum):
    NONE = "NONE"
    MUTUAL_TLS = "MUTUAL_TLS"


class RemoteService(Struct, frozen=True, kw_only=True, rename="camel"):
    address: str = ""
    access_token: str = ""


class Tracing(Struct, frozen=True, kw_only=True, rename="camel"):
    lightstep: RemoteService | None = None
    zipkin: RemoteService | None = None
    datadog: RemoteService | None = None
    tls_settings: ClientTLSSettings | None = None
    custom_tags: dict[str, dict[str, Any] | None] = {}


class KeyProvider(Struct, frozen=True, kw_only=True, rename="camel"):
    poll_delay: str | None = None


class PrivateKeyProvider(Struct, frozen=True, kw_only=True, rename="camel"):
    cryptomb: KeyProvider | None = None
    qat: KeyProvider | None = None


class MeshProxyConfig(Struct, frozen=True, kw_only=True, rename="camel"):
    config_path: str | None = None
    binary_path: str | None = None
    service_cluster: str | None = None
    discovery_address: str | None = None
    drain_duration: str | None = None
    statsd_udp_address: str = ""
    envoy_metrics_service_address: str = ""  # deprecated
    envoy_metrics_service: RemoteService | None = None
    envoy_access_log_service: RemoteService | None = None
    proxy_admin_port: int | None = None
    status_port: int | None = None
    concurrency: int | None = None
    control_plane_auth_policy: AuthenticationPolicy = AuthenticationPolicy.NONE
    tracing: Tracing | None = None
    private_key_provider: PrivateKeyProvider | None = None
    gateway_topology: GatewayTopology | None = None
    proxy_headers: ProxyHeaders | None = None


def check(path: str, value: dict[str, Any], findings: Findings) -> None:
    try:
        config = msgspec.convert(value, MeshProxyConfig, str_keys=True)
    except msgspec.ValidationError as error:
        findings.error(path, str(error))
        return
    for name, text in (
        ("configPath", config.config_path),
        ("binaryPath", config.binary_path),
        ("serviceCluster", config.service_cluster),
        ("discoveryAddress", config.discovery_address),
    ):
        if text == "":
            findings.error(f"{path}.{name}", "is empty; give it or leave it out")
    _addresses(path, config, findings)
    for name, port in (("proxyAdminPort", config.proxy_admin_port), ("statusPort", config.status_port)):
        findings.error(f"{path}.{name}", names.port(port) if port is not None else None)
    if config.concurrency is not None:
        findings.error(f"{path}.concurrency", names.non_negative(config.concurrency))
    wrong = names.duration(config.drain_duration)
    if wrong is None and config.drain_duration is not None and parse_duration(config.drain_duration) % 1000:
        wrong = f"{config.drain_duration!r} is not whole seconds; write seconds"
    findings.error(f"{path}.drainDuration", wrong)
    _start(path, value, findings)
    if config.tracing is not None:
        _tracing(f"{path}.tracing", config.tracing, findings)
    if config.private_key_provider is not None:
        _private_key(f"{path}.privateKeyProvider", config.private_key_provider, findings)


def _start(path: str, value: dict[str, Any], findings: Findings) -> None:
    try:
        start = proxy_start.typed(value)
    except ValueError as error:
        findings.error(path, str(error))
        return
    for name, text in (
        ("terminationDrainDuration", start.termination_drain_duration),
        ("fileFlushInterval", start.file_flush_interval),
    ):
        try:
            parse_duration(text or "0s")
        except ValueError as error:
            findings.error(f"{path}.{name}", str(error))
    said = start.connection_settings or ConnectionSettings()
    for attribute in DURATIONS:
        try:
            parse_duration(getattr(said, attribute) or "0s")
        except ValueError as error:
            field = next(
                one.encode_name for one in msgspec.structs.fields(ConnectionSettings) if one.name == attribute
            )
            findings.error(f"{path}.connectionSettings.{field}", str(error))
    if start.readiness_probe is not None:
        workload_group.check_probe(f"{path}.readinessProbe", start.readiness_probe, findings)
    matcher = start.proxy_stats_matcher
    for position, pattern in enumerate(matcher.inclusion_regexps if matcher is not None else ()):
        findings.error(f"{path}.proxyStatsMatcher.inclusionRegexps[{position}]", regex.problem(pattern))


def _addresses(path: str, config: MeshProxyConfig, findings: Findings) -> None:
    services = {
        "envoyMetricsService.address": config.envoy_metrics_service,
        "envoyAccessLogService.address": config.envoy_access_log_service,
    }
    addresses = {
        "discoveryAddress": config.discovery_address,
        "statsdUdpAddress": config.statsd_udp_address,
        "envoyMetricsServiceAddress": config.envoy_metrics_service_address,
        **{name: service.address if service is not None else "" for name, service in services.items()},
    }
    for name, text in addresses.items():
        if text:
            findings.error(f"{path}.{name}", names.address(text))
    if config.envoy_metrics_service_address:
        findings.warn(f"{path}.envoyMetricsServiceAddress", "is deprecated; use envoyMetricsService")


def _tracing(path: str, tracing: Tracing, findings: Findings) -> None:
    collectors = {"lightstep": tracing.lightstep, "zipkin": tracing.zipkin, "datadog": tracing.datadog}
    for name, collector in collectors.items():
        if collector is not None:
            text = collector.address
            if name != "lightstep":
                text = text.replace(_HOST_IP, "127.0.0.1", 1)
            findings.error(f"{path}.{name}.address", names.address(text))
    if tracing.lightstep is not None and not tracing.lightstep.access_token:
        findings.error(f"{path}.lightstep.accessToken", "is missing; give it")
    tls.check_client(f"{path}.tlsSettings", tracing.tls_settings, findings)
    for name, tag in tracing.custom_tags.items():
        if tag is None:
            findings.error(f"{path}.customTags[{name!r}]", "is empty; give it literal, environment or header")


def _private_key(path: str, provider: PrivateKeyProvider, findings: Findings) -> None:
    given = {"cryptomb": provider.cryptomb, "qat": provider.qat}
    found = {name: one for name, one in given.items() if one is not None}
    if len(found) != 1:
        said = "has cryptomb and qat; keep one" if found else "is empty; give cryptomb or qat"
        findings.error(path, f"{said} of them")
    for name, one in found.items():
        wrong = "is missing; give it" if one.poll_delay is None else names.duration(one.poll_delay)
        findings.error(f"{path}.{name}.pollDelay", wrong)
