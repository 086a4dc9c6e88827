"""Which server an agent turns to, where there are several."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import msgspec
import pytest

from argosy.agent import servers
from argosy.agent.link import Link, Turns
from argosy.identity import client as identity
from argosy.identity.authority import open_authority
from argosy.identity.client import Svid, new_key_and_csr, svid
from argosy.identity.names import Identity
from argosy.runtime.paths import ServerInfo

WHO = Identity(trust_domain="cluster.local", namespace="default", service_account="s", workload="w")


def test_it_stays_until_that_fails_and_then_takes_turns() -> None:
    turns, known = Turns(), ["a", "b", "c"]
    assert [turns.choose(known) for _ in range(3)] == ["a", "a", "a"]
    seen = []
    for _ in range(4):
        turns.failed()
        seen.append(turns.choose(known))
    assert seen == ["b", "c", "a", "b"]
    assert turns.choose(known) == "b", "it does not go back by itself"


@pytest.mark.parametrize(
    ("at", "failed", "known", "chosen"),
    [
        ("a", False, ["x", "a"], "a"),  # another stands in front: no reason to leave
        ("a", True, ["x", "a"], "x"),
        ("a", False, ["x", "y"], "x"),  # it moved, or is gone
        ("a", True, ["x", "y"], "x"),
        ("a", True, ["a"], "a"),  # there is no other
        ("a", True, ["a", "x"], "x"),
    ],
)
def test_when_the_servers_change(at: str, failed: bool, known: list[str], chosen: str) -> None:
    turns = Turns()
    turns.choose([at])
    if failed:
        turns.failed()
    assert turns.choose(known) == chosen


def test_without_a_server_there_is_no_connection() -> None:
    with pytest.raises(OSError, match="no server"):
        Turns().choose([])


class Channels:
    """What the link opens, without a network."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def __call__(self, address: str, *_: str) -> grpc.aio.Channel:
        self.opened.append(address)
        return grpc.aio.insecure_channel(address)


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> Channels:
    made = Channels()
    monkeypatch.setattr(identity, "channel", made)
    return made


@pytest.fixture
def held(tmp_path: Path) -> Svid:
    key, csr = new_key_and_csr()
    return svid(open_authority(tmp_path / "ca", "cluster.local").sign(csr, WHO), key)


@contextlib.asynccontextmanager
async def failing(link: Link) -> AsyncIterator[None]:
    """A use of the link that fails at its end."""
    with contextlib.suppress(ConnectionError):
        async with link.open():
            yield
            raise ConnectionError


async def test_what_fails_together_turns_away_once(channels: Channels, held: Svid) -> None:
    """Configuration and registration share a channel: when the server dies, both fail."""
    link = Link(lambda: ("one:1", "two:2", "three:3"), held)
    async with failing(link):
        async with failing(link):
            assert channels.opened == ["one:1"]
        async with link.open():  # the first that failed has turned
            assert channels.opened == ["one:1", "two:2"]
            assert link.address == "two:2"
    async with link.open():
        assert channels.opened[-1] == "two:2"


async def test_a_renewed_certificate_stays_with_its_server(channels: Channels, held: Svid) -> None:
    link = Link(lambda: ("one:1", "two:2"), held)
    async with failing(link):
        pass
    async with link.open():
        link.present(held)
        async with link.open():
            pass
    assert channels.opened == ["one:1", "two:2", "two:2"]


async def test_who_is_cancelled_turns_nobody_away(channels: Channels, held: Svid) -> None:
    import asyncio

    link = Link(lambda: ("one:1", "two:2"), held)
    with contextlib.suppress(asyncio.CancelledError):
        async with link.open():
            raise asyncio.CancelledError
    async with link.open():
        pass
    assert channels.opened == ["one:1", "one:1"]


def local(state: Path, xds: str) -> None:
    state.mkdir(exist_ok=True)
    info = ServerInfo(pid=1, version="", trust_domain="", roles=("xds",), xds=xds)
    (state / "server.json").write_bytes(msgspec.json.encode(info))


def test_servers_are_remembered_and_the_one_of_this_host_stands_in_front(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert servers.addresses(state) == ()
    assert servers.addresses(state, "before:1") == ("before:1",)
    servers.remember(state, ("b:1", "a:1"))
    assert servers.addresses(state) == ("b:1", "a:1")
    assert servers.addresses(state, "before:1") == ("b:1", "a:1", "before:1")
    local(state, "a:1")
    assert servers.addresses(state, "a:1") == ("a:1", "b:1")
    local(state, "a:2")
    servers.remember(state, ("a:2",))
    assert servers.addresses(state) == ("a:2",)
    file = state / "agent" / "servers.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b'{"format":1,"xds":5}', b"\xff"])
def test_a_list_that_cannot_be_read_says_nothing(tmp_path: Path, content: bytes) -> None:
    servers.remember(tmp_path, ("a:1",))
    (tmp_path / "agent" / "servers.json").write_bytes(content)
    assert servers.addresses(tmp_path, "last:1") == ("last:1",)
    servers.remember(tmp_path, ("b:1",))
    assert servers.addresses(tmp_path) == ("b:1",)


def test_an_empty_list_takes_nothing_away_and_a_long_one_is_cut(tmp_path: Path) -> None:
    servers.remember(tmp_path, ("a:1",))
    servers.remember(tmp_path, ())
    assert servers.addresses(tmp_path) == ("a:1",)
    servers.remember(tmp_path, (f"a:{i}" for i in range(1000)))
    assert len(servers.addresses(tmp_path)) == servers.MOST
