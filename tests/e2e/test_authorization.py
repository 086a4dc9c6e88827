"""Who may do what, between real sidecars: over HTTP, gRPC and TCP, at once, and told in the access log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.mesh import Client, Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

URL = "http://reviews:9080"


def policy(name: str, action: str, rules: str, *, more: str = "", annotations: str = "{}") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: default, annotations: {annotations}}}
spec:
  action: {action}
  {more}
  rules: {rules}
---
"""


def by(name: str) -> str:
    return f"{{source: {{principals: [cluster.local/ns/default/sa/{name}]}}}}"


@pytest.fixture(scope="module")
def clients(shared_mesh: Mesh) -> dict[str, Client]:
    shared_mesh.echo("reviews", flags=("--access-log",))
    shared_mesh.echo("store", protocol="tcp", port=5000, flags=("--access-log",))
    shared_mesh.echo("ratings", protocol="grpc", port=9000)
    shared_mesh.run("run", "--service=asking", "--upstream=store:5000", "--", "sleep", "3600", name="asking")
    made = {name: shared_mesh.client(name) for name in ("friend", "stranger")}
    shared_mesh.announced("reviews", "store", "ratings")
    until(lambda: {status(client) for client in made.values()} == {200}, "the callers are served")
    return made


@pytest.fixture
def mesh(shared_mesh: Mesh, clients: dict[str, Client]) -> Iterator[Mesh]:
    yield shared_mesh
    held = json.loads(shared_mesh.argosy("get", "authorizationpolicy", "-A", "-o", "json"))
    for one in held["items"]:
        shared_mesh.delete("authorizationpolicy", one["metadata"]["name"], one["metadata"]["namespace"])


def logged(mesh: Mesh, name: str) -> list[dict[str, Any]]:
    lines = mesh.argosy("logs", name).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def status(client: Client, path: str = "/", method: str = "GET", **headers: str) -> int:
    return client.request(f"{URL}{path}", method, headers=headers or None).status


def test_allow_deny_and_what_the_log_says(mesh: Mesh, clients: dict[str, Client]) -> None:
    friend, stranger = clients["friend"], clients["stranger"]
    mesh.apply(policy("friends", "ALLOW", f"[{{from: [{by('friend')}]}}]"))
    assert [status(friend), status(stranger)] == [200, 403]
    mesh.apply(
        policy(
            "no-admin",
            "DENY",
            '[{}, {to: [{operation: {paths: ["/admin*"], ports: ["9080"]}}]}]'.replace("{}, ", ""),
        )
    )
    assert [status(friend), status(friend, "/admin/x"), status(stranger)] == [200, 403, 403]

    def details() -> set[str]:
        return {one["response_code_details"] for one in logged(mesh, "reviews-v1")}

    until(lambda: "rbac_access_denied_matched_policy[none]" in details(), "nothing allowed it")
    until(
        lambda: "rbac_access_denied_matched_policy[ns[default]-policy[no-admin]-rule[0]]" in details(),
        f"the log names the rule: {details()}",
    )
