"""The stream against a fake Envoy, driven at random: whatever happens, traffic never breaks, and in the end Envoy holds
what the views hold, less what it refused.

The oracle is dumb: compare two dictionaries. Views always describe a mesh that is consistent as a whole, but are
updated type by type in any order.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.xds.stream import INTRODUCTION, Standing, Stream
from argosy.xds.types import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SCOPE, CachedResource
from argosy.xds.view import View
from tests.long.conftest import count
from tests.unit.xds.fake_envoy import FakeEnvoy, Wire, make

CLUSTERS = [f"outbound|80||c{i}.shop" for i in range(5)]
ROUTES = ["http_proxy", "upstream|1|c0.shop", "8080"]
LISTENERS = ["outbound_proxy", "inbound_8080", "l"]
PARTS = ["http_proxy/0", "http_proxy/1"]
EXTENSIONS = ["policy", "policy-2"]
FOREVER = 1e9  # no bounded wait ends: order must hold by itself


class Mesh:
    """A consistent mesh in a view: nothing names what is not there."""

    def __init__(self, chance: random.Random, *, bad: float = 0.0) -> None:
        self.view = View()
        self._chance = chance
        self._bad = bad
        self._parted = chance.random() < 0.5  # for as long as it lives
        self.want: dict[str, dict[str, CachedResource]] = {}
        self.mutate()

    def mutate(self) -> None:
        chance = self._chance
        clusters = chance.sample(CLUSTERS, chance.randint(1, len(CLUSTERS)))
        want: dict[str, dict[str, CachedResource]] = {
            one: {} for one in (CLUSTER, ENDPOINT, ROUTE, LISTENER, EXTENSION, SCOPE)
        }

        def add(type_url: str, name: str, **body: Any) -> None:
            keep = self.want.get(type_url, {}).get(name)
            if chance.random() < self._bad and type_url in (LISTENER, ROUTE, EXTENSION):
                body["bad"] = True
            made = make(type_url, name, **body)
            unchanged = keep is not None and chance.random() < 0.5 and set(self._names(keep)) <= set(clusters)
            want[type_url][name] = keep if unchanged and keep is not None else made

        for name in clusters:
            add(CLUSTER, name, eds=not name.startswith("outbound|80||c4"), timeout=chance.randint(1, 2))
            if want[CLUSTER][name].follow and chance.random() < 0.9:
                add(ENDPOINT, name, hosts=chance.randint(1, 9))
        for name in ROUTES:
            add(ROUTE, name, clusters=chance.sample(clusters, 1), n=chance.randint(1, 3))
        for name in PARTS if self._parted else ():
            add(ROUTE, name, clusters=chance.sample(clusters, 1), n=chance.randint(1, 3))
            want[SCOPE][name] = make(SCOPE, name, route=name)
        for name in EXTENSIONS:
            add(EXTENSION, name, rule=chance.randint(1, 3))
        for name in chance.sample(LISTENERS, chance.randint(0, 3)):
            body: dict[str, Any] = {"clusters": clusters[:1], "extensions": chance.sample(EXTENSIONS, 1)}
            scoped = self._parted and name == "outbound_proxy"
            body |= {"scoped": True} if scoped else {"routes": chance.sample(ROUTES, 1)}
            add(LISTENER, name, **body)
        self.want = want
        for type_url in chance.sample(sorted(want), len(want)):
            gone = set(self.view.names(type_url)) - want[type_url].keys()
            self.view.update(type_url, want[type_url].values(), gone)

    @staticmethod
    def _names(resource: CachedResource) -> list[str]:
        from tests.unit.xds.fake_envoy import body_of

        return list(body_of(resource).get("clusters", ()))


RECONNECT, SETTLE = 4, 7


class World:
    """One fake Envoy, two meshes to move between, a wire that delays."""

    def __init__(self, seed: int, *, bad: float = 0.0, **envoy: str) -> None:
        self.chance = random.Random(seed)
        self.meshes = [Mesh(self.chance, bad=bad), Mesh(self.chance, bad=bad)]
        self.mine = 0
        self.envoy = FakeEnvoy(**envoy)
        self.wire = self.connect()

    def connect(self) -> Wire[Stream]:
        self.envoy.connected()
        return Wire(self.envoy, Stream([View(), self.meshes[self.mine].view], hold=FOREVER))

    def step(self, action: int) -> None:
        chance = self.chance
        if action < 3:
            self.meshes[self.mine].mutate()
        elif action == 3:
            self.meshes[1 - self.mine].mutate()
        elif action == RECONNECT:
            self.wire.stream.close()
            self.wire = self.connect()
        elif action == 5:
            self.mine = 1 - self.mine
            self.wire.stream.set_layers([View(), self.meshes[self.mine].view])
        elif action == 6:
            type_url = chance.choice([CLUSTER, ENDPOINT, ROUTE, LISTENER, SCOPE])
            names = self.envoy.client.subscribed(type_url) - {"*"}
            self.envoy.client.resubscribe(type_url, chance.sample(sorted(names), min(1, len(names))))
        elif action == SETTLE:
            self.wire.settle()
        for _ in range(chance.randint(0, 6)):
            chance.choice([self.wire.deliver_up, self.wire.deliver_down])()

    def check(self) -> None:
        self.wire.settle()
        self.wire.now += INTRODUCTION  # an Envoy without extension configs never tells of them
        self.wire.settle()
        assert self.envoy.broken == []
        view = self.meshes[self.mine].view
        stream = self.wire.stream
        status = {one.type_url: one for one in stream.status()}
        refused = {one for one in (LISTENER, ROUTE, EXTENSION) if one in status and status[one].rejected}
        for type_url in (CLUSTER, ENDPOINT, SCOPE, ROUTE, LISTENER, EXTENSION):
            names, everything = stream.subscribed(type_url)
            wanted = {name for name in view.names(type_url) if everything or name in names}
            rejected = status[type_url].rejected if type_url in status else {}
            held = self.envoy.versions(type_url)
            for name in wanted:
                resource = view.get(type_url, name)
                assert resource is not None
                if name in rejected:
                    assert rejected[name] == resource.version != held.get(name)
                    assert stream.standing(type_url, name) is Standing.REJECTED
                else:
                    assert held.get(name) == resource.version, (type_url, name)
                    assert stream.acknowledged(type_url, name) == resource.version
            extra = held.keys() - wanted
            if not refused:
                assert not extra, (type_url, extra)
                assert stream.is_current(type_url, [*view.names(type_url), *held])
        if not refused:
            assert stream.settled()


def reconnect_costs_nothing(world: World) -> None:
    world.check()
    received, removals = world.envoy.received, world.envoy.removals
    had_absent = [one for one in world.envoy.absent if one[1] in world.envoy.client.subscribed(one[0])]
    world.wire.stream.close()
    world.wire = world.connect()
    world.wire.settle()
    world.wire.now += INTRODUCTION
    world.wire.settle()
    rejected = sum(len(one.rejected) for one in world.wire.stream.status())
    assert world.envoy.received - received == rejected
    assert world.wire.stream.resumed == sum(
        len(world.envoy.versions(one)) for one in world.wire.stream.types()
    )
    if not rejected:
        assert world.envoy.removals - removals == len(had_absent)  # that they are absent must be said again
        assert bool(world.wire.bytes_down) == bool(had_absent)


EXAMPLES = int(os.environ.get("ARGOSY_XDS_EXAMPLES", "60"))
actions = st.lists(st.integers(0, 7), min_size=10, max_size=60)
quick = settings(
    derandomize=True, max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
)
many = settings(
    max_examples=count(full=3000, short=100), deadline=None, suppress_health_check=list(HealthCheck)
)
patience = st.sampled_from(["patient", "eager"])


def run(seed: int, steps: list[int], patient: str) -> None:
    world = World(seed, patient=patient)
    for action in steps:
        world.step(action)
        assert world.envoy.broken == []
    world.check()
    reconnect_costs_nothing(world)


def run_refusing(seed: int, steps: list[int], names_offenders: str) -> None:
    """On one stream. What an Envoy that refuses took from a refused response it does not tell on its next stream; who
    remembers that is the relay, and the server's clients are relays: test_relay_random.py has the reconnections."""
    world = World(seed, bad=0.15, names_offenders=names_offenders)
    for action in steps:
        world.step(SETTLE if action == RECONNECT else action)
        assert world.envoy.broken == []
    world.check()
    seen = len(world.envoy.seen)
    world.wire.stream.mark_dirty()
    world.wire.settle()
    assert len(world.envoy.seen) == seen  # what was refused is not sent again


@quick
@given(st.integers(0, 2**32), actions, patience)
def test_traffic_never_breaks_and_envoy_ends_with_what_the_views_hold(
    seed: int, steps: list[int], patient: str
) -> None:
    run(seed, steps, patient)


@quick
@given(st.integers(0, 2**32), actions, st.sampled_from(["names", "mumbles"]))
def test_an_envoy_that_refuses_keeps_its_last_good_and_everything_else_arrives(
    seed: int, steps: list[int], names_offenders: str
) -> None:
    run_refusing(seed, steps, names_offenders)


@pytest.mark.long
@many
@given(st.integers(0, 2**32), actions, patience)
def test_traffic_never_breaks_for_long(seed: int, steps: list[int], patient: str) -> None:
    run(seed, steps, patient)


@pytest.mark.long
@many
@given(st.integers(0, 2**32), actions, st.sampled_from(["names", "mumbles"]))
def test_an_envoy_that_refuses_for_long(seed: int, steps: list[int], names_offenders: str) -> None:
    run_refusing(seed, steps, names_offenders)
