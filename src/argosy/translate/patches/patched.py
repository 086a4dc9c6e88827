"""Resources and virtual hosts with patches: generators like the others, whose key is what was generated, what it is
called in Istio's words, and the patches that may concern it.

A patch that cannot be made is left out, and the result says so; what no patch changes is given back as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import Message
from msgspec import Struct

from argosy.model.envoy_patches import EnvoyPatch
from argosy.translate.generator import Derivation, Fragment, field, resource
from argosy.translate.patches import cluster, listener, route
from argosy.translate.patches.run import Run, contained
from argosy.translate.patches.subject import Subject
from argosy.translate.resource import CLUSTER, LISTENER, ROUTE, Resource

FAMILIES: dict[str, tuple[type[Message], Callable[[Any, Run], bool]]] = {
    LISTENER: (listener_pb2.Listener, listener.apply),
    ROUTE: (route_pb2.RouteConfiguration, route.apply),
    CLUSTER: (cluster_pb2.Cluster, cluster.apply),
}


class Patched(Struct, frozen=True, weakref=True):
    """`made` None: it is removed."""

    made: Resource | None
    applied: tuple[int, ...]  # indexes of the patches that changed something
    failed: tuple[tuple[int, str], ...]  # indexes of those that cannot be made, and why


class PatchKey(Struct, frozen=True, kw_only=True):
    made: Resource
    type_url: str
    subject: Subject
    patches: tuple[EnvoyPatch, ...]


@Derivation
def patched(key: PatchKey) -> Patched:
    data = discovery_pb2.Resource.FromString(key.made.frame).resource.value
    kind, apply = FAMILIES[key.type_url]

    def make(run: Run) -> Message | None:
        out = kind.FromString(data)
        return out if apply(out, run) else None

    out, applied, failed = contained(key.subject, key.patches, make)
    made: Resource | None = key.made
    if out is None:
        made = None
    elif applied:
        follow = follow_of(out) if isinstance(out, cluster_pb2.Cluster) else None
        made = resource(key.made.name, out, follow)
    return Patched(made, applied, tuple(sorted(failed.items())))


def follow_of(cluster: cluster_pb2.Cluster) -> str | None:
    """The ClusterLoadAssignment that Envoy will ask for by ADS."""
    if cluster.type != cluster_pb2.Cluster.EDS or cluster.HasField("cluster_type"):
        return None
    if not cluster.eds_cluster_config.eds_config.HasField("ads"):
        return None
    return str(cluster.eds_cluster_config.service_name or cluster.name)


class PatchedHost(Struct, frozen=True, weakref=True):
    """`made` None: it is removed."""

    made: Fragment | None
    applied: tuple[int, ...]
    failed: tuple[tuple[int, str], ...]


class HostPatchKey(Struct, frozen=True, kw_only=True):
    made: Fragment
    subject: Subject
    patches: tuple[EnvoyPatch, ...]


@Derivation
def patched_host(key: HostPatchKey) -> PatchedHost:
    """A virtual host of a RouteConfiguration that is joined from fragments."""

    def make(run: Run) -> bytes | None:
        # A fragment is a field of a RouteConfiguration: by itself one with a single virtual host.
        (host,) = route_pb2.RouteConfiguration.FromString(key.made.data).virtual_hosts
        return host.SerializeToString(deterministic=True) if route.apply_to_host(host, run) else None

    data, applied, failed = contained(key.subject, key.patches, make)
    made: Fragment | None = key.made
    if data is None:
        made = None
    elif applied:
        made = Fragment(field(route_pb2.RouteConfiguration.VIRTUAL_HOSTS_FIELD_NUMBER, data))
    return PatchedHost(made, applied, tuple(sorted(failed.items())))
