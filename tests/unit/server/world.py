"""A control plane without I/O, and Envoys joined to it by a wire in memory."""

from __future__ import annotations

from typing import Any

import msgspec
from google.protobuf.struct_pb2 import Struct as PbStruct

from argosy.identity.names import Identity, Peer
from argosy.model import ir
from argosy.server import entries
from argosy.server.delivery import Delivery
from argosy.server.reconcile import Reconciler
from argosy.store.base import Event, EventType, Key, Stored
from argosy.translate.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from argosy.xds.client import Client
from argosy.xds.node import METADATA_KEY, ProxyNode
from argosy.xds.registration import Port, Register
from argosy.xds.wire import Node, Received, decode_response, encode_response

REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"
VIRTUAL_SERVICES = "networking.istio.io/virtualservices"
VS = Key(VIRTUAL_SERVICES, "default", "reviews")


def node(**changes: Any) -> Node:
    described = msgspec.structs.replace(ProxyNode(outbound_port=15001), **changes)
    metadata = PbStruct()
    metadata.update({METADATA_KEY: msgspec.to_builtins(described, str_keys=True)})
    return Node(id="sidecar~127.0.0.1~w.default~default.svc.cluster.local", metadata=metadata)


def peer(workload: str, service_account: str = "") -> Peer:
    identity = Identity(
        trust_domain="cluster.local",
        namespace="default",
        service_account=service_account or workload.rpartition("-")[0] or workload,
        workload=workload,
    )
    return Peer(identity=identity, not_before=0, not_after=10_000)


class FakeEnvoy:
    """Joins the server's session and a client machine by a wire in memory; subscribes as Envoy does."""

    def __init__(self, reconciler: Reconciler, workload: str, session_node: Node | None = None) -> None:
        self.session = reconciler.proxies.session(session_node or node(), peer(workload))
        self.client = Client(Node(id=workload))
        self.held: dict[str, dict[str, bytes]] = {}
        self.received: list[Received] = []
        self.refuse: set[str] = set()
        self.session.connected(lambda: None)
        self.client.connected()
        self.client.subscribe(CLUSTER, {"*"})
        self.client.subscribe(LISTENER, {"*"})
        self.client.subscribe(ROUTE, {"http_proxy"})
        self.exchange()

    def exchange(self, now: float = 0.0) -> list[str]:
        """Sends and answers until both are quiet; the names of what came."""
        came: list[str] = []
        while True:
            quiet = True
            while (request := self.client.next_request()) is not None:
                self.session.on_request(request, now)
                quiet = False
            if (response := self.session.next_response(now)) is not None:
                came += self._take(decode_response(encode_response(response)))
                quiet = False
            if quiet:
                return came

    def _take(self, received: Received) -> list[str]:
        self.received.append(self.client.on_response(received))
        names = [resource.name for resource in received.resources]
        if bad := self.refuse.intersection(names):
            self.client.nack(received.type_url, received.nonce, f"{bad.pop()} is bad")
            return names
        table = self.held.setdefault(received.type_url, {})
        table.update({resource.name: resource.frame for resource in received.resources})
        for name in received.removed:
            table.pop(name, None)
        if received.type_url == CLUSTER:
            self.client.subscribe(ENDPOINT, {name for name in table if name.startswith("outbound|")})
            self.client.unsubscribe(ENDPOINT, received.removed)
        self.client.ack(received.type_url, received.nonce)
        return names + list(received.removed)


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.reconciler = Reconciler(ir.Mesh(), clock=lambda: self.now, monotonic=lambda: self.now)
        self.delivery = Delivery(self.reconciler, lambda: self.lost, monotonic=lambda: self.now)
        self.lost: set[str] = set()
        self.revision = 0

    def event(self, body: dict[str, Any] | bytes, key: Key, kind: EventType = EventType.MODIFIED) -> Event:
        self.revision += 1
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return Event(kind, Stored(key, self.revision, data))

    def put(self, body: dict[str, Any], key: Key) -> int:
        self.reconciler.apply([self.event(body, key)])
        return self.revision

    def delete(self, key: Key) -> int:
        self.reconciler.apply([self.event(b"", key, EventType.DELETED)])
        return self.revision

    def workload(
        self, name: str, service: str = "reviews", *, healthy: bool = True, bind: int = 21001
    ) -> int:
        """An announced workload, and the Service where there is none."""
        register = Register(
            workload=name,
            namespace="default",
            service_account=service,
            service=service,
            address="127.0.0.1",
            ports=(Port(workload=9080, bind=bind, application=40001),) if bind else (),
        )
        if bind:
            self.put(entries.service(register, self.now), Key("/services", "default", service))
        body = entries.workload_entry(register, None, self.now)
        status = "True" if healthy else "False"
        return self.put(
            entries.with_health(body, status, "Test", "", self.now), entries.entry_key("default", name)
        )

    def envoy(self, workload: str, **changes: Any) -> FakeEnvoy:
        return FakeEnvoy(self.reconciler, workload, node(**changes))


def virtual_service(timeout: str = "1s") -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {
            "hosts": ["reviews"],
            "http": [{"route": [{"destination": {"host": "reviews"}}], "timeout": timeout}],
        },
    }
