"""What one client may send to a sidecar and to a gateway: real Envoys, each bound of the table in docs/security.md."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from argosy.agent import bootstrap as agent_bootstrap
from argosy.agent.bootstrap import Bootstrap, arguments
from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.proxy import Proxy
from argosy.xds.node import ProxyNode
from tests.e2e import caller_lab
from tests.e2e.caller_lab import http1
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import ENVOY, peer_authentication, running
from tests.ports import free_port
from tests.unit.model.written import mesh_config
from tests.unit.translate.mesh import SUFFIX, endpoint, put, service, workload

pytestmark = pytest.mark.e2e

IDENTITY = "spiffe://cluster.local/ns/default/sa/reviews"
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: default}
spec: {hosts: ["*"], gateways: [edge], http: [{route: [{destination: {host: plain, port: {number: 9081}}}]}]}
"""
EDGE = "defaultConfig: {connectionSettings: {profile: EDGE, httpRequestHeadersTimeout: 1s}}"


@contextlib.contextmanager
def door(folder: Path, kind: str) -> Iterator[int]:
    """The port of a sidecar that takes plaintext, of a gateway, or of one with the settings for the internet."""
    snapshot = Snapshot(ir.Mesh())
    put(snapshot, peer_authentication("PERMISSIVE"))
    port = free_port()
    with caller_lab.heads() as app:
        snapshot.put_service(service("plain", (9081, Protocol.HTTP)))
        snapshot.put_endpoints(f"plain.{SUFFIX}", (endpoint("plain", "v1", 9081, app, mtls=False),))
        if kind == "sidecar":
            snapshot.put_workload(workload("plain", "v1", (9081, port, app, Protocol.HTTP)))
            scope = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")
            proxy = Proxy(namespace="default", name="plain-v1", scope=scope, outbound_port=free_port())
        else:
            if kind == "edge":
                snapshot.put_config(mesh_config(EDGE))
            put(snapshot, GATEWAY)
            scope = scope_of(Reader(snapshot), type=ProxyType.ROUTER, namespace="default")
            proxy = Proxy(namespace="default", name="gw", scope=scope, port_map=((80, port),))
        with running(folder, snapshot, proxy, IDENTITY):
            yield port


@pytest.mark.parametrize("kind", ["sidecar", "gateway"])
def test_heads_are_bounded(tmp_path: Path, kind: str) -> None:
    """60 KiB and 100 headers, Envoy's own bounds; the proxy serves on."""
    with door(tmp_path, kind) as port:
        assert http1(port, lines=()).status == 200
        assert http1(port, lines=(f"x-a: {'a' * (50 << 10)}",)).status == 200
        assert http1(port, lines=(f"x-a: {'a' * (70 << 10)}",)).status in (431, 0)
        assert http1(port, lines=tuple(f"x-{n}: a" for n in range(80))).status == 200
        assert http1(port, lines=tuple(f"x-{n}: a" for n in range(120))).status == 431
        assert http1(port, lines=()).status == 200


def settings(port: int) -> dict[int, int]:
    """What a server says of itself as an HTTP/2 connection begins."""
    machine = h2.connection.H2Connection(h2.config.H2Configuration())
    machine.initiate_connection()
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(machine.data_to_send())
        while True:
            for event in machine.receive_data(connection.recv(65536)):
                if isinstance(event, h2.events.RemoteSettingsChanged):
                    return {int(code): one.new_value for code, one in event.changed_settings.items()}


@pytest.mark.parametrize(("kind", "most"), [("sidecar", 1024), ("gateway", 1024), ("edge", 100)])
def test_streams_of_one_connection_are_bounded(tmp_path: Path, kind: str, most: int) -> None:
    with door(tmp_path, kind) as port:
        told = settings(port)
        assert told[int(h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS)] <= most, told


def test_who_never_ends_its_head_is_closed_at_an_edge(tmp_path: Path) -> None:
    with door(tmp_path, "edge") as port, socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ")
        connection.settimeout(20)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("kind", ["edge"])
def test_headers_with_underscores_are_refused_at_an_edge(tmp_path: Path, kind: str) -> None:
    with door(tmp_path, kind) as port:
        assert http1(port, lines=("x_a: b",)).status == 400


def test_connections_of_a_proxy_are_bounded(tmp_path: Path) -> None:
    """By the bootstrap that agents write: one more is closed, and there is room again when one ends."""
    most, port = 3, free_port()
    admin = f"/tmp/{port}.sock"
    of = Bootstrap(
        name="a", namespace="b", proxy=ProxyNode(), admin_socket=admin, xds_socket="/tmp/none.sock",
        max_connections=most,
    )  # fmt: skip
    made = agent_bootstrap.bootstrap(of)
    del made["dynamic_resources"]["lds_config"], made["dynamic_resources"]["cds_config"]
    made["static_resources"]["listeners"] = [
        {
            "name": "direct",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [
                {
                    "filters": [
                        {
                            "name": "echo",
                            "typed_config": {
                                "@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"
                            },
                        }
                    ]
                }
            ],
        }
    ]
    config = tmp_path / "bootstrap.json"
    config.write_text(json.dumps(made))

    def echoes(connection: socket.socket) -> bool:
        connection.settimeout(10)
        with contextlib.suppress(OSError):
            connection.sendall(b"a")
            return connection.recv(1) == b"a"
        return False

    with (tmp_path / "envoy.log").open("wb") as log:
        process = subprocess.Popen(arguments(ENVOY, config), stdout=log, stderr=log)
    held: list[socket.socket] = []
    try:

        def first() -> bool:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                return echoes(connection)

        def holds() -> bool:
            """Those that were closed before count until Envoy has seen it."""
            while held:
                held.pop().close()
            held.extend(socket.create_connection(("127.0.0.1", port), 10) for _ in range(most))
            return all(echoes(one) for one in held)

        until(first, "Envoy serves")
        until(holds, "as many as may be")
        with socket.create_connection(("127.0.0.1", port), 10) as late:
            assert not echoes(late)
        held.pop().close()
        until(first, "there is room again")
    finally:
        for one in held:
            one.close()
        process.kill()
        process.wait()
        Path(admin).unlink(missing_ok=True)
