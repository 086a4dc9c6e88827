"""What a person meets at the terminal when things go wrong: who is to blame, what to do, and no harm done."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.e2e.mesh import Mesh, until
from tests.ports import free_port

SLOW_TO_END = """
import http.server, signal, sys, time
def end(*_):
    time.sleep(1.5)  # it has something to put away
    open(sys.argv[2], "w").write("put away")
    sys.exit(3)
signal.signal(signal.SIGINT, end)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def gateway(name: str, port: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: ["{name}.example"]
  gateways: [istio-system/{name}]
  http: [{{directResponse: {{status: 200}}}}]
"""


def test_a_second_ctrl_c_hurries_and_lets_the_application_end(shared_mesh: Mesh, tmp_path: Path) -> None:
    done = tmp_path / "done"
    run = shared_mesh.run(
        "run",
        "--service=slow",
        "--port=9080:auto",
        "--",
        sys.executable,
        "-c",
        SLOW_TO_END,
        "{port}",
        str(done),
    )
    until(lambda: "is announced" in run.output(), "it is announced")
    run.process.send_signal(signal.SIGINT)
    until(lambda: "leaves the mesh" in run.output(), "it leaves")
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(20) == 3
    assert done.read_text() == "put away"


def test_a_port_that_cannot_be_listened_on_is_refused_by_name_and_harms_nothing(shared_mesh: Mesh) -> None:
    ingress = shared_mesh.run("gateway")
    until(lambda: "is ready" in ingress.output(), "the gateway is ready")
    good = shared_mesh.argosy(
        "apply", "--wait", "-f", "-", stdin=gateway("good", (free := free_port())), check=False
    )
    assert good.startswith("0\n"), good
    assert "warning" not in good, "the Gateway was applied a moment before the VirtualService that names it"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = shared_mesh.argosy("apply", "--wait", "-f", "-", stdin=gateway("bad", port), check=False)
        assert refused.startswith("1\n")
        (line,) = [line for line in refused.splitlines() if "refused by" in line]
        assert "Gateway istio-system/bad: refused by ingress.istio-system: " in line
        assert line.endswith(f"cannot bind '127.0.0.1:{port}': Address already in use")
        assert "Traceback" not in refused
        assert shared_mesh.http_get(free, "/")[0] == 404, "the other port still serves"
        shared_mesh.argosy("delete", "--wait", "-f", "-", stdin=gateway("bad", port))
    shared_mesh.argosy("delete", "--wait", "-f", "-", stdin=gateway("good", free))
    assert ingress.stop() == 0


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 1, "the files hold no object"),
        ("a: [", 1, "did not find expected node content"),
        ("{apiVersion: 1, kind: 5, metadata: {name: 7}}", 1, "apiVersion: "),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}", 1, "'Pod' is not held here"),
        (
            gateway("half", 80)
            + "---\napiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: no}",
            1,
            "ports",
        ),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(
    shared_mesh: Mesh, text: str, code: int, said: str
) -> None:
    there = ("get", "gateways", "-A", "-o", "jsonpath={.items[*].metadata.name} {.items[*].spec}")
    before = shared_mesh.argosy(*there)
    out = shared_mesh.argosy("apply", "--wait", "-f", "-", stdin=text, check=False)
    assert out.startswith(f"{code}\n")
    assert said in out
    assert "nothing was changed" in out
    assert "Traceback" not in out
    assert shared_mesh.argosy(*there) == before
