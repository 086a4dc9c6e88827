"""Tokens of a request: where they are looked for, which are valid, and what is done to the request."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from msgspec.structs import replace

from argosy.explain import signatures
from argosy.explain.request import Request, Seen, Trust, seen
from argosy.explain.tokens import (
    Authenticated,
    Judge,
    Refused,
    authenticated,
    presented,
    unsigned,
    without_told,
)
from argosy.model.ir.tokens import AUTHORIZATION, ClaimHeader, TokenHeader, TokenRule

NOW = 1_800_000_000.0
SECRET = b"0123456789abcdef0123456789abcdef"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8))


def key_set(*keys: dict[str, str]) -> str:
    return json.dumps({"keys": keys})


KEYS = key_set({"kty": "oct", "kid": "one", "k": b64(SECRET)})
RULE = TokenRule(issuer="https://issuer", keys=KEYS, headers=(AUTHORIZATION,), params=("access_token",))
CLAIMS = {"iss": "https://issuer", "sub": "alice", "aud": ["shop", "other"], "exp": int(NOW) + 600}


def token(claims: dict[str, Any], secret: bytes = SECRET, **header: Any) -> str:
    body = f"{b64(json.dumps({'alg': 'HS256', **header}).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{body}.{b64(hmac.digest(secret, body.encode(), 'sha256'))}"


GOOD = token(CLAIMS)


def asked(path: str = "/", *headers: tuple[str, str]) -> Seen:
    return seen(Request(authority="a", path=path, headers=headers), Trust.ALL)


def bearing(text: str) -> Seen:
    return asked("/", ("Authorization", f"Bearer {text}"))


def judged(at: Seen, *rules: TokenRule, **judge: Any) -> Authenticated | Refused:
    of = rules or (RULE,)
    return authenticated(of, without_told(of, at), Judge(now=NOW, fetched=True, **judge))


def why(found: Authenticated | Refused) -> str:
    return found.because if isinstance(found, Refused) else ""


def claims(found: Authenticated | Refused) -> Any:
    assert isinstance(found, Authenticated), found
    return found.claims


# --- where ----------------------------------------------------------------------------------------------------------


def test_without_a_token_a_request_passes_and_is_of_nobody() -> None:
    assert claims(judged(asked())) is None
    assert claims(judged(asked("/", ("authorization", "Basic x")))) is None


def test_places() -> None:
    assert claims(judged(bearing(GOOD))) == CLAIMS
    assert claims(judged(asked(f"/x?a=1&access_token={GOOD}"))) == CLAIMS
    cookies = replace(RULE, headers=(), params=(), cookies=("session",))
    assert claims(judged(asked("/", ("Cookie", f"a=b; session={GOOD}")), cookies)) == CLAIMS
    own = replace(RULE, headers=(TokenHeader("x-jwt", "Token "),), params=())
    assert claims(judged(asked("/", ("X-Jwt", f"Token {GOOD}")), own)) == CLAIMS
    assert claims(judged(bearing(GOOD), own)) is None


def test_all_tokens_of_a_rule_must_be_valid() -> None:
    both = asked(f"/?access_token={token(CLAIMS, b'wrong')}", ("Authorization", f"Bearer {GOOD}"))
    assert why(judged(both)) == "the token is signed by no key of issuer https://issuer"


# --- which are valid ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (token(CLAIMS | {"exp": NOW - 61}), "the token has expired (exp)"),
        (token(CLAIMS | {"exp": NOW - 59}), ""),
        (token(CLAIMS | {"nbf": NOW + 61}), "the token is not valid yet (nbf)"),
        (token(CLAIMS | {"nbf": NOW + 59}), ""),
        (token(CLAIMS | {"iss": "https://x"}), "the token is of issuer https://x, and not of https://issuer"),
        (token({"sub": "a"}), "the token is of issuer (none), and not of https://issuer"),
        (token(CLAIMS, b"another"), "the token is signed by no key of issuer https://issuer"),
        (token(CLAIMS, kid="one"), ""),
        (token(CLAIMS, kid="two"), "the token is signed by no key of issuer https://issuer"),
        (GOOD.rpartition(".")[0] + ".", "the token is malformed: it has not three parts with dots between"),
        (unsigned(CLAIMS), "the token is signed by no key of issuer https://issuer"),
        ("a.b", "the token is malformed: it has not three parts with dots between"),
        ("e30.e30.x", "the token is malformed: its header names no algorithm (alg)"),
        ("!.e30.x", "the token is malformed: its header is no base64url"),
        (f"{b64(b'[]')}.e30.x", "the token is malformed: its header is no object"),
        (token(CLAIMS | {"exp": "soon"}), "the token is malformed: exp is no number"),
    ],
)
def test_tokens(text: str, said: str) -> None:
    assert why(judged(bearing(text))) == said


@pytest.mark.parametrize(
    ("wanted", "aud", "said"),
    [
        (("shop",), "shop", ""),
        (("shop",), ["x", "https://shop/"], ""),
        (("shop", "y"), ["x"], "the token is for x, and not for shop or y"),
        (("shop",), None, "the token is for no audience, and not for shop"),
    ],
)
def test_audiences(wanted: tuple[str, ...], aud: Any, said: str) -> None:
    made = {name: value for name, value in (CLAIMS | {"aud": aud}).items() if value is not None}
    assert why(judged(bearing(token(made)), replace(RULE, audiences=wanted))) == said


def test_keys_that_are_not_there_and_tokens_that_are_believed() -> None:
    keyless = replace(RULE, keys="")
    assert why(judged(bearing(GOOD), keyless)) == "no keys of issuer https://issuer are known"
    unknown = authenticated((keyless,), bearing(GOOD), Judge(now=NOW))
    assert "its signature is not looked at" in unknown.because
    assert claims(unknown) == CLAIMS
    text = unsigned(CLAIMS)
    assert claims(judged(bearing(text), assumed=frozenset((text,)))) == CLAIMS


# --- of several rules -----------------------------------------------------------------------------------------------

OTHER = replace(RULE, issuer="https://other", headers=(TokenHeader("x-other"),), params=())


def test_any_rule_is_enough_unless_some_are_required() -> None:
    wrong_other = asked("/", ("Authorization", f"Bearer {GOOD}"), ("x-other", GOOD))
    assert claims(judged(wrong_other, RULE, OTHER)) == CLAIMS
    required = replace(RULE, required=True)
    assert "and not of https://other" in why(judged(wrong_other, required, OTHER))
    assert claims(judged(bearing(GOOD), required, OTHER)) == CLAIMS
    assert why(judged(asked(), required)) == "a token of issuer https://issuer is required, and there is none"
    assert why(judged(asked("/", ("x-other", "x")), RULE, OTHER)).startswith("the token is malformed")


# --- what is done to the request ------------------------------------------------------------------------------------


def test_two_rules_that_are_required_need_two_tokens_unless_the_first_leaves_it() -> None:
    required = replace(RULE, required=True)
    assert why(judged(bearing(GOOD), required, required)).endswith("is required, and there is none")
    assert claims(judged(bearing(GOOD), replace(required, forward=True), required)) == CLAIMS


def test_a_token_of_the_query_is_taken_off_there() -> None:
    found = judged(asked(f"/x?a=1&access_token={GOOD}&b=2"), RULE)
    assert isinstance(found, Authenticated)
    assert found.seen.path == "/x?a=1&b=2"
    first = replace(RULE, required=True)
    assert "is required, and there is none" in why(judged(asked(f"/x?access_token={GOOD}"), first, first))


def test_the_token_is_taken_off_and_claims_become_headers() -> None:
    rule = replace(
        RULE,
        claim_headers=(ClaimHeader("x-sub", "sub"), ClaimHeader("x-none", "none")),
        payload_header="x-payload",
    )
    at = asked("/", ("Authorization", f"Bearer {GOOD}"), ("x-sub", "forged"), ("x-none", "forged"))
    found = judged(at, rule)
    assert isinstance(found, Authenticated)
    headers = found.seen.headers
    assert (headers.get("authorization"), headers["x-sub"], headers.get("x-none")) == (None, ("alice",), None)
    assert json.loads(base64.urlsafe_b64decode(headers["x-payload"][0] + "==")) == CLAIMS
    kept = judged(at, replace(rule, forward=True))
    assert isinstance(kept, Authenticated)
    assert kept.seen.headers["authorization"] == (f"Bearer {GOOD}",)


def test_claims_written_with_spaces_are_lists() -> None:
    rule = replace(RULE, space_delimited=("groups",))
    found = claims(
        judged(bearing(token(CLAIMS | {"scope": "read write", "groups": "a b", "name": "a b"})), rule)
    )
    assert (found["scope"], found["groups"], found["name"]) == (["read", "write"], ["a", "b"], "a b")


def test_a_token_is_presented_where_its_issuers_rule_looks() -> None:
    by_param = replace(OTHER, headers=(), params=("t",))
    assert presented(GOOD, (by_param, RULE), asked()).headers["authorization"] == (f"Bearer {GOOD}",)
    text = token(CLAIMS | {"iss": "https://other"})
    assert presented(text, (RULE, by_param), asked("/x?a=b")).path == f"/x?a=b&t={text}"
    by_cookie = replace(OTHER, headers=(), params=(), cookies=("c",))
    assert presented(text, (RULE, by_cookie), asked()).headers["cookie"] == (f"c={text}",)


# --- algorithms -----------------------------------------------------------------------------------------------------

RSA = rsa.generate_private_key(65537, 2048)
CURVES = {
    "ES256": (ec.SECP256R1(), "P-256", 32),
    "ES384": (ec.SECP384R1(), "P-384", 48),
    "ES512": (ec.SECP521R1(), "P-521", 66),
}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def _made(algorithm: str) -> tuple[str, dict[str, str]]:
    """A token of an algorithm, and its key."""
    body = f"{b64(json.dumps({'alg': algorithm}).encode())}.{b64(json.dumps(CLAIMS).encode())}"
    kind = HASHES.get(algorithm[2:])
    if algorithm.startswith("ES"):
        assert kind is not None
        curve, name, size = CURVES[algorithm]
        private = ec.generate_private_key(curve)
        r, s = utils.decode_dss_signature(private.sign(body.encode(), ec.ECDSA(kind)))
        point = private.public_key().public_numbers()
        key = {"kty": "EC", "crv": name, "x": number(point.x, size), "y": number(point.y, size)}
        return f"{body}.{b64(r.to_bytes(size) + s.to_bytes(size))}", key
    if algorithm == "EdDSA":
        edwards = ed25519.Ed25519PrivateKey.generate()
        key = {"kty": "OKP", "crv": "Ed25519", "x": b64(edwards.public_key().public_bytes_raw())}
        return f"{body}.{b64(edwards.sign(body.encode()))}", key
    assert kind is not None
    numbers = RSA.public_key().public_numbers()
    scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    if algorithm.startswith("PS"):
        scheme = padding.PSS(padding.MGF1(kind), kind.digest_size)
    made = RSA.sign(body.encode(), scheme, kind)
    return f"{body}.{b64(made)}", {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
def test_algorithms(algorithm: str) -> None:
    text, key = _made(algorithm)
    made = signatures.read(text)
    other = _made(algorithm)[1] if algorithm[:2] in ("ES", "Ed") else {**key, "e": "Aw"}
    assert signatures.is_signed(made, key_set(other, key))
    assert not signatures.is_signed(made, key_set(other))
    assert not signatures.is_signed(made, key_set({**key, "alg": "HS256"}))
    assert not signatures.is_signed(replace(made, signed=made.signed + b"x"), key_set(key))
    assert not signatures.is_signed(replace(made, signature=made.signature[:-1]), key_set(key))


def test_a_public_key_is_no_secret() -> None:
    """The old confusion: a token signed with the text of a public key as its secret."""
    numbers = RSA.public_key().public_numbers()
    key = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    forged = token(CLAIMS, json.dumps(key).encode())
    assert not signatures.is_signed(signatures.read(forged), key_set(key))


@pytest.mark.parametrize(
    "keys", ["", "{", "[]", '{"keys": 1}', '{"keys": [1, {}]}', '{"keys": [{"kty": "oct"}]}']
)
def test_key_sets_that_cannot_be_read_have_no_keys(keys: str) -> None:
    assert not signatures.is_signed(signatures.read(GOOD), keys)
