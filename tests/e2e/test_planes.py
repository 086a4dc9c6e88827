"""What a running mesh leaves open on its host: where its processes listen, what their files and /proc say.

A mesh with services, a gateway and a Secret; its processes are those whose environment names its state directory.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.runtime.paths import runtime_dir
from tests.e2e.mesh import Mesh, running_mesh, until
from tests.ports import free_port
from tests.unit.pki import Authority

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PAIR = Authority("edge").issue("shop.example")
EDGE = """
apiVersion: v1
kind: Secret
metadata: {{name: cert, namespace: default}}
data: {{tls.crt: {certificate}, tls.key: {key}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: default}}
spec:
  selector: {{app: gw}}
  servers:
  - {{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: ["*"], tls: {{mode: SIMPLE, credentialName: cert}}}}
"""
SECRETS = (b"PRIVATE KEY", b"Bearer ")
"""What no list of processes may show, of whatever kind; and each mesh's own tokens."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with running_mesh(tmp_path_factory.mktemp("planes") / "state") as found:
        encoded = {
            "certificate": base64.b64encode(PAIR.certificate).decode(),
            "key": base64.b64encode(PAIR.key).decode(),
        }
        found.argosy("apply", "-f", "-", stdin=EDGE.format(**encoded))
        found.echo("reviews")
        found.client()
        port = free_port()
        found.run("gateway", "--name=gw", f"--port=443={port}", name="gateway")
        found.announced("reviews")
        until(lambda: _takes(port), "the gateway listens")
        yield found


def _takes(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 5):
        return True


def processes(mesh: Mesh) -> dict[int, str]:
    """pid -> command, of all that belong to the mesh: the server, the agent, Envoys, `argosy run`, applications."""
    mark = f"ARGOSY_STATE_DIR={mesh.state}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if (
                    mark in (entry / "environ").read_bytes().split(b"\0")
                    or str(mesh.state).encode() in command
                ):
                    found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def listening(pids: Iterator[int]) -> list[tuple[int, str, int]]:
    """(pid, address, port) of every TCP socket that listens, as the kernel says."""
    sockets = {}
    for table, length in (("tcp", 8), ("tcp6", 32)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                host, _, port = fields[1].partition(":")
                assert len(host) == length
                sockets[fields[9]] = (_address(host), int(port, 16))
    found = []
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                one = re.fullmatch(r"socket:\[(\d+)\]", str(handle.readlink()))
                if one is not None and one[1] in sockets:
                    found.append((pid, *sockets[one[1]]))
    return found


def _address(text: str) -> str:
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words))


def test_every_port_is_on_the_loopback_and_none_is_an_admin_interface(mesh: Mesh) -> None:
    mine = processes(mesh)
    kinds = {"envoy": 0, "server": 0, "agent": 0}
    for command in mine.values():
        for kind in kinds:
            kinds[kind] += kind in command
    assert all(kinds.values()), mine
    found = listening(iter(mine))
    assert len(found) >= 6, "the server's ports, the agent's, and those of sidecars"
    for pid, address, port in found:
        host = ipaddress.ip_address(address)
        host = getattr(host, "ipv4_mapped", None) or host
        assert host.is_loopback, (address, port, mine[pid])
        # Envoy's admin interface answers /server_info to anybody.
        with contextlib.suppress(OSError):
            assert b'"hot_restart_version"' not in _asked(port, "/server_info"), (port, mine[pid])
            assert b"PRIVATE KEY" not in _asked(port, "/config_dump?include_eds")


def _asked(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(2)
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        got = b""
        while chunk := connection.recv(65536):
            got += chunk
        return got


def test_no_process_shows_a_secret(mesh: Mesh) -> None:
    """Command lines are read by every user; environments by those of the same, and by crash reports."""
    tokens = [(mesh.state / "token").read_bytes().strip()]
    made = mesh.argosy("user", "create", "alice", "--role=argosy:viewer", check=False)
    tokens += [word.encode() for word in re.findall(r"[A-Za-z0-9_-]{32,}", made)]
    mine = processes(mesh)
    assert len(mine) >= 5
    for pid, command in mine.items():
        for file in ("cmdline", "environ"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                said = Path(f"/proc/{pid}/{file}").read_bytes()
                for secret in (*SECRETS, *tokens, PAIR.key[40:80]):
                    assert secret not in said, f"{file} of {command}"


def test_state_is_for_its_user_alone_and_no_key_of_a_gateway_is_on_disk(mesh: Mesh) -> None:
    for folder in (mesh.state, runtime_dir(mesh.state)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    keys = []
    for path in mesh.state.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or path.suffix == ".log":
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode & 0o077 == 0, path
            continue
        data = path.read_bytes()
        if b"PRIVATE KEY" in data or b'"key"' in data:
            keys.append(path)
            assert mode & 0o077 == 0, path
        assert PAIR.key[40:120] not in data, f"{path} has the key of a gateway"
        assert base64.b64encode(PAIR.key)[40:120] not in data, f"{path} has the key of a gateway"
    assert keys, "the authority's and the workloads' own keys are there"


def test_the_runtime_directory_lets_nobody_else_in(mesh: Mesh) -> None:
    folder = runtime_dir(mesh.state)
    sockets = [path for path in folder.rglob("*") if path.is_socket()]
    assert {"agent.sock", "xds.sock"} <= {path.name for path in sockets}
    for path in folder.rglob("*"):
        if path.is_dir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE(folder.parent.stat().st_mode) & 0o077 == 0


def test_logs_hold_no_secret(mesh: Mesh) -> None:
    token = (mesh.state / "token").read_text().strip()
    logs = list(mesh.state.rglob("*.log"))
    assert logs
    for path in logs:
        text = path.read_text(errors="replace")
        assert "PRIVATE KEY" not in text, path
        assert token not in text, path
