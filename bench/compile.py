"""What does a compile cost at 1,000 to 10,000 services of ten endpoints each, and one change, in time and bytes?

The pipeline as it runs in the server, without I/O: stored objects in, resources in the views of five classes of proxies
out. A tenth of the services has a VirtualService and a DestinationRule. The proxies are started as the server would
start them in such a mesh: of many hosts their routes come in parts. Of a gateway by itself: as many VirtualServices are
bound to it as there are services, each for a host of its own. Times are CPU time of this process, of changes the
median of several, one after the other ("cold": each after everything else was looked at, so that the processor has
nothing of it in its caches); bytes are what one proxy of each class would be sent, all five together. What grows with
the mesh shows in the curve: the same change at every size, divided by what it costs at the smallest.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from google.protobuf.struct_pb2 import Struct as PbStruct
from msgspec import Struct

from argosy.identity.names import Identity, Peer
from argosy.model import ir
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.resources.kinds import kind_of
from argosy.server import collecting, entries
from argosy.server.proxies import ProxySession
from argosy.server.reconcile import Reconciler
from argosy.store.base import Event, EventType, Key, Listing, Stored
from argosy.translate import parts
from argosy.translate.resource import ROUTE
from argosy.xds.node import METADATA_KEY, ProxyNode
from argosy.xds.registration import Port, Register
from argosy.xds.wire import Node

Row = tuple[str, str, str]
SIZES, ENDPOINTS, RULES = (100, 1_000, 5_000, 10_000), 10, 10
"""Services; endpoints of each; one in so many has a VirtualService and a DestinationRule."""
AIMS = {1_000: (300, 5), 10_000: (4_000, 10)}
"""Services -> milliseconds for a view, and for a change."""
TURNS = 11
NOW = 1_000.0
CHANGED = 50


class Kind(Struct, frozen=True):
    """A class of proxies: those of one see the same."""

    type: str
    interception: str
    namespace: str


VIEWS = (
    Kind("sidecar", "explicit", "default"),
    Kind("sidecar", "redirect", "default"),
    Kind("sidecar", "explicit", "shop"),
    Kind("sidecar", "redirect", "shop"),
    Kind("router", "redirect", "default"),
)
NEW_VIEW = Kind("sidecar", "explicit", "later")


def node(kind: Kind, parted: tuple[str, ...]) -> Node:
    described = ProxyNode(type=kind.type, interception=kind.interception, outbound_port=15_001, parted=parted)
    metadata = PbStruct()
    metadata.update({METADATA_KEY: msgspec.to_builtins(described, str_keys=True)})
    return Node(id="me", metadata=metadata)


def peer(kind: Kind, workload: str) -> Peer:
    identity = Identity(
        trust_domain="cluster.local", namespace=kind.namespace, service_account="me", workload=workload
    )
    return Peer(identity=identity, not_before=0, not_after=2 * NOW)


class Mesh:
    def __init__(self) -> None:
        self.revision = 0
        self.reconciler = Reconciler(ir.Mesh())

    def stored(self, body: Any) -> Stored:
        self.revision += 1
        kind = kind_of(body["apiVersion"], body["kind"])
        assert kind is not None
        return Stored(
            Key(kind.resource, "default", body["metadata"]["name"]), self.revision, msgspec.json.encode(body)
        )

    def put(self, *bodies: Any) -> Callable[[], None]:
        """Takes the changed objects in, when called: making their bytes is not what is measured."""
        events = [Event(EventType.MODIFIED, self.stored(body)) for body in bodies]
        return lambda: self.reconciler.apply(events)

    def proxy(self, kind: Kind, workload: str) -> ProxySession:
        scope = Scope(type=ProxyType(kind.type), interception=Interception(kind.interception))
        described = node(kind, parts.wanted(self.reconciler.snapshot, scope))
        return self.reconciler.proxies.session(described, peer(kind, workload))


def registered(number: int, replica: int, bind: int = 21_000) -> Register:
    service = f"service-{number:05}"
    return Register(
        workload=f"{service}-v{replica}",
        namespace="default",
        service_account=service,
        service=service,
        address=f"10.{number // 250}.{number % 250}.{replica + 1}",
        ports=(Port(workload=9080, bind=bind, application=40_001),),
    )


def endpoint(number: int, replica: int, bind: int = 21_000) -> Any:
    body = entries.workload_entry(registered(number, replica, bind), None, NOW)
    return entries.with_health(body, "True", "Announced", "", NOW)


def istio(kind: str, name: str, spec: dict[str, Any]) -> Any:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def virtual_service(number: int, turn: int = 0) -> Any:
    host = f"service-{number:05}"
    route = {"route": [{"destination": {"host": host}}], "timeout": f"{turn + 1}s"}
    return istio("VirtualService", host, {"hosts": [host], "http": [route]})


def destination_rule(number: int, turn: int = 0) -> Any:
    host = f"service-{number:05}"
    pool = {"tcp": {"maxConnections": turn + 1}}
    return istio("DestinationRule", host, {"host": host, "trafficPolicy": {"connectionPool": pool}})


def objects(size: int) -> Iterator[Any]:
    for number in range(size):
        yield entries.service(registered(number, 0), NOW)
        for replica in range(ENDPOINTS):
            yield endpoint(number, replica)
        if number % RULES == 0:
            yield virtual_service(number)
            yield destination_rule(number)


def new_service(turn: int) -> tuple[Any, Any]:
    number = 20_000 + turn
    return entries.service(registered(number, 0), NOW), endpoint(number, 0)


CHANGES: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "one endpoint moves": lambda turn: (endpoint(CHANGED, 0, 22_000 + turn),),
    "one DestinationRule changes": lambda turn: (destination_rule(CHANGED, turn),),
    "one VirtualService changes": lambda turn: (virtual_service(CHANGED, turn),),
    "one service comes": new_service,
}


class Sizes:
    """Bytes of the resources in a proxy's views that it does not hold yet: routes, and all others."""

    def __init__(self, session: ProxySession) -> None:
        self.session = session
        self.held: dict[tuple[str, str], str] = {}

    def new(self) -> tuple[int, int]:
        found, routes = 0, 0
        for view in self.session.held.layers:
            for type_url in view.types():
                for resource in view.resources(type_url):
                    if self.held.get((type_url, resource.name)) != resource.version:
                        self.held[type_url, resource.name] = resource.version
                        found += len(resource.frame)
                        routes += len(resource.frame) if type_url == ROUTE else 0
        return routes, found - routes


class Measured(Struct):
    milliseconds: float  # one change after the other
    cold: float  # after all resources of all views were looked at: what a change needs is in no cache of the processor
    routes: float = 0  # bytes
    others: float = 0

    def __str__(self) -> str:
        return f"{self.milliseconds:.1f} ms (cold {self.cold:.1f}), {_size(self.others)} + routes {_size(self.routes)}"


def _size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def milliseconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def at(size: int) -> tuple[list[Row], dict[str, Measured]]:
    """The rows of one size, and of the changes what they cost."""
    mesh = Mesh()
    listing = Listing(tuple(mesh.stored(body) for body in objects(size)), mesh.revision)
    gc.collect()
    with collecting.paused():  # this and the next as in the server's loop
        taken_in = milliseconds(lambda: mesh.reconciler.replace(listing))
    gc.freeze()
    sessions: list[ProxySession] = []
    each = [milliseconds(lambda: sessions.append(mesh.proxy(kind, "me-1"))) for kind in VIEWS]  # noqa: B023
    sizes = [Sizes(session) for session in sessions]
    sent = [sum(one.new()) for one in sizes]
    full, change = (f"{value:,} ms" for value in AIMS[size]) if size in AIMS else ("-", "-")
    label = f"{size:,} services: "
    listed = " / ".join(f"{value:.0f}" for value in each)
    rows = [
        (f"{label}take in {len(listing.items):,} stored objects", f"{taken_in:.0f} ms", "-"),
        (f"{label}compile five views one after the other, each", f"{listed} ms", full),
        (f"{label}… bytes of the first", f"{_size(sent[0])}", "-"),
    ]
    known = statistics.median(
        milliseconds(lambda: mesh.proxy(VIEWS[0], f"me-{turn + 2}"))  # noqa: B023
        for turn in range(TURNS)
    )
    rows.append((f"{label}one new proxy of a known view", f"{known:.1f} ms", change))
    costs: dict[str, Measured] = {}
    for name, make in CHANGES.items():
        mesh.put(*make(0))()
        for one in sizes:
            one.new()
        costs[name] = of_change(mesh, make, sizes)
        rows.append((f"{label}{name}", str(costs[name]), change))
    fresh = milliseconds(lambda: mesh.proxy(NEW_VIEW, "me-1"))
    rows.append((f"{label}one new proxy of a new view", f"{fresh:.0f} ms", full))
    assert not mesh.reconciler.compiler.errors
    gc.unfreeze()
    return rows, costs


def of_change(mesh: Mesh, make: Callable[[int], tuple[Any, ...]], sizes: list[Sizes]) -> Measured:
    cold, sent = [], []
    for turn in range(1, TURNS + 1):
        cold.append(milliseconds(mesh.put(*make(turn))))
        new = [one.new() for one in sizes]
        sent.append((sum(routes for routes, _ in new), sum(rest for _, rest in new)))
    warm = [milliseconds(mesh.put(*make(TURNS + turn))) for turn in range(1, TURNS + 1)]
    for one in sizes:
        one.new()
    routes, others = (statistics.median(each) for each in zip(*sent, strict=True))
    return Measured(statistics.median(warm), statistics.median(cold), routes, others)


def edge_objects(size: int) -> Iterator[Any]:
    yield entries.service(registered(0, 0), NOW)
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    yield istio("Gateway", "edge", {"servers": [{"port": port, "hosts": ["*"]}]})
    for number in range(size):
        yield edge_virtual_service(number)


def edge_virtual_service(number: int, turn: int = 0) -> Any:
    route = {"route": [{"destination": {"host": "service-00000"}}], "timeout": f"{turn + 1}s"}
    spec = {"hosts": [f"h{number:05}.example.com"], "gateways": ["edge"], "http": [route]}
    return istio("VirtualService", f"edge-{number:05}", spec)


EDGE_CHANGES: dict[str, Callable[[int, int], Any]] = {
    "one VirtualService of a gateway changes": lambda size, turn: edge_virtual_service(CHANGED, turn),
    "one VirtualService of a gateway comes": lambda size, turn: edge_virtual_service(size + turn),
}


def at_edge(size: int) -> tuple[list[Row], dict[str, Measured]]:
    """The same of a gateway and the VirtualServices bound to it."""
    mesh = Mesh()
    listing = Listing(tuple(mesh.stored(body) for body in edge_objects(size)), mesh.revision)
    with collecting.paused():
        mesh.reconciler.replace(listing)
    gc.collect()
    gc.freeze()
    sessions: list[ProxySession] = []
    took = milliseconds(lambda: sessions.append(mesh.proxy(Kind("router", "redirect", "default"), "me-1")))
    view = Sizes(sessions[0])
    full, change = (f"{value:,} ms" for value in AIMS[size]) if size in AIMS else ("-", "-")
    label = f"{size:,} VirtualServices of a gateway: "
    rows = [(f"{label}compile its view", f"{took:.0f} ms, {_size(sum(view.new()))}", full)]
    costs: dict[str, Measured] = {}
    for name, make in EDGE_CHANGES.items():
        costs[name] = of_change(mesh, lambda turn, make=make: (make(size, turn),), [view])  # type: ignore[misc]
        rows.append((f"{label}{name}", str(costs[name]), change))
    assert not mesh.reconciler.compiler.errors
    gc.unfreeze()
    return rows, costs


def run() -> list[Row]:
    rows: list[Row] = []
    curves: dict[int, dict[str, Measured]] = {}
    for measure in (at, at_edge):
        for size in SIZES:
            found, costs = measure(size)
            rows += found
            curves.setdefault(size, {}).update(costs)
            gc.collect()
    for name in (*CHANGES, *EDGE_CHANGES):
        first = curves[SIZES[0]][name]
        ratios = " / ".join(f"{curves[size][name].milliseconds / first.milliseconds:.1f}" for size in SIZES)
        rows.append((f"curve: {name}, at {' / '.join(f'{size:,}' for size in SIZES)}", ratios, "2"))
    return rows
