"""What the machines know of Envoy's resources: type URLs, the order of delivery, and a resource's shape.

Rule: a resource is a name, a version and a frame (its wire form); nothing here looks inside.
Make before break is these tables; `stream.py` only follows them. What they rest on was measured with Envoy 1.40
(tests/e2e/test_xds_envoy.py):

* Once started, Envoy withholds the ACK of clusters until they are warm, that is until their endpoints and secrets came;
  it asks for endpoints before. So endpoints and secrets never wait for clusters, and an acknowledged cluster is usable.
  While it starts the ACK comes at once, and it asks for listeners only when the clusters are warm.
* A *changed* cluster is warm only when its endpoints come again, but Envoy does not ask for them again: without them
  it waits for 15 s (`initial_fetch_timeout`). What listeners name is shared between their versions: no repeat needed.
* Removed endpoints: a cluster that warms takes it as "none" and is ready; one that has endpoints keeps them. So a
  service without endpoints needs an empty ClusterLoadAssignment, not none.
* A removed route is ignored; a removed extension config makes its filter answer 500. But where a listener waits for
  the first one, "removed" stops its timer and it waits for ever; without an answer it goes live after 15 s (404, 500).
* A removed secret is ignored, and what waits for it goes on.
* Bad listeners and clusters are refused one by one and named; the others of the response are taken.
* An Envoy that reconnects introduces its types one after the other: clusters, endpoints, listeners, routes, extension
  configs, secrets; each with the versions it has.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

TYPE = "type.googleapis.com/"
SECRET = TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINT = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
EXTENSION = TYPE + "envoy.config.core.v3.TypedExtensionConfig"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTE = TYPE + "envoy.config.route.v3.RouteConfiguration"
SCOPE = TYPE + "envoy.config.route.v3.ScopedRouteConfiguration"

ORDER = (SECRET, CLUSTER, ENDPOINT, EXTENSION, LISTENER, SCOPE, ROUTE)
"""Additions and changes go in this order; types that are not listed come last."""


def rank(type_url: str) -> int:
    """The type's place in the order of delivery."""
    return ORDER.index(type_url) if type_url in ORDER else len(ORDER)


HELD_BY: dict[str, tuple[str, ...]] = {
    EXTENSION: (CLUSTER,),
    LISTENER: (CLUSTER, EXTENSION),
    SCOPE: (LISTENER,),
    ROUTE: (CLUSTER, EXTENSION, LISTENER),
}
"""Type -> types whose changes must be acknowledged before its own go out (bounded)."""

REMOVED_AFTER: dict[str, tuple[str, ...]] = {
    SECRET: (CLUSTER, LISTENER),
    CLUSTER: (EXTENSION, LISTENER, ROUTE),
    EXTENSION: (LISTENER,),
    SCOPE: (LISTENER,),
    ROUTE: (LISTENER, SCOPE),
}
"""Type -> types that may still name one of its resources: its removals wait until those are acknowledged."""

FOLLOWED_BY: dict[str, str] = {CLUSTER: ENDPOINT}
"""Type -> type of the resource that `Resource.follow` names. A followed resource of the same name as the one that names
it is removed after that."""

UNANSWERED = frozenset({EXTENSION, ROUTE})
"""Types of which a name that does not exist is not answered as removed."""


class Resource(Protocol):
    """`frame` is a serialised `envoy.service.discovery.v3.Resource`. `follow` names the resource of the next type
    that the client will subscribe to when it takes this one (the endpoints of an EDS cluster), or None."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def frame(self) -> bytes: ...
    @property
    def follow(self) -> str | None: ...


class CachedResource(Struct, frozen=True, gc=False):
    """A resource as a client received it; the frame is untouched."""

    name: str
    version: str
    frame: bytes
    follow: str | None = None


class Nack(Struct, frozen=True, kw_only=True):
    """What a client said when it refused resources; `at` is in the clock that the machine was given as `now`."""

    message: str
    names: tuple[str, ...]
    at: float


def short(type_url: str) -> str:
    """`Cluster` of `type.googleapis.com/envoy.config.cluster.v3.Cluster`: for logs and people."""
    return type_url.rpartition(".")[2] or type_url
