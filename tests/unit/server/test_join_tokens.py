"""Join tokens: what is given, what is kept, and what counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from argosy.identity import issuer as issuers
from argosy.identity.authority import Authority, open_authority
from argosy.runtime.certificates import pem
from argosy.runtime.errors import Failure
from argosy.server.join_tokens import RESOURCE, JoinToken, JoinTokens, NoToken, parse
from argosy.store.memory import MemoryStore


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return open_authority(tmp_path / "ca", "cluster.local")


class Mesh:
    def __init__(self, authority: Authority) -> None:
        self.now = 1_000_000.0
        self.store = MemoryStore()
        self.tokens = JoinTokens(self.store, lambda: self.now)
        self.root = authority.bundle

    async def token(self, seconds: float = 600) -> JoinToken:
        return (await self.tokens.create(seconds, self.root))[0]


@pytest.fixture
def mesh(authority: Authority) -> Mesh:
    return Mesh(authority)


async def test_a_token_goes_by_its_text_and_counts_once(mesh: Mesh) -> None:
    given = parse((await mesh.token()).text + "\n", "a file")
    assert given.root == mesh.root, "who holds it knows whom to trust"
    await mesh.tokens.use(given.id, given.secret, "second")
    with pytest.raises(NoToken, match=r"was used by second at 1970-01-12 13:46:40 UTC"):
        await mesh.tokens.use(given.id, given.secret, "third")


async def test_while_one_root_takes_the_place_of_another_a_token_carries_both(mesh: Mesh) -> None:
    other, _ = issuers.new_root("td", 1_800_000_000.0)
    mesh.root += pem(other)
    assert parse((await mesh.token()).text, "a file").root == mesh.root


async def test_the_store_holds_no_secret(mesh: Mesh) -> None:
    token = await mesh.token()
    (stored,) = (await mesh.store.list(RESOURCE)).items
    assert token.secret.encode() not in stored.body
    assert token.id == stored.key.name


@pytest.mark.parametrize(
    ("id", "secret", "later", "says"),
    [
        ("", "", 0, "not known here"),
        ("the id", "", 0, "not known here"),
        ("the id", "wrong", 0, "not known here"),
        ("the id", "\udcff\x00", 0, "not known here"),
        ("0" * 12, "the secret", 0, "not known here"),
        ("../../secrets", "the secret", 0, "not known here"),
        ("the id", "the secret", 601, "ended at 1970-01-12 13:56:40 UTC"),
        ("the id", "wrong", 601, "not known here"),
    ],
)
async def test_what_does_not_count(mesh: Mesh, id: str, secret: str, later: float, says: str) -> None:
    token = await mesh.token()
    mesh.now += later
    with pytest.raises(NoToken, match=says):
        await mesh.tokens.use(id.replace("the id", token.id), secret.replace("the secret", token.secret), "x")
    mesh.now -= later
    await mesh.tokens.use(token.id, token.secret, "second")  # it was not used up


async def test_of_two_that_use_it_at_once_one_has_it(mesh: Mesh) -> None:
    token = await mesh.token()
    found = await asyncio.gather(
        *(mesh.tokens.use(token.id, token.secret, name) for name in "abcdefgh"), return_exceptions=True
    )
    assert [type(one) for one in found].count(type(None)) == 1
    assert all(one is None or isinstance(one, NoToken) for one in found)


async def test_tokens_that_ended_long_ago_are_forgotten(mesh: Mesh) -> None:
    old = await mesh.token()
    mesh.now += 600 + 23 * 3600
    newer = await mesh.token()
    assert {one.key.name for one in (await mesh.store.list(RESOURCE)).items} == {old.id, newer.id}
    mesh.now += 2 * 3600
    newest = await mesh.token()
    assert {one.key.name for one in (await mesh.store.list(RESOURCE)).items} == {newer.id, newest.id}


async def test_a_token_ends_within_a_week_whatever_was_asked(mesh: Mesh) -> None:
    _, expires = await mesh.tokens.create(1e12, mesh.root)
    assert expires == mesh.now + 7 * 24 * 3600


@pytest.mark.parametrize("broken", ["", "x", "nothing of it", "cut", "other version", "other root", "long"])
async def test_a_text_that_is_no_token_says_what_to_take(mesh: Mesh, broken: str) -> None:
    text = (await mesh.token()).text
    prefix, id, secret, root = text.split(".")
    wrong = {
        "cut": text[: len(text) // 2],
        "other version": text.replace("argosy-join-1", "argosy-join-2"),
        "other root": ".".join((prefix, id, secret, root[:-40] + "A" * 40)),
        "long": text + "A" * 20_000,
    }.get(broken, broken)
    with pytest.raises(Failure, match="some file holds no join token") as failure:
        parse(wrong, "some file")
    assert "argosy join-token" in failure.value.remedy
    assert secret not in str(failure.value)


async def test_what_the_store_holds_can_be_read_by_programs(mesh: Mesh) -> None:
    await mesh.token()
    (stored,) = (await mesh.store.list(RESOURCE)).items
    assert set(msgspec.json.decode(stored.body)) == {"sha256", "expires", "used_at", "used_by"}
