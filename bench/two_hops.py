"""What does a request cost in both sidecars (CPU, latency), against a hand-written pair of Envoys with mutual TLS?

Five pairs in front of one application, measured in turns so that noise meets all of them alike. The application is an
Envoy that answers 1 kB directly, so that it is never the bottleneck.

- hand-written: one route, no metrics, no policy: the least that mutual TLS over HTTP/2 can cost;
- plain: what Argosy's own two sidecars run, read from them and made static, without policy and metrics;
- hand-written with the same access loggers and policy filter as Argosy's;
- Argosy: the sidecars themselves, by the port of a declared upstream and by the proxy port.

Istio publishes 0.20 of a core for one sidecar at 1,000 requests/s of 1 kB, so 0.40 for both; the same rate is measured
here.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from argosy.agent.admin import Admin
from bench import generated
from bench.certificates import make_pair
from bench.envoys import (
    cluster,
    command,
    downstream_tls,
    envoy,
    http_listener,
    static,
    tls_certificate,
    trusted_ca,
    upstream_tls,
)
from bench.processes import cpu, percentile
from tests.e2e.mesh import Mesh, running_mesh, until
from tests.ports import free_port

Row = tuple[str, str, str]
Json = dict[str, Any]
IDENTITY, WORKLOAD = "spiffe://cluster.local/ns/default/sa/app", "v1.app.app-v1.default.workload.mesh"
SETTLE = 6.0  # seconds
ROUNDS, SECONDS, CONNECTIONS = 11, 2, 16
RATE, RATE_CONNECTIONS = 1000, 4


class Way(NamedTuple):
    """To the application: where to send, what to ask for, and the sidecars in between."""

    port: int
    pids: tuple[int, ...] = ()
    target: str = "/"


class Load(NamedTuple):
    cpu: float  # µs of all sidecars for a request
    p50: float  # ms
    p99: float


# --- the pairs ---


def hand_written(
    stack: ExitStack, folder: Path, app: int, *, policy: list[Json], metrics: tuple[list[Json], list[Json]]
) -> Way:
    """`metrics`: the access loggers of the client's and of the server's side."""
    outer, inner = free_port(), free_port()
    server = http_listener(
        inner,
        {"route": {"cluster": "app"}},
        tls=downstream_tls(folder),
        filters=tuple(policy),
        access_log=tuple(metrics[1]),
    )
    client = http_listener(outer, {"route": {"cluster": "hop"}}, access_log=tuple(metrics[0]))
    pids = (
        stack.enter_context(envoy(folder, f"server-{inner}", static([server], [cluster("app", app)]))),
        stack.enter_context(
            envoy(folder, f"client-{outer}", static([client], [cluster("hop", inner, upstream_tls(folder))]))
        ),
    )
    return Way(outer, pids)


def plain(stack: ExitStack, folder: Path, dumps: dict[str, Json], upstream: int) -> Way:
    """Argosy's configuration without policy and metrics, on ports of its own."""
    ports = {
        port: free_port() for dump in dumps.values() for port in generated.listening_ports(dump).values()
    }

    def start(name: str) -> int:
        bare = generated.without_policy_and_metrics(dumps[name])
        made = generated.made_static(bare, tls_certificate(folder), trusted_ca(folder))
        return stack.enter_context(envoy(folder, f"plain-{name}", generated.moved(made, ports)))

    return Way(ports[upstream], (start("app"), start("client")))


def dump(workload: Json) -> Json:
    """What the Envoy of a workload runs."""
    text = asyncio.run(Admin(workload["admin_socket"]).get("/config_dump?include_eds"))
    read: Json = json.loads(text)
    return read


def start_mesh(stack: ExitStack, folder: Path, config: Path, app: int) -> dict[str, Json]:
    """The application and a client in the mesh: service -> workload, as `argosy ps` gives them."""
    mesh: Mesh = stack.enter_context(running_mesh(folder / "s"))
    mesh.run("run", "--service=app", "--label=version=v1", f"--port=9080:{app}", "--", *command(config))
    mesh.client("client", "--upstream=app:9080")
    mesh.announced("app")
    return {workload["service"]: workload for workload in mesh.ps()}


def paths(stack: ExitStack, folder: Path) -> dict[str, Way]:
    make_pair(folder, IDENTITY, WORKLOAD)
    app = free_port()
    answer = {"direct_response": {"status": 200, "body": {"inline_string": "x" * 1000}}}
    config = folder / "app.json"
    config.write_text(json.dumps(static([http_listener(app, answer)], [])))
    workloads = start_mesh(stack, folder, config, app)
    upstream, proxy = workloads["client"]["upstreams"][0]["bind"], workloads["client"]["outbound_proxy_port"]
    until(lambda: answers(Way(upstream)), "traffic flows")
    dumps = {name: dump(workload) for name, workload in workloads.items()}
    metrics = (
        generated.access_logs(dumps["client"], "upstream_9080_app"),
        generated.access_logs(dumps["app"], "inbound_9080"),
    )
    policy = generated.delivered_filters(dumps["app"])
    pids = tuple(workload["envoy_pid"] for workload in workloads.values())
    found = {
        "direct": Way(app),
        "hand-written": hand_written(stack, folder, app, policy=[], metrics=([], [])),
        "plain": plain(stack, folder, dumps, upstream),
        "hand-written, same": hand_written(stack, folder, app, policy=policy, metrics=metrics),
        "argosy": Way(upstream, pids),
        "argosy, proxy": Way(proxy, pids, "http://app:9080/"),
    }
    for name, way in found.items():
        until(lambda way=way: answers(way), f"{name} answers")  # type: ignore[misc]
    return found


def answers(way: Way) -> bool:
    proxy = [] if way.target == "/" else ["--proxy", f"http://127.0.0.1:{way.port}"]
    url = way.target if proxy else f"http://127.0.0.1:{way.port}/"
    done = subprocess.run(["curl", "-sf", "--noproxy", "", *proxy, url], check=False, capture_output=True)
    return done.stdout == b"x" * 1000


# --- the measurements ---


def busy(seconds: float) -> float:
    """How much of all cores is in use for so long, by anybody: where that is much, the figures are noise."""

    def now() -> tuple[int, int]:
        times = [int(each) for each in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return sum(times), times[3] + times[4]  # idle, iowait

    total, idle = now()
    time.sleep(seconds)
    total, idle = (after - before for after, before in zip(now(), (total, idle), strict=True))
    return 1 - idle / total


def full_load(way: Way, script: Path) -> tuple[int, float, float]:
    """Requests, p50 and p99 in ms of as much load as CONNECTIONS connections give."""
    script.write_text(f'wrk.path = "{way.target}"\nwrk.headers["Host"] = "app:9080"\n')
    out = subprocess.run(
        [
            *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency"),
            *("-s", str(script), f"http://127.0.0.1:{way.port}/"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if bad := re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors.*", out):
        raise RuntimeError(f"failed requests: {bad[0]}\n{out}")

    def milliseconds(share: str) -> float:
        found = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", out)
        assert found, out
        return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]]

    count = re.search(r"(\d+) requests in", out)
    assert count, out
    return int(count[1]), milliseconds("50"), milliseconds("99")


def steady(way: Way, log: Path) -> tuple[int, float, float]:
    """The same of RATE requests/s."""
    log.unlink(missing_ok=True)
    subprocess.run(
        [
            *("h2load", "--h1", f"-c{RATE_CONNECTIONS}", f"--rps={RATE // RATE_CONNECTIONS}"),
            *(f"-D{SECONDS}", f"--log-file={log}", f"http://127.0.0.1:{way.port}/"),
        ],
        capture_output=True,
        check=True,
        timeout=SECONDS + 30,
    )
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    if bad := [line for line in lines if line[1] != "200"]:
        raise RuntimeError(f"{len(bad)} failed requests: {bad[:3]}")
    if len(lines) < RATE * SECONDS * 0.95:
        raise RuntimeError(f"{len(lines)} requests in {SECONDS} s: the rate of {RATE}/s was not held")
    took = [int(line[2]) / 1000 for line in lines]
    return len(took), percentile(took, 0.5), percentile(took, 0.99)


def costs(way: Way, load: Callable[[], tuple[int, float, float]]) -> Load:
    before = sum(map(cpu, way.pids))
    count, p50, p99 = load()
    return Load((sum(map(cpu, way.pids)) - before) / count * 1e6, p50, p99)


def in_turns(names: list[str], measure: Callable[[str], Load]) -> dict[str, list[Load]]:
    """ROUNDS measurements of each, one after the other, every other round backwards."""
    seen: dict[str, list[Load]] = {name: [] for name in names}
    for turn in range(ROUNDS):
        for name in names if turn % 2 == 0 else reversed(names):
            seen[name].append(measure(name))
    return seen


def median(of: list[Load]) -> Load:
    return Load(*(statistics.median(column) for column in zip(*of, strict=True)))


def ratio(of: list[Load], to: list[Load]) -> str:
    """Of the CPU, the median of pairs measured in the same round; and the smallest and the largest."""
    found = sorted(a.cpu / b.cpu for a, b in zip(of, to, strict=True))
    return f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"


def run() -> list[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ways = paths(stack, folder)
        others = busy(SETTLE)  # what starts has settled by then: probes, the first flush of the metrics
        full = in_turns(
            list(ways), lambda name: costs(ways[name], lambda: full_load(ways[name], folder / "wrk.lua"))
        )
        # h2load sends no requests in absolute form
        paced = in_turns(
            [name for name, way in ways.items() if way.target == "/"],
            lambda name: costs(ways[name], lambda: steady(ways[name], folder / "h2load.log")),
        )
        return [*rows(full, paced), ("the machine before the load: busy", f"{others:.0%} of all cores", "")]


def rows(full: dict[str, list[Load]], paced: dict[str, list[Load]]) -> list[Row]:
    at_full = {name: median(each) for name, each in full.items()}
    at_rate = {name: median(each) for name, each in paced.items()}
    hand, same = full["hand-written"], full["hand-written, same"]

    def latency(of: Load) -> str:
        return f"{of.p50:.2f} / {of.p99:.2f} ms"

    each = f"CPU of both for a request at full load ({CONNECTIONS} connections):"
    return [
        (f"{each} hand-written pair", f"{at_full['hand-written'].cpu:.0f} µs", ""),
        ("… Argosy's configuration without policy and metrics", f"{at_full['plain'].cpu:.0f} µs", ""),
        ("… hand-written pair with Argosy's policy and metrics", f"{at_full['hand-written, same'].cpu:.0f} µs", ""),
        ("… Argosy, policy and metrics", f"{at_full['argosy'].cpu:.0f} µs", ""),
        ("… Argosy, policy and metrics, by the proxy port", f"{at_full['argosy, proxy'].cpu:.0f} µs", ""),
        ("ratio, plain / hand-written (smallest to largest pair)", ratio(full["plain"], hand), "1.15"),
        ("ratio, policy and metrics / hand-written", ratio(full["argosy"], hand), "1.35"),
        ("ratio, policy and metrics / hand-written with the same", ratio(full["argosy"], same), ""),
        (
            "CPU of both sidecars per 1,000 requests/s at full load",
            f"{at_full['argosy'].cpu / 1000:.3f} core",
            "0.15",
        ),
        (
            f"… at {RATE:,} requests/s (Istio publishes 0.40)",
            f"{at_rate['argosy'].cpu / 1000:.3f} core (hand-written {at_rate['hand-written'].cpu / 1000:.3f})",
            "0.15",
        ),
        (f"latency p50 / p99 at {RATE:,} requests/s: direct", latency(at_rate["direct"]), ""),
        ("… hand-written pair", latency(at_rate["hand-written"]), ""),
        ("… Argosy's configuration without policy and metrics", latency(at_rate["plain"]), ""),
        ("… Argosy", latency(at_rate["argosy"]), ""),
        (
            "… added by Argosy to direct",
            f"{at_rate['argosy'].p50 - at_rate['direct'].p50:.2f} / "
            f"{at_rate['argosy'].p99 - at_rate['direct'].p99:.2f} ms",
            "",
        ),
        (f"latency p50 / p99 at full load over {CONNECTIONS} connections: direct", latency(at_full["direct"]), ""),
        ("… hand-written pair", latency(at_full["hand-written"]), ""),
        ("… Argosy", latency(at_full["argosy"]), ""),
    ]  # fmt: skip
