"""What every generator gives: one named, versioned Envoy resource, already in its wire form.

The version is the hash of the bytes, so that a restarted server resends nothing.
"""

from __future__ import annotations

from msgspec import Struct

TYPE = "type.googleapis.com/"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINT = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTE = TYPE + "envoy.config.route.v3.RouteConfiguration"
SCOPE = TYPE + "envoy.config.route.v3.ScopedRouteConfiguration"
EXTENSION = TYPE + "envoy.config.core.v3.TypedExtensionConfig"
SECRET = TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret"
TYPES = (CLUSTER, ENDPOINT, LISTENER, SCOPE, ROUTE, EXTENSION, SECRET)


class Resource(Struct, frozen=True, weakref=True):
    """`frame` is a serialised `envoy.service.discovery.v3.Resource` (name, version, Any): a delta response is a join
    of frames. `follow` names the resource of the next type that Envoy will subscribe to when it takes this one (the
    ClusterLoadAssignment of an EDS cluster), or None; delivery waits for it before it sends what uses the cluster.
    `secrets` are the names of the secrets in it that the server sends (the agent's own are none of these)."""

    name: str
    version: str
    frame: bytes
    follow: str | None = None
    secrets: tuple[str, ...] = ()
