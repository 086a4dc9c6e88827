"""What Telemetry and the mesh settings say, by a real Envoy: logs, spans, metrics, and headers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import Running, answering, peer_authentication, running
from tests.ports import free_port
from tests.unit.model.written import mesh_config
from tests.unit.translate.mesh import SUFFIX, endpoint, put, service, workload

pytestmark = pytest.mark.e2e

IDENTITY = "spiffe://cluster.local/ns/default/sa/reviews"


class Collector:
    """Takes spans as Zipkin does."""

    def __init__(self) -> None:
        spans: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                spans.extend(json.loads(self._body()))
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                """Envoy sends chunks."""
                if length := self.headers["content-length"]:
                    return self.rfile.read(int(length))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.spans = spans
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])


class Reporting(NamedTuple):
    envoy: Running
    upstream: int  # where reviews is on the loopback
    collector: Collector
    log: Path

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def reporting(tmp_path: Path) -> Iterator[Reporting]:
    """reviews behind a sidecar that calls itself, and reports as the mesh says."""
    bind, upstream, collector, log = free_port(), free_port(), Collector(), tmp_path / "access.log"
    snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
    with answering("reviews") as port:
        snapshot.put_service(service("reviews", (9080, Protocol.HTTP)))
        snapshot.put_service(service("zipkin", (9411, Protocol.HTTP)))
        snapshot.put_endpoints(f"reviews.{SUFFIX}", (endpoint("reviews", "v1", 9080, bind),))
        takes = endpoint("zipkin", "v1", 9411, collector.port, mtls=False)
        snapshot.put_endpoints(f"zipkin.{SUFFIX}", (takes,))
        snapshot.put_workload(workload("reviews", "v1", (9080, bind, port, Protocol.HTTP)))
        put(snapshot, peer_authentication("STRICT"))
        snapshot.put_config(
            mesh_config(f"""
                extensionProviders:
                - name: file
                  envoyFileAccessLog:
                    path: {log}
                    logFormat: {{labels: {{code: "%RESPONSE_CODE%", to: "%UPSTREAM_CLUSTER_RAW%"}}}}
                - {{name: zipkin, zipkin: {{service: zipkin.{SUFFIX}, port: 9411}}}}
                pathNormalization: {{normalization: MERGE_SLASHES}}
                meshMTLS: {{minProtocolVersion: TLSV1_2}}
                defaultConfig: {{proxyHeaders: {{server: {{value: mine}}}}}}
            """)
        )
        put(
            snapshot,
            """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: default, namespace: istio-system}
spec:
  accessLogging: [{providers: [{name: file}], filter: {expression: "request.url_path == '/logged'"}}]
  tracing:
  - providers: [{name: zipkin}]
    randomSamplingPercentage: 100
    customTags: {mine: {header: {name: x-mine, defaultValue: nobody}}}
  metrics: [{overrides: [{match: {metric: REQUEST_SIZE}, disabled: true}]}]
""",
        )
        proxy = Proxy(
            namespace="default",
            name="reviews-v1",
            scope=Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default"),
            upstreams=(DeclaredUpstream("reviews", 9080, upstream),),
        )
        try:
            with running(tmp_path, snapshot, proxy, IDENTITY) as envoy:
                yield Reporting(envoy, upstream, collector, log)
        finally:
            collector.server.shutdown()


def test_what_is_asked_for_is_reported_and_nothing_else(reporting: Reporting) -> None:
    with httpx.Client(trust_env=False) as client:
        for path in ("/", "//logged"):
            url = f"http://127.0.0.1:{reporting.upstream}{path}"
            answer = client.get(url, headers={"x-mine": "me"})
            assert (answer.status_code, answer.headers["server"]) == (200, "mine")
    until(lambda: len(reporting.lines()) == 2, "both sides have logged the request that the filter fits")
    assert sorted(reporting.lines(), key=str) == [
        {"code": 200, "to": "inbound|9080||"},
        {"code": 200, "to": f"outbound|9080||reviews.{SUFFIX}"},
    ]
    until(lambda: len(reporting.collector.spans) >= 4, "both sides have sent the spans of both requests")
    assert {span["tags"]["mine"] for span in reporting.collector.spans} == {"me"}
    assert len({span["traceId"] for span in reporting.collector.spans}) >= 2

    def counted() -> str:
        return reporting.envoy.prometheus()

    until(lambda: "istio_response_bytes_count" in counted(), "requests are counted")
    assert "istio_requests_total" in counted()
    assert "istio_request_bytes" not in counted()
