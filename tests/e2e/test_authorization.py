"""Who may do what, between real sidecars: over HTTP, gRPC and TCP, at once, and told in the access log."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.e2e.mesh import APPS, Client, Load, Mesh, Run, until
from tests.e2e.test_metrics import scrape
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

URL = "http://reviews:9080"
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    h2UpgradePolicy: UPGRADE
    extensionProviders:
    - name: by-http
      envoyExtAuthzHttp:
        service: by-http.default.svc.cluster.local
        port: 8000
        timeout: 5s
        failOpen: OPEN
        includeRequestHeadersInCheck: [x-allow]
        headersToUpstreamOnAllow: [x-checked]
        headersToDownstreamOnDeny: [x-denied]
    - name: by-grpc
      envoyExtAuthzGrpc: {service: by-grpc.default.svc.cluster.local, port: 8001, timeout: 5s, failOpen: OPEN}
"""


def settings(fail_open: str = "false") -> str:
    return SETTINGS.replace("OPEN}", f"{fail_open}}}").replace("failOpen: OPEN", f"failOpen: {fail_open}")


def policy(name: str, action: str, rules: str, *, more: str = "", annotations: str = "{}") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: default, annotations: {annotations}}}
spec:
  action: {action}
  rules: {rules}
  {more}
---
"""


def by(name: str) -> str:
    return f"{{source: {{principals: [cluster.local/ns/default/sa/{name}]}}}}"


def of(service: str) -> str:
    return f"selector: {{matchLabels: {{app: {service}}}}}"


def asker(mesh: Mesh, protocol: str, port: int) -> Run:
    return mesh.run(
        "run",
        f"--service=by-{protocol}",
        f"--port={port}:auto/{protocol}",
        "--",
        sys.executable,
        str(APPS / "authorizer.py"),
        "{port}",
        f"--protocol={protocol}",
        name=f"by-{protocol}",
    )


@pytest.fixture(scope="module")
def clients(shared_mesh: Mesh) -> dict[str, Client]:
    shared_mesh.apply(settings())
    shared_mesh.echo("reviews", flags=("--access-log",))
    shared_mesh.echo("store", protocol="tcp", port=5000, flags=("--access-log",))
    shared_mesh.echo("ratings", protocol="grpc", port=9090)
    upstreams = ("--upstream=store:5000", "--upstream=ratings:9090")
    made = {name: shared_mesh.client(name, *upstreams) for name in ("friend", "stranger")}
    shared_mesh.announced("reviews", "store", "ratings")
    until(lambda: {status(client) for client in made.values()} == {200}, "the callers are served")
    return made


@pytest.fixture
def mesh(shared_mesh: Mesh, clients: dict[str, Client]) -> Iterator[Mesh]:
    yield shared_mesh
    held = json.loads(shared_mesh.argosy("get", "authorizationpolicy", "-A", "-o", "json"))
    for one in held["items"]:
        shared_mesh.delete("authorizationpolicy", one["metadata"]["name"], one["metadata"]["namespace"])
    until(lambda: {status(client) for client in clients.values()} == {200}, "the callers are served again")


def logged(mesh: Mesh, name: str) -> list[dict[str, Any]]:
    lines = mesh.argosy("logs", name).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def status(client: Client, path: str = "/", method: str = "GET", **headers: str) -> int:
    return client.request(f"{URL}{path}", method, headers=headers or None).status


def local(client: Client, target: str) -> int:
    found = until(
        lambda: (
            re.search(rf"{target}\s.*?127\.0\.0\.1:(\d+)", client.run.output())
            or re.search(rf"127\.0\.0\.1:(\d+).*?{target}", client.run.output())
        ),
        f"{target} has a local port",
    )
    return int(found[1])


def echoed(client: Client) -> bytes:
    """What a connection to the store gives back; nothing where it is closed."""
    with socket.create_connection(("127.0.0.1", local(client, "store:5000")), 15) as connection:
        connection.settimeout(15)
        try:
            connection.sendall(b"bytes")
            return connection.recv(100)
        except ConnectionError:
            return b""


def called(client: Client, method: str = "/test.Echo/Unary") -> grpc.StatusCode:
    target = f"127.0.0.1:{local(client, 'ratings:9090')}"
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(method, lambda sent: sent, lambda got: got)(b"x", timeout=15)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


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


def test_grpc_methods_are_paths(mesh: Mesh, clients: dict[str, Client]) -> None:
    mesh.apply(
        policy(
            "echo",
            "ALLOW",
            '[{to: [{operation: {paths: ["/test.Echo/Unary"], methods: [POST]}}]}]',
            more=of("ratings"),
        )
    )
    assert called(clients["friend"]) is grpc.StatusCode.OK
    assert called(clients["friend"], "/test.Echo/Stream") is grpc.StatusCode.PERMISSION_DENIED


def test_tcp_is_decided_by_who_connects_and_told_in_the_log(mesh: Mesh, clients: dict[str, Client]) -> None:
    friend, stranger = clients["friend"], clients["stranger"]
    assert [echoed(friend), echoed(stranger)] == [b"bytes", b"bytes"]
    mesh.apply(policy("no-strangers", "DENY", f"[{{from: [{by('stranger')}]}}]", more=of("store")))
    assert [echoed(friend), echoed(stranger)] == [b"bytes", b""]
    why = "rbac_access_denied_matched_policy[ns[default]-policy[no-strangers]-rule[0]]"
    until(
        lambda: any(one["connection_termination_details"] == why for one in logged(mesh, "store-v1")),
        "the log names the rule",
    )
    # What an ALLOW says of HTTP alone allows no connection; the port of the workload is what it speaks of.
    mesh.apply(policy("no-strangers", "ALLOW", "[{to: [{operation: {methods: [GET]}}]}]", more=of("store")))
    assert echoed(friend) == b""
    mesh.apply(policy("no-strangers", "ALLOW", '[{to: [{operation: {ports: ["5000"]}}]}]', more=of("store")))
    assert echoed(friend) == b"bytes"
    mesh.apply(policy("no-strangers", "ALLOW", '[{to: [{operation: {ports: ["5001"]}}]}]', more=of("store")))
    assert echoed(friend) == b""


def test_no_allowed_request_fails_while_policies_come_and_go(mesh: Mesh, clients: dict[str, Client]) -> None:
    """And the one that is denied is denied on the HTTP/2 connection that has served it."""
    friend, stranger = clients["friend"], clients["stranger"]
    allowing = policy("friends", "ALLOW", f"[{{from: [{by('friend')}]}}]", more=of("reviews"))
    with Load(friend.port, f"{URL}/") as load:
        for _ in range(4):
            assert status(stranger) == 200
            mesh.apply(allowing + policy("quiet", "DENY", "[{to: [{operation: {methods: [PUT]}}]}]"))
            assert status(stranger) == 403
            load.at_least(20)
            for name in ("friends", "quiet"):
                mesh.delete("authorizationpolicy", name)
            until(lambda: status(stranger) == 200, "the policy is gone")
    assert load.failures == []
    assert load.total > 80


def test_custom_asks_over_http_and_grpc_closed_when_nobody_answers(
    mesh: Mesh, clients: dict[str, Client]
) -> None:
    friend = clients["friend"]

    def custom(provider: str) -> str:
        rules = '[{to: [{operation: {paths: ["/asked*"]}}]}]'
        return policy("asked", "CUSTOM", rules, more=f"{of('reviews')}\n  provider: {{name: {provider}}}")

    for protocol, port in (("http", 8000), ("grpc", 8001)):
        running = asker(mesh, protocol, port)
        mesh.announced(f"by-{protocol}")
        mesh.apply(custom(f"by-{protocol}"))
        until(lambda: status(friend, "/asked", **{"x-allow": "yes"}) == 200, "it is allowed")
        denied = friend.request(f"{URL}/asked")
        assert (denied.status, denied.headers["x-denied"]) == (418, protocol)
        allowed = friend.request(f"{URL}/asked", headers={"x-allow": "yes", "x-checked": "forged"})
        assert allowed.json()["headers"]["x-checked"] == protocol
        assert status(friend, "/other") == 200, "nobody is asked"
        running.stop()
        until(lambda: status(friend, "/asked", **{"x-allow": "yes"}) == 403, "closed when nobody answers")
        mesh.apply(settings("true"))
        until(lambda: status(friend, "/asked") == 200, "open where the settings say so")
        mesh.apply(settings())
        until(lambda: status(friend, "/asked") == 403, "closed again")
    mesh.apply(custom("nobody"))
    assert [status(friend, "/asked"), status(friend, "/other")] == [403, 200]


def test_custom_asks_about_connections(mesh: Mesh, clients: dict[str, Client]) -> None:
    friend = clients["friend"]
    custom = policy("asked", "CUSTOM", "[{}]", more=f"{of('store')}\n  provider: {{name: by-grpc}}")
    mesh.apply(custom)
    until(lambda: echoed(friend) == b"", "nobody is there to be asked")
    running = asker(mesh, "grpc", 8001)
    mesh.announced("by-grpc")
    until(lambda: echoed(friend) == b"bytes", "it is allowed")
    running.stop()
    until(lambda: echoed(friend) == b"", "closed again")


def test_a_gateway_decides_by_the_client(mesh: Mesh, clients: dict[str, Client]) -> None:
    port = free_port()
    running = mesh.run("gateway", f"--port=80={port}", "--access-log", name="ingress")
    mesh.apply("""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: default}
spec: {hosts: ["*"], gateways: [shop], http: [{route: [{destination: {host: reviews}}]}]}
""")

    def asked(address: str) -> int:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            head = f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            return int(connection.recv(100).split()[1])

    until(lambda: asked("1.2.3.4") == 200, "the gateway serves")
    at_gateways = "selector: {matchLabels: {istio: ingressgateway}}"
    local_alone = (
        '[{from: [{source: {remoteIpBlocks: ["127.0.0.0/8"]}}], to: [{operation: {ports: ["80"]}}]}]'
    )
    local = policy("local", "ALLOW", local_alone, more=at_gateways)
    mesh.apply(
        local.replace("127.0.0.0/8", "9.9.9.0/24").replace("namespace: default", "namespace: istio-system")
    )
    assert asked("9.9.9.9") == 403, "what a client says of itself does not count"
    mesh.apply(local.replace("namespace: default", "namespace: istio-system"))
    assert asked("1.2.3.4") == 200
    trusting = settings() + "    defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}\n"
    mesh.apply(trusting)
    until(lambda: asked("1.2.3.4") == 403, "what a trusted proxy says does")
    assert asked("127.0.0.9") == 200
    mesh.apply(settings())
    until(lambda: asked("1.2.3.4") == 200, "as before")
    running.stop()
    for kind in ("gateway.networking.istio.io", "virtualservice"):
        mesh.delete(kind, "shop")


def counted(mesh: Mesh, name: str) -> dict[tuple[str, str], float]:
    """What the sidecar counts of policies: (metric, policy) -> count."""
    samples = (one for one in scrape(mesh, name) if "_rbac_" in one[0] and "policy" in one[1])
    return {(metric, labels["policy"]): value for metric, labels, value in samples}


def test_a_dry_run_changes_nothing_and_is_counted_by_policy(mesh: Mesh, clients: dict[str, Client]) -> None:
    dry = '{"istio.io/dry-run": "true"}'
    rules = f"[{{from: [{by('friend')}]}}]"
    mesh.apply(
        policy("maybe", "ALLOW", rules, more=of("reviews"), annotations=dry)
        + policy(
            "never", "DENY", '[{to: [{operation: {paths: ["/never"]}}]}]', more=of("reviews"), annotations=dry
        )
        + policy("noted", "AUDIT", '[{to: [{operation: {paths: ["/noted"]}}]}]', more=of("reviews"))
    )
    friend, stranger = clients["friend"], clients["stranger"]
    assert [status(friend), status(stranger), status(friend, "/never"), status(friend, "/noted")] == [200] * 4
    expected = {
        ("envoy_http_rbac_istio_dry_run_allow__policy_shadow_allowed", "ns[default]-policy[maybe]-rule[0]"),
        ("envoy_http_rbac_istio_dry_run_deny__policy_shadow_denied", "ns[default]-policy[never]-rule[0]"),
        ("envoy_http_rbac_audit__policy_allowed", "ns[default]-policy[noted]-rule[0]"),
    }
    until(lambda: expected <= counted(mesh, "reviews-v1").keys(), f"{expected} are counted")
    assert (
        counted(mesh, "reviews-v1")[
            "envoy_http_rbac_audit__policy_allowed", "ns[default]-policy[noted]-rule[0]"
        ]
        == 1
    )
