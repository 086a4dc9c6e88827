"""How many handshakes of mutual TLS do two Envoys make in a second, full and resumed, and what does each cost?

A pair of hand-written Envoys with the TLS of sidecars (1.3, both sides with certificates, ECDSA P-256); the client's
opens a connection for each request. Full: it keeps no sessions. Resumed: it keeps many. Default: it keeps one, as Envoy
does unless told otherwise, and as sidecars do; each counts once in TLS 1.3. Kept: connections stay open, so that what a
handshake costs is the difference. What was resumed is what Envoy itself counts.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from argosy.agent.admin import Admin
from bench.certificates import make_pair
from bench.envoys import cluster, downstream_tls, envoy, http_listener, static, upstream_tls
from bench.processes import cpu
from tests.e2e.mesh import until
from tests.ports import free_port

Row = tuple[str, str, str]
Json = dict[str, Any]
IDENTITY, WORKLOAD = "spiffe://cluster.local/ns/default/sa/app", "v1.app.app-v1.default.workload.mesh"
SESSIONS = {"full": 0, "resumed": 64}
ROUNDS, REQUESTS, CONNECTIONS = 7, 3_000, 8
PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Way(NamedTuple):
    port: int
    client: int  # pids
    server: int
    admin: Path  # of the client's Envoy


class Cost(NamedTuple):
    client: float  # µs of CPU for a request
    server: float
    seconds: float  # for all


def pair(stack: ExitStack, folder: Path, kind: str) -> Way:
    outer, inner, admin = free_port(), free_port(), folder / f"{kind}.sock"
    answer = {"direct_response": {"status": 200, "body": {"inline_string": "x"}}}
    server = static([http_listener(inner, answer, tls=downstream_tls(folder))], [])
    tls = upstream_tls(folder)
    hop = cluster("hop", inner, tls)
    if kind != "kept":
        hop["typed_extension_protocol_options"][PROTOCOLS]["common_http_protocol_options"] = {
            "max_requests_per_connection": 1
        }
    if kind in SESSIONS:
        tls["max_session_keys"] = SESSIONS[kind]
    client: Json = static([http_listener(outer, {"route": {"cluster": "hop"}})], [hop])
    client["admin"] = {"address": {"pipe": {"path": str(admin)}}}
    pids = (
        stack.enter_context(envoy(folder, f"client-{kind}", client)),
        stack.enter_context(envoy(folder, f"server-{kind}", server)),
    )
    way = Way(outer, *pids, admin)
    until(lambda: load(way, 1) > 0, f"{kind} answers")
    return way


def load(way: Way, requests: int) -> float:
    """Seconds that it took."""
    begun = time.monotonic()
    out = subprocess.run(
        [
            "h2load",
            "--h1",
            f"-n{requests}",
            f"-c{min(CONNECTIONS, requests)}",
            f"http://127.0.0.1:{way.port}/",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if f"{requests} 2xx" not in out:
        raise RuntimeError(out)
    return time.monotonic() - begun


def cost(way: Way) -> Cost:
    before = cpu(way.client), cpu(way.server)
    took = load(way, REQUESTS)
    return Cost(
        (cpu(way.client) - before[0]) / REQUESTS * 1e6, (cpu(way.server) - before[1]) / REQUESTS * 1e6, took
    )


def counted(way: Way) -> tuple[int, int]:
    """(handshakes, those of them that were resumed) of the client's Envoy."""
    found = asyncio.run(Admin(str(way.admin)).gauges("^cluster.hop.ssl.(handshake|session_reused)$"))
    return found.get("cluster.hop.ssl.handshake", 0), found.get("cluster.hop.ssl.session_reused", 0)


def run() -> list[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_pair(folder, IDENTITY, WORKLOAD)
        ways = {kind: pair(stack, folder, kind) for kind in ("kept", "full", "resumed", "default")}
        seen: dict[str, list[Cost]] = {kind: [] for kind in ways}
        for turn in range(ROUNDS):
            for kind in list(ways) if turn % 2 == 0 else reversed(list(ways)):
                seen[kind].append(cost(ways[kind]))
        return rows(seen, {kind: counted(way) for kind, way in ways.items()})


def rows(seen: dict[str, list[Cost]], counts: dict[str, tuple[int, int]]) -> list[Row]:
    middle = {
        kind: Cost(*(statistics.median(one) for one in zip(*each, strict=True)))
        for kind, each in seen.items()
    }
    kept = middle["kept"]
    found: list[Row] = [
        (
            "CPU for a request over connections that are kept: client's, server's",
            f"{kept.client:.0f}, {kept.server:.0f} µs",
            "",
        )
    ]
    for kind in ("full", "resumed", "default"):
        each, (made, resumed) = middle[kind], counts[kind]
        extra = each.client - kept.client, each.server - kept.server
        found += [
            (
                f"{kind}: handshakes that Envoy counts, of them resumed",
                f"{made:,}, {resumed / max(made, 1):.0%}",
                "",
            ),
            (
                "… what each costs beyond the request: client's, server's",
                f"{extra[0]:.0f}, {extra[1]:.0f} µs",
                "",
            ),
            ("… a second on one core of each", f"{1e6 / extra[0]:,.0f}, {1e6 / extra[1]:,.0f}", ""),
            (
                f"… requests, each with a handshake, a second over {CONNECTIONS} connections",
                f"{REQUESTS / each.seconds:,.0f}",
                "",
            ),
        ]
    return found
