"""Server, relay and Envoy joined in memory, while links break, Envoy and agent restart and Envoy refuses: traffic never
breaks, in the end Envoy holds what the server's view holds less what it refused, and the server knows which is which.
"""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from argosy.xds import wire
from argosy.xds.relay import Relay, RelaySession
from argosy.xds.stream import Standing, Stream
from argosy.xds.types import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SCOPE
from argosy.xds.view import View
from tests.long.conftest import count
from tests.unit.xds.fake_envoy import FakeEnvoy, Wire
from tests.unit.xds.test_stream_random import Mesh

TYPES = (CLUSTER, ENDPOINT, EXTENSION, LISTENER, SCOPE, ROUTE)


class Upstream:
    """The relay's upstream side as one end of a wire."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        relay.upstream_connected(lambda: None)

    def next_request(self) -> wire.Request | None:
        return self.relay.next_request()

    def on_data(self, data: bytes, now: float) -> None:
        self.relay.on_response(wire.decode_response(data), now)


class World:
    def __init__(self, seed: int, *, bad: float = 0.0, names_offenders: str = "names") -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.names_offenders = names_offenders
        self.mesh = Mesh(self.chance, bad=bad)
        self.relay = Relay(wire.Node(id="agent"), View())
        self.envoy = FakeEnvoy(names_offenders=names_offenders)
        self.up: Wire[Stream] | None = None
        self.down: Wire[RelaySession] | None = None
        self.connect_server()
        self.connect_envoy()

    def connect_server(self) -> None:
        self.lose_server()
        self.up = Wire(Upstream(self.relay), Stream([self.mesh.view]), self.now)

    def lose_server(self) -> None:
        if self.up is not None:
            self.relay.upstream_disconnected()
            self.up.stream.close()
            self.up = None

    def connect_envoy(self) -> None:
        self.lose_envoy()
        session = self.relay.session()
        session.connected(lambda: None)
        self.envoy.connected()
        self.down = Wire(self.envoy, session, self.now)

    def lose_envoy(self) -> None:
        if self.down is not None:
            self.down.stream.disconnected()
            self.down = None

    def restart_envoy(self) -> None:
        broken = self.envoy.broken
        self.envoy = FakeEnvoy(names_offenders=self.names_offenders)
        self.envoy.broken = broken
        self.connect_envoy()

    def restart_agent(self) -> None:
        """A new agent restores what the old one saved; Envoy lives on."""
        had_server = self.up is not None
        self.lose_server()
        saved = self.relay.acknowledged_state()
        self.lose_envoy()
        self.relay = Relay(wire.Node(id="agent"), View())
        self.relay.restore(saved)
        self.connect_envoy()
        if had_server:
            self.connect_server()

    def deliver(self) -> bool:
        wires = [one for one in (self.up, self.down) if one is not None]
        return any(one.deliver_up() or one.deliver_down() for one in wires)

    def step(self, action: int) -> None:
        actions = {
            3: self.connect_server,
            4: self.lose_server,
            5: self.connect_envoy,
            6: self.restart_envoy,
            7: self.restart_agent,
            8: self.lose_envoy,
            9: self.settle,
        }
        actions.get(action, self.mesh.mutate)()
        for _ in range(self.chance.randint(0, 12)):
            one = self.chance.choice([self.up, self.down])
            if one is not None:
                self.chance.choice([one.deliver_up, one.deliver_down])()

    def settle(self, later: float = 0.0) -> None:
        self.now += later
        for one in (self.up, self.down):
            if one is not None:
                one.now = self.now
        for _ in range(20_000):
            if not self.deliver():
                return
        raise AssertionError("they never fall silent")

    def check(self) -> None:
        if self.up is None:
            self.connect_server()
        if self.down is None:
            self.connect_envoy()
        assert self.up is not None
        for later in (0.0, 2.0, 10.0, 20.0, 30.0):
            self.settle(later)
        assert self.envoy.broken == []
        refused = self.relay.refused()
        view, stream = self.mesh.view, self.up.stream
        for type_url in TYPES:
            names, everything = stream.subscribed(type_url)
            assert everything or names == self.envoy.client.subscribed(type_url)
            held = self.envoy.versions(type_url)
            wanted = {name for name in view.names(type_url) if everything or name in names}
            for name in wanted:
                resource = view.get(type_url, name)
                assert resource is not None
                if (type_url, name) in refused:
                    assert refused[type_url, name][0] == resource.version != held.get(name)
                    assert stream.standing(type_url, name) is Standing.REJECTED
                else:
                    assert held.get(name) == resource.version, (type_url, name)
                    assert stream.standing(type_url, name) is Standing.ACKNOWLEDGED
                cached = self.relay.cache.get(type_url, name)
                if (type_url, name) in refused:
                    assert cached is None or cached.version != refused[type_url, name][0]
                else:
                    assert cached is not None
                    assert cached.version == resource.version
            if not refused:
                assert held.keys() == wanted
        if not refused:
            assert self.relay.is_idle()


def nothing_is_sent_again(world: World) -> None:
    """A reconnect of either side, and a restart of the agent, resend nothing that Envoy runs or refused."""
    refused = world.relay.refused()
    seen = len(world.envoy.seen)
    world.connect_server()
    for later in (0.0, 2.0, 10.0):
        world.settle(later)
    assert world.up is not None
    assert world.up.resources_down == len(refused)
    world.restart_agent()
    for later in (0.0, 2.0, 10.0):
        world.settle(later)
    for type_url, name, version in world.envoy.seen[seen:]:
        if (
            type_url,
            name,
        ) in refused:  # its last good version may come to an Envoy that has none, the refused never
            assert version != refused[type_url, name][0]
        else:  # what the server has no more, but Envoy keeps for a refused listener's sake, may come again
            assert name not in world.mesh.view.names(type_url)
    assert world.envoy.broken == []


def a_restart_needs_no_server(world: World) -> None:
    """With the server gone, a new agent and a new Envoy serve what the old ones did."""
    held = {type_url: dict(world.envoy.versions(type_url)) for type_url in TYPES}
    refused = world.relay.refused()
    world.lose_server()
    world.restart_agent()
    world.restart_envoy()
    world.settle()
    world.settle(2.0)
    for type_url in TYPES:
        now = world.envoy.versions(type_url)
        for name in held[type_url].keys() | now.keys():
            if held[type_url].get(name) != now.get(name):  # clusters that no agent lived to see acknowledged
                assert refused
                assert type_url in (CLUSTER, ENDPOINT)
                assert name not in now
                assert name not in world.mesh.view.names(type_url)
    assert world.relay.stale
    assert world.envoy.broken == []


EXAMPLES = int(os.environ.get("ARGOSY_XDS_EXAMPLES", "60"))
actions = st.lists(st.integers(0, 9), min_size=10, max_size=50)
offenders = st.sampled_from(["names", "mumbles"])
refusing = st.sampled_from([0.0, 0.15])
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
quick = settings(
    derandomize=True,
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=PHASES,
)
many = settings(
    max_examples=count(full=3000, short=100),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=PHASES,
)


def run(seed: int, steps: list[int], bad: float, names_offenders: str) -> None:
    world = World(seed, bad=bad, names_offenders=names_offenders)
    for action in steps:
        world.step(action)
        assert world.envoy.broken == []
    world.check()
    nothing_is_sent_again(world)
    a_restart_needs_no_server(world)


@quick
@given(st.integers(0, 2**32), actions, refusing, offenders)
def test_whatever_breaks_envoy_ends_with_what_the_server_has(
    seed: int, steps: list[int], bad: float, names_offenders: str
) -> None:
    run(seed, steps, bad, names_offenders)


@pytest.mark.long
@many
@given(st.integers(0, 2**32), actions, refusing, offenders)
def test_whatever_breaks_for_long(seed: int, steps: list[int], bad: float, names_offenders: str) -> None:
    run(seed, steps, bad, names_offenders)
