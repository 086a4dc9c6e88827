"""What an Envoy really runs, out of its own `/config_dump`: grouped by type, private keys left out.

Rule: nothing is shown that is a secret, wherever it stands in the configuration; what Envoy itself redacts it redacts
already, this is the second lock.
# Envoy: admin.v3 ConfigDump and the *ConfigDump messages in it
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]
SECRET_FIELDS = frozenset(
    ("private_key", "password", "session_ticket_keys", "inline_private_key", "client_secret")
)
REDACTED = "[redacted]"


class Held(NamedTuple):
    """One resource that Envoy holds."""

    name: str
    version: str  # "" for what came with the bootstrap
    state: str  # active | warming | draining | static
    resource: Json


class Section(NamedTuple):
    """Where the resources of a type stand: list fields of its dump, each with its state, and the field within."""

    dump: str
    field: str
    lists: tuple[tuple[str, str], ...]


SECTIONS: dict[str, Section] = {
    "clusters": Section(
        "ClustersConfigDump",
        "cluster",
        (
            ("static_clusters", "static"),
            ("dynamic_active_clusters", "active"),
            ("dynamic_warming_clusters", "warming"),
        ),
    ),
    "listeners": Section(
        "ListenersConfigDump",
        "listener",
        (("static_listeners", "static"), ("dynamic_listeners", "")),
    ),
    "scopes": Section("ScopedRoutesConfigDump", "", (("dynamic_scoped_route_configs", "active"),)),
    "routes": Section(
        "RoutesConfigDump",
        "route_config",
        (("static_route_configs", "static"), ("dynamic_route_configs", "active")),
    ),
    "endpoints": Section(
        "EndpointsConfigDump",
        "endpoint_config",
        (("static_endpoint_configs", "static"), ("dynamic_endpoint_configs", "active")),
    ),
    "secrets": Section(
        "SecretsConfigDump",
        "secret",
        (
            ("static_secrets", "static"),
            ("dynamic_active_secrets", "active"),
            ("dynamic_warming_secrets", "warming"),
        ),
    ),
    "extensions": Section("EcdsConfigDump", "ecds_filter", (("ecds_filters", "active"),)),
    "bootstrap": Section("BootstrapConfigDump", "bootstrap", ()),
}
LISTENER_STATES = ("active_state", "warming_state", "draining_state")


def held(dump: Json, kind: str) -> list[Held]:
    """The resources of one type in a `/config_dump?include_eds`, sorted by name."""
    section = SECTIONS[kind]
    found: list[Held] = []
    for config in dump.get("configs", ()):
        if not config.get("@type", "").endswith("." + section.dump):
            continue
        if kind == "bootstrap":
            found.append(Held("bootstrap", "", "static", redacted(config.get("bootstrap", {}))))
        for name, state in section.lists:
            for entry in config.get(name, ()):
                if kind == "scopes":
                    found += _scopes(entry, state)
                else:
                    found += _listener(entry) if not state else [_one(entry, section.field, state)]
    if kind == "scopes":
        found = list({one.name: one for one in found}.values())
    return sorted(found, key=lambda one: (one.name, one.state))


def _one(entry: Json, field: str, state: str) -> Held:
    resource = redacted(entry.get(field, {}))
    name = entry.get("name") or resource.get("name") or resource.get("cluster_name") or ""
    return Held(name, entry.get("version_info", ""), state, resource)


def _scopes(entry: Json, state: str) -> Iterator[Held]:
    """Of one connection manager; others of the same routes hold the same."""
    for one in entry.get("scoped_route_configs", ()):
        yield Held(one.get("name", ""), entry.get("version_info", ""), state, redacted(one))


def _listener(entry: Json) -> Iterator[Held]:
    """A dynamic listener stands in several states at once."""
    for state in LISTENER_STATES:
        if state in entry:
            body = entry[state]
            resource = redacted(body.get("listener", {}))
            yield Held(
                entry.get("name", ""), body.get("version_info", ""), state.removesuffix("_state"), resource
            )


def redacted(value: Any) -> Any:
    """A copy without secrets."""
    if isinstance(value, dict):
        return {k: REDACTED if k in SECRET_FIELDS and v else redacted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value


def detail(kind: str, one: Held) -> str:
    """A few words on one resource, for the table."""
    body = one.resource
    match kind:
        case "clusters":
            return str(body.get("type") or body.get("cluster_type", {}).get("name", "STATIC"))
        case "listeners":
            return "internal" if "internal_listener" in body else address(body.get("address", {}))
        case "scopes":
            return str(body.get("route_configuration_name", ""))
        case "routes":
            hosts = body.get("virtual_hosts", [])
            routes = sum(len(host.get("routes", ())) for host in hosts)
            return f"{len(hosts)} virtual hosts, {routes} routes"
        case "endpoints":
            return ", ".join(addresses(body)) or "none"
        case "secrets":
            parts = [k for k in ("tls_certificate", "validation_context", "generic_secret") if k in body]
            return ", ".join(part.replace("_", " ") for part in parts)
        case "extensions":
            return str(body.get("typed_config", {}).get("@type", "")).rpartition(".")[2]
    return ""


def addresses(assignment: Json) -> Iterator[str]:
    """`127.0.0.1:20001`, with its health where it is not healthy."""
    for locality in assignment.get("endpoints", ()):
        for endpoint in locality.get("lb_endpoints", ()):
            text = address(endpoint.get("endpoint", {}).get("address", {}))
            health = endpoint.get("health_status", "HEALTHY")
            yield text if health in ("HEALTHY", "UNKNOWN") else f"{text} ({health.lower()})"


def address(where: Json) -> str:
    match where:
        case {"socket_address": {"address": host, "port_value": port}}:
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case {"pipe": {"path": path}}:
            return f"unix:{path}"
        case {"envoy_internal_address": {"server_listener_name": name}}:
            return f"listener {name}"
    return "?"
