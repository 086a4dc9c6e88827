"""What a person meets at the terminal when things go wrong: who is to blame, what to do, and no harm done; and what
`describe` tells of it."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Sequence
from itertools import takewhile
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


ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: told}
spec:
  hosts: [told.example]
  http: [{directResponse: {status: 200}}]
"""
COUNTED = """
apiVersion: v1
kind: Event
metadata: {name: told.1}
involvedObject: {kind: VirtualService, namespace: default, name: told}
type: Normal
reason: Seen
message: somebody looked
count: 3
"""


def rows(described: str, title: str) -> list[list[str]]:
    """The cells of the table that `describe` shows under this title, without its head; none where it shows none."""
    lines = iter(described.splitlines())
    if f"{title}:" not in lines:  # and if it is, what follows it is left
        return []
    table = [re.split(r" {2,}", line.strip()) for line in takewhile(bool, lines)]
    return table[1:]


def programmed(described: str) -> list[str]:
    """STATUS, REASON and MESSAGE of the condition."""
    (found,) = [row for row in rows(described, "Conditions") if row[0] == "Programmed"]
    return [*found[1:3], *found[4:]]


def describing(mesh: Mesh, what: Sequence[str], condition: list[str], proxies: list[list[str]]) -> str:
    """What `describe` says once it shows this condition Programmed and these proxies: each follows by itself."""

    def shown() -> str:
        said = mesh.argosy("describe", *what)
        found = programmed(said), rows(said, "Proxies")
        assert found == (condition, proxies), said
        return said

    return until(shown, f"describe {what} shows {condition}, {proxies}")


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
    # Who is in a hurry does not wait for the mesh to have let go of it; the tests after this one do.
    until(lambda: "slow" not in shared_mesh.argosy("get", "workloadentries"), "its entry is gone")


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


def test_describe_follows_the_proxies_that_come_and_go(shared_mesh: Mesh) -> None:
    told = ("vs", "told")
    one, two = (shared_mesh.client(name, f"--name={name}").run for name in ("one", "two"))
    shared_mesh.apply(ROUTE)
    shared_mesh.argosy("apply", "-n", "default", "-f", "-", stdin=COUNTED)
    said = describing(
        shared_mesh,
        told,
        ["True", "Programmed", "2 of 2 affected proxies run it"],
        [["one.default", "live"], ["two.default", "live"]],
    )
    assert ["Accepted", "True", "Accepted"] in [row[:3] for row in rows(said, "Conditions")]
    (event,) = rows(said, "Events")
    assert re.fullmatch(r"\d+\w+ \(x3\)", event[0]), event
    assert event[1:] == ["Normal", "Seen", "somebody looked"]
    one.stop()
    describing(
        shared_mesh,
        told,
        ["True", "Programmed", "1 of 1 affected proxies run it"],
        [["two.default", "live"]],
    )
    two.stop()
    said = describing(shared_mesh, told, ["True", "NoSubscribers", "no connected proxy uses it"], [])
    assert "\nProxies: no proxy is connected\n" in said
    shared_mesh.argosy("delete", "-f", "-", stdin=ROUTE)
    shared_mesh.argosy("delete", "events", "told.1")


def test_describe_says_which_proxy_refuses_what_and_why(shared_mesh: Mesh) -> None:
    ingress = shared_mesh.run("gateway")
    until(lambda: "is ready" in ingress.output(), "the gateway is ready")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = gateway("refused", port)
        assert shared_mesh.argosy("apply", "--wait", "-f", "-", stdin=text, check=False).startswith("1\n")
        listener = f"127.0.0.1_{port}"
        refusal = (
            f"Listener {listener}: Error adding/updating listener(s) {listener}: "
            f"cannot bind '127.0.0.1:{port}': Address already in use"
        )
        name = "ingress.istio-system"
        describing(
            shared_mesh,
            ("gateways.networking.istio.io", "refused", "-n", "istio-system"),
            ["False", "Rejected", f"0 of 1 affected proxies run it; {name} refused {refusal}"],
            [[name, "refused", refusal]],
        )
        shared_mesh.argosy("delete", "--wait", "-f", "-", stdin=text)
    assert ingress.stop() == 0
