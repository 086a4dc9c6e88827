"""What does a request cost in both sidecars (CPU, latency), against a hand-written pair of Envoys with mutual TLS?

The application is an Envoy that answers directly, so that it is never the bottleneck. The hand-written pair has no
metrics, no policy, one route: the least that mutual TLS over HTTP/2 can cost. Pairs are measured in turns.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.certificates import make_pair
from bench.processes import cpu
from tests.e2e.mesh import Client, free_port, running_mesh, until

Row = tuple[str, str, str]
ROUNDS, SECONDS, CONNECTIONS = 5, 6, 16
TYPE = "type.googleapis.com/envoy.extensions"


def envoy_binary() -> str:
    from argosy.agent.bootstrap import envoy_binary as binary

    return str(binary())


def http_listener(port: int, route: dict[str, Any], tls: dict[str, Any] | None = None) -> dict[str, Any]:
    chain: dict[str, Any] = {
        "filters": [
            {
                "name": "hcm",
                "typed_config": {
                    "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": "hcm",
                    "route_config": {
                        "virtual_hosts": [
                            {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}
                        ]
                    },
                    "http_filters": [
                        {"name": "router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}
                    ],
                },
            }
        ]
    }
    if tls:
        chain["transport_socket"] = {"name": "tls", "typed_config": tls}
    return {
        "name": f"l{port}",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "enable_reuse_port": False,
        "filter_chains": [chain],
    }


def cluster(name: str, port: int, tls: dict[str, Any] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}
                            }
                        }
                    ]
                }
            ],
        },
    }
    if tls:
        made["transport_socket"] = {"name": "tls", "typed_config": tls}
        made["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return made


@contextmanager
def envoy(
    folder: Path, name: str, listeners: list[dict[str, Any]], clusters: list[dict[str, Any]]
) -> Iterator[int]:
    config = folder / f"{name}.json"
    config.write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}}))
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [envoy_binary(), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"],
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def tls(folder: Path, side: str) -> dict[str, Any]:
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2"],
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(folder / "cert.pem")},
                "private_key": {"filename": str(folder / "key.pem")},
            }
        ],
        "validation_context": {"trusted_ca": {"filename": str(folder / "root.pem")}},
    }
    if side == "client":
        return {"@type": f"{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": common}
    return {
        "@type": f"{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": common,
    }


def load(port: int) -> tuple[int, float, float]:
    """Requests answered, and p50 and p99 in ms, of SECONDS of as much load as CONNECTIONS connections give."""
    out = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if bad := re.search(r"Non-2xx or 3xx responses: (\d+)", out):
        raise RuntimeError(f"{bad[1]} failed requests:\n{out}")

    def milliseconds(share: str) -> float:
        found = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", out)
        assert found, out
        return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]]

    count = re.search(r"(\d+) requests in", out)
    assert count, out
    return int(count[1]), milliseconds("50"), milliseconds("99")


def measure(port: int, pids: tuple[int, ...]) -> tuple[float, float, float]:
    before = sum(map(cpu, pids))
    count, p50, p99 = load(port)
    return (sum(map(cpu, pids)) - before) / count * 1e6, p50, p99


def local_upstream(client: Client) -> int:
    found = until(
        lambda: re.search(r"app:9080\S*\s.*?127\.0\.0\.1:(\d+)", client.run.output()), "the upstream is named"
    )
    return int(found[1])


def run() -> list[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_pair(folder)
        app, direct, hop = free_port(), free_port(), free_port()
        answer = {"direct_response": {"status": 200, "body": {"inline_string": "x" * 100}}}
        server = stack.enter_context(
            envoy(
                folder,
                "server",
                [http_listener(hop, {"route": {"cluster": "app"}}, tls(folder, "server"))],
                [cluster("app", app)],
            )
        )
        client = stack.enter_context(
            envoy(
                folder,
                "client",
                [http_listener(direct, {"route": {"cluster": "hop"}})],
                [cluster("hop", hop, tls(folder, "client"))],
            )
        )
        mesh = stack.enter_context(running_mesh(folder / "s"))
        config = folder / "app.json"
        config.write_text(json.dumps({"static_resources": {"listeners": [http_listener(app, answer)]}}))
        command = [
            envoy_binary(),
            "-c",
            str(config),
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "error",
        ]
        mesh.run("run", "--service=app", f"--port=9080:{app}", "--", *command, name="app")
        ours = mesh.client("client", "--upstream=app:9080")
        mesh.announced("app")
        upstream = local_upstream(ours)
        until(
            lambda: (
                subprocess.run(
                    ["curl", "-sf", "--noproxy", "*", f"http://127.0.0.1:{upstream}/"],
                    check=False,
                    stdout=subprocess.DEVNULL,
                ).returncode
                == 0
            ),
            "traffic flows",
        )
        pids = tuple(w["envoy_pid"] for w in mesh.ps())
        plain, full, bare = [], [], []
        time.sleep(6)
        for _ in range(ROUNDS):
            bare.append(measure(app, ()))
            plain.append(measure(direct, (server, client)))
            full.append(measure(upstream, pids))

        def median(rows: list[tuple[float, float, float]], at: int) -> float:
            return statistics.median(row[at] for row in rows)

        ratio = statistics.median(f[0] / p[0] for f, p in zip(full, plain, strict=True))
        return [
            ("hand-written pair, CPU of both per request", f"{median(plain, 0):.0f} µs", ""),
            ("Argosy with policy and metrics, CPU of both per request", f"{median(full, 0):.0f} µs", ""),
            ("ratio, median of pairs", f"{ratio:.2f}", "1.35"),
            ("CPU of both sidecars per 1,000 requests/s", f"{median(full, 0) / 1000:.3f} core", "0.15"),
            (
                f"latency p50 / p99 at full load over {CONNECTIONS} connections: direct",
                f"{median(bare, 1):.2f} / {median(bare, 2):.2f} ms",
                "",
            ),
            ("… hand-written pair", f"{median(plain, 1):.2f} / {median(plain, 2):.2f} ms", ""),
            ("… Argosy", f"{median(full, 1):.2f} / {median(full, 2):.2f} ms", ""),
        ]
