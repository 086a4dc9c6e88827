"""A host that joined: what it keeps, how it proves itself since, and what it says where it cannot."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from argosy.agent import joined, servers
from argosy.identity.client import Refused, Unreachable
from argosy.identity.host_token import HostToken
from argosy.runtime.errors import Failure
from argosy.runtime.paths import other_server, use_server
from tests.ports import free_port
from tests.unit.identity.attesting_lab import Running


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path / "server")
    await running.start()
    yield running
    for one in running.servers:
        await one.stop(None)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "host"


class Token(HostToken, frozen=True):
    """The lab's server takes this text for the token of vm-1."""

    @property
    def proof(self) -> str:
        return "good"


def token(server: Running) -> HostToken:
    return Token("0" * 12, "vm-1", "s", server.authority.bundle, server.ca)


async def test_a_host_joins_with_a_token_and_has_a_certificate_since(server: Running, state: Path) -> None:
    use_server(state, "/run/other.sock")
    found = await joined.with_token(state, server.ca, token(server), "10.0.0.2")
    assert joined.load(state) == found
    assert (found.host, found.address) == ("vm-1", "10.0.0.2")
    assert not other_server(state).exists()
    assert servers.addresses(state) == (server.xds,)
    for file in (joined.svid_file(state), state / "agent" / "joined.json"):
        assert file.stat().st_mode & 0o777 == 0o600
    proof = await joined.prove(state, found)
    assert (proof.address, bool(proof.chain)) == (server.xds, True)


async def test_without_an_address_it_is_the_one_that_leads_to_the_server(
    server: Running, state: Path
) -> None:
    assert (await joined.with_token(state, server.ca, token(server), "")).address == "127.0.0.1"
    assert joined.address_towards("[::1]:1") in ("::1", "")
    assert joined.address_towards("no.such.host.invalid:1") == ""


async def test_a_certificate_that_has_ended_or_is_lost_says_how_there_is_one_again(
    server: Running, state: Path
) -> None:
    found = await joined.with_token(state, server.ca, token(server), "")
    file = joined.svid_file(state)
    held = json.loads(file.read_bytes())
    file.write_text(json.dumps(held | {"not_after": 1.0}))
    with pytest.raises(Failure, match="vm-1 ended at 1970") as raised:
        await joined.prove(state, found)
    assert "argosy token create --host vm-1" in raised.value.remedy
    file.unlink()
    with pytest.raises(Failure, match="is lost"):
        await joined.prove(state, found)


def test_what_was_kept_and_cannot_be_read_is_told(state: Path) -> None:
    assert joined.load(state) is None
    (state / "agent").mkdir(parents=True)
    (state / "agent" / "joined.json").write_text("{")
    with pytest.raises(Failure, match="damaged"):
        joined.load(state)
    (state / "agent" / "joined.json").write_text('{"format": 9, "ca": "", "trust_domain": "", "bundle": ""}')
    with pytest.raises(Failure, match="newer version"):
        joined.load(state)


async def with_attestor(server: Running, state: Path, folder: Path, ca: str = "") -> joined.Joined:
    (folder / "token").write_text("good")
    given = {"file": str(folder / "token")}
    bundle = server.authority.bundle
    return await joined.with_attestor(state, ca or server.ca, bundle, "k8s", "jwt", given, "")


async def test_with_an_attestor_the_proof_is_made_anew_each_time(
    server: Running, state: Path, tmp_path: Path
) -> None:
    found = await with_attestor(server, state, tmp_path)
    assert not found.host
    assert not joined.svid_file(state).exists()
    assert (await joined.prove(state, found)).answer.token
    (tmp_path / "token").write_text("bad")
    with pytest.raises(Refused, match="not proven"):
        await joined.prove(state, found)


async def test_while_one_server_is_away_another_takes_the_proof(
    server: Running, state: Path, tmp_path: Path
) -> None:
    away = f"127.0.0.1:{free_port()}"
    found = joined.Joined(
        attestor="k8s",
        type="jwt",
        parameters={"file": str(tmp_path / "token")},
        ca=away,
        cas=(away, server.ca),
        trust_domain="cluster.local",
        bundle=server.authority.bundle,
    )
    (tmp_path / "token").write_text("good")
    (state / "agent").mkdir(parents=True)
    assert (await joined.prove(state, found)).address == server.ca


async def test_who_cannot_join_hears_why(server: Running, state: Path, tmp_path: Path) -> None:
    stranger = Running(tmp_path / "stranger")
    await stranger.start()
    try:
        with pytest.raises(Failure, match="told nothing"):
            await joined.with_token(state, stranger.ca, token(server), "")
    finally:
        for one in stranger.servers:
            await one.stop(None)
    with pytest.raises(Failure, match="not taken yet") as raised:
        await joined.with_token(state, f"127.0.0.1:{free_port()}", token(server), "")
    assert "CA port" in raised.value.remedy
    server.registrations.clear()
    with pytest.raises(Failure, match="does not let this host in") as raised:
        await joined.with_token(state, server.ca, token(server), "")
    assert "argosy token create --host vm-1" in raised.value.remedy
    assert joined.load(state) is None
    assert not isinstance(raised.value, Unreachable)
