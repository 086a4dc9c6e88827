"""End users' tokens in a real mesh, with an issuer beside it: rotation without failed requests, an issuer that is down,
lies or is slow, and servers that start anew meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mesh import Client, Load, Mesh, running_mesh, until
from tests.issuer import Issuer, found, serving, slow
from tests.tokens import Key, key

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

URL = "http://reviews:9080/"
FLAGS = ("--jwks-refresh=1s", "--jwks-allow=127.0.0.0/8")
ONE, TWO, THREE = (key("ES256", name) for name in ("one", "two", "three"))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving() as one:
        one.publish(ONE)
        yield one


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with running_mesh(tmp_path, *FLAGS) as running:
        running.echo("reviews")
        running.announced("reviews")
        yield running


def policy(issuer: Issuer) -> str:
    return json.dumps(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "RequestAuthentication",
            "metadata": {"name": "users", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "reviews"}},
                "jwtRules": [
                    {"issuer": issuer.url, "outputClaimToHeaders": [{"header": "x-user", "claim": "sub"}]}
                ],
            },
        }
    )


def bearer(issuer: Issuer, signed: Key) -> dict[str, str]:
    return {
        "authorization": f"Bearer {signed.token({'iss': issuer.url, 'sub': 'alice'})}",
        "x-user": "forged",
    }


def status(client: Client, issuer: Issuer, signed: Key) -> int:
    return client.request(URL, headers=bearer(issuer, signed)).status


def taken(client: Client, issuer: Issuer, signed: Key) -> None:
    until(lambda: status(client, issuer, signed) == 200, f"tokens of {signed.kid} are taken")


def condition(mesh: Mesh) -> tuple[str, str]:
    """(reason, message) of ResolvedRefs."""
    found = json.loads(mesh.argosy("get", "requestauthentication", "users", "-o", "json"))
    said = found.get("status", {}).get("conditions", [])
    return next(((one["reason"], one["message"]) for one in said if one["type"] == "ResolvedRefs"), ("", ""))


def test_tokens_of_an_issuer_from_the_first_to_the_last_key(mesh: Mesh, issuer: Issuer) -> None:
    client = mesh.client()
    mesh.apply(policy(issuer))
    taken(client, issuer, ONE)
    answer = client.request(URL, headers=bearer(issuer, ONE))
    assert answer.json()["headers"]["x-user"] == "alice"
    assert "authorization" not in answer.json()["headers"]
    assert "x-user" not in client.request(URL, headers={"x-user": "forged"}).json()["headers"]
    assert status(client, issuer, TWO) == 401

    # Keys rotate as they should: announced, used, withdrawn. No request fails.
    for old, new in ((ONE, TWO), (TWO, THREE)):
        with Load(client.port, URL, headers=bearer(issuer, old)) as load:
            issuer.publish(old, new)
            taken(client, issuer, new)
        assert load.total
        assert load.failures == []
        with Load(client.port, URL, headers=bearer(issuer, new)) as load:
            issuer.publish(new)
            until(lambda old=old: status(client, issuer, old) == 401, "the old key is gone")  # type: ignore[misc]
        assert load.total
        assert load.failures == []

    # The issuer goes away, lies, and is slow: the last good keys hold, and the object says so.
    for answers in ({}, {"/keys": found("<html>")}, {"/keys": slow(8, found("{}"))}):
        issuer.publish(THREE)
        until(lambda: condition(mesh)[0] == "ResolvedRefs", "all is well")
        issuer.answers |= answers
        if not answers:
            issuer.answers.clear()
        until(lambda: condition(mesh)[0] == "KeysNotFetched", "the failure is told", 40)
        assert "the last good ones hold" in condition(mesh)[1]
        assert status(client, issuer, THREE) == 200
        assert status(client, issuer, TWO) == 401

    # So they do when server and sidecar start anew meanwhile.
    issuer.answers.clear()
    mesh.kill_server()
    assert status(client, issuer, THREE) == 200
    mesh.start_server()
    second = mesh.client("second")
    mesh.echo("reviews", "v2")
    mesh.announced("reviews", count=2)
    answers_ = second.many(URL, 40, headers=bearer(issuer, THREE))
    assert {one.status for one in answers_} == {200}
    assert {one.headers["x-served-by"] for one in answers_} == {"reviews-v1", "reviews-v2"}
    assert {one.status for one in second.many(URL, 20, headers=bearer(issuer, TWO))} == {401}
