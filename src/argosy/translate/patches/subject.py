"""What a patch is matched against: a resource, in Istio's words.

Names and ports are those that Istio's users know. Where ours differ (explicit interception) a resource also answers to
the name that Istio has for what does the same: `inbound_9080` to `virtualInbound`, `upstream_9080_reviews` to
`0.0.0.0_9080`, its chains to `0.0.0.0_9080`. Ports are those that configuration speaks of (service port, workload port,
port of a Gateway's server), never the one that is bound for it; a gateway's listener answers to both. A part of a
RouteConfiguration (`http_proxy/17`) answers to the whole's name.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from argosy.model.envoy_patches import (
    ClusterMatch,
    EnvoyPatch,
    ListenerMatch,
    Operation,
    Part,
    RoutesMatch,
    Side,
)
from argosy.translate import parts

VIRTUAL = ("virtualInbound", "virtualOutbound")
"""Listeners for all ports: ports are matched against their filter chains."""


class Subject(Struct, frozen=True, kw_only=True):
    """`ports` (): of no port, or of all."""

    side: Side
    name: str
    also: tuple[str, ...] = ()  # names that it answers to besides
    ports: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()  # of a cluster: services that it is for
    subset: str = ""
    virtual_hosts: tuple[str, ...] = ()  # all names that its only virtual host answers to; (): it has several

    def called(self, name: str) -> bool:
        return not name or name == self.name or name in self.also


def listener(side: Side, name: str, *bound: int) -> Subject:
    """`bound`: ports that it is bound to, where they mean something to users."""
    kind, _, rest = name.partition("_")
    if kind == "inbound" and rest.isdigit():
        return Subject(side=side, name=name, also=("virtualInbound",), ports=(int(rest),))
    if kind == "upstream":
        port = rest.partition("_")[0]
        return Subject(side=side, name=name, also=(f"0.0.0.0_{port}",), ports=(int(port),))
    address, _, port = name.rpartition("_")
    if not address or not port.isdigit():
        return Subject(side=side, name=name)
    ports = (int(port), *bound)
    return Subject(
        side=side,
        name=name,
        also=tuple(f"0.0.0.0_{one}" for one in ports if side is Side.GATEWAY),
        ports=ports,
    )


def routes(side: Side, name: str, virtual_hosts: tuple[str, ...] = ()) -> Subject:
    """Of a RouteConfiguration. `virtual_hosts`: names that its only virtual host answers to besides, where there are
    not several."""
    if (joined := parts.whole(name)) != name:
        found = routes(side, joined, virtual_hosts)
        return replace(found, name=name, also=(joined, *found.also))
    if name.isdigit():
        return Subject(side=side, name=name, ports=(int(name),))
    kind, _, rest = name.partition("|")
    if kind == "upstream":
        port, _, host = rest.partition("|")
        names = (f"{host}:{port}", *virtual_hosts)
        return Subject(side=side, name=name, also=(port,), ports=(int(port),), virtual_hosts=names)
    if kind == "inbound":
        port = rest.partition("|")[0]
        names = (f"inbound|http|{port}", *virtual_hosts)
        return Subject(side=side, name=name, ports=(int(port),), virtual_hosts=names)
    protocol, _, rest = name.partition(".")
    port = rest.partition(".")[0]
    if protocol in ("http", "https") and port.isdigit():
        return Subject(side=side, name=name, ports=(int(port),))
    return Subject(side=side, name=name)


def virtual_host(side: Side, route: str, name: str, port: int = 0) -> Subject:
    """Of one virtual host of a RouteConfiguration. `port`: of one for all ports, that of the host: it answers to the
    name that the RouteConfiguration of this port has in Istio."""
    of = routes(side, route)
    if port:
        of = replace(of, also=(str(port),), ports=(port,))
    return replace(of, virtual_hosts=(name,))


def cluster(side: Side, name: str, hosts: tuple[str, ...] = ()) -> Subject:
    """`hosts`: of an inbound cluster, the services whose port it is for."""
    parts = name.split("|")
    if len(parts) != 4:
        return Subject(side=side, name=name)
    _, port, subset, host = parts
    ports = (int(port),) if port.isdigit() else ()
    return Subject(side=side, name=name, ports=ports, hosts=(host,) if host else hosts, subset=subset)


# --- matching -------------------------------------------------------------------------------------------------------

LISTENER_PARTS = (
    Part.LISTENER,
    Part.LISTENER_FILTER,
    Part.FILTER_CHAIN,
    Part.NETWORK_FILTER,
    Part.HTTP_FILTER,
)
ROUTE_PARTS = (Part.ROUTE_CONFIGURATION, Part.VIRTUAL_HOST, Part.HTTP_ROUTE)


def concerns(patch: EnvoyPatch, subject: Subject) -> bool:
    """Whether the patch may change something within the subject, by the conditions on it as a whole."""
    if not on_side(patch, subject.side):
        return False
    if patch.part in LISTENER_PARTS:
        return not _adds_a_resource(patch) and _listener(patch, patch.listener, subject)
    if patch.part in ROUTE_PARTS:
        return _routes(patch.routes, subject) and _has_host(patch, subject)
    if patch.part is Part.CLUSTER:
        return not _adds_a_resource(patch) and _cluster(patch.cluster, subject)
    return False


def on_side(patch: EnvoyPatch, side: Side) -> bool:
    return patch.side in (Side.ANY, side)


def _adds_a_resource(patch: EnvoyPatch) -> bool:
    return patch.operation is Operation.ADD and patch.part in (Part.LISTENER, Part.CLUSTER)


def _listener(patch: EnvoyPatch, match: ListenerMatch | None, subject: Subject) -> bool:
    if match is None:
        return True
    if not subject.called(match.name):
        return False
    if subject.name in VIRTUAL and patch.part is not Part.LISTENER:
        return True
    return not match.port or match.port in subject.ports


def _routes(match: RoutesMatch | None, subject: Subject) -> bool:
    if match is None:
        return True
    if not subject.called(match.name) or (match.port and match.port not in subject.ports):
        return False
    if subject.side is not Side.GATEWAY:
        return True
    port_name, gateway = _of_gateway(subject.name)
    return match.port_name in ("", port_name) and match.gateway in ("", gateway)


def _has_host(patch: EnvoyPatch, subject: Subject) -> bool:
    """Whether there may be a virtual host that the patch means."""
    host = patch.routes.virtual_host if patch.routes is not None else None
    adds_a_host = patch.part is Part.VIRTUAL_HOST and patch.operation is Operation.ADD
    if host is None or patch.part is Part.ROUTE_CONFIGURATION or adds_a_host:
        return True
    return not subject.virtual_hosts or host.name in ("", *subject.virtual_hosts)


def _of_gateway(route: str) -> tuple[str, str]:
    """(name of the server's port, Gateway) of `https.443.NAME.GATEWAY.NAMESPACE`; plain HTTP is of all Gateways."""
    parts = route.split(".", 4)
    if parts[0] != "https" or len(parts) != 5:
        return "", ""
    _, _, port_name, gateway, namespace = parts
    return port_name, f"{namespace}/{gateway}"


def _cluster(match: ClusterMatch | None, subject: Subject) -> bool:
    if match is None:
        return True
    if match.name:
        return match.name == subject.name
    return (
        match.subset in ("", subject.subset)
        and (not match.service or match.service in subject.hosts)
        and (not match.port or match.port in subject.ports)
    )
