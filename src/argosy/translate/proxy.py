"""One proxy, as far as its configuration depends on it: what its own listeners are laid out for.

The server makes it from the node (`xds.node.ProxyNode`) and the Workload that its certificate names.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.model.ir import Pairs
from argosy.model.scope import ProxyType, Scope


class DeclaredUpstream(Struct, frozen=True, gc=False):
    """`127.0.0.1:bind` leads to `host:port`; the host as the user wrote it (`ratings`)."""

    host: str
    port: int
    bind: int


class Proxy(Struct, frozen=True, kw_only=True):
    namespace: str
    name: str  # of the workload
    scope: Scope
    labels: Pairs = ()
    outbound_port: int = 0  # explicit: the application's HTTP proxy on 127.0.0.1; 0: none
    upstreams: tuple[DeclaredUpstream, ...] = ()
    bind_address: str = "127.0.0.1"  # of inbound (sidecar) and server (router) listeners
    port_map: tuple[tuple[int, int], ...] = ()  # router: Gateway port -> port really bound, sorted
    access_log: bool = False

    @property
    def type(self) -> ProxyType:
        return self.scope.type

    def bound(self, port: int) -> int:
        """The port that a gateway really binds for `port`."""
        return dict(self.port_map).get(port, port)
