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

from argosy.agent.metrics import Own, Rewriter
from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.translate.dump import dump
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import Running, answering, peer_authentication, running, validate
from tests.ports import free_port
from tests.unit.model.written import mesh_config
from tests.unit.translate.mesh import SUFFIX, endpoint, populate, put, service, workload

pytestmark = pytest.mark.e2e

IDENTITY = "spiffe://cluster.local/ns/default/sa/reviews"


class Collector:
    """Takes spans as Zipkin does."""

    def __init__(self) -> None:
        spans: list[dict[str, Any]] = []
        asked: list[dict[str, str]] = []  # the headers of what is sent

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(dict(self.headers.items()))
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
        self.asked = asked
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])


class Reporting(NamedTuple):
    envoy: Running
    upstream: int  # where reviews is on the loopback
    bind: int  # where its sidecar listens
    collector: Collector
    log: Path

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture(params=[""])
def reporting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Reporting]:
    """reviews behind a sidecar that calls itself, and reports as the mesh says. The parameter: what else its Telemetry
    says of tracing."""
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
                - name: zipkin
                  zipkin:
                    service: zipkin.{SUFFIX}
                    port: 9411
                    traceContextOption: USE_B3_WITH_W3C_PROPAGATION
                    headers: [{{name: x-token, value: secret}}]
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
    PARAMETER
  metrics:
  - overrides:
    - {match: {metric: REQUEST_SIZE}, disabled: true}
    - match: {customMetric: requests_total}
      tagOverrides:
        request_host: {value: request.host}
        odd: {value: "size(request.path)%7 == 0 ? 'a' : 'b'"}
        port: {value: string(destination.port)}
        response_flags: {operation: REMOVE}
""".replace("PARAMETER", request.param),
        )
        proxy = Proxy(
            namespace="default",
            name="reviews-v1",
            scope=Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default"),
            upstreams=(DeclaredUpstream("reviews", 9080, upstream),),
        )
        try:
            with running(tmp_path, snapshot, proxy, IDENTITY) as envoy:
                yield Reporting(envoy, upstream, bind, collector, log)
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
    assert {span["tags"]["istio.canonical_service"] for span in reporting.collector.spans} == {"reviews"}
    assert {span["tags"]["istio.mesh_id"] for span in reporting.collector.spans} == {"cluster.local"}
    assert {one["x-token"] for one in reporting.collector.asked} == {"secret"}
    assert len({span["traceId"] for span in reporting.collector.spans}) >= 2

    def counted() -> str:
        return reporting.envoy.prometheus()

    until(lambda: "istio_response_bytes_count" in counted(), "requests are counted")
    assert "istio_requests_total" in counted()
    assert "istio_request_bytes" not in counted()
    scraped = Rewriter(Own(workload="reviews-v1", namespace="default")).scrape(counted().encode())
    host = f"127.0.0.1:{reporting.upstream}"
    said = {
        (labels["reporter"], labels["request_host"], labels["odd"], "response_flags" in labels)
        for labels in map(dict, scraped.counters["istio_requests_total"])
    }
    through = f"reviews:{9080}"  # the authority of the upstream
    assert {one[1] for one in said} <= {host, through}
    assert {(reporter, odd, flags) for reporter, _, odd, flags in said} == {
        (reporter, odd, False) for reporter in ("source", "destination") for odd in ("a", "b")
    }
    at_the_server = {
        labels["port"]
        for labels in map(dict, scraped.counters["istio_requests_total"])
        if labels["reporter"] == "destination"
    }
    assert at_the_server == {str(reporting.bind)}
    sizes = map(dict, scraped.histograms["istio_response_bytes"])
    assert all("odd" not in labels and "response_flags" in labels for labels in sizes)


@pytest.mark.parametrize(
    ("reporting", "traces"),
    [("", 1), ("disableContextPropagation: true", 2)],
    indirect=["reporting"],
)
def test_what_a_request_says_of_its_trace_is_passed_on_unless_somebody_objects(
    reporting: Reporting, traces: int
) -> None:
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"http://127.0.0.1:{reporting.upstream}/").status_code == 200
    until(lambda: len(reporting.collector.spans) >= 2, "both sides have sent their span")
    assert len({span["traceId"] for span in reporting.collector.spans}) == traces


CACHE = f"service: cache.{SUFFIX}, port: 6379"


@pytest.mark.parametrize(
    "provider",
    [
        f"zipkin: {{{CACHE}, headers: [{{name: a, value: b}}], traceContextOption: USE_B3_WITH_W3C_PROPAGATION}}",
        f"datadog: {{{CACHE}}}",
        f"skywalking: {{{CACHE}, accessToken: t}}",
        f"opentelemetry: {{{CACHE}, grpc: {{initialMetadata: [{{name: a, value: b}}]}}, "
        "resourceDetectors: {dynatrace: {}}}",
        f"opentelemetry: {{{CACHE}, http: {{path: /v1, headers: [{{name: a, value: b}}]}}, "
        "resourceDetectors: {environment: {}}, dynatraceSampler: {tenant: t, clusterId: 5}}",
    ],
    ids=("zipkin", "datadog", "skywalking", "otel-grpc", "otel-http"),
)
def test_envoy_accepts_each_tracer_also_where_proxies_share_a_listener(tmp_path: Path, provider: str) -> None:
    snapshot = Snapshot()
    populate(snapshot)
    settings = f"extensionProviders: [{{name: it, {provider}}}]\ndefaultProviders: {{tracing: [it]}}"
    snapshot.put_config(mesh_config(settings))
    scope = Scope(type=ProxyType.SIDECAR, interception=Interception.REDIRECT, namespace="default")
    found = dump(snapshot, Proxy(namespace="default", name="reviews-v1", scope=scope))
    kind = provider.partition(":")[0]
    captured = [str(one) for one in found["listeners"] if one["name"].endswith("_9080")]
    assert captured
    assert all(f"envoy.tracers.{kind}" in one and "xds.node.metadata" in one for one in captured)
    validate(found, tmp_path)
