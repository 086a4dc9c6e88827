"""What a proxy says of itself in `node.metadata["ARGOSY"]`: how its own listeners are laid out, nothing more.

Who it is (namespace, service account, workload) comes from the certificate of its connection, never from here.
`node.id` is `<type>~<address>~<workload>.<namespace>~<namespace>.svc.<suffix>`, as Istio's.
"""

from __future__ import annotations

from msgspec import Struct

METADATA_KEY = "ARGOSY"
ISTIO_VERSION = "1.31.0"
"""What a proxy says its version is (metadata `ISTIO_VERSION`): the release of Istio whose configuration it understands,
as EnvoyFilters ask for it (`match.proxy.proxyVersion`)."""


class Upstream(Struct, frozen=True, kw_only=True):
    """A declared upstream: `127.0.0.1:bind` leads to `host:port` (`ratings:9080`)."""

    host: str
    port: int
    bind: int


class ProxyNode(Struct, frozen=True, kw_only=True):
    type: str = "sidecar"  # sidecar | router
    interception: str = "explicit"  # explicit | redirect
    outbound_port: int = 0  # explicit: where the application's HTTP proxy listens, on 127.0.0.1
    upstreams: tuple[Upstream, ...] = ()
    bind_address: str = "127.0.0.1"  # what inbound (sidecar) or server (router) listeners bind to
    port_map: dict[int, int] = {}  # router: Gateway port -> port really bound (80 -> 8080)
    access_log: bool = False
    parted: tuple[str, ...] = ()  # RouteConfigurations that it was started for in parts (`ProxyStart.parted`)
