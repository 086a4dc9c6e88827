"""Stories of the relay: secrets, what is saved, and what is asked of whom."""

from __future__ import annotations

import msgspec
import pytest

from argosy.xds import wire
from argosy.xds.relay import Relay, RelaySession, StateError
from argosy.xds.stream import Standing, Stream
from argosy.xds.types import CLUSTER, ENDPOINT, LISTENER, SECRET
from argosy.xds.view import View
from tests.unit.xds.fake_envoy import FakeEnvoy, Wire, make


class Upstream:
    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        relay.upstream_connected(lambda: None)

    def next_request(self) -> wire.Request | None:
        return self.relay.next_request()

    def on_data(self, data: bytes, now: float) -> None:
        self.relay.on_response(wire.decode_response(data), now)


class Chain:
    """Server view, relay and one fake Envoy, all connected."""

    def __init__(self, local: View | None = None) -> None:
        self.view = View()
        self.relay = Relay(wire.Node(id="agent"), local or View())
        self.up = Wire(Upstream(self.relay), Stream([self.view]))
        self.envoy = FakeEnvoy()
        self.down: Wire[RelaySession] = self.connect()

    def connect(self) -> Wire[RelaySession]:
        session = self.relay.session()
        session.connected(lambda: None)
        self.envoy.connected()
        return Wire(self.envoy, session)

    def restart_envoy(self) -> None:
        self.down.stream.disconnected()
        self.envoy = FakeEnvoy()
        self.down = self.connect()

    def restart_agent(self) -> None:
        """A new agent, from what the old one saved; the server is gone."""
        saved = self.relay.acknowledged_state()
        self.down.stream.disconnected()
        self.relay = Relay(wire.Node(id="agent"), View())
        self.relay.restore(saved)
        self.up = Wire(Upstream(self.relay), Stream([View()]))
        self.relay.upstream_disconnected()
        self.down = self.connect()

    def settle_server(self) -> None:
        while self.up.deliver_up() or self.up.deliver_down():
            pass

    def settle(self, now: float = 0.0) -> None:
        self.up.now = self.down.now = now
        quiet = 0
        while quiet < 2:  # a round that only noticed the time may have made requests
            ends = (self.up.deliver_up, self.up.deliver_down, self.down.deliver_up, self.down.deliver_down)
            moved = [end() for end in ends]
            quiet = 0 if any(moved) else quiet + 1


def test_local_secrets_are_served_and_never_asked_upstream_others_pass_through_but_are_not_saved() -> None:
    local = View()
    chain = Chain(local)
    chain.view.update(SECRET, [make(SECRET, "default", of="somebody else"), make(SECRET, "gateway", n=1)])
    chain.envoy.client.subscribe(SECRET, ["default", "ROOTCA", "gateway"])
    chain.settle()
    assert chain.up.stream.subscribed(SECRET)[0] == {"gateway"}
    assert set(chain.envoy.has(SECRET)) == {"gateway"}
    local.update(SECRET, [make(SECRET, "default", of="mine"), make(SECRET, "ROOTCA")])
    chain.settle()
    assert chain.envoy.has(SECRET)["default"].version == make(SECRET, "default", of="mine").version
    saved = chain.relay.acknowledged_state()
    assert b"gateway" not in saved
    assert b"mine" not in saved


def test_the_server_hears_the_ack_only_after_envoy_gave_it() -> None:
    chain = Chain()
    chain.view.update(CLUSTER, [make(CLUSTER, "a", eds=False)])
    chain.down.deliver_up()
    while chain.up.deliver_up() or chain.up.deliver_down():
        pass
    assert chain.relay.cache.get(CLUSTER, "a") is not None
    assert chain.up.stream.standing(CLUSTER, "a") is Standing.PENDING
    chain.settle()
    assert chain.up.stream.standing(CLUSTER, "a") is Standing.ACKNOWLEDGED


def test_without_envoy_the_server_is_answered_and_nothing_is_saved() -> None:
    chain = Chain()
    chain.settle()
    chain.down.stream.disconnected()
    chain.view.update(CLUSTER, [make(CLUSTER, "a", eds=False)])
    while chain.up.deliver_up() or chain.up.deliver_down():
        pass
    assert chain.up.stream.standing(CLUSTER, "a") is Standing.ACKNOWLEDGED
    assert make(CLUSTER, "a", eds=False).frame not in chain.relay.acknowledged_state()
    chain.down = chain.connect()
    chain.settle()
    assert make(CLUSTER, "a", eds=False).frame in chain.relay.acknowledged_state()


def test_envoys_words_reach_the_server_and_the_last_good_stays_in_the_cache() -> None:
    chain = Chain()
    good = make(LISTENER, "l", n=1)
    chain.view.update(LISTENER, [good])
    chain.settle()
    chain.view.update(LISTENER, [make(LISTENER, "l", n=2, bad=True)])
    chain.settle()
    assert chain.up.stream.standing(LISTENER, "l") is Standing.REJECTED
    (status,) = (one for one in chain.up.stream.status() if one.type_url == LISTENER)
    assert status.nack is not None
    assert "l: is bad" in status.nack.message
    cached = chain.relay.cache.get(LISTENER, "l")
    assert cached is not None
    assert cached.version == good.version
    nacks = chain.envoy.nacks
    chain.relay.upstream_disconnected()
    chain.up = Wire(Upstream(chain.relay), Stream([chain.view]))
    chain.settle()
    assert chain.up.stream.standing(LISTENER, "l") is Standing.REJECTED
    assert chain.envoy.nacks == nacks  # Envoy was not asked again


def test_what_a_server_removed_unseen_stays_while_envoys_last_good_may_name_it() -> None:
    """While no Envoy is there the server moves a listener to another cluster; a new Envoy refuses the listener."""
    chain = Chain()
    chain.view.update(CLUSTER, [make(CLUSTER, "old", eds=True)])
    chain.view.update(ENDPOINT, [make(ENDPOINT, "old", hosts=1)])
    good = make(LISTENER, "l", clusters=["old"])
    chain.view.update(LISTENER, [good])
    chain.settle()
    chain.down.stream.disconnected()
    chain.view.update(CLUSTER, [make(CLUSTER, "new", eds=False)], ["old"])
    chain.view.update(ENDPOINT, (), ["old"])
    chain.view.update(LISTENER, [make(LISTENER, "l", clusters=["new"], bad=True)])
    chain.settle_server()
    assert chain.up.stream.settled(), "the server is answered although no Envoy is there"
    chain.restart_envoy()
    chain.settle()
    chain.settle(2.0)
    assert chain.envoy.versions(LISTENER) == {"l": good.version}, (
        "the last good one goes to an Envoy without any"
    )
    assert set(chain.envoy.has(ENDPOINT)) == {"old"}
    assert chain.envoy.broken == []
    chain.restart_agent()
    chain.restart_envoy()
    chain.settle(4.0)
    assert chain.envoy.versions(LISTENER) == {"l": good.version}
    assert set(chain.envoy.has(CLUSTER)) == {"old", "new"}
    assert chain.envoy.broken == []


def test_what_stayed_for_a_refused_listeners_sake_goes_once_that_is_mended() -> None:
    chain = Chain()
    chain.view.update(CLUSTER, [make(CLUSTER, "old", eds=False)])
    chain.view.update(LISTENER, [make(LISTENER, "l", clusters=["old"])])
    chain.settle()
    chain.down.stream.disconnected()
    chain.view.update(CLUSTER, [make(CLUSTER, "new", eds=False)], ["old"])
    chain.view.update(LISTENER, [make(LISTENER, "l", clusters=["new"], bad=True)])
    chain.settle_server()
    chain.restart_envoy()
    chain.settle()
    chain.settle(2.0)
    assert chain.relay.cache.get(CLUSTER, "old") is not None
    chain.view.update(LISTENER, [make(LISTENER, "l", clusters=["new"])])
    chain.settle(4.0)
    assert set(chain.envoy.has(CLUSTER)) == {"new"}
    assert chain.relay.cache.get(CLUSTER, "old") is None
    assert make(CLUSTER, "old", eds=False).frame not in chain.relay.acknowledged_state()


def test_the_last_good_is_what_envoy_acknowledged_even_if_the_server_had_a_newer_one_by_then() -> None:
    chain = Chain()
    chain.view.update(LISTENER, [make(LISTENER, "l", n=1)])
    chain.settle()
    second = make(LISTENER, "l", n=2)
    chain.view.update(LISTENER, [second])
    chain.settle_server()
    chain.down.deliver_down()  # Envoy has the second; its ACK is on its way
    chain.relay.upstream_disconnected()
    chain.up = Wire(Upstream(chain.relay), Stream([chain.view]))
    chain.view.update(LISTENER, [make(LISTENER, "l", n=3, bad=True)])
    chain.settle_server()
    chain.settle()
    cached = chain.relay.cache.get(LISTENER, "l")
    assert cached is not None
    assert cached.version == second.version == chain.envoy.versions(LISTENER)["l"]


def test_envoy_gets_the_last_good_where_it_may_run_what_it_never_acknowledged() -> None:
    """Of a response that it refuses Envoy has taken the good listeners; the next version of one of them is bad."""
    chain = Chain()
    good = make(LISTENER, "l", n=1)
    chain.view.update(LISTENER, [good, make(LISTENER, "m", n=1)])
    chain.settle()
    chain.view.update(LISTENER, [make(LISTENER, "l", n=2), make(LISTENER, "m", n=2, bad=True)])
    chain.settle_server()
    chain.down.deliver_down()
    assert chain.envoy.versions(LISTENER)["l"] != good.version
    chain.relay.upstream_disconnected()
    chain.up = Wire(Upstream(chain.relay), Stream([chain.view]))
    chain.view.update(LISTENER, [make(LISTENER, "l", n=3, bad=True)])
    chain.settle_server()
    chain.settle()
    assert chain.envoy.versions(LISTENER)["l"] == good.version
    chain.restart_agent()
    seen = len(chain.envoy.seen)
    chain.settle()
    assert chain.envoy.seen[seen:] == [], "what Envoy runs is what is saved"


def test_a_new_envoy_does_not_wait_for_endpoints_while_no_server_is_there_to_send_them() -> None:
    """Agent, Envoy and server end when Envoy has acknowledged a new cluster, and its endpoints not yet."""
    chain = Chain()
    chain.view.update(CLUSTER, [make(CLUSTER, "a", eds=True)])
    chain.view.update(ENDPOINT, [make(ENDPOINT, "a", hosts=1)])
    chain.view.update(LISTENER, [make(LISTENER, "l", clusters=["a"])])
    chain.settle()
    chain.view.update(CLUSTER, [make(CLUSTER, "b", eds=True)])
    chain.view.update(ENDPOINT, [make(ENDPOINT, "b", hosts=1)])
    for _ in ("the cluster", "its endpoints"):
        chain.settle_server()
        chain.down.deliver_down()
        chain.down.deliver_up()
    chain.envoy = FakeEnvoy()
    chain.restart_agent()
    chain.settle()
    assert set(chain.envoy.has(CLUSTER)) == {"a", "b"}
    assert set(chain.envoy.has(ENDPOINT)) == {"a"}
    assert set(chain.envoy.has(LISTENER)) == {"l"}
    chain.up = Wire(Upstream(chain.relay), Stream([chain.view]))
    chain.settle()
    assert set(chain.envoy.has(ENDPOINT)) == {"a", "b"}
    assert chain.envoy.broken == []


def test_a_new_envoy_does_not_wait_for_endpoints_that_are_refused() -> None:
    chain = Chain()
    chain.view.update(CLUSTER, [make(CLUSTER, "a", eds=True), make(CLUSTER, "b", eds=False)])
    chain.view.update(ENDPOINT, [make(ENDPOINT, "a", bad=True)])
    chain.settle()
    chain.view.update(LISTENER, [make(LISTENER, "l", clusters=["b"])])
    chain.settle(20.0)
    chain.restart_envoy()
    chain.settle(21.0)
    assert set(chain.envoy.has(LISTENER)) == {"l"}
    assert chain.envoy.nacks == 0
    assert chain.up.stream.standing(ENDPOINT, "a") is Standing.REJECTED
    chain.view.update(ENDPOINT, [make(ENDPOINT, "a", hosts=1)])
    chain.settle(22.0)
    assert set(chain.envoy.has(ENDPOINT)) == {"a"}


def test_a_refusal_blames_only_whom_envoy_refused_whatever_its_words_mention() -> None:
    """Envoy's words for one listener mention another, which is good by the time they are told again."""
    chain = Chain()
    bad = make(LISTENER, "l", bad=True)
    chain.view.update(LISTENER, [bad, make(LISTENER, "m", bad=True)])
    chain.settle()
    chain.relay.upstream_disconnected()
    chain.view.update(LISTENER, [make(LISTENER, "m", n=2)])
    chain.up = Wire(Upstream(chain.relay), Stream([chain.view]))
    chain.settle()
    assert chain.up.stream.standing(LISTENER, "l") is Standing.REJECTED
    assert chain.up.stream.standing(LISTENER, "m") is Standing.ACKNOWLEDGED


def test_a_new_envoy_lets_go_of_what_only_the_old_one_needed_once_it_has_settled() -> None:
    chain = Chain()
    chain.envoy.client.subscribe(SECRET, ["old", "both"])
    chain.view.update(SECRET, [make(SECRET, "old"), make(SECRET, "both")])
    chain.settle()
    chain.envoy = FakeEnvoy()
    chain.envoy.client.subscribe(SECRET, ["both"])
    chain.down.stream.disconnected()
    chain.down = chain.connect()
    chain.settle(1.0)
    assert chain.up.stream.subscribed(SECRET)[0] == {"old", "both"}
    assert chain.down.stream.deadline == 31.0
    chain.settle(31.0)
    assert chain.up.stream.subscribed(SECRET)[0] == {"both"}
    assert chain.relay.cache.get(SECRET, "old") is None


def test_a_local_change_marks_the_saved_state_as_old() -> None:
    chain = Chain()
    chain.view.update(CLUSTER, [make(CLUSTER, "a", eds=False)])
    chain.settle()
    assert chain.relay.dirty
    chain.relay.acknowledged_state()
    assert not chain.relay.dirty
    chain.settle()
    assert not chain.relay.dirty


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "damaged"),
        (b"\xc1garbage", "damaged"),
        (msgspec.msgpack.encode([99, []]), "format 99"),
        (msgspec.msgpack.encode([1, [["t", True, [b"\xff\xff"], [], []]]]), "damaged"),
    ],
)
def test_a_saved_state_that_cannot_be_used_says_why(data: bytes, words: str) -> None:
    with pytest.raises(StateError, match=words):
        Relay(wire.Node(), View()).restore(data)
