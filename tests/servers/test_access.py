"""Access as people meet it: a server of its own process, `argosy user`, and the real kubectl with what it wrote."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml

from tests.e2e.mesh import until
from tests.servers.kubectl import OF_EVERY_RUN, Kubectl, tools
from tests.servers.server_process import Server, running_server

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}]}]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        running.ok("apply", "-f", "-", stdin="apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
        running.ok(
            "user", "create", "viewer", "--group", "argosy:viewers", "--kubeconfig", "viewer.kubeconfig"
        )
        running.ok(
            "user", "create", "developer", "--token", "--role", "argosy:service-developer", "-n", "shop",
            "--kubeconfig", "developer.kubeconfig",
        )  # fmt: skip
        yield running


def as_(server: Server, name: str) -> dict[str, str]:
    return {"ARGOSY_STATE_DIR": "", "KUBECONFIG": str(server.folder / f"{name}.kubeconfig")}


@pytest.fixture(params=OF_EVERY_RUN)
def kubectl_as(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> dict[str, Kubectl]:
    binary = tools(request.param).kubectl
    found = {"admin": Kubectl(binary, server.kubeconfig, tmp_path)}
    return found | {
        name: Kubectl(binary, server.folder / f"{name}.kubeconfig", tmp_path)
        for name in ("viewer", "developer")
    }


def test_a_kubeconfig_is_its_users_own_and_what_was_said_holds_no_secret(server: Server) -> None:
    said = server.ok("user", "create", "quiet", "--token", "--expires", "never")
    path = server.folder / "quiet.kubeconfig"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = yaml.safe_load(path.read_text())["users"][0]["user"]["token"]
    assert str(path.name) in said
    for text in (said, server.log.read_text(), (server.state / "audit.log").read_text()):
        assert token not in text
    again = server.argosy("user", "create", "quiet2", "--kubeconfig", "quiet.kubeconfig")
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    assert "quiet2" not in server.ok("user", "list")
    assert token in path.read_text(), "it was not touched"


def test_a_user_that_is_there_is_not_made_again_and_leaves_no_file(server: Server) -> None:
    done = server.argosy("user", "create", "viewer", "--kubeconfig", "twice.kubeconfig")
    assert (done.returncode, "already exists" in done.stderr) == (1, True)
    assert not (server.folder / "twice.kubeconfig").exists()


def test_people_see_who_they_are_and_what_they_may(server: Server) -> None:
    assert "viewer  argosy:viewers, system:authenticated" in server.ok(
        "auth", "whoami", env=as_(server, "viewer")
    )
    for who, question, answer in (
        ("viewer", ("get", "vs", "-A"), "yes"),
        ("viewer", ("get", "secrets"), "no"),
        ("viewer", ("get", "proxies.operations.argosy.dev", "-A"), "yes"),
        ("viewer", ("delete", "vs"), "no"),
        ("viewer", ("get", "/version"), "yes"),
        ("viewer", ("post", "/version"), "no"),
        ("developer", ("create", "virtualservices"), "yes"),
        ("developer", ("create", "virtualservices", "-n", "default"), "no"),
        ("developer", ("create", "gateways"), "no"),
        ("developer", ("update", "vs/status"), "no"),
    ):
        done = server.argosy("auth", "can-i", *question, env=as_(server, who))
        assert (done.stdout.strip(), done.returncode) == (answer, 0 if answer == "yes" else 1), (
            who,
            question,
        )
    listed = server.ok("auth", "can-i", "--list", env=as_(server, "developer"))
    assert "virtualservices.networking.istio.io" in listed
    assert "secrets" not in listed


def test_a_developer_changes_the_own_namespace_and_waits_for_it(server: Server) -> None:
    developer = as_(server, "developer")
    assert "VirtualService shop/reviews created" in server.ok(
        "apply", "-f", "-", "--wait", env=developer, stdin=ROUTE
    )
    assert "reviews" in server.ok("get", "vs", env=developer), "the namespace of the context"
    assert server.ok("proxy", "status", "-n", "shop", env=developer)
    done = server.argosy("get", "vs", "-n", "default", env=developer)
    assert (done.returncode, 'cannot list resource "virtualservices"' in done.stderr) == (1, True)
    assert "deleted" in server.ok("delete", "vs", "reviews", env=developer)


def test_contexts_of_several_files_are_chosen_between(server: Server, tmp_path: Path) -> None:
    files = []
    for name in ("viewer", "developer"):
        files.append(tmp_path / name)
        files[-1].write_text((server.folder / f"{name}.kubeconfig").read_text())
        files[-1].chmod(0o600)
    env = {"ARGOSY_STATE_DIR": "", "KUBECONFIG": ":".join(map(str, files))}
    assert server.ok("config", "current-context", env=env).strip() == "argosy-viewer"
    rows = [line.split() for line in server.ok("config", "get-contexts", env=env).splitlines()]
    assert rows[1:] == [
        ["*", "argosy-viewer", "argosy-viewer", "argosy-viewer", "default"],
        ["argosy-developer", "argosy-developer", "argosy-developer", "shop"],
    ]
    assert "developer" in server.ok("auth", "whoami", "--context", "argosy-developer", env=env)
    server.ok("config", "use-context", "argosy-developer", env=env)
    assert "developer" in server.ok("auth", "whoami", env=env)
    assert "viewer" in server.ok(
        "auth", "whoami", "--kubeconfig", str(server.folder / "viewer.kubeconfig"), env=env
    )
    done = server.argosy("config", "use-context", "nobody", env=env)
    assert (done.returncode, "argosy-viewer, argosy-developer" in done.stderr) == (1, True)


def test_the_unix_socket_needs_no_credentials(server: Server) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": f"unix://{server.info.api_socket}"}}],
        "users": [],
        "contexts": [{"name": "here", "context": {"cluster": "here"}}],
        "current-context": "here",
    }
    (server.folder / "socket.kubeconfig").write_text(yaml.safe_dump(config))
    assert "admin" in server.ok("auth", "whoami", env=as_(server, "socket"))
    done = server.argosy("user", "create", "x", env=as_(server, "socket"))
    assert (done.returncode, "--server" in done.stderr) == (2, True)


@pytest.mark.skipif(os.getuid() != 0, reason="=== SKIPPED: only root becomes another Unix user ===")
def test_another_unix_user_uses_a_socket_that_was_chosen() -> None:
    """The folder of a test is its user's own; this one is for everybody."""
    with tempfile.TemporaryDirectory(prefix="argosy-") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "server").mkdir()
        path = Path(folder) / "api.sock"
        with running_server(Path(folder) / "server", "--api-socket", str(path)) as running:
            assert _as_nobody(path) == b"HTTP/1.1 401"
            mapped = {
                "apiVersion": "access.argosy.dev/v1",
                "kind": "User",
                "metadata": {"name": "local"},
                "spec": {"unixUsers": ["nobody"], "groups": ["argosy:viewers"]},
            }
            running.ok("apply", "-f", "-", stdin=yaml.safe_dump(mapped))
            assert _as_nobody(path) == b"HTTP/1.1 200"
            wanted = ("local", f"unix:{pwd.getpwnam('nobody').pw_uid}")

            def noted() -> bool:
                line = msgspec.json.decode((running.state / "audit.log").read_bytes().splitlines()[-1])
                return (line["user"], line["source"]) == wanted

            until(noted, "the audit log has who asked last")


def _as_nobody(path: Path) -> bytes:
    """The beginning of the answer to a list."""
    program = (
        "import os, socket, sys; os.setgroups([]); os.setuid(int(sys.argv[2])); s = socket.socket(socket.AF_UNIX); "
        "s.connect(sys.argv[1]); s.sendall(b'GET /api/v1/namespaces HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); "
        "sys.stdout.buffer.write(s.recv(12))"
    )
    uid = pwd.getpwnam("nobody").pw_uid
    return subprocess.run(
        [sys.executable, "-c", program, str(path), str(uid)], capture_output=True, check=True, timeout=30
    ).stdout


def test_a_kubeconfig_that_acts_as_another_does_so(server: Server) -> None:
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["users"][0]["user"] |= {"as": "carol", "as-groups": ["argosy:viewers"]}
    (server.folder / "acting.kubeconfig").write_text(yaml.safe_dump(config))
    acting = as_(server, "acting")
    assert "carol  argosy:viewers, system:authenticated" in server.ok("auth", "whoami", env=acting)
    assert 'User "carol" cannot list' in server.argosy("get", "secrets", env=acting).stderr


def test_what_is_refused_half_way_is_told_with_what_was_written(server: Server) -> None:
    """Of a namespace that is only coming nothing can be tried beforehand: the refusal comes with the writing."""
    role = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: half}
rules: [{apiGroups: [""], resources: [namespaces, services], verbs: [get, create, update]}]
"""
    server.ok("apply", "-f", "-", stdin=role)
    server.ok("user", "create", "half", "--role", "half")
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: coming}\nspec: {ports: [{port: 80}]}\n"
    objects = [
        service % "one",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: refused, namespace: coming}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: never, namespace: coming}\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: coming}\n",
    ]
    for form in ("text", "json"):
        server.argosy("delete", "ns", "coming", "--wait")
        done = server.argosy(
            "apply", "-f", "-", "-o", form, env=as_(server, "half"), stdin="---\n".join(objects)
        )
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert "ConfigMap coming/refused: " in done.stderr
        assert 'User "half" cannot get resource "configmaps"' in done.stderr
        assert "only 2 of 4 objects were written: Namespace coming, Service coming/one" in done.stderr
        assert "apply them again" in done.stderr
        written = "Namespace coming created\nService coming/one created\n"
        assert done.stdout == (written if form == "text" else "")
        assert server.ok("get", "svc", "-n", "coming", "-o", "name") == "service/one\n"


def test_who_may_not_see_something_is_told_what_it_is(server: Server) -> None:
    server.ok("apply", "-f", "-", "-n", "shop", stdin=ROUTE)
    done = server.argosy("describe", "secret", "key", "-n", "shop", env=as_(server, "viewer"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'argosy: Secret shop/key: secrets "key" is forbidden: User "viewer" cannot get resource "secrets" in API group '
        '"" in the namespace "shop"\n'
        "  what you may do: argosy auth can-i --list; who gives rights: docs/access.md\n"
    )
    done = server.argosy("describe", "users", env=as_(server, "viewer"))
    assert (done.returncode, 'User "viewer" cannot list resource "users"' in done.stderr) == (1, True)


def test_what_belongs_to_an_object_and_may_not_be_seen_is_left_out_with_a_word(server: Server) -> None:
    role = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: routes-only}
rules: [{apiGroups: [networking.istio.io], resources: [virtualservices], verbs: [get]}]
"""
    server.ok("apply", "-f", "-", stdin=role)
    server.ok("apply", "-f", "-", "-n", "shop", stdin=ROUTE)
    server.ok("user", "create", "narrow", "--role", "routes-only", "-n", "shop")
    said = server.ok("describe", "vs", "reviews", "-n", "shop", env=as_(server, "narrow"))
    assert "Name:         reviews" in said
    for what in ("Events", "Proxies"):
        assert f"{what}: you may not see them (argosy auth can-i --list)" in said
    found = server.ok("describe", "vs", "reviews", "-n", "shop", "-o", "json", env=as_(server, "narrow"))
    assert msgspec.json.decode(found)["withheld"] == ["events", "proxies"]


def test_a_command_acts_as_whom_it_is_told(server: Server) -> None:
    ann = ("--as", "ann", "--as-group", "argosy:viewers", "--as-group", "crew")
    assert "ann   argosy:viewers, crew, system:authenticated" in server.ok("auth", "whoami", *ann)
    assert server.ok("auth", "can-i", "get", "vs", "-A", *ann) == "yes\n"
    assert 'User "ann" cannot list' in server.argosy("get", "secrets", *ann).stderr
    assert 'User "ann" cannot create' in server.argosy("apply", "-f", "-", *ann, stdin=ROUTE).stderr
    done = server.argosy("get", "vs", "-A", "--as", "admin", env=as_(server, "viewer"))
    assert (done.returncode, 'User "viewer" cannot impersonate resource "users"' in done.stderr) == (1, True)
    done = server.argosy("get", "vs", "-A", "--as-group", "argosy:viewers")
    assert (done.returncode, "--as" in done.stderr) == (2, True)


def test_whom_a_command_acts_as_takes_the_place_of_whom_the_kubeconfig_names(server: Server) -> None:
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["users"][0]["user"] |= {"as": "carol", "as-uid": "7", "as-groups": ["argosy:viewers"]}
    (server.folder / "carol.kubeconfig").write_text(yaml.safe_dump(config))
    said = server.ok("auth", "whoami", "--as", "ann", "--as-group", "crew", env=as_(server, "carol"))
    assert "ann   crew, system:authenticated" in said


def test_a_revoked_user_is_nobody_at_once(server: Server) -> None:
    server.ok("user", "create", "passing", "--group", "argosy:viewers")
    assert server.ok("get", "vs", "-A", env=as_(server, "passing"))
    server.ok("user", "revoke", "passing")
    done = server.argosy("get", "vs", "-A", env=as_(server, "passing"))
    assert (done.returncode, "Unauthorized" in done.stderr) == (1, True)
    done = server.argosy("user", "revoke", "passing")
    assert (done.returncode, "not found" in done.stderr) == (1, True)


# --- kubectl ---


def test_kubectl_knows_who_it_is_and_what_it_may(kubectl_as: dict[str, Kubectl]) -> None:
    viewer, developer = kubectl_as["viewer"], kubectl_as["developer"]
    assert "viewer" in viewer.ok("auth", "whoami")
    assert viewer.ok("auth", "can-i", "get", "vs", "-A") == "yes\n"
    for question in (("get", "secrets"), ("delete", "vs"), ("create", "clusterrolebindings")):
        done = viewer("auth", "can-i", *question)
        assert (done.returncode, done.stdout.strip()) == (1, "no"), question
    listed = developer.ok("auth", "can-i", "--list")
    assert "virtualservices.networking.istio.io" in listed
    assert "/version" in listed
    assert "*.*" in kubectl_as["admin"].ok("auth", "can-i", "--list")


def test_kubectl_is_told_no_in_the_words_it_knows(kubectl_as: dict[str, Kubectl]) -> None:
    done = kubectl_as["viewer"]("get", "secrets", "-n", "shop")
    assert (done.returncode, done.stderr) == (
        1,
        'Error from server (Forbidden): secrets is forbidden: User "viewer" cannot list resource "secrets" in API '
        'group "" in the namespace "shop"\n',
    )
    done = kubectl_as["viewer"]("get", "vs", "-n", "shop", "--token=a-token-of-nobody-here")
    assert done.returncode == 1
    assert "Unauthorized" in done.stderr or "must be logged in" in done.stderr


def test_kubectl_gives_and_takes_rights(kubectl_as: dict[str, Kubectl]) -> None:
    admin, viewer = kubectl_as["admin"], kubectl_as["viewer"]
    admin.ok("create", "role", "secret-reader", "--verb=get,list", "--resource=secrets", "-n", "shop")
    admin.ok("create", "rolebinding", "secret-reader", "--role=secret-reader", "--user=viewer", "-n", "shop")
    assert "No resources found" in viewer("get", "secrets", "-n", "shop").stderr
    admin.ok("delete", "rolebinding", "secret-reader", "-n", "shop")
    admin.ok("delete", "role", "secret-reader", "-n", "shop")
    assert "Forbidden" in viewer("get", "secrets", "-n", "shop").stderr


def test_kubectl_describes_and_reconciles_roles(kubectl_as: dict[str, Kubectl]) -> None:
    admin = kubectl_as["admin"]
    assert "virtualservices.networking.istio.io" in admin.ok(
        "describe", "clusterrole", "argosy:service-developer"
    )
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "reconciled"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
    }
    admin.ok("auth", "reconcile", "-f", "-", stdin=yaml.safe_dump(role))
    assert "configmaps" in admin.ok("describe", "clusterrole", "reconciled")
    admin.ok("delete", "clusterrole", "reconciled")


def test_kubectl_acts_as_others(server: Server, kubectl_as: dict[str, Kubectl]) -> None:
    admin, viewer = kubectl_as["admin"], kubectl_as["viewer"]
    assert "ann" in admin.ok("auth", "whoami", "--as", "ann", "--as-group", "argosy:viewers")
    assert (
        admin.ok("auth", "can-i", "get", "vs", "-A", "--as", "ann", "--as-group", "argosy:viewers") == "yes\n"
    )
    assert admin("auth", "can-i", "get", "secrets", "--as", "ann").stdout == "no\n"
    done = viewer("get", "vs", "-A", "--as", "admin")
    assert 'User "viewer" cannot impersonate resource "users"' in done.stderr
    done = admin("get", "vs", "-A", "--as-group", "x")
    assert done.returncode == 1
    lines = [msgspec.json.decode(line) for line in (server.state / "audit.log").read_bytes().splitlines()]
    assert any(
        (line.get("user"), line.get("impersonatedUser", {}).get("user")) == ("admin", "ann") for line in lines
    )


def test_kubectl_manages_users(kubectl_as: dict[str, Kubectl]) -> None:
    listed = kubectl_as["admin"].ok("get", "users")
    assert "argosy:viewers" in listed
    assert "Forbidden" in kubectl_as["viewer"]("get", "users").stderr
