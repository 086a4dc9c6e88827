"""Declared upstreams: local ports of a workload, each for one service (explicit interception).

Rule: everything that comes to such a port is for its service, whatever its authority says: that is the local address.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.explain.request import Request, host_of, port_of
from argosy.explain.view import View
from argosy.model import ir

LOCAL = ("127.0.0.1", "localhost")


class Upstream(Struct, frozen=True):
    """`127.0.0.1:bind` leads to `host:port`; the host as it was declared (`ratings`)."""

    host: str
    port: int
    bind: int

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """What its requests are sent on with."""
        return self.host if self.port == 80 else self.name


Upstreams = tuple[Upstream, ...]


def asked(upstreams: Upstreams, request: Request) -> Upstream | None:
    """The one at whose local port a request arrives. A Host header says nothing of where that is."""
    if request.address or host_of(request.authority).lower() in LOCAL:
        where = request.address or LOCAL[0]
        port = request.port if request.address else port_of(request.authority) or request.port
        if where in LOCAL:
            return next((one for one in upstreams if one.bind == port), None)
    return None


def meant(view: View, upstream: Upstream) -> ir.Service | None:
    """`name` within the sender's namespace, `name.namespace`, `name.namespace.svc` or a full host."""
    reader, host = view.reader, upstream.host
    suffix = reader.mesh().domain_suffix
    written = [host, f"{host}.svc.{suffix}", f"{host}.{suffix}"]
    if "." not in host:
        written.insert(0, f"{host}.{view.scope.namespace}.svc.{suffix}")
    for name in written:
        hostname = reader.concrete(name)
        service = reader.service(hostname)
        if service is None or service.port(upstream.port) is None:
            continue
        if reader.visible(view.scope, hostname):
            return service
    return None
