"""An Envoy made of `xds/client.py`: it takes resources as Envoy does and notes every way in which traffic would break.

Bodies are JSON in place of Envoy's messages:
    cluster  {"eds": bool}              listener  {"clusters": [...], "routes": [...], "extensions": [...]}
    route    {"clusters": [...]}        scope    {"route": …}
`"bad": true` in any of them: refused. A listener with `"scoped": true` asks for all scopes, and for the route of each.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any as AnyMessage

from argosy.xds import wire
from argosy.xds.client import Client
from argosy.xds.types import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SCOPE, CachedResource

NAMED = (ENDPOINT, ROUTE, EXTENSION)


def make(type_url: str, name: str, **body: Any) -> CachedResource:
    return _make(type_url, name, json.dumps(body, sort_keys=True))


@lru_cache(maxsize=4096)
def _make(type_url: str, name: str, text: str) -> CachedResource:
    value = text.encode()
    body = json.loads(text)
    version = hashlib.sha256(value).hexdigest()[:8]
    follow = name if type_url == CLUSTER and body.get("eds") else None
    return CachedResource(
        name, version, wire.frame(name, version, AnyMessage(type_url=type_url, value=value)), follow
    )


def body_of(resource: CachedResource) -> dict[str, Any]:
    return _parse(resource.frame)


@lru_cache(maxsize=4096)
def _parse(frame: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(discovery_pb2.Resource.FromString(frame).resource.value)
    return parsed


class FakeEnvoy:
    """Envoy's state. `patient` (as Envoy once started): the ACK of clusters comes when their endpoints have come.

    Of a response that it refuses it has taken something nevertheless: clusters and listeners but for the bad ones; of
    the others, where the reason is none that a look at the bytes gives (it "mumbles"), what stood before the bad one.
    But it does not note their versions: after a reconnect it tells those of the last response that was good.
    """

    def __init__(self, *, patient: str = "patient", names_offenders: str = "names") -> None:
        self.state: dict[str, dict[str, CachedResource]] = {}
        self.absent: set[tuple[str, str]] = set()
        self.broken: list[str] = []
        self.received = 0
        self.removals = 0
        self.nacks = 0
        self.seen: list[tuple[str, str, str]] = []  # every (type, name, version) that came
        self._noted: dict[str, dict[str, str]] = {}  # versions of what came in good responses
        self.client = Client(wire.Node(id="fake"), self._noted_versions)
        self._patient = patient == "patient"
        self._names_offenders = names_offenders == "names"
        self._warming: set[str] = set()
        self._cluster_acks: list[str] = []
        self.client.subscribe(CLUSTER, ["*"])
        self.client.subscribe(LISTENER, ["*"])

    def has(self, type_url: str) -> dict[str, CachedResource]:
        return self.state.setdefault(type_url, {})

    def versions(self, type_url: str) -> dict[str, str]:
        """What it runs."""
        return {name: one.version for name, one in self.has(type_url).items()}

    def _noted_versions(self, type_url: str) -> dict[str, str]:
        return self._noted.setdefault(type_url, {})

    def connected(self) -> None:
        self._cluster_acks.clear()
        self._warming.clear()  # what warms when the stream is lost waits for `initial_fetch_timeout`, then goes live
        self.client.connected()

    def next_request(self) -> wire.Request | None:
        return self.client.next_request()

    def on_data(self, data: bytes, now: float) -> None:
        received = self.client.on_response(wire.decode_response(data))
        type_url = received.type_url
        bad = [one for one in received.resources if body_of(one).get("bad")]
        self.received += len(received.resources)
        self.removals += len(received.removed)
        self.seen += [(type_url, one.name, one.version) for one in received.resources]
        if not bad:
            self._take(type_url, received.resources, received.removed)
            self._note(type_url, received)
        elif type_url in (CLUSTER, LISTENER):
            self._take(type_url, [one for one in received.resources if one not in bad], received.removed)
        elif not self._names_offenders:
            self._take(type_url, received.resources[: received.resources.index(bad[0])], ())
        if bad:
            self.nacks += 1
            words = (
                "; ".join(f"{one.name}: is bad" for one in bad) if self._names_offenders else "a field is bad"
            )
            self.client.nack(type_url, received.nonce, f"Error adding/updating: {words}\n")
        elif type_url == CLUSTER and self._patient:
            self._cluster_acks.append(received.nonce)
        else:
            self.client.ack(type_url, received.nonce)
        self._release()

    def _take(self, type_url: str, resources: Iterable[CachedResource], removed: Iterable[str]) -> None:
        held = self.has(type_url)
        for name in removed:
            self.absent.add((type_url, name))
            held.pop(name, None)
            self._warming.discard(name)
        asked = self.client.subscribed(type_url)
        for one in resources:
            if "*" not in asked and one.name not in asked:
                continue  # it came while the unsubscription was on its way
            before = held.get(one.name)
            self.absent.discard((type_url, one.name))
            held[one.name] = one
            if (
                type_url == CLUSTER
                and body_of(one)["eds"]
                and (before is None or before.version != one.version)
            ):
                self._warming.add(one.name)
        if type_url == ENDPOINT:
            self._warming -= {one.name for one in resources} | set(removed)
        self._subscribe()
        self.check()

    def _note(self, type_url: str, received: wire.Received) -> None:
        noted = self._noted_versions(type_url)
        for name in received.removed:
            noted.pop(name, None)
        for one in received.resources:
            if one.name in self.has(type_url):
                noted[one.name] = one.version

    def _subscribe(self) -> None:
        """Asks for what its clusters and listeners name, and for nothing else."""
        wanted: dict[str, set[str]] = {type_url: set() for type_url in NAMED}
        wanted[ENDPOINT] = {name for name, one in self.has(CLUSTER).items() if body_of(one)["eds"]}
        for one in self.has(LISTENER).values():
            wanted[ROUTE].update(body_of(one).get("routes", ()))
            wanted[EXTENSION].update(body_of(one).get("extensions", ()))
        if any(body_of(one).get("scoped") for one in self.has(LISTENER).values()):
            self.client.subscribe(SCOPE, ["*"])
            wanted[ROUTE].update(body_of(scope)["route"] for scope in self.has(SCOPE).values())
        elif self.client.subscribed(SCOPE):
            self.client.unsubscribe(SCOPE, ["*"])
            self.has(SCOPE).clear()
            self._noted_versions(SCOPE).clear()
        for type_url, names in wanted.items():
            gone = self.client.subscribed(type_url) - names
            self.client.subscribe(type_url, names)
            self.client.unsubscribe(type_url, gone)
            for name in gone:
                self.has(type_url).pop(name, None)
                self._noted_versions(type_url).pop(name, None)

    def _release(self) -> None:
        if not self._warming:
            for nonce in self._cluster_acks:
                self.client.ack(CLUSTER, nonce)
            self._cluster_acks.clear()

    def check(self) -> None:
        """Whatever routes or listens must lead to a cluster that is there, with endpoints or the word of none."""
        users = [(LISTENER, one) for one in self.has(LISTENER).values()]
        users += [(ROUTE, one) for one in self.has(ROUTE).values()]
        for type_url, user in users:
            for name in body_of(user).get("clusters", ()):
                cluster = self.has(CLUSTER).get(name)
                kind = type_url.rpartition(".")[2]
                if cluster is None:
                    self.broken.append(f"{kind} {user.name} names cluster {name}, which is not there")
                elif body_of(cluster)["eds"] and not (
                    name in self.has(ENDPOINT) or (ENDPOINT, name) in self.absent
                ):
                    self.broken.append(f"{kind} {user.name} names cluster {name}, which has no endpoints yet")


class Asker(Protocol):
    """The client's end of a wire: a fake Envoy, or a relay's upstream side."""

    def next_request(self) -> wire.Request | None: ...

    def on_data(self, data: bytes, now: float) -> None: ...


class Answerer(Protocol):
    """The server's end of a wire: a stream, or a relay's session."""

    def on_request(self, request: wire.Request, now: float) -> object: ...

    @property
    def may_owe(self) -> bool: ...

    def next_response(self, now: float) -> wire.Response | None: ...


A = TypeVar("A", bound=Answerer)


class Wire(Generic[A]):
    """Joins a client machine to a stream; messages wait in two queues until they are delivered."""

    def __init__(self, client: Asker, stream: A, now: float = 0.0) -> None:
        self.client = client
        self.stream = stream
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.bytes_down = 0
        self.resources_down = 0
        self.now = now

    def pump_client(self) -> None:
        while (message := self.client.next_request()) is not None:
            self.up.append(message.SerializeToString())

    def pump_server(self) -> None:
        while (response := self.stream.next_response(self.now)) is not None:
            data = wire.encode_response(response)
            self.bytes_down += len(data) if response.resources or response.removed else 0
            self.resources_down += len(response.resources)
            self.down.append(data)
            if not self.stream.may_owe:
                assert self.stream.next_response(self.now) is None

    def deliver_up(self) -> bool:
        self.pump_client()
        if not self.up:
            return False
        self.stream.on_request(wire.decode_request(self.up.popleft()), self.now)
        if not self.stream.may_owe:  # then the shell does not ask
            assert self.stream.next_response(self.now) is None
        return True

    def deliver_down(self) -> bool:
        self.pump_server()
        if not self.down:
            return False
        self.client.on_data(self.down.popleft(), self.now)
        return True

    def settle(self) -> int:
        """Delivers until both are silent; how many messages that took."""
        steps = 0
        while self.deliver_up() or self.deliver_down():
            steps += 1
            assert steps < 10_000, "they never fall silent"
        return steps
