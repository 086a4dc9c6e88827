"""RequestAuthentication in real Envoy, with real tokens: which are taken, which are not and why, and what the
application sees of them. One sidecar whose policies change; each test says what holds in it."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from argosy.model.tokens import KeySource
from tests.e2e.mesh import until
from tests.e2e.token_lab import EC, ISSUER, KEYS, RSA, STRANGER, Sidecar, claims, rule, serving
from tests.tokens import BEFORE, LATER, Key, base64url, by_secret, key, key_set, unsigned

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    with serving(tmp_path_factory.mktemp("sidecar")) as one:
        yield one


# --- which tokens are taken -----------------------------------------------------------------------------------------


ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_valid_token_is_taken(sidecar: Sidecar, alg: str) -> None:
    signed = key(alg, "one")
    sidecar.rules(rule(jwks=key_set(signed)))
    assert sidecar.answer(signed.token(claims())) == (200, "")
    assert sidecar.answer(tampered(signed.token(claims())))[0] == 401


def test_a_token_that_names_no_key_is_tried_with_each(sidecar: Sidecar) -> None:
    sidecar.rules(rule())
    unnamed = Key("ES256")
    unnamed.private = EC.private
    assert sidecar.answer(unnamed.token(claims())) == (200, "")


def test_without_a_token_a_request_passes(sidecar: Sidecar) -> None:
    sidecar.rules(rule())
    assert sidecar.answer() == (200, "")
    assert sidecar.answer(authorization="Basic YTpi") == (200, "")


def tampered(token: str, **more: Any) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{base64url(claims(sub='admin', exp=LATER, **more))}.{signature}"


def now() -> int:
    return int(time.time())


REFUSED: dict[str, tuple[Callable[[], str], int, str]] = {
    "a signature of other claims": (lambda: tampered(EC.token(claims())), 401, "Jwt verification fails"),
    "a key that is not the issuer's": (lambda: STRANGER.token(claims()), 401, "Jwks doesn't have key"),
    "a stranger's key under the name of ours": (
        lambda: Key("ES256", "ec").token(claims()), 401, "Jwt verification fails",
    ),
    "expired": (lambda: EC.token(claims(exp=BEFORE)), 401, "Jwt is expired"),
    "expired two minutes ago": (lambda: EC.token(claims(exp=now() - 120)), 401, "Jwt is expired"),
    "not yet valid": (lambda: EC.token(claims(nbf=LATER - 1)), 401, "Jwt not yet valid"),
    "of another issuer": (lambda: EC.token(claims(iss="https://other.example")), 401, "Jwt issuer is not configured"),
    "of no issuer": (lambda: EC.token({"sub": "alice"}), 401, "Jwt issuer is not configured"),
    "unsigned": (lambda: unsigned(claims()), 401, ""),
    "unsigned, in other words": (lambda: unsigned(claims(), {"alg": "NONE"}), 401, ""),
    "an algorithm that says none, with a signature": (lambda: EC.token(claims(), {"alg": "none"}), 401, ""),
    "the public key as a secret": (
        lambda: by_secret(json.dumps(RSA.jwk).encode(), claims(), "rsa"), 401, "",
    ),
    "the modulus as a secret": (lambda: by_secret(RSA.jwk["n"].encode(), claims(), "rsa"), 401, ""),
    "an algorithm of another kind of key": (lambda: EC.token(claims(), {"alg": "RS256", "kid": "rsa"}), 401, ""),
    "a key of its own in the header": (
        lambda: STRANGER.token(claims(), {"jwk": STRANGER.jwk, "kid": "ec"}), 401, "",
    ),
    "keys of its own by reference": (
        lambda: STRANGER.token(claims(), {"jku": "http://127.0.0.1:1/keys", "kid": "ec"}), 401, "",
    ),
    "one part": (lambda: "abc", 401, "Jwt is not in the form"),
    "two parts": (lambda: "abc.def", 401, "Jwt is not in the form"),
    "four parts": (lambda: EC.token(claims()) + ".abc", 401, ""),
    "five parts, as encrypted ones": (lambda: "a.b.c.d.e", 401, ""),
    "nothing between the dots": (lambda: "..", 401, ""),
    "no base64": (lambda: "a!b.c.d", 401, ""),
    "a header that is no JSON": (lambda: f"{base64url(b'x')}.{base64url(claims())}.eA", 401, ""),
    "a header that is a list": (lambda: f"{base64url(b'[]')}.{base64url(claims())}.eA", 401, ""),
    "a payload that is no JSON": (
        lambda: f"{base64url({'alg': 'ES256', 'kid': 'ec'})}.{base64url(b'{{')}.eA", 401, "",
    ),
    "a payload that is nested too deeply": (
        lambda: f"{base64url({'alg': 'ES256'})}.{base64url(b'[' * 3000 + b']' * 3000)}.eA", 401, "",
    ),
    "claims of other types": (lambda: EC.token({"iss": 1, "exp": "never"}), 401, ""),
    "an expiry that is negative": (lambda: EC.token(claims(exp=-1)), 401, ""),
    "an expiry beyond all numbers": (lambda: EC.token(claims(exp=1e300)), 401, ""),
    "no signature": (lambda: EC.token(claims()).rpartition(".")[0] + ".", 401, ""),
    "half a signature": (lambda: EC.token(claims())[:-43], 401, ""),
    "a signature of zeros": (lambda: EC.token(claims()).rpartition(".")[0] + "." + base64url(bytes(64)), 401, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_an_invalid_token_is_refused_with_the_reason(sidecar: Sidecar, case: str) -> None:
    make, status, why = REFUSED[case]
    sidecar.rules(rule())
    found = sidecar.asked(make())
    assert found.status_code == status, found.text
    assert why in found.text
    assert found.headers["www-authenticate"].startswith('Bearer realm="')
    assert sidecar.answer(EC.token(claims())) == (200, ""), "and others are served on"


def test_a_minute_of_clock_skew_is_allowed(sidecar: Sidecar) -> None:
    sidecar.rules(rule())
    assert sidecar.answer(EC.token(claims(exp=now() - 20, nbf=now() + 20))) == (200, "")


def test_audiences(sidecar: Sidecar) -> None:
    sidecar.rules(rule(audiences=["reviews", "ratings"]))
    assert sidecar.answer(EC.token(claims(aud="ratings"))) == (200, "")
    assert sidecar.answer(EC.token(claims(aud=["else", "reviews"]))) == (200, "")
    assert sidecar.answer(EC.token(claims(aud="else"))) == (403, "Audiences in Jwt are not allowed")
    assert sidecar.answer(EC.token(claims())) == (403, "Audiences in Jwt are not allowed")


def test_a_rule_of_any_issuer(sidecar: Sidecar) -> None:
    sidecar.rules({"jwksUri": "https://keys.example"})
    assert sidecar.answer(EC.token(claims()))[0] == 401, "no keys yet"
    table = sidecar.envoy.snapshot.request_authentications
    sidecar.envoy.apply(table.put_key_set(KeySource("https://keys.example"), KEYS))
    assert sidecar.answer(EC.token(claims(iss="whoever"))) == (200, "")
    assert sidecar.answer(EC.token({"sub": "a"})) == (200, "")
    sidecar.envoy.apply(table.put_key_set(KeySource("https://keys.example"), ""))


def test_without_keys_every_token_is_refused_and_none_passes(sidecar: Sidecar) -> None:
    sidecar.rules({"issuer": ISSUER, "jwksUri": "https://keys.example/none"})
    assert sidecar.answer(EC.token(claims())) == (401, "Jwks doesn't have any valid public key")
    assert sidecar.answer(unsigned(claims()))[0] == 401
    assert sidecar.answer() == (200, "")


# --- size -----------------------------------------------------------------------------------------------------------


def test_a_gigantic_token_is_refused_and_the_proxy_serves_on(sidecar: Sidecar) -> None:
    sidecar.rules(rule())
    big = EC.token(claims(more="x" * 1_000_000))
    head = f"GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {big}\r\nconnection: close\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", sidecar.port), 20) as raw:
        received = b""
        try:
            raw.sendall(head)
            while part := raw.recv(65536):
                received += part
        except ConnectionError:
            pass  # it does not read to the end
    assert not received or received.startswith(b"HTTP/1.1 431"), received[:100]
    nearly = EC.token(claims(more="x" * 30_000))  # Envoy takes 60 KiB of headers
    assert sidecar.answer(nearly) == (200, "")
    assert sidecar.answer(tampered(nearly))[0] == 401


# --- where tokens are -----------------------------------------------------------------------------------------------


def test_the_usual_places(sidecar: Sidecar) -> None:
    sidecar.rules(rule())
    bad = STRANGER.token(claims())
    assert sidecar.answer(path=f"/?access_token={EC.token(claims())}") == (200, "")
    assert sidecar.answer(path=f"/?access_token={bad}")[0] == 401
    assert sidecar.answer(EC.token(claims()), path=f"/?access_token={bad}")[0] == 401, "all must be valid"


@pytest.mark.parametrize(
    ("places", "at"),
    [
        ({"fromHeaders": [{"name": "X-Token", "prefix": "Token "}]}, {"x-token": "Token {}"}),
        ({"fromHeaders": [{"name": "x-token"}]}, {"x-token": "{}"}),
        ({"fromCookies": ["session"]}, {"cookie": "a=b; session={}; c=d"}),
        ({"fromParams": ["jwt"]}, {"path": "/?a=b&jwt={}&c=d"}),
    ],
    ids=["header with prefix", "header", "cookie", "param"],
)  # fmt: skip
def test_other_places(sidecar: Sidecar, places: dict[str, Any], at: dict[str, str]) -> None:
    sidecar.rules(rule(**places))

    def answer(token: str) -> int:
        return sidecar.answer(**{name: text.format(token) for name, text in at.items()})[0]

    assert answer(EC.token(claims())) == 200
    assert answer(STRANGER.token(claims())) == 401
    assert sidecar.answer(STRANGER.token(claims())) == (200, ""), "the usual places are not looked at"


def test_a_token_in_two_headers_of_one_name_must_be_valid_in_both(sidecar: Sidecar) -> None:
    sidecar.rules(rule())
    headers = [
        ("authorization", f"Bearer {EC.token(claims())}"),
        ("authorization", f"Bearer {STRANGER.token(claims())}"),
    ]
    for order in (headers, headers[::-1]):
        assert sidecar.client.get("/", headers=order).status_code == 401


# --- what the application sees --------------------------------------------------------------------------------------


def test_the_token_is_taken_out_unless_it_is_to_be_forwarded(sidecar: Sidecar) -> None:
    token = EC.token(claims())
    sidecar.rules(rule())
    assert "authorization" not in sidecar.seen(token)
    sidecar.rules(rule(forwardOriginalToken=True))
    assert sidecar.seen(token)["authorization"] == f"Bearer {token}"
    sidecar.rules(rule(fromParams=["jwt"]))
    assert sidecar.asked(path=f"/x?a=b&jwt={token}").json()["path"] == "/x?a=b"


TOLD = {
    "outputPayloadToHeader": "x-payload",
    "outputClaimToHeaders": [
        {"header": "x-sub", "claim": "sub"},
        {"header": "x-city", "claim": "address.city"},
        {"header": "x-age", "claim": "age"},
        {"header": "x-admin", "claim": "admin"},
        {"header": "x-list", "claim": "list"},
    ],
}
FORGED = {"x-payload": "forged", "x-sub": "forged", "x-city": "forged", "x-age": "9", "x-list": "forged"}


def told(seen: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in seen.items() if name in (*FORGED, "x-admin")}


def test_claims_become_headers_and_forged_ones_are_taken_out(sidecar: Sidecar) -> None:
    sidecar.rules(rule(**TOLD))
    said = claims(address={"city": "Bern"}, age=42, admin=True, list=["a"])
    token = EC.token(said)
    expected = {
        "x-payload": token.split(".")[1], "x-sub": "alice", "x-city": "Bern", "x-age": "42", "x-admin": "true",
        "x-list": base64.b64encode(b'["a"]').decode(),
    }  # fmt: skip
    assert told(sidecar.seen(token, **FORGED)) == expected
    assert told(sidecar.seen(**FORGED)) == {}, "no token says so"
    assert told(sidecar.seen(EC.token({"iss": ISSUER}), **FORGED)).keys() == {"x-payload"}


def test_a_token_that_was_seen_before_is_looked_at_again(sidecar: Sidecar) -> None:
    """Envoy remembers that its signature was good, and nothing else."""
    sidecar.rules(rule(**TOLD, audiences=["reviews"]))
    token = EC.token(claims(aud="reviews"))
    answers = [told(sidecar.seen(token, **FORGED)) for _ in range(5)]
    assert answers == [{"x-payload": token.split(".")[1], "x-sub": "alice"}] * 5
    assert "jwt_cache_hit: 0" not in sidecar.envoy.stats("jwt_authn.jwt_cache_hit")
    assert sidecar.answer(tampered(token, aud="reviews"))[0] == 401
    sidecar.rules(rule(**TOLD, audiences=["ratings"]))
    assert sidecar.answer(token)[0] == 403
    sidecar.rules(rule(**TOLD, jwks=key_set(RSA)))
    assert sidecar.answer(token)[0] == 401, "its key is gone"


def test_a_token_that_was_seen_before_expires(sidecar: Sidecar) -> None:
    sidecar.rules(rule())
    token = EC.token(claims(exp=now() - 57))  # a minute of skew is allowed
    assert sidecar.answer(token) == sidecar.answer(token) == (200, "")
    until(lambda: sidecar.answer(token)[0] == 401, "it expires")


def test_forged_claims_are_taken_out_of_preflights(sidecar: Sidecar) -> None:
    sidecar.rules(rule(**TOLD, presence="REQUIRED"))
    preflight = {"origin": "https://a.example", "access-control-request-method": "GET"}
    found = sidecar.client.options("/", headers={**FORGED, **preflight})
    assert found.status_code == 200, "a preflight of a browser carries no token"
    assert told(found.json()["headers"]) == {}


def test_forged_claims_of_a_rule_that_was_not_asked_are_taken_out(sidecar: Sidecar) -> None:
    other = {"issuer": "https://z.example", "jwks": KEYS, "fromHeaders": [{"name": "x-other"}], **TOLD}
    sidecar.rules(rule(), other)
    assert told(sidecar.seen(EC.token(claims()), **FORGED)) == {}


# --- several rules --------------------------------------------------------------------------------------------------


def two(first: str = "OPTIONAL", second: str = "OPTIONAL") -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {"issuer": "https://one", "jwks": key_set(RSA), "presence": first},
        {
            "issuer": "https://two",
            "jwks": key_set(EC),
            "fromHeaders": [{"name": "x-two"}],
            "presence": second,
        },
    )


ONE, TWO = RSA.token({"iss": "https://one"}), EC.token({"iss": "https://two"})
BAD = STRANGER.token({"iss": "https://two"})


@pytest.mark.parametrize(
    ("presences", "first", "second", "expected"),
    [
        ((), "", "", 200),
        ((), ONE, "", 200),
        ((), "", TWO, 200),
        ((), ONE, TWO, 200),
        ((), "", BAD, 401),
        ((), ONE, BAD, 200),  # as in Istio: one valid token is enough
        (("REQUIRED",), "", "", 401),
        (("REQUIRED",), "", TWO, 401),
        (("REQUIRED",), ONE, "", 200),
        (("REQUIRED",), ONE, BAD, 401),
        (("REQUIRED", "REQUIRED"), ONE, "", 401),
        (("REQUIRED", "REQUIRED"), ONE, TWO, 200),
    ],
)
def test_rules_for_several_places(
    sidecar: Sidecar, presences: tuple[str, ...], first: str, second: str, expected: int
) -> None:
    sidecar.rules(*two(*presences))
    more = {"x-two": second} if second else {}
    assert sidecar.answer(first, **more)[0] == expected


def test_issuers_that_share_a_place(sidecar: Sidecar) -> None:
    first, second = two()
    del second["fromHeaders"]
    sidecar.rules(first, second)
    assert sidecar.answer(ONE) == sidecar.answer(TWO) == (200, "")
    assert sidecar.answer(BAD)[0] == sidecar.answer(RSA.token({"iss": "https://three"}))[0] == 401
    crossed = RSA.token({"iss": "https://two"})
    assert sidecar.answer(crossed)[0] == 401, "the key of one issuer signs for it alone"


def test_two_rules_of_one_issuer(sidecar: Sidecar) -> None:
    """As when its keys move to another place."""
    sidecar.rules(rule(jwks=key_set(RSA)), {"issuer": ISSUER, "jwksUri": "https://keys.example/new"})
    assert sidecar.answer(RSA.token(claims())) == (200, ""), "while the other has no keys yet"
    sidecar.rules(rule(jwks=key_set(RSA)), rule(jwks=key_set(EC)))
    assert sidecar.answer(RSA.token(claims())) == sidecar.answer(EC.token(claims())) == (200, "")
    assert sidecar.answer(STRANGER.token(claims()))[0] == 401


# --- change ---------------------------------------------------------------------------------------------------------


def test_policies_hold_at_once_on_connections_that_are_open(sidecar: Sidecar) -> None:
    bad = STRANGER.token(claims())
    sidecar.rules()
    assert sidecar.answer(bad) == (200, "")
    listeners = sidecar.envoy.stats("listener_manager.lds.update_success")
    sidecar.rules(rule())
    until(lambda: sidecar.answer(bad)[0] == 401, "the policy holds")
    sidecar.rules()
    until(lambda: sidecar.answer(bad)[0] == 200, "it is gone")
    assert sidecar.envoy.stats("listener_manager.lds.update_success") == listeners


def test_keys_rotate_without_failed_requests(sidecar: Sidecar) -> None:
    """The issuer announces the new key before it signs with it, and takes the old one back after."""
    table, source = sidecar.envoy.snapshot.request_authentications, KeySource("https://keys.example/rotated")
    sidecar.rules({"issuer": ISSUER, "jwksUri": source.uri})
    keys = [Key("ES256", f"k{index}") for index in range(6)]
    sidecar.envoy.apply(table.put_key_set(source, key_set(keys[0])))
    for old, new in itertools.pairwise(keys):
        answers = []
        sidecar.envoy.apply(table.put_key_set(source, key_set(old, new)))
        answers += [sidecar.answer(old.token(claims())) for _ in range(20)]
        answers += [sidecar.answer(new.token(claims())) for _ in range(20)]
        sidecar.envoy.apply(table.put_key_set(source, key_set(new)))
        answers += [sidecar.answer(new.token(claims())) for _ in range(20)]
        assert set(answers) == {(200, "")}
        until(lambda old=old: sidecar.answer(old.token(claims()))[0] == 401, "the old key is gone")  # type: ignore[misc]
