"""What do policies of 10, 100 and 1,000 rules cost a sidecar: CPU for each request, against none?

Real sidecars as the translator makes them, called over mutual TLS by hand-written client Envoys, which are not counted;
the application answers 1 kB. Of each policy the last rule is the one that lets the caller in, so all the others are
looked at first: the worst case. Rules name callers (by principal), or paths; a denying policy of which no rule holds is
looked at as a whole. Measured in turns, every other round backwards, so that noise meets all of them alike.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.translate.proxy import Proxy
from bench.envoys import cluster, envoy, http_listener, static, upstream_tls
from bench.processes import cpu
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import Authority, peer_authentication, running
from tests.ports import free_port
from tests.unit.translate.mesh import put, service, workload

Row = tuple[str, str, str]
CLIENT = "spiffe://cluster.local/ns/default/sa/client"
COUNTS = (10, 100, 1_000)
KINDS = ("callers", "paths", "denied paths")
ROUNDS, REQUESTS, CONNECTIONS = 9, 4_000, 8
SETTLE = 3.0  # seconds
MOST_RULES = 512  # of one object: Istio's bound


class Way(NamedTuple):
    port: int  # of the client's Envoy
    pid: int  # of the sidecar


def policy(kind: str, count: int) -> str:
    """`count` rules, in as many objects as it takes; the last is the one that holds, of a denying policy none."""
    if kind == "callers":
        rules = [
            f"from: [{{source: {{principals: [cluster.local/ns/shop/sa/caller-{n}]}}}}]"
            for n in range(count - 1)
        ]
        rules.append("from: [{source: {principals: [cluster.local/ns/default/sa/client]}}]")
    else:
        rules = [
            f"to: [{{operation: {{methods: [GET], paths: [/api/v1/items-{n}]}}}}]" for n in range(count - 1)
        ]
        rules.append(
            f"to: [{{operation: {{methods: [GET], paths: [{'/never' if kind.startswith('denied') else '/'}]}}}}]"
        )
    return "\n---\n".join(
        _object(kind, at, rules[at : at + MOST_RULES]) for at in range(0, count, MOST_RULES)
    )


def _object(kind: str, at: int, rules: list[str]) -> str:
    listed = "\n".join(f"  - {rule}" for rule in rules)
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: measured-{at:03}, namespace: default}}
spec:
  action: {"DENY" if kind.startswith("denied") else "ALLOW"}
  rules:
{listed}
"""


@contextmanager
def sidecar(folder: Path, app: int, authority: Authority, text: str) -> Iterator[Way]:
    folder.mkdir()
    chain, key = authority.issue(CLIENT, "v1.client.client-v1.default.workload.mesh")
    for name, data in (("cert", chain), ("key", key), ("root", authority.pem())):
        (folder / f"{name}.pem").write_bytes(data)
    bind, outer = free_port(), free_port()
    snapshot = Snapshot(ir.Mesh())
    put(snapshot, peer_authentication("STRICT"))
    if text:
        put(snapshot, text)
    snapshot.put_service(service("app", (9080, Protocol.HTTP)))
    snapshot.put_workload(workload("app", "v1", (9080, bind, app, Protocol.HTTP)))
    scope = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")
    proxy = Proxy(
        namespace="default",
        name="app-v1",
        scope=scope,
        labels=(("app", "app"), ("version", "v1")),
        outbound_port=free_port(),
    )
    client = static(
        [http_listener(outer, {"route": {"cluster": "hop"}})], [cluster("hop", bind, upstream_tls(folder))]
    )
    identity = "spiffe://cluster.local/ns/default/sa/app"
    with (
        running(folder, snapshot, proxy, identity, authority=authority) as found,
        envoy(folder, "client", client),
    ):
        until(lambda: load(outer, 1) > 0, "traffic flows")
        yield Way(outer, found.process.pid)


def load(port: int, requests: int) -> int:
    """How many were answered: all of them. Raises RuntimeError."""
    out = subprocess.run(
        ["h2load", "--h1", f"-n{requests}", f"-c{min(CONNECTIONS, requests)}", f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if f"{requests} 2xx" not in out:
        raise RuntimeError(out)
    return requests


def cost(way: Way) -> float:
    """µs of the sidecar's CPU for a request."""
    before = cpu(way.pid)
    load(way.port, REQUESTS)
    return (cpu(way.pid) - before) / REQUESTS * 1e6


def run() -> list[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        app, authority = free_port(), Authority()
        answer = {"direct_response": {"status": 200, "body": {"inline_string": "x" * 1000}}}
        stack.enter_context(envoy(folder, "app", static([http_listener(app, answer)], [])))
        texts = {("none", 0): ""} | {(kind, count): policy(kind, count) for kind in KINDS for count in COUNTS}
        ways = {
            name: stack.enter_context(sidecar(folder / f"{at}", app, authority, text))
            for at, (name, text) in enumerate(texts.items())
        }
        time.sleep(SETTLE)
        seen: dict[tuple[str, int], list[float]] = {name: [] for name in ways}
        for turn in range(ROUNDS):
            for name in list(ways) if turn % 2 == 0 else reversed(list(ways)):
                seen[name].append(cost(ways[name]))
        sizes = {name: len(json.dumps(text)) for name, text in texts.items()}
        return rows(seen, sizes)


def ratio(of: list[float], to: list[float]) -> str:
    """The median of pairs measured in the same round, the smallest and the largest."""
    found = sorted(a / b for a, b in zip(of, to, strict=True))
    return f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"


def rows(seen: dict[tuple[str, int], list[float]], sizes: dict[tuple[str, int], int]) -> list[Row]:
    found = [
        (
            "CPU of the sidecar for a request: without a policy",
            f"{statistics.median(seen['none', 0]):.0f} µs",
            "",
        )
    ]
    for kind in KINDS:
        for count in COUNTS:
            key = (kind, count)
            found.append(
                (
                    f"… {count:,} rules, {kind} ({sizes[key] >> 10} KiB of YAML)",
                    f"{statistics.median(seen[key]):.0f} µs",
                    "",
                )
            )
        found += [
            (f"ratio, 10 rules / none: {kind}", ratio(seen[kind, 10], seen["none", 0]), ""),
            (f"ratio, 1,000 rules / 10: {kind}", ratio(seen[kind, 1_000], seen[kind, 10]), "1.3"),
        ]
    return found
