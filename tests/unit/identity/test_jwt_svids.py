"""JWT-SVIDs: keys that are public before they sign and for as long as they may matter, and what validation refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from argosy.agent.jwt_tokens import validated
from argosy.identity import jwt_svids
from argosy.identity.attestors import Unproven, tokens
from argosy.identity.jwt_svids import LIFETIME, PREPARE, SIGNS_FOR, JwtKeys, jwks
from argosy.runtime.certificates import DAY
from argosy.runtime.errors import Failure
from argosy.server.jwt_keys import RESOURCE, PublishedKeys
from argosy.store.memory import MemoryStore
from tests.unit.identity.attestor_lab import NOW, Issuer, unsigned
from tests.unit.identity.conftest import Clock

WHO = "spiffe://cluster.local/ns/shop/sa/reviews"


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> JwtKeys:
    return JwtKeys(tmp_path, clock)


def bundle(*held: JwtKeys, now: float = NOW) -> dict[str, str]:
    return {"cluster.local": jwks((key for one in held for key in one.public()), now)}


def test_a_token_says_who_for_whom_and_until_when(keys: JwtKeys) -> None:
    made = keys.sign(WHO, ["shop", "bank", "shop"])
    head = tokens.header(made.token)
    assert (head["alg"], head["typ"], set(head)) == ("ES256", "JWT", {"alg", "typ", "kid"})
    assert made.expires_at == NOW + LIFETIME
    claims = validated(made.token, "bank", bundle(keys), NOW)
    assert claims == {"sub": WHO, "aud": ["shop", "bank"], "iat": int(NOW), "exp": int(NOW) + LIFETIME}


@pytest.mark.parametrize("audience", [[], [""], ["a"] * 9, ["x" * 600], ["a\n"]])
def test_an_audience_that_is_none_is_not_signed_for(keys: JwtKeys, audience: list[str]) -> None:
    with pytest.raises(ValueError, match="audience"):
        keys.sign(WHO, audience)


def test_keys_are_private_and_stay_over_restarts(keys: JwtKeys, tmp_path: Path, clock: Clock) -> None:
    assert (tmp_path / "jwt.json").stat().st_mode & 0o777 == 0o600
    assert JwtKeys(tmp_path, clock).keys == keys.keys
    assert "d" not in keys.public()[0].jwk
    (tmp_path / "jwt.json").chmod(0o644)
    with pytest.raises(Failure, match="read by others"):
        JwtKeys(tmp_path, clock)
    (tmp_path / "jwt.json").chmod(0o600)
    (tmp_path / "jwt.json").write_text("{")
    with pytest.raises(Failure, match="damaged"):
        JwtKeys(tmp_path, clock)


def test_a_key_is_public_before_it_signs_and_until_nothing_of_it_lives(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every moment of three lives of a key: what is signed then is valid by what was published ten minutes before,
    and by what is published for as long as it lives."""
    life = 4 * DAY
    monkeypatch.setattr(jwt_svids, "SIGNS_FOR", life)
    keys = JwtKeys(tmp_path, clock)
    published: list[tuple[float, str]] = []
    signed: list[tuple[float, str]] = []
    published.append((clock.now, bundle(keys, now=clock.now)["cluster.local"]))
    begin = clock.now
    while clock.now < begin + 3 * life:
        keys.renew_if_due()
        published.append((clock.now, bundle(keys, now=clock.now)["cluster.local"]))
        signed.append((clock.now, keys.sign(WHO, ["a"]).token))
        clock.now += 250
    kids = {tokens.header(token)["kid"] for _, token in signed}
    assert len(kids) >= 3
    known = {at: {key["kid"] for key in json.loads(text)["keys"]} for at, text in published}
    times = sorted(known)
    for at, token in signed[::3]:
        kid = tokens.header(token)["kid"]
        around = [t for t in times if max(begin, at - PREPARE + 250) <= t <= at + LIFETIME]
        assert all(kid in known[t] for t in around), (at - begin, kid)
    assert max(len(one) for one in known.values()) == 2


def test_a_server_that_was_off_for_long_makes_a_key_that_signs_at_once(tmp_path: Path, clock: Clock) -> None:
    JwtKeys(tmp_path, clock)
    clock.now += 2 * SIGNS_FOR
    assert JwtKeys(tmp_path, clock).sign(WHO, ["a"]).token


STRANGER = Issuer("kid")


def _claims(**more: Any) -> dict[str, Any]:
    return {"sub": WHO, "aud": ["shop"], "iss": None, **more}


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("x", "three parts"),
        (unsigned({"sub": WHO, "aud": ["shop"], "exp": NOW + 9}, {"alg": "none"}), "algorithm"),
        (Issuer("kid").token(**_claims()), "signature"),
        (Issuer("other").token(**_claims()), "no key"),
        (STRANGER.token(**_claims(aud=["bank"])), "not for 'shop'"),
        (STRANGER.token(**_claims(exp=NOW - 100)), "ended"),
        (STRANGER.token(**_claims(exp=None)), "never ends"),
        (STRANGER.token(**_claims(sub="me")), "no SPIFFE ID"),
        (STRANGER.token(**_claims(sub=None)), "no SPIFFE ID"),
        (STRANGER.token(**_claims(sub="spiffe://elsewhere/ns/a/sa/b")), "no SPIFFE ID"),
        (STRANGER.token({"typ": "at+jwt"}, **_claims()), "typ"),
    ],
    ids=[
        "garbage",
        "none",
        "forged",
        "unknown key",
        "audience",
        "ended",
        "endless",
        "no id",
        "no sub",
        "domain",
        "typ",
    ],
)
def test_what_is_not_valid(token: str, reason: str) -> None:
    bundles = {"cluster.local": STRANGER.jwks(use="jwt-svid")}
    assert validated(STRANGER.token(**_claims()), "shop", bundles, NOW)
    with pytest.raises(Unproven, match=reason):
        validated(token, "shop", bundles, NOW)


def test_a_key_of_one_trust_domain_speaks_for_no_other(keys: JwtKeys) -> None:
    bundles = {"partner": STRANGER.jwks(use="jwt-svid"), **bundle(keys)}
    with pytest.raises(Unproven):
        validated(STRANGER.token(**_claims()), "shop", bundles, NOW)
    assert validated(STRANGER.token(**_claims(sub="spiffe://partner/x")), "shop", bundles, NOW)


async def test_the_bundle_has_the_keys_of_all_servers_that_still_matter(tmp_path: Path, clock: Clock) -> None:
    store = MemoryStore()
    servers = [PublishedKeys(store, name, clock) for name in "ab"]
    for server in servers:
        (tmp_path / server.server).mkdir()
        server.keys = JwtKeys(tmp_path / server.server, clock)
        await server.publish()
    elsewhere = PublishedKeys(store, "c", clock)  # one that signs nothing
    for server in servers:
        assert server.keys is not None
        token = server.keys.sign(WHO, ["shop"]).token
        assert validated(token, "shop", {"cluster.local": await elsewhere.bundle()}, NOW)
    stored = b"".join([one.body for one in (await store.list(RESOURCE)).items])
    assert b"PRIVATE" not in stored
    clock.now += SIGNS_FOR + LIFETIME + 1  # both were off since
    assert json.loads(await elsewhere.bundle()) == {"keys": []}
