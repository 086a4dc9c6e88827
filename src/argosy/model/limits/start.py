"""Fields of defaultConfig (ProxyConfig) about the start of proxies that are not in force: a part of `limits.TABLE`.

What is in force at the start: `resources.proxy_start`; while proxies run: `resources.proxy_settings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from argosy.model.limits.when import ALWAYS, When, unless
from argosy.resources import proxy_start
from argosy.resources.semantics.names import host_and_port, is_ip

IMAGE = "has no effect: there are no images; a proxy is the Envoy of the agent's own package"

_RUNNING = ("tracing", "gatewayTopology", "proxyHeaders")
_KNOWN = ",".join(sorted((*_RUNNING, *proxy_start.FIELDS)))
_NAME = When("a host name", lambda value, obj: not is_ip((host_and_port(value) or ("",))[0]))

DEFAULT_CONFIG: tuple[tuple[str, str, When], ...] = (
    (
        "{configPath,binaryPath,customConfigFile,proxyBootstrapTemplatePath}",
        "has no effect: the agent keeps the files of its proxies where it writes them; use an EnvoyFilter",
        ALWAYS,
    ),
    ("discoveryAddress", "has no effect: agents are told by the servers themselves where these are", ALWAYS),
    ("discoveryRefreshDelay", "has no effect, as in Istio: nothing is polled", ALWAYS),
    ("parentShutdownDuration", "has no effect, as in Istio: there are no hot restarts", ALWAYS),
    ("statsdUdpAddress", "is not in force: Envoy takes an IP address and a port here, and no name", _NAME),
    ("envoyMetricsServiceAddress", "has no effect, as in Istio; use envoyMetricsService", ALWAYS),
    ("envoyMetricsService.tlsSettings", "is not in force: statistics are sent in plain text", ALWAYS),
    (
        "proxyAdminPort",
        "has no effect: the admin interface is a Unix socket that nobody else can open; use argosy proxy config",
        ALWAYS,
    ),
    ("availabilityZone", "has no effect, as in Istio; a workload says where it is with --locality", ALWAYS),
    (
        "controlPlaneAuthPolicy",
        "has no effect: the connection to the control plane is mutual TLS, always",
        unless("MUTUAL_TLS"),
    ),
    ("statNameLength", "has no effect, as in Istio: Envoy has no such limit", ALWAYS),
    (
        "interceptionMode",
        "has no effect: how traffic comes to a proxy is said where it is started",
        ALWAYS,
    ),
    ("zipkinAddress", "is not in force: name a provider in defaultProviders.tracing", ALWAYS),
    ("sds", "has no effect, as in Istio: certificates always come by SDS", ALWAYS),
    (
        "envoyAccessLogService",
        "is not in force: name a provider with envoyHttpAls in defaultProviders.accessLogging",
        ALWAYS,
    ),
    (
        "statusPort",
        "has no effect: agents have no port; what they know is told by argosy ps and by their metrics",
        ALWAYS,
    ),
    ("extraStatTags", "is not in force: metrics have Istio's standard tags", ALWAYS),
    (
        "readinessProbe.exec",
        "is not in force: commands are run for those alone who join a WorkloadGroup that asks for them",
        ALWAYS,
    ),
    (
        "holdApplicationUntilProxyStarts",
        "is as true: an application is always started when its proxy is ready",
        unless(True),
    ),
    ("caCertificatesPem", "is not in force: who is trusted is the mesh's own authority", ALWAYS),
    ("image", IMAGE, ALWAYS),
    ("privateKeyProvider", "is not in force: stock Envoy has no such providers", ALWAYS),
    ("statsCompression", "has no effect: metrics are told as they are", ALWAYS),
    (f"~{{{_KNOWN}}}", "is no setting that this version knows: it has no effect", ALWAYS),
)
"""(field, what happens, when)."""

_OF_THE_MESH = "is not in force for one workload: it is the mesh's, in MeshConfig's defaultConfig"
_STARTED_WITH = "globalDownstreamConnectionLimit"  # of connectionSettings
_INSTEAD = {"tracing": "; a Telemetry with a selector says it for one"}


def of_the_mesh_alone(said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(field, what happens) of a ProxyConfig that one workload has: what no proxy is started with."""
    for field in _RUNNING:
        if field in said:
            yield field, _OF_THE_MESH + _INSTEAD.get(field, "")
    settings = said.get("connectionSettings")
    for field in settings if isinstance(settings, dict) else ():
        if field != _STARTED_WITH:
            yield f"connectionSettings.{field}", _OF_THE_MESH
