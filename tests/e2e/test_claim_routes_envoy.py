"""Routes by the claims of a token, at a gateway in real Envoy; and that what is said of them without Envoy agrees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from argosy.explain.evaluate import Evaluator, gateway
from argosy.explain.outcome import Answered
from argosy.explain.request import Request
from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.proxy import Proxy
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import Running, running
from tests.ports import free_port
from tests.tokens import key, key_set
from tests.unit.translate.mesh import put, service

pytestmark = pytest.mark.e2e

ISSUER = "https://issuer.example"
OURS, STRANGER = key("ES256", "ours"), key("ES256", "stranger")
MATCHES: dict[str, str] = {
    "text": "{headers: {'@request.auth.claims.sub': {exact: alice}}}",
    "prefix": "{headers: {'@request.auth.claims.sub': {prefix: ali}}}",
    "regex": "{headers: {'@request.auth.claims.sub': {regex: 'a.*e'}}}",
    "any case of the key": "{headers: {'@REQUEST.auth.CLAIMS.sub': {exact: alice}}}",
    "a list": "{headers: {'@request.auth.claims.groups': {exact: admins}}}",
    "words with spaces": "{headers: {'@request.auth.claims.scope': {exact: write}}}",
    "within, by dots": "{headers: {'@request.auth.claims.org.team': {exact: red}}}",
    "within, by brackets": "{headers: {'@request.auth.claims[org][team]': {exact: red}}}",
    "a name with dots": "{headers: {'@request.auth.claims[https://a.example/role]': {exact: boss}}}",
    "that it is there": "{headers: {'@request.auth.claims.sub': {}}}",
    "that a number is there": "{headers: {'@request.auth.claims.age': {}}}",
    "a number": "{headers: {'@request.auth.claims.age': {exact: '42'}}}",
    "not": "{withoutHeaders: {'@request.auth.claims.sub': {exact: alice}}}",
    "not there": "{withoutHeaders: {'@request.auth.claims.sub': {}}}",
    "not in a list": "{withoutHeaders: {'@request.auth.claims.groups': {exact: admins}}}",
    "two": "{headers: {'@request.auth.claims.sub': {exact: alice}, '@request.auth.claims.groups': {exact: users}}}",
    "with a header": "{headers: {'@request.auth.claims.sub': {exact: alice}, x-a: {exact: b}}}",
}
CLAIMS: tuple[dict[str, Any] | None, ...] = (
    None,
    {},
    {"sub": "alice"},
    {"sub": "bob", "groups": ["users"]},
    {"sub": "alice", "groups": ["users", "admins"], "age": 42},
    {"sub": "ali", "groups": "admins", "scope": "read write"},
    {"sub": "aliced", "groups": [1, {"a": "admins"}], "org": {"team": "red"}},
    {"groups": [], "org": {"team": ["blue", "red"]}, "https://a.example/role": "boss"},
    {"org": "red", "scope": "write", "age": "42", "groups": {"admins": "admins"}},
    {"age": None, "groups": [["admins"]]},
    {"age": True, "org": {"team": {"red": "red"}}},
    {"sub": "", "scope": ""},
)

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: edge}
spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: users, namespace: edge}
spec: {jwtRules: [RULE]}
"""


def routes() -> str:
    """Answers that say which match held: each is asked at a path of its own."""
    http = [
        f"  - {{match: [{match[:-1]}, uri: {{exact: /{index}}}}}], directResponse: {{status: 200}}}}"
        for index, match in enumerate(MATCHES.values())
    ]
    lines = [
        "apiVersion: networking.istio.io/v1", "kind: VirtualService",
        "metadata: {name: web, namespace: edge}", "spec:", '  hosts: ["*"]', "  gateways: [edge]", "  http:", *http,
        "  - {directResponse: {status: 418}}",
    ]  # fmt: skip
    return "\n".join(lines)


@pytest.fixture(scope="module", params=[(), ("http.80",)], ids=["whole", "parted"])
def edge(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[Running, httpx.Client]]:
    port, snapshot = free_port(), Snapshot(ir.Mesh())
    snapshot.put_service(service("web", (80, Protocol.HTTP)))
    rule = json.dumps({"issuer": ISSUER, "jwks": key_set(OURS)})
    put(snapshot, GATEWAY.replace("RULE", rule))
    put(snapshot, routes())
    scope = scope_of(Reader(snapshot), type=ProxyType.ROUTER, namespace="edge", parted=request.param)
    proxy = Proxy(namespace="edge", name="gw", scope=scope, port_map=((80, port),))
    folder: Path = tmp_path_factory.mktemp("gateway")
    with (
        running(folder, snapshot, proxy, "spiffe://cluster.local/ns/edge/sa/gw") as envoy,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client,
    ):
        until(lambda: client.get("/").status_code == 418, "the gateway serves")
        yield envoy, client


def bearer(claims: dict[str, Any] | None) -> dict[str, str]:
    if claims is None:
        return {"x-a": "b"}
    return {"x-a": "b", "authorization": f"Bearer {OURS.token({'iss': ISSUER, **claims})}"}


def told(snapshot: Snapshot, path: str, claims: dict[str, Any] | None) -> int:
    """What is said without Envoy."""
    seen = None
    if claims is not None:
        seen = {"iss": ISSUER, **claims}
        if isinstance(scope := seen.get("scope"), str):
            seen["scope"] = scope.split()
    request = Request(authority="web.example", path=path, headers=(("x-a", "b"),), claims=seen)
    verdict = Evaluator(snapshot, gateway(snapshot, "edge", ())).evaluate(request).verdict
    assert isinstance(verdict, Answered), verdict
    return verdict.status


@pytest.mark.parametrize("claims", CLAIMS, ids=json.dumps)
def test_each_match_for_each_token(edge: tuple[Running, httpx.Client], claims: dict[str, Any] | None) -> None:
    envoy, client = edge
    answered = {
        name: client.get(f"/{index}", headers=bearer(claims)).status_code
        for index, name in enumerate(MATCHES)
    }
    said = {name: told(envoy.snapshot, f"/{index}", claims) for index, name in enumerate(MATCHES)}
    assert answered == said
    if claims == {"sub": "alice"}:
        held = {name for name, status in answered.items() if status == 200}
        assert held == {
            "text", "prefix", "regex", "any case of the key", "that it is there", "not in a list", "with a header",
        }  # fmt: skip


def test_claims_of_tokens_that_nobody_has_verified_lead_nowhere(edge: tuple[Running, httpx.Client]) -> None:
    _, client = edge
    forged = {"authorization": f"Bearer {STRANGER.token({'iss': ISSUER, 'sub': 'alice'})}"}
    assert client.get("/0", headers=forged).status_code == 401


def test_without_a_policy_no_token_is_read_and_no_listener_changes(
    edge: tuple[Running, httpx.Client],
) -> None:
    envoy, client = edge
    alice = bearer({"sub": "alice"})
    listeners = envoy.stats("listener_manager.lds.update_success")
    assert client.get("/0", headers=alice).status_code == 200
    rule = json.dumps({"issuer": ISSUER, "jwks": key_set(OURS)})
    envoy.apply(envoy.snapshot.remove_config("RequestAuthentication", "edge", "users"))
    until(lambda: client.get("/0", headers=alice).status_code == 418, "nobody reads the token")
    envoy.apply(put(envoy.snapshot, GATEWAY.replace("RULE", rule).split("---")[1]))
    until(lambda: client.get("/0", headers=alice).status_code == 200, "it is read again")
    assert envoy.stats("listener_manager.lds.update_success") == listeners
