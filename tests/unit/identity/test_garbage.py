"""Whatever anybody sends as a proof, a token or a challenge: it proves nothing, and nothing else happens."""

from __future__ import annotations

import base64
import json
import string

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.agent.jwt_tokens import validated
from argosy.identity.attestors import Unproven, tokens
from argosy.identity.attestors.base import Settings
from argosy.identity.attestors.x509 import X509Verifier
from argosy.identity.host_token import HostToken, parse
from argosy.identity.proofs import BadToken, Nonces, Proven, Tokens, selects
from argosy.resources.identity import X509Attestor
from argosy.runtime.errors import Failure
from tests.unit.identity.attestor_lab import NOW, Issuer, Pki

ISSUER, PKI = Issuer(), Pki()
KEYS = [ISSUER.jwk()]
GOOD = ISSUER.token(sub="me", groups=["a"])
HOST = HostToken("0123456789ab", "vm-1", "secret", PKI.pem, "10.0.0.1:1").text
URLSAFE = string.ascii_letters + string.digits + "-_"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@settings(deadline=None)
@given(st.text() | st.text(URLSAFE + ".", max_size=80))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(Unproven):
        tokens.verified(text, KEYS)
    with pytest.raises(Unproven):
        validated(text, "a", {"a": ISSUER.jwks(use="jwt-svid")}, NOW)


@settings(deadline=None)
@given(JSON, JSON, st.sampled_from([*tokens.ALGORITHMS, "none", "HS256", ""]))
def test_nothing_that_the_issuer_has_not_signed_is_a_token(
    head: object, claims: object, algorithm: str
) -> None:
    if isinstance(head, dict):
        head = {**head, "alg": algorithm, "kid": "one"}
    with pytest.raises(Unproven):
        tokens.verified(f"{part(head)}.{part(claims)}.{GOOD.rpartition('.')[2]}", KEYS)


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.sampled_from(URLSAFE + "."))
def test_a_token_with_another_letter_is_none(at: int, letter: str) -> None:
    changed = GOOD[:at] + letter + GOOD[at + 1 :]
    try:
        claims = tokens.verified(changed, KEYS)
    except Unproven:
        return
    # The last letter of a part has bits that stand for nothing.
    assert claims == tokens.verified(GOOD, KEYS)
    assert changed == GOOD or at in (len(GOOD.split(".")[0]) - 1, GOOD.rindex(".") - 1, len(GOOD) - 1)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "x"]), JSON))
def test_claims_of_any_shape_are_judged(claims: dict[str, object]) -> None:
    with pytest.raises(Unproven):
        tokens.check_claims(claims, "https://issuer.example", ("argosy",), NOW)
    for name in claims:
        assert all(isinstance(one, str) for one in tokens.claim(claims, f"{name}.a.b"))


@settings(deadline=None)
@given(
    JSON
    | st.fixed_dictionaries({"chain": st.sampled_from([PKI.pem, ""]) | st.text(), "signature": st.text()})
)
def test_no_text_is_a_certificate_with_its_key(proof: object) -> None:
    verifier = X509Verifier(Settings(name="a", settings=X509Attestor(roots=PKI.pem), clock=lambda: NOW))
    with pytest.raises(Unproven):
        verifier.verify(json.dumps(proof), "nonce").send(None)


@settings(deadline=None)
@given(
    st.text()
    | st.builds(lambda at, letter: HOST[:at] + letter + HOST[at:], st.integers(0, 60), st.text(max_size=3))
)
def test_a_text_is_the_token_of_a_host_or_refused_as_none(text: str) -> None:
    try:
        found = parse(text, "it")
    except Failure:
        return
    assert found.roots == PKI.pem


@given(st.text() | st.text("0123456789abcdef.", max_size=90))
def test_no_text_is_a_challenge_or_a_token_of_ours(text: str) -> None:
    with pytest.raises(BadToken):
        Nonces(lambda: NOW).use(text)
    with pytest.raises(BadToken):
        Tokens(lambda: NOW).proven(text)


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_selector_without_a_star_is_itself_alone(one: str, other: str) -> None:
    plain = one.replace("*", "")
    assert selects(f"a:b={plain}", f"a:b={other}") is (plain == other)
    assert not selects(f"a:b={one}", f"a:c={other}")


@given(st.text(min_size=1, max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_a_star_stands_for_any_text(middle: str, before: str, after: str) -> None:
    before, after = before.replace("*", ""), after.replace("*", "")
    assert selects(f"a:b={before}*{after}", f"a:b={before}{middle}{after}")


def test_what_was_proven_is_the_same_after_its_way_in_a_token() -> None:
    made = Tokens(lambda: NOW)
    proven = Proven(selectors=("a:b=ä c", 'a:d="'), host="vm-1")
    assert made.proven(made.issue(proven)[0]) == proven
    assert msgspec.json.decode(msgspec.json.encode(proven), type=Proven) == proven
