"""`argosy authz check` of files: its answer in words and in JSON, and its exit codes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from argosy.cli.main import app
from argosy.runtime.errors import Failure
from tests.tokens import key, key_set

KEY, STRANGERS = key(), key(kid="strangers")
KEYS = key_set(KEY)

SHOP = f"""
apiVersion: v1
kind: Service
metadata:
  name: reviews
  namespace: shop
  annotations: {{argosy.dev/service-accounts: reviews}}
spec: {{selector: {{app: reviews}}, ports: [{{name: http, port: 9080, targetPort: 8080}}, {{name: tcp, port: 7000}}]}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: reviews-v1, namespace: shop}}
spec:
  address: 10.0.0.1
  serviceAccount: reviews
  labels: {{app: reviews, version: v1, security.istio.io/tlsMode: istio}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: web-1, namespace: shop}}
spec: {{address: 10.0.0.2, serviceAccount: web, labels: {{app: web}}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: allow-frontend, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: reviews}}}}
  rules:
  - to: [{{operation: {{methods: [POST], paths: ["/admin*"]}}}}]
  - from: [{{source: {{principals: ["cluster.local/ns/shop/sa/web"]}}}}]
    to: [{{operation: {{methods: [GET], paths: ["/api/*"], ports: ["8080"]}}}}]
  - from: [{{source: {{requestPrincipals: ["https://issuer/*"]}}}}]
    when: [{{key: "request.auth.claims[groups]", values: [admin]}}]
  - from: [{{source: {{ipBlocks: [192.0.2.0/24]}}}}]
    to: [{{operation: {{ports: ["7000"]}}}}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: tokens, namespace: shop}}
spec:
  jwtRules: [{{issuer: "https://issuer", jwks: '{KEYS}'}}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP)
    return path


def check(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["authz", "check", "-f", str(file), *arguments])


def test_who_is_allowed_is_told_by_which_rule_and_where_it_stands(file: Path) -> None:
    done = check(file, "--from", "shop/web-1", "--to", "shop/reviews:9080", "--path", "/api/x")
    assert done.exit_code == 0, done.output
    line = 1 + SHOP.splitlines().index('  - from: [{source: {principals: ["cluster.local/ns/shop/sa/web"]}}]')
    assert "shop/web-1: GET /api/x to port 8080 of shop/reviews-v1" in done.output
    assert "ALLOWED       AuthorizationPolicy shop/allow-frontend rules[1] allows it" in done.output
    assert f"AuthorizationPolicy shop/allow-frontend spec.rules[1] ({file}:{line})" in done.output


def test_who_is_denied_is_told_what_came_closest(file: Path) -> None:
    done = check(file, "--from", "spiffe://cluster.local/ns/shop/sa/cron", "--to", "shop/reviews", "--port", "9080",
                 "--path", "/api/x")  # fmt: skip
    assert done.exit_code == 1, done.output
    assert "DENIED" in done.output
    assert (
        "AuthorizationPolicy shop/allow-frontend rules[1] would allow it, but source.principal is "
        "cluster.local/ns/shop/sa/cron and not cluster.local/ns/shop/sa/web"
    ) in done.output


@pytest.mark.parametrize("sender", ["shop/web", "shop/web-1", "spiffe://cluster.local/ns/shop/sa/web"])
def test_a_caller_is_a_workload_an_account_or_an_identity(file: Path, sender: str) -> None:
    asked = ("--to", "shop/reviews:9080", "--path", "/api/x")
    assert check(file, "--from", sender, *asked).exit_code == 0
    assert check(file, *asked).exit_code == 1  # nobody who is known, in plaintext


def test_a_connection_that_is_not_http_and_its_address(file: Path) -> None:
    asked = ("--from", "shop/web-1", "--to", "reviews.shop", "--port", "7000")
    done = check(file, *asked)
    assert done.exit_code == 1
    assert "port 7000 is not declared to be HTTP" in done.output
    assert check(file, *asked, "--source-ip", "192.0.2.7").exit_code == 0
    done = check(file, "--from", "shop/who", "--to", "reviews.shop", "--port", "7000")
    assert isinstance(done.exception, Failure)
    assert done.exception.code == 2
    assert "the address that it comes from is not known" in done.exception.what


def test_tokens_are_verified_claims_are_believed(file: Path) -> None:
    asked = ("--to", "shop/reviews:9080", "--path", "/any")
    good = {"iss": "https://issuer", "sub": "alice", "groups": ["dev", "admin"], "exp": time.time() + 600}
    done = check(file, *asked, "--jwt", KEY.token(good))
    assert done.exit_code == 0, done.output
    assert "its token of issuer https://issuer is valid" in done.output
    assert check(file, *asked, "--jwt", STRANGERS.token(good)).exit_code == 1
    late = check(file, *asked, "--jwt", KEY.token(good | {"exp": time.time() - 600}))
    assert (late.exit_code, "the token has expired (exp) (401)" in late.output) == (1, True)
    stranger = check(file, *asked, "--jwt", json.dumps(good | {"iss": "https://other"}))
    assert "the token is of issuer https://other, and not of https://issuer (401)" in stranger.output
    claims = file.parent / "claims.json"
    claims.write_text(json.dumps(good))
    done = check(file, *asked, "--jwt", f"@{claims}")
    assert done.exit_code == 0
    assert "the claims are taken as if an issuer had signed them" in done.output
    user = check(file, *asked, "--jwt", json.dumps(good | {"groups": "dev"}))
    assert "request.auth.claims[groups] is dev and not admin" in user.output


def test_the_answer_as_json(file: Path) -> None:
    done = check(file, "--from", "shop/web-1", "--to", "shop/reviews:9080", "--path", "/x", "-o", "json")
    said = json.loads(done.output)
    assert done.exit_code == 1
    assert (said["verdict"], said["from"]["identities"]) == (
        "deny",
        ["spiffe://cluster.local/ns/shop/sa/web"],
    )
    (one,) = said["receivers"]
    assert (one["workload"], one["port"], one["status"], one["stage"]) == (
        "shop/reviews-v1", 8080, 403, "AuthorizationPolicy",
    )  # fmt: skip
    assert one["decision"]["misses"][0] == {
        "policy": "shop/allow-frontend",
        "rule": 1,
        "action": "ALLOW",
        "failed": ["request.path is /x and not /api/*"],
    }


def test_plaintext_where_it_is_not_taken(file: Path) -> None:
    file.write_text(
        SHOP + "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        "metadata: {name: default, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n"
    )
    done = check(file, "--to", "shop/reviews:9080")
    assert done.exit_code == 1
    assert "PeerAuthentication is STRICT and the connection is plaintext" in done.output
    assert "PeerAuthentication shop/default" in done.output


def test_a_server_of_another_identity_is_refused_by_the_caller(file: Path) -> None:
    file.write_text(
        SHOP
        + """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: entry, namespace: shop}
spec:
  hosts: [reviews.example.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{name: http, number: 9080, targetPort: 8080, protocol: HTTP}]
  workloadSelector: {labels: {app: reviews}}
  subjectAltNames: ["spiffe://cluster.local/ns/shop/sa/other"]
"""
    )
    done = check(file, "--from", "shop/web-1", "--to", "reviews.example.test:9080", "--path", "/api/x")
    assert done.exit_code == 1
    assert "the caller refuses it: it is spiffe://cluster.local/ns/shop/sa/reviews" in done.output


def test_a_workload_that_is_not_there_yet(file: Path) -> None:
    done = check(
        file,
        "--from",
        "shop/web-1",
        "--to",
        "shop/new",
        "--labels",
        "app=reviews",
        "--port",
        "8080",
        "--path",
        "/api/x",
    )
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "shop/reviews"), "which port of shop/reviews? It has 9080, 7000"),
        (("--to", "shop/reviews:1"), "1 is no port of shop/reviews"),
        (("--to", "nobody:1"), "no workload or service nobody in the mesh"),
        (("--to", "shop/reviews:9080", "--from", "nobody"), "no workload or service nobody in default"),
        (("--to", "shop/reviews:9080", "--path", "x"), "--path x: does not begin with /"),
        (("--to", "shop/reviews:9080", "--source-ip", "x"), "--source-ip x: is no IP address"),
        (("--to", "shop/reviews:9080", "--jwt", "{"), "--jwt: these are no claims"),
        (("--to", "shop/reviews:9080", "--port", "1"), "which port, 9080 or 1?"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_with_a_remedy(file: Path, arguments: tuple[str, ...], said: str) -> None:
    done = check(file, *arguments)
    assert isinstance(done.exception, Failure)
    assert (done.exception.code, said in done.exception.what, bool(done.exception.remedy)) == (
        2,
        True,
        True,
    ), done.exception.what
