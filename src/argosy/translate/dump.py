"""What one proxy would get, as protobuf JSON: `argosy xds dump`.

ECDS filters are shown inline, in place of the reference to them, so that the listener reads as Envoy will run it; those
that do nothing are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message

from argosy.model.locality import ZONE_AWARE
from argosy.model.snapshot import Snapshot
from argosy.translate import connection_manager, names
from argosy.translate.compiler import Compiler
from argosy.translate.proxy import Proxy
from argosy.translate.resource import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SCOPE, Resource

_MESSAGES: dict[str, tuple[str, type[Message]]] = {
    LISTENER: ("listeners", listener_pb2.Listener),
    SCOPE: ("scopes", scoped_route_pb2.ScopedRouteConfiguration),
    ROUTE: ("routes", route_pb2.RouteConfiguration),
    CLUSTER: ("clusters", cluster_pb2.Cluster),
    ENDPOINT: ("endpoints", endpoint_pb2.ClusterLoadAssignment),
}


Tell = Callable[[str], None]


def nobody(_: str) -> None:
    pass


def dump(snapshot: Snapshot, proxy: Proxy, tell: Tell = nobody) -> dict[str, list[dict[str, Any]]]:
    """`{"listeners", "scopes", "routes", "clusters", "endpoints"}`, each sorted by name; field names as in the .proto
    (scopes: where routes come in parts). `tell`
    hears what could not be made."""
    messages = resources(snapshot, proxy, tell)
    asked = _asked_routes(messages.get(LISTENER, {})) | messages.get(SCOPE, {}).keys()
    messages[ROUTE] = {name: held for name, held in messages.get(ROUTE, {}).items() if name in asked}
    extensions = {name: _any(resource) for name, resource in messages.pop(EXTENSION, {}).items()}
    out: dict[str, list[dict[str, Any]]] = {}
    for type_url, (key, message) in _MESSAGES.items():
        if type_url == SCOPE and not messages.get(SCOPE):
            continue
        out[key] = []
        for _, resource in sorted(messages.get(type_url, {}).items()):
            decoded = message.FromString(_any(resource))
            if isinstance(decoded, listener_pb2.Listener):
                _inline(decoded, extensions)
            out[key].append(json_format.MessageToDict(decoded, preserving_proto_field_name=True))
    return out


def resources(snapshot: Snapshot, proxy: Proxy, tell: Tell = nobody) -> dict[str, dict[str, Resource]]:
    """Type URL -> name -> resource: the shared view of the proxy's scope, and its own over it."""
    compiler = Compiler(snapshot)
    found: dict[str, dict[str, Resource]] = {}
    for view in (compiler.shared(proxy.scope), compiler.own(proxy)):
        for type_url, held in view.resources.items():
            found.setdefault(type_url, {}).update(held)
    if ZONE_AWARE not in dict(proxy.scope.client):  # it says that there is nobody
        found.get(ENDPOINT, {}).pop(names.LOCAL_CLUSTER, None)
    for (_, name), error in compiler.errors.items():
        tell(f"{name}: {error}")
    for kind, namespace, name in compiler.faults:
        tell(f"{kind} {namespace}/{name}: {compiler.faults.of((kind, namespace, name))}")
    return found


def _asked_routes(listeners: dict[str, Resource]) -> set[str]:
    """The RouteConfigurations that a proxy with these listeners subscribes to."""
    found = set()
    for resource in listeners.values():
        listener = listener_pb2.Listener.FromString(_any(resource))
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for network_filter in chain.filters:
                if network_filter.name == connection_manager.NAME:
                    manager = http_connection_manager_pb2.HttpConnectionManager.FromString(
                        network_filter.typed_config.value
                    )
                    found.add(
                        manager.rds.route_config_name
                    )  # "" where it asks for scopes, each of which has its own
    return found


def _any(resource: Resource) -> bytes:
    data: bytes = discovery_pb2.Resource.FromString(resource.frame).resource.value
    return data


def _inline(listener: listener_pb2.Listener, extensions: dict[str, bytes]) -> None:
    """What comes by ECDS in its place; a place in which there is nothing is left out."""
    chains = [*listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    for chain in chains:
        _in_place(chain.filters, extensions)
        for network_filter in chain.filters:
            if network_filter.name != connection_manager.NAME:
                continue
            manager = http_connection_manager_pb2.HttpConnectionManager.FromString(
                network_filter.typed_config.value
            )
            _in_place(manager.http_filters, extensions)
            network_filter.typed_config.value = manager.SerializeToString(deterministic=True)


def _in_place(filters: Any, extensions: dict[str, bytes]) -> None:
    kept = []
    for one in filters:
        if one.HasField("config_discovery") and one.name in extensions:
            config = extension_pb2.TypedExtensionConfig.FromString(extensions[one.name]).typed_config
            if _is_empty(config):
                continue
            one.typed_config.CopyFrom(config)
        kept.append(one)
    if len(kept) != len(filters):
        copies = [type(one).FromString(one.SerializeToString()) for one in kept]
        del filters[:]
        filters.extend(copies)


def _is_empty(config: any_pb2.Any) -> bool:
    """Whether it says nothing, or is an RBAC without any rules, which lets everything pass."""
    if not config.value:
        return True
    for kind in (rbac_pb2.RBAC, network_rbac_pb2.RBAC):
        if config.Is(kind.DESCRIPTOR):
            made = kind.FromString(config.value)
            return not any(
                made.HasField(field) for field in ("rules", "matcher", "shadow_rules", "shadow_matcher")
            )
    return False
