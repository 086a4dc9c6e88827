"""What does a full compile cost at 1,000 services of 10 endpoints each, and one change of each kind, in time and bytes?

The pipeline as it runs in the server, without I/O: stored objects in, resources in the views of one sidecar out. Bytes
are what that sidecar would be sent. Times are CPU time of this process, of the changes the median of several.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from argosy.identity.names import Identity, Peer
from argosy.model import ir
from argosy.resources.kinds import kind_of
from argosy.server import entries
from argosy.server.proxies import ProxySession
from argosy.server.reconcile import Reconciler
from argosy.store.base import Event, EventType, Key, Listing, Stored
from argosy.xds.registration import Port, Register
from argosy.xds.wire import Node

Row = tuple[str, str, str]
SERVICES, ENDPOINTS = 1_000, 10
TURNS = 20
NOW = 1_000.0
PEER = Peer(
    identity=Identity(
        trust_domain="cluster.local", namespace="default", service_account="me", workload="me-1"
    ),
    not_before=0,
    not_after=2 * NOW,
)


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


def registered(number: int, replica: int, bind: int = 21_000) -> Register:
    service = f"service-{number:04}"
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


def objects() -> Iterator[Any]:
    for number in range(SERVICES):
        yield entries.service(registered(number, 0), NOW)
        for replica in range(ENDPOINTS):
            yield endpoint(number, replica)


def istio(kind: str, spec: dict[str, Any]) -> Any:
    metadata = {"name": "changed", "namespace": "default"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def virtual_service(turn: int) -> Any:
    route = {"route": [{"destination": {"host": "service-0500"}}], "timeout": f"{turn + 1}s"}
    return istio("VirtualService", {"hosts": ["service-0500"], "http": [route]})


def destination_rule(turn: int) -> Any:
    pool = {"tcp": {"maxConnections": turn + 1}}
    return istio("DestinationRule", {"host": "service-0500", "trafficPolicy": {"connectionPool": pool}})


def new_service(turn: int) -> tuple[Any, Any]:
    number = SERVICES + turn
    return entries.service(registered(number, 0), NOW), endpoint(number, 0)


CHANGES: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "one endpoint moves": lambda turn: (endpoint(500, 0, 22_000 + turn),),
    "one DestinationRule changes": lambda turn: (destination_rule(turn),),
    "one VirtualService changes": lambda turn: (virtual_service(turn),),
    "one service comes": new_service,
}


class Sizes:
    """Bytes of the resources in a sidecar's views that it does not hold yet."""

    def __init__(self, session: ProxySession) -> None:
        self.session = session
        self.held: dict[tuple[str, str], str] = {}

    def new(self) -> int:
        found = 0
        for view in self.session.held.layers:
            for type_url in view.types():
                for name in view.names(type_url):
                    resource = view.get(type_url, name)
                    if resource is not None and self.held.get((type_url, name)) != resource.version:
                        self.held[type_url, name] = resource.version
                        found += len(resource.frame)
        return found


def milliseconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def run() -> list[Row]:
    mesh = Mesh()
    listing = Listing(tuple(mesh.stored(body) for body in objects()), mesh.revision)
    taken_in = milliseconds(lambda: mesh.reconciler.replace(listing))
    sessions: list[ProxySession] = []
    compiled = milliseconds(lambda: sessions.append(mesh.reconciler.proxies.session(Node(id="me"), PEER)))
    sizes = Sizes(sessions[0])
    rows = [
        (f"take in {len(listing.items)} stored objects", f"{taken_in:.0f} ms", "-"),
        ("compile everything for a first sidecar", f"{compiled:.0f} ms, {sizes.new() / 1e6:.1f} MB", "-"),
    ]
    second = msgspec.structs.replace(PEER, identity=msgspec.structs.replace(PEER.identity, workload="me-2"))
    again = milliseconds(lambda: mesh.reconciler.proxies.session(Node(id="me"), second))
    rows.append(("the same for a second one of its scope", f"{again:.1f} ms", "-"))
    for name, change in CHANGES.items():
        mesh.put(*change(0))()
        sizes.new()
        took, sent = [], []
        for turn in range(1, TURNS + 1):
            took.append(milliseconds(mesh.put(*change(turn))))
            sent.append(sizes.new())
        rows.append((name, f"{statistics.median(took):.1f} ms, {statistics.median(sent) / 1e3:.1f} kB", "-"))
    assert not mesh.reconciler.compiler.errors
    return rows
