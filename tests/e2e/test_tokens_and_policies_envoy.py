"""What may be done with a token: RequestAuthentication and AuthorizationPolicy together, in real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.mesh import until
from tests.e2e.token_lab import EC, ISSUER, RSA, STRANGER, Sidecar, claims, rule, serving
from tests.tokens import key_set

pytestmark = pytest.mark.e2e

ALLOW, DENY = "ALLOW", "DENY"
ALICE = claims()
NOBODY: dict[str, Any] = {}


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    with serving(tmp_path_factory.mktemp("sidecar")) as one:
        one.rules(rule(spaceDelimitedClaims=["roles"]), {"issuer": "https://two", "jwks": key_set(RSA)})
        yield one


def source(**fields: list[str]) -> dict[str, Any]:
    return {"from": [{"source": fields}]}


def when(key: str, *values: str, **more: list[str]) -> dict[str, Any]:
    return {"when": [{"key": key, **({"values": list(values)} if values else {}), **more}]}


CASES: dict[str, tuple[str, dict[str, Any], tuple[tuple[dict[str, Any], int], ...]]] = {
    "anybody with a token": (
        ALLOW, source(requestPrincipals=["*"]), ((ALICE, 200), (NOBODY, 403), ({"iss": ISSUER}, 403)),
    ),
    "anybody of an issuer": (
        ALLOW, source(requestPrincipals=[f"{ISSUER}/*"]), ((ALICE, 200), ({"iss": "https://two", "sub": "alice"}, 403)),
    ),
    "one of them": (
        ALLOW, source(requestPrincipals=[f"{ISSUER}/alice"]), ((ALICE, 200), (claims(sub="bob"), 403)),
    ),
    "whoever has no token is denied": (
        DENY, source(notRequestPrincipals=["*"]), ((ALICE, 200), (NOBODY, 403)),
    ),
    "one is denied": (
        DENY, source(requestPrincipals=["*/bob"]), ((ALICE, 200), (claims(sub="bob"), 403), (NOBODY, 200)),
    ),
    "a claim": (
        ALLOW, when("request.auth.claims[team]", "red"),
        ((claims(team="red"), 200), (claims(team="blue"), 403), (ALICE, 403), (NOBODY, 403)),
    ),
    "a claim that is a list": (
        ALLOW, when("request.auth.claims[groups]", "admins"),
        ((claims(groups=["users", "admins"]), 200), (claims(groups="admins"), 200), (claims(groups=["users"]), 403)),
    ),
    "a claim within another": (
        ALLOW, when("request.auth.claims[org][team]", "red*"),
        ((claims(org={"team": "redish"}), 200), (claims(org={"team": ["x", "red"]}), 200), (claims(org="red"), 403)),
    ),
    "a scope": (
        ALLOW, when("request.auth.claims[scope]", "write"),
        ((claims(scope="read write"), 200), (claims(scope="write"), 200), (claims(scope="readwrite"), 403)),
    ),
    "words of another claim": (
        ALLOW, when("request.auth.claims[roles]", "boss"),
        ((claims(roles="a boss"), 200), (claims(roles="bossy"), 403)),
    ),
    "not a claim": (
        ALLOW, when("request.auth.claims[team]", notValues=["blue"]),
        ((claims(team="red"), 200), (claims(team="blue"), 403), (ALICE, 200)),
    ),
    "an audience": (
        ALLOW, when("request.auth.audiences", "reviews"),
        ((claims(aud="reviews"), 200), (claims(aud=["x", "reviews"]), 200), (claims(aud="x"), 403), (ALICE, 403)),
    ),
    "a presenter": (
        ALLOW, when("request.auth.presenter", "app"), ((claims(azp="app"), 200), (claims(azp="other"), 403)),
    ),
    "a principal as a condition": (
        ALLOW, when("request.auth.principal", f"{ISSUER}/alice"), ((ALICE, 200), (claims(sub="bob"), 403)),
    ),
    "only a path needs one": (
        DENY, source(notRequestPrincipals=["*"]) | {"to": [{"operation": {"paths": ["/private*"]}}]},
        ((ALICE, 200), (NOBODY, 200)),
    ),
}  # fmt: skip


def token(said: dict[str, Any]) -> str:
    if not said:
        return ""
    return (RSA if said["iss"] == "https://two" else EC).token(said)


@pytest.mark.parametrize("case", CASES)
def test_who_may(sidecar: Sidecar, case: str) -> None:
    action, one, expected = CASES[case]
    sidecar.put("AuthorizationPolicy", {"action": action, "rules": [one]})
    for said, status in expected:
        assert sidecar.answer(token(said))[0] == status, said
    forged = STRANGER.token(claims(team="red", groups=["admins"]))
    assert sidecar.answer(forged)[0] == 401, "a token that is not valid is not asked what it says"
    if case == "only a path needs one":
        assert sidecar.answer(path="/private/x")[0] == 403
        assert sidecar.answer(token(ALICE), path="/private/x")[0] == 200


def test_without_a_policy_for_tokens_nobody_has_a_principal(sidecar: Sidecar) -> None:
    sidecar.put("AuthorizationPolicy", {"rules": [source(requestPrincipals=["*"])]})
    assert sidecar.answer(token(ALICE))[0] == 200
    sidecar.remove("RequestAuthentication")
    until(lambda: sidecar.answer(token(ALICE))[0] == 403, "the token is not looked at")
    sidecar.rules(rule(spaceDelimitedClaims=["roles"]), {"issuer": "https://two", "jwks": key_set(RSA)})
    until(lambda: sidecar.answer(token(ALICE))[0] == 200, "it is again")
    sidecar.remove("AuthorizationPolicy")
    until(lambda: sidecar.answer()[0] == 200, "nobody needs one")
