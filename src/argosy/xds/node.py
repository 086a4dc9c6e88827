"""What a proxy says of itself in `node.metadata["ARGOSY"]`: how its own listeners are laid out, nothing more.

Who it is (namespace, service account, workload) comes from the certificate of its connection, never from here.
`node.id` is `<type>~<address>~<workload>.<namespace>~<namespace>.svc.<suffix>`, as Istio's.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

METADATA_KEY = "ARGOSY"
ISTIO_VERSION = "1.31.0"
"""What a proxy says its version is (metadata `ISTIO_VERSION`): the release of Istio whose configuration it understands,
as EnvoyFilters ask for it (`match.proxy.proxyVersion`)."""


Port = Annotated[int, Meta(ge=0, le=65535)]
Host = Annotated[str, Meta(max_length=253)]
MOST = 1024
"""Declared upstreams, and mapped ports. Each is a listener of the proxy's own."""


class Upstream(Struct, frozen=True, kw_only=True):
    """A declared upstream: `127.0.0.1:bind` leads to `host:port` (`ratings:9080`)."""

    host: Host
    port: Port
    bind: Port


class ProxyNode(Struct, frozen=True, kw_only=True):
    """A server that reads one refuses what is out of these bounds."""

    type: str = "sidecar"  # sidecar | router
    interception: str = "explicit"  # explicit | redirect
    outbound_port: Port = 0  # explicit: where the application's HTTP proxy listens, on 127.0.0.1
    upstreams: Annotated[tuple[Upstream, ...], Meta(max_length=MOST)] = ()
    bind_address: Host = "127.0.0.1"  # what inbound (sidecar) or server (router) listeners bind to
    port_map: Annotated[
        dict[Port, Port], Meta(max_length=MOST)
    ] = {}  # router: Gateway port -> port really bound (80 -> 8080)
    access_log: bool = False
    parted: tuple[str, ...] = ()  # RouteConfigurations that it was started for in parts (`ProxyStart.parted`)
