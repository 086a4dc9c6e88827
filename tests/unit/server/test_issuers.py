"""The whole server with an issuer beside it: keys are fetched, kept over restarts, and failures are told on objects."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from argosy.model.tokens import KeySource
from argosy.resources import key_sets
from argosy.server.process import ControlPlane
from argosy.server.settings import Settings
from tests.issuer import Issuer, found, serving
from tests.tokens import key, key_set
from tests.unit.server import whole_server
from tests.unit.server.whole_server import api, settings

POLICIES = "/apis/security.istio.io/v1/namespaces/default/requestauthentications"
ONE, TWO = key("ES256", "one"), key("EdDSA", "two")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving() as one:
        one.publish(ONE)
        yield one


def chosen(state: Path, **changes: Any) -> Settings:
    here = (ipaddress.ip_network("127.0.0.0/8"),)
    return settings(state, **({"jwks_allow": here, "jwks_refresh": 0.2} | changes))


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with whole_server.serving(chosen(tmp_path / "state")) as running:
        yield running


def policy(name: str, **rule: str) -> dict[str, Any]:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"jwtRules": [rule]},
    }


async def until(condition: Callable[[], object], what: str) -> None:
    await whole_server.until(condition, what, 20)


def served(plane: ControlPlane, uri: str, *, discovers: bool = False) -> str:
    return plane.reconciler.snapshot.request_authentications.key_set(KeySource(uri, discovers))


def text(*keys: Any) -> str:
    return key_sets.read(key_set(*keys)).text


async def condition(client: httpx.AsyncClient, name: str, reason: str, says: str = "") -> dict[str, Any]:
    """The condition ResolvedRefs, once it has that reason and says so."""
    last: Any = None
    for _ in range(400):
        last = (await client.get(f"{POLICIES}/{name}")).json().get("status", {})
        for one in last.get("conditions", []):
            if (one["type"], one["reason"]) == ("ResolvedRefs", reason) and says in one["message"]:
                return dict(one)
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name}: not {reason} within 20 s; last: {last}")


async def test_keys_are_fetched_by_either_way_and_rotate(plane: ControlPlane, issuer: Issuer) -> None:
    async with api(plane) as client:
        for body in (
            policy("direct", issuer="a", jwksUri=f"{issuer.url}/keys"),
            policy("found", issuer=issuer.url),
        ):
            assert (await client.post(POLICIES, json=body)).status_code == 201
        openid = f"{issuer.url}/.well-known/openid-configuration"
        for keys in ((ONE,), (ONE, TWO), (TWO,)):
            issuer.publish(*keys)
            wanted = text(*keys)
            await until(lambda wanted=wanted: served(plane, f"{issuer.url}/keys") == wanted, "direct")  # type: ignore[misc]
            await until(lambda wanted=wanted: served(plane, openid, discovers=True) == wanted, "found")  # type: ignore[misc]
        assert (await condition(client, "direct", "ResolvedRefs"))["status"] == "True"


async def test_a_lie_is_told_and_the_last_good_keys_hold(plane: ControlPlane, issuer: Issuer) -> None:
    uri = f"{issuer.url}/keys"
    async with api(plane) as client:
        assert (await client.post(POLICIES, json=policy("a", issuer="a", jwksUri=uri))).status_code == 201
        await until(lambda: served(plane, uri) == text(ONE), "the keys are there")
        issuer.answers["/keys"] = found('{"keys": [{"kty": "oct", "k": "YQ"}]}')
        told = await condition(client, "a", "KeysNotFetched", "symmetric")
        assert told["status"] == "False"
        assert "the last good ones hold" in told["message"]
        assert served(plane, uri) == text(ONE)
        metrics = (await client.get(f"{plane.info.status}/metrics")).text
        assert "argosy_jwks_failing 1" in metrics
        assert "argosy_jwks_missing 0" in metrics
        issuer.publish(TWO)
        await until(lambda: served(plane, uri) == text(TWO), "the truth is taken again")
        assert (await condition(client, "a", "ResolvedRefs"))["status"] == "True"


async def test_an_issuer_that_is_gone_survives_restarts(tmp_path: Path, issuer: Issuer) -> None:
    state, uri = tmp_path / "state", f"{issuer.url}/keys"
    async with whole_server.serving(chosen(state)) as plane, api(plane) as client:
        assert (await client.post(POLICIES, json=policy("a", issuer="a", jwksUri=uri))).status_code == 201
        await until(lambda: served(plane, uri), "the keys are there")
    issuer.answers.clear()
    async with whole_server.serving(chosen(state)) as plane, api(plane) as client:
        assert served(plane, uri) == text(ONE), "from the first moment"
        await condition(client, "a", "KeysNotFetched", "is answered by 404")
        assert (await client.delete(f"{POLICIES}/a")).status_code == 200
        await until(lambda: not served(plane, uri), "what nobody names is forgotten")


async def test_the_loopback_is_refused_unless_it_is_allowed(tmp_path: Path, issuer: Issuer) -> None:
    refusing = chosen(tmp_path / "state", jwks_allow=())
    async with whole_server.serving(refusing) as plane, api(plane) as client:
        body = policy("a", issuer="a", jwksUri=f"{issuer.url}/keys")
        assert (await client.post(POLICIES, json=body)).status_code == 201
        await condition(client, "a", "KeysNotFetched", "--jwks-allow 127.0.0.1")
        assert issuer.asked == []


async def test_what_was_fetched_is_none_of_the_api(plane: ControlPlane, issuer: Issuer) -> None:
    uri = f"{issuer.url}/keys"
    async with api(plane) as client:
        assert (await client.post(POLICIES, json=policy("a", issuer="a", jwksUri=uri))).status_code == 201
        await until(lambda: served(plane, uri), "the keys are there")
        for path in ("/apis/internal/v1/keysets", "/api/v1/keysets", "/internal/keysets"):
            assert (await client.get(path)).status_code == 404
