"""Key sets: what proxies get of one, what is passed over, and what refuses it as a whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from argosy.resources import key_sets
from tests.tokens import Key, base64url, key, key_set, number

Json = dict[str, Any]
RSA, EC, ED = key("RS256", "r").jwk, key("ES256", "e").jwk, key("EdDSA", "o").jwk


def written(*keys: Json) -> str:
    return json.dumps({"keys": keys})


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_keys_of_every_algorithm_of_proxies_are_taken(alg: str) -> None:
    made = Key(alg, "a")
    found = key_sets.read(written({**made.jwk, "alg": alg, "use": "sig"}))
    assert (found.keys, found.told) == (1, ())
    assert json.loads(found.text)["keys"] == [made.jwk | {"alg": alg}]


def test_one_key_alone_is_a_set() -> None:
    assert key_sets.read(json.dumps(EC)).text == key_sets.read(written(EC)).text


def test_what_is_given_on_does_not_depend_on_how_it_was_written() -> None:
    spaced = json.dumps({"more": 1, "keys": [{**dict(reversed(EC.items())), "x5t": "a"}]}, indent=4)
    assert key_sets.read(spaced).text == key_sets.read(written(EC)).text
    padded = {**ED, "x": ED["x"] + "="}
    assert key_sets.read(written(padded)).text == key_sets.read(written(ED)).text


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"kty": "new"}, "is of kind 'new'"),
        ({**RSA, "use": "enc"}, "is for 'enc'"),
        ({**RSA, "key_ops": ["encrypt"]}, "is not for verifying"),
        ({**RSA, "alg": "RSA-OAEP"}, "is for 'RSA-OAEP'"),
        ({**RSA, "e": "Aw"}, ""),
        ({**RSA, "e": "BQ"}, "exponent"),
        ({**EC, "crv": "secp256k1"}, "is on the curve 'secp256k1'"),
        ({**ED, "crv": "X25519"}, "is on the curve 'X25519'"),
    ],
)
def test_what_is_not_understood_is_passed_over_and_told(other: Json, why: str) -> None:
    other = {**other, "kid": "other"}
    found = key_sets.read(written(other, EC))
    assert found.keys == (1 if why else 2)
    assert all("key 0 ('other')" in told and why in told for told in found.told)
    assert bool(found.told) == bool(why)


def test_a_set_of_nothing_that_can_be_used_has_no_keys() -> None:
    assert key_sets.read('{"keys": []}').keys == 0
    assert key_sets.read(written({"kty": "new"})).keys == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("<html>", "is not JSON"),
        ("[]", "is not a JSON Web Key Set"),
        ("1", "is not a JSON Web Key Set"),
        ("{}", "is not a JSON Web Key Set"),
        ('{"keys": {}}', "is not a JSON Web Key Set"),
        ('{"keys": [1]}', "is not a JSON Web Key Set"),
        ('{"keys": [{}]}', "is not a JSON Web Key Set"),
        ('{"keys": [], "keys": []}', "twice"),
        ('{"keys": [NaN]}', "NaN"),
        ("[" * 100_000, "nested too deeply"),
        (written({"kty": "oct", "k": "YQ"}), "is a symmetric key"),
        (written({**EC, "d": "YQ"}), "is a private key"),
        (written({**RSA, "p": "YQ"}), "is a private key"),
        (written(EC, {**key("ES384").jwk, "d": "YQ"}), "key 1"),
        (written({**EC, "kid": 1}), "kid"),
        (written({**EC, "y": EC["x"]}), "is no point on P-256"),
        (written({**EC, "x": number(2**256 - 1)}), "is no point"),
        (written({**EC, "x": "?"}), "is not base64url"),
        (written({**EC, "x": ""}), "has no member x"),
        (written({**EC, "alg": "ES384"}), "is for ES384"),
        (written({"kty": "RSA", "e": "AQAB"}), "has no member n"),
        (written({**RSA, "n": number(2**512 + 1)}), "513 bits"),
        (written({**RSA, "n": number(2**2048)}), "even"),
        (written({**RSA, "n": base64url(b"\xff" * 3000)}), "24000 bits"),
        (written({**ED, "x": base64url(b"short")}), "32 bytes"),
        (written(EC, {**key("ES256").jwk, "kid": "e"}), "the name of another key"),
        (written(*[EC] * 101), "101 keys"),
        (" " * (key_sets.MOST_BYTES + 1), "larger"),
    ],
)
def test_what_is_wrong_refuses_the_set(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        key_sets.read(text)
    assert why in str(refused.value)


def test_the_same_key_twice_is_one() -> None:
    assert key_sets.read(written(EC, EC)).keys == 1
    assert key_sets.read(written({**RSA, "alg": "RS256"}, {**RSA, "alg": "RS512"})).keys == 2


def test_weak_keys_are_told() -> None:
    found = key_sets.read(key_set(Key("RS256", "w", bits=1024)))
    assert found.keys == 1
    (told,) = found.told
    assert "1024 bits" in told
