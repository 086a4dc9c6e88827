"""Join tokens of hosts: bound to a host, used once, kept hashed; and Attestor objects as they are stored."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from argosy.identity.attestors import Unproven
from argosy.identity.host_token import HostToken, parse
from argosy.runtime.errors import Failure
from argosy.server.attestors import RESOURCE, Attestors
from argosy.server.host_tokens import RESOURCE as TOKENS
from argosy.server.host_tokens import HostTokens
from argosy.store.base import Key
from argosy.store.memory import MemoryStore
from tests.unit.identity.attestor_lab import ISSUER, NOW, Issuer, Pki

ROOT = Pki("Root CA").pem
PEER = "ipv4:192.0.2.1:7"


class World:
    def __init__(self) -> None:
        self.now = NOW
        self.store = MemoryStore()
        self.tokens = HostTokens(self.store, lambda: self.now)
        self.attestors = Attestors(self.store, self.tokens, lambda: self.now)

    async def token(self, host: str = "vm-1", seconds: float = 3600) -> HostToken:
        return (await self.tokens.create(host, seconds, ROOT, "192.0.2.9:15013"))[0]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_token_proves_its_host_once_and_both_uses_are_logged(world: World) -> None:
    token = await world.token()
    with capture_logs() as logs:
        proven = await world.tokens.use(token.proof, PEER)
    assert proven.selectors == (f"join-token:id={token.id}", "host:name=vm-1")
    assert proven.host == "vm-1"
    assert [line["peer"] for line in logs] == [PEER]
    with pytest.raises(Unproven, match=f"by {PEER}, and now again by ipv4:203.0.113.5:1"):
        await world.tokens.use(token.proof, "ipv4:203.0.113.5:1")
    assert token.secret not in str(logs)


async def test_the_store_holds_no_secret(world: World) -> None:
    token = await world.token()
    stored = (await world.store.list(TOKENS)).items
    assert len(stored) == 1
    assert token.secret.encode() not in stored[0].body


async def test_of_two_that_use_it_at_once_one_is_let_in(world: World) -> None:
    token = await world.token()
    read = world.store.get
    interfered = False

    async def meanwhile(key: Key) -> Any:
        nonlocal interfered
        found = await read(key)
        if not interfered:
            interfered = True
            await world.tokens.use(token.proof, "first")
        return found

    world.store.get = meanwhile  # type: ignore[method-assign]
    with pytest.raises(Unproven, match="at the same moment"):
        await world.tokens.use(token.proof, "second")


@pytest.mark.parametrize("proof", ["", ".", "abc", "0123456789ab.x", "../x.y", "ä.ö"])
async def test_what_is_no_token_proves_nothing(world: World, proof: str) -> None:
    await world.token()
    with pytest.raises(Unproven, match="not known"):
        await world.tokens.use(proof, PEER)


async def test_a_token_of_a_host_that_nobody_knows_is_not_used_up(world: World) -> None:
    token = await world.token()
    world.tokens.problem = lambda host: f"nobody knows {host}"
    with pytest.raises(Unproven, match="not used up: nobody knows vm-1"):
        await world.tokens.use(token.proof, PEER)
    world.tokens.problem = lambda _: ""
    assert await world.tokens.use(token.proof, PEER)


async def test_a_wrong_secret_proves_nothing_and_uses_nothing_up(world: World) -> None:
    token = await world.token()
    with pytest.raises(Unproven, match="not known"):
        await world.tokens.use(f"{token.id}.{token.secret[:-1]}", PEER)
    assert await world.tokens.use(token.proof, PEER)


async def test_a_token_ends_and_can_be_deleted_and_is_listed_without_its_secret(world: World) -> None:
    ended, deleted, used = await world.token("a", 60), await world.token("b"), await world.token("c")
    await world.tokens.use(used.proof, PEER)
    world.now += 61
    with pytest.raises(Unproven, match="ended at"):
        await world.tokens.use(ended.proof, PEER)
    assert await world.tokens.delete(deleted.id)
    assert not await world.tokens.delete(deleted.id)
    with pytest.raises(Unproven, match="not known"):
        await world.tokens.use(deleted.proof, PEER)
    listed = await world.tokens.all()
    assert {(one.host, one.state) for one in listed} == {("a", "ended"), ("c", "used")}
    assert used.secret not in msgspec.json.encode(listed).decode()
    world.now += 8 * 24 * 3600
    await world.token("d")
    assert [one.host for one in await world.tokens.all()] == ["d"]


async def test_a_token_carries_the_roots_the_host_and_where_to_go(world: World) -> None:
    token = HostToken("0" * 12, "vm-1", "s", ROOT + Pki("Next").pem, "[2001:db8::1]:15013")
    assert parse(f" {token.text}\n", "x") == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "argosy-join-1.a.b.c",
        "argosy-host-1." + "0" * 12 + ".h.s.YQ==.x",
        "argosy-host-1." + "0" * 12 + ".h.s.YQ==." + base64.urlsafe_b64encode(b"no").decode(),
        "a" * 40_000,
    ],
)
def test_a_text_that_is_no_token_is_told(text: str) -> None:
    with pytest.raises(Failure, match="the file is no join token"):
        parse(text, "the file")


# --- Attestor objects -------------------------------------------------------------------------------------------------


def attestor(name: str, namespace: str = "istio-system", **jwt: Any) -> tuple[Key, bytes]:
    spec = {"type": "jwt", "jwt": {"issuer": ISSUER, "audiences": ["argosy"]} | jwt}
    body = {
        "apiVersion": "identity.argosy.dev/v1",
        "kind": "Attestor",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    return Key(RESOURCE, namespace, name), msgspec.json.encode(body)


async def test_an_attestor_speaks_under_its_own_name_for_as_long_as_it_is_there(world: World) -> None:
    one, two = Issuer(), Issuer()
    key, body = attestor("nomad", jwks=one.jwks())
    await world.store.create(key, body)
    await world.attestors.load()
    proven = await world.attestors.verify("nomad", one.token(), "", PEER)
    assert "nomad:sub=me" in proven.selectors
    assert not proven.host
    await world.store.update(*attestor("nomad", jwks=two.jwks()))
    await world.attestors.load()
    with pytest.raises(Unproven, match="signature"):
        await world.attestors.verify("nomad", one.token(), "", PEER)
    await world.store.delete(key)
    await world.attestors.load()
    with pytest.raises(Unproven, match="there is no Attestor"):
        await world.attestors.verify("nomad", two.token(), "", PEER)


@pytest.mark.parametrize(
    ("name", "namespace"), [("nomad", "shop"), ("unix", "istio-system"), ("host", "istio-system")]
)
async def test_an_attestor_elsewhere_or_of_a_reserved_name_proves_nothing(
    world: World, name: str, namespace: str
) -> None:
    issuer = Issuer()
    await world.store.create(*attestor(name, namespace, jwks=issuer.jwks()))
    await world.attestors.load()
    with pytest.raises(Unproven, match="there is no Attestor"):
        await world.attestors.verify(name, issuer.token(), "", PEER)


async def test_an_attestor_that_cannot_be_made_proves_nothing_and_says_why(world: World) -> None:
    await world.store.create(*attestor("nomad", jwks="{"))
    await world.attestors.load()
    with pytest.raises(Unproven, match="Attestor istio-system/nomad is of no use"):
        await world.attestors.verify("nomad", Issuer().token(), "", PEER)


async def test_the_secret_of_a_cluster_is_read_when_it_is_needed(world: World) -> None:
    body = {
        "apiVersion": "identity.argosy.dev/v1",
        "kind": "Attestor",
        "metadata": {"name": "k8s", "namespace": "istio-system"},
        "spec": {
            "type": "kubernetes",
            "kubernetes": {"audiences": ["a"], "server": "https://127.0.0.1:1", "credentialName": "reviewer"},
        },
    }
    await world.store.create(Key(RESOURCE, "istio-system", "k8s"), msgspec.json.encode(body))
    await world.attestors.load()
    with pytest.raises(Unproven, match="has no token"):
        await world.attestors.verify("k8s", Issuer().token(), "", PEER)
    secret = {"data": {"token": base64.b64encode(b"abc").decode()}}
    await world.store.create(Key("/secrets", "istio-system", "reviewer"), msgspec.json.encode(secret))
    with pytest.raises(Unproven, match="does not review"):
        await world.attestors.verify("k8s", Issuer().token(), "", PEER)
