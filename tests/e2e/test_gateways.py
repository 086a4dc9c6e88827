"""A gateway of a running mesh: https with a Secret that comes late, changes and breaks, told on the Gateway itself."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.mesh import Mesh, until
from tests.e2e.test_outages import restarted, workload
from tests.ports import free_port
from tests.unit.pki import Authority, Pair, encoded

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ROOT = Authority()
ONE, TWO = ROOT.issue("shop.example"), ROOT.issue("shop.example")

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example]
    tls: {mode: SIMPLE, credentialName: shop}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: default}
spec: {hosts: [shop.example], gateways: [shop], http: [{route: [{destination: {host: web}}]}]}
"""


def secret(pair: Pair, key: bytes = b"") -> str:
    metadata = {"name": "shop", "namespace": "istio-system"}
    data = encoded(tls_crt=pair.certificate, tls_key=key or pair.key)
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


def resolved(mesh: Mesh) -> tuple[str, str]:
    """(status, message) of the Gateway's condition."""
    body: dict[str, Any] = json.loads(mesh.argosy("get", "gateway.networking.istio.io", "shop", "-o", "json"))
    conditions = body.get("status", {}).get("conditions", [])
    return next(
        ((one["status"], one["message"]) for one in conditions if one["type"] == "ResolvedRefs"), ("", "")
    )


def ask(port: int, tls: bool) -> tuple[int, bytes]:
    """(status, certificate) of one request over a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        connection: socket.socket = plain
        if tls:
            context = ssl.create_default_context(cadata=ROOT.certificate.decode())
            connection = context.wrap_socket(plain, server_hostname="shop.example")
        connection.sendall(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n")
        first = connection.recv(65536).split(b"\r\n")[0].split()
        certificate = (
            connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else b""
        )
        connection.close()
        return int(first[1]), certificate or b""


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


def holding(folder: Path, *texts: bytes) -> list[str]:
    """The files below a folder in which any of the texts stands."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and any(text in path.read_bytes() for text in texts):
            found.append(str(path))
    return found


def test_https_from_a_secret_that_comes_late_changes_under_load_and_breaks(mesh: Mesh) -> None:
    http, https = free_port(), free_port()
    mesh.echo("web")
    mesh.run("gateway", f"--port=80={http}", f"--port=443={https}", name="ingress")
    mesh.announced("web")
    mesh.apply(GATEWAY)
    until(lambda: ask(http, False)[0] == 200, "what needs no Secret is served")
    missing = ("False", "server https: there is no Secret istio-system/shop; create it")
    until(lambda: resolved(mesh) == missing, "the Gateway says what it lacks")

    mesh.apply(secret(ONE))
    until(lambda: ask(https, True) == (200, der(ONE)), "the Secret is in use")
    until(lambda: resolved(mesh)[0] == "True", "the Gateway says so")

    wrong: list[BaseException] = []
    asked: list[int] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                asked.append(ask(https, True)[0])
            except OSError as error:
                wrong.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    for pair in (TWO, ONE, TWO):
        mesh.apply(secret(pair))
        assert ask(https, True) == (200, der(pair)), "apply returns when it is in use"
    broken = mesh.argosy("apply", "--wait", "-f", "-", stdin=secret(TWO, key=ONE.key), check=False)
    assert broken.startswith("1"), broken
    assert "Secret istio-system/shop: tls.key is not the key of tls.crt" in broken
    until(lambda: resolved(mesh)[0] == "False", "the Gateway says that it is broken")
    assert ask(https, True) == (200, der(TWO)), "the last good one stays"
    assert ask(http, False)[0] == 200
    until(lambda: len(asked) > 50, "there was load")
    stop.set()
    thread.join()
    assert (wrong, set(asked)) == ([], {200})

    mesh.kill_server()
    assert ask(https, True) == (200, der(TWO)), "it is served without the server, too"
    lines = [pair.key.splitlines()[1] for pair in (ONE, TWO)]
    whole = [base64.b64encode(pair.key)[:60] for pair in (ONE, TWO)]
    assert holding(mesh.state, *lines, *whole) == [], "no key of a Secret is on disk in the clear"
    mesh.start_server()


def refused(port: int) -> bool:
    """Whether no handshake is done: no certificate is shown, neither this one nor another, and nothing is served."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            context.wrap_socket(plain, server_hostname="shop.example").close()
    except OSError:
        return True
    return False


def test_a_gateway_that_restarts_without_a_server_has_the_secrets_that_its_agent_holds(mesh: Mesh) -> None:
    http, https = free_port(), free_port()
    mesh.echo("web")
    mesh.run("gateway", f"--port=80={http}", f"--port=443={https}", name="ingress")
    mesh.announced("web")
    mesh.apply(GATEWAY)
    mesh.apply(secret(ONE))
    until(lambda: ask(https, True) == (200, der(ONE)), "the Secret is in use")
    name = next(one["name"] for one in mesh.ps() if one["service"] != "web")
    mesh.kill_server()

    def restart() -> None:
        pid = workload(mesh, name)["envoy_pid"]
        os.kill(pid, signal.SIGKILL)
        restarted(mesh, name, pid)
        until(lambda: ask(http, False)[0] == 200, "what needs no Secret is served")

    restart()
    until(lambda: ask(https, True) == (200, der(ONE)), "the agent has kept the Secret in its memory")

    agent = int(json.loads(mesh.argosy("ps", "-o", "json", "--agent"))["pid"])
    os.kill(agent, signal.SIGKILL)
    until(
        lambda: json.loads(mesh.argosy("ps", "-o", "json", "--agent"))["pid"] != agent, "there is a new agent"
    )
    until(lambda: workload(mesh, name)["envoy_pid"], "which has adopted the gateway")
    assert ask(https, True) == (200, der(ONE)), "Envoy has what it had"

    restart()
    assert refused(https), "nobody here has the Secret: nothing is served in its place"
    assert ask(http, False)[0] == 200, "the rest is"
    mesh.start_server()
    until(lambda: ask(https, True) == (200, der(ONE)), "the server brings it", 60)
