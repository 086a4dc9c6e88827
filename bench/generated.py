"""A sidecar's own configuration, read from the running Envoy and made static, so that parts of it can be taken out.

Rule: everything comes from `/config_dump?include_eds`; what xDS delivered is put where it is referred to (routes,
endpoints, HTTP filters, secrets). Secrets come from files, because Envoy does not show keys.
# Envoy: admin.v3 ConfigDump; a secret without `sds_config` is one of static_resources.secrets
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from argosy.cli.proxy_config import held

Json = dict[str, Any]
DYNAMIC = ("admin", "dynamic_resources", "node")
"""Parts of the bootstrap that belong to the running Envoy alone."""


def resources(dump: Json, kind: str) -> dict[str, Json]:
    """Name -> what Envoy serves with (nothing that warms or drains), without what it is delivered in."""
    return {
        one.name: {key: value for key, value in one.resource.items() if key != "@type"}
        for one in held(dump, kind)
        if one.state in ("active", "static")
    }


def made_static(dump: Json, tls_certificate: Json, trusted_ca: Json) -> Json:
    """A bootstrap that serves as this Envoy does and asks nobody."""
    routes, extensions = resources(dump, "routes"), resources(dump, "extensions")
    endpoints = resources(dump, "endpoints")
    bootstrap = {k: v for k, v in resources(dump, "bootstrap")["bootstrap"].items() if k not in DYNAMIC}
    own = {each["name"] for each in bootstrap["static_resources"]["clusters"]}
    clusters = [
        _with_endpoints(each, endpoints)
        for name, each in resources(dump, "clusters").items()
        if name not in own
    ]
    listeners = list(resources(dump, "listeners").values())

    def resolved(value: Json) -> Json:
        if "rds" in value:
            value["route_config"] = routes[value.pop("rds")["route_config_name"]]
        if "config_discovery" in value:
            del value["config_discovery"]
            value["typed_config"] = extensions[value["name"]]["typed_config"]
        value.pop("sds_config", None)
        return value

    return {
        **bootstrap,
        "static_resources": {
            "listeners": [everywhere(each, resolved) for each in listeners],
            "clusters": [everywhere(each, resolved) for each in clusters],
            "secrets": [
                {"name": "default", "tls_certificate": tls_certificate},
                {"name": "ROOTCA", "validation_context": trusted_ca},
            ],
        },
    }


def delivered_filters(dump: Json) -> list[Json]:
    """The HTTP filters that came by ECDS: policy."""
    return [
        {"name": each["name"], "typed_config": each["typed_config"]}
        for each in resources(dump, "extensions").values()
    ]


def access_logs(dump: Json, listener: str) -> list[Json]:
    """The access loggers of a listener's connection manager: metrics."""
    chain = resources(dump, "listeners")[listener]["filter_chains"][0]
    found: list[Json] = chain["filters"][-1]["typed_config"]["access_log"]
    return found


def without_policy_and_metrics(dump: Json) -> Json:
    """A copy of the dump whose listeners have no access logger and no filter that comes by ECDS."""

    def plain(value: Json) -> Json:
        value.pop("access_log", None)
        if "http_filters" in value:
            value["http_filters"] = [f for f in value["http_filters"] if "config_discovery" not in f]
        return value

    made: Json = everywhere(dump, plain)
    return made


def moved(config: Json, ports: dict[int, int]) -> Json:
    """A copy in which every address has its new port."""

    def at(value: Json) -> Json:
        if "port_value" in value:
            value["port_value"] = ports.get(value["port_value"], value["port_value"])
        return value

    made: Json = everywhere(config, at)
    return made


def listening_ports(dump: Json) -> dict[str, int]:
    """Listener -> its port, of those that have one."""
    return {
        name: each["address"]["socket_address"]["port_value"]
        for name, each in resources(dump, "listeners").items()
        if "socket_address" in each.get("address", {})
    }


def everywhere(value: Any, change: Callable[[Json], Json]) -> Any:
    """A copy with `change` applied to every object in it, from the outside in."""
    if isinstance(value, dict):
        return {key: everywhere(item, change) for key, item in change(copy.copy(value)).items()}
    if isinstance(value, list):
        return [everywhere(item, change) for item in value]
    return value


def _with_endpoints(cluster: Json, endpoints: dict[str, Json]) -> Json:
    if cluster.get("type") != "EDS":
        return cluster
    service = cluster["eds_cluster_config"].get("service_name") or cluster["name"]
    assignment = {**endpoints[service], "cluster_name": cluster["name"]}
    # A weight of 0 means none in a dump, and is refused in a configuration.
    localities = [
        {k: v for k, v in locality.items() if (k, v) != ("load_balancing_weight", 0)}
        for locality in assignment.get("endpoints", ())
    ]
    rest = {k: v for k, v in cluster.items() if k != "eds_cluster_config"}
    return {**rest, "type": "STATIC", "load_assignment": {**assignment, "endpoints": localities}}
