"""The translator against real Envoy: everything it makes is accepted, and what is new in it does what it should."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate import wire
from argosy.translate.cluster import ClusterKey, Discovery, cluster
from argosy.translate.dump import dump
from argosy.translate.generator import field
from argosy.translate.proxy import DeclaredUpstream, Proxy
from argosy.translate.resource import SECRET, Resource
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import ENVOY, Ads, Stream, peer_authentication, running, validate
from tests.ports import free_port
from tests.unit.translate.mesh import populate, put

pytestmark = pytest.mark.e2e

EVERYTHING = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - name: canary
    match:
    - uri: {prefix: /a}
      headers: {x-user: {exact: jason}, x-any: {}}
      withoutHeaders: {x-not: {regex: "a.*"}, x-absent: {}}
      queryParams: {q: {exact: "1"}, r: {regex: ".+"}}
      method: {exact: GET}
      authority: {prefix: rev}
      scheme: {exact: http}
      ignoreUriCase: true
      statPrefix: canary
    route:
    - destination: {host: reviews, subset: v1}
      weight: 90
      headers: {request: {set: {x-a: b, Host: other}}}
    - destination: {host: reviews, subset: v2}
      weight: 10
    timeout: 2s
    retries: {attempts: 3, perTryTimeout: 1s, retryOn: "5xx,429", backoff: 10ms, retryRemoteLocalities: true}
    rewrite: {uri: /b, authority: b.com}
    mirrors: [{destination: {host: reviews, subset: v2}, percentage: {value: 50}}]
    fault:
      delay: {fixedDelay: 1s, percentage: {value: 10}}
      abort: {httpStatus: 500, percentage: {value: 0.1}}
    headers:
      request: {add: {x-b: c}, remove: [x-c]}
      response: {set: {x-d: e}, remove: [x-f]}
    corsPolicy:
      allowOrigins: [{exact: "https://a.com"}, {regex: ".*"}]
      allowMethods: [GET]
      allowHeaders: [x-a]
      exposeHeaders: [x-b]
      maxAge: 24h
      allowCredentials: true
  - match: [{uri: {exact: /old}}]
    redirect: {uri: /new, authority: a.com, scheme: https, redirectCode: 302, derivePort: FROM_PROTOCOL_DEFAULT}
  - match: [{uri: {regex: "/x/.*"}}]
    rewrite: {uriRegexRewrite: {match: "/x/(.*)", rewrite: '/y/\\1'}}
    route: [{destination: {host: reviews}}]
  - match: [{uri: {prefix: /direct}}]
    directResponse: {status: 418, body: {string: teapot}}
  - fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}
    route: [{destination: {host: inventory, port: {number: 9090}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cache, namespace: default}
spec:
  hosts: [cache]
  tcp:
  - route:
    - {destination: {host: cache}, weight: 50}
    - {destination: {host: cache, subset: v1}, weight: 50}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: virtual, namespace: default}
spec:
  hosts: [only.virtual.example, "*.virtual.example"]
  http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {consistentHash: {httpHeaderName: x-user, minimumRingSize: 64}}
    connectionPool:
      tcp: {maxConnections: 10, connectTimeout: 1s, idleTimeout: 10s, maxConnectionDuration: 60s,
            tcpKeepalive: {probes: 3, time: 10s, interval: 1s}}
      http: {http1MaxPendingRequests: 5, http2MaxRequests: 6, maxRequestsPerConnection: 7, maxRetries: 8,
             idleTimeout: 9s}
    outlierDetection: {consecutive5xxErrors: 3, consecutiveGatewayErrors: 0, interval: 1s, baseEjectionTime: 2s,
                       maxEjectionPercent: 50, minHealthPercent: 10, splitExternalLocalOriginErrors: true,
                       consecutiveLocalOriginFailures: 4, outlierDetectionHttpErrorCodes: [502, 503]}
    retryBudget: {percent: 30, minRetryConcurrency: 4, budgetInterval: 10s}
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 5s,
     minimumPercent: 20, aggression: 2}}}}
  - {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 10s,
     attributes: [{name: SameSite, value: Lax}]}, maglev: {tableSize: 101}}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cache, namespace: default}
spec:
  host: cache
  trafficPolicy:
    tls: {mode: ISTIO_MUTUAL}
    loadBalancer: {consistentHash: {useSourceIp: true}}
    connectionPool: {tcp: {idleTimeout: 10s, maxConnectionDuration: 60s}}
  subsets: [{name: v1, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: inventory, namespace: default}
spec:
  host: inventory
  trafficPolicy:
    connectionPool: {http: {maxConcurrentStreams: 50, http2KeepAlive: {interval: 30s}}}
    proxyProtocol: {version: V1}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin, namespace: default}
spec:
  host: httpbin.org
  trafficPolicy:
    tls: {mode: SIMPLE}
    proxyProtocol: {version: V2}
    portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE, sni: httpbin.org, subjectAltNames: [httpbin.org]}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["shop.example", "*.shop.example"]}
  - {port: {number: 81, name: http2, protocol: HTTP2}, hosts: ["*"], tls: {httpsRedirect: true}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: default}
spec:
  hosts: [shop.example]
  gateways: [edge]
  http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]
"""


def everything(mode: str) -> Snapshot:
    snapshot = Snapshot(ir.Mesh(h2_upgrade=True, access_log_file="/dev/stdout"))
    populate(snapshot)
    put(snapshot, EVERYTHING)
    put(snapshot, peer_authentication(mode))
    return snapshot


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE", "DISABLE"])
@pytest.mark.parametrize("interception", list(Interception))
def test_envoy_accepts_all_of_a_sidecar(tmp_path: Path, interception: Interception, mode: str) -> None:
    scope = Scope(type=ProxyType.SIDECAR, interception=interception, namespace="default")
    for name in ("reviews-v1", "cache-v1", "nobody"):
        proxy = Proxy(
            namespace="default",
            name=name,
            scope=scope,
            outbound_port=15001,
            upstreams=(
                DeclaredUpstream("reviews", 9080, 18000),
                DeclaredUpstream("cache", 6379, 18001),
                DeclaredUpstream("unknown", 1, 18002),
            ),
            access_log=True,
        )
        validate(dump(everything(mode), proxy), tmp_path)


def test_envoy_accepts_all_of_a_gateway(tmp_path: Path) -> None:
    snapshot = everything("STRICT")
    scope = scope_of(
        Reader(snapshot), type=ProxyType.ROUTER, namespace="default", labels=(("istio", "ingressgateway"),)
    )
    proxy = Proxy(namespace="default", name="gateway", scope=scope, port_map=((80, 8080), (81, 8081)))
    found = dump(snapshot, proxy)
    assert {one["name"] for one in found["listeners"]} == {"127.0.0.1_80", "127.0.0.1_81"}
    validate(found, tmp_path)


@pytest.mark.parametrize(("number", "accepted"), [(3, True), (15, False)])
def test_envoy_knows_the_interval_of_a_retry_budget(tmp_path: Path, number: int, accepted: bool) -> None:
    """It is newer than our protobuf classes and goes by its number; Envoy refuses a number that it does not know."""
    policy = ir.TrafficPolicy(retry_budget=ir.RetryBudget(percent=30, interval=10_000))
    made = cluster(ClusterKey(name="c", discovery=Discovery.STATIC, policy=policy))
    data = discovery_pb2.Resource.FromString(made.frame).resource.value
    interval = wire.milliseconds(10_000).SerializeToString()
    assert field(3, interval) in data
    # Bootstrap: static_resources = 2; its clusters = 2
    bootstrap = field(2, field(2, data.replace(field(3, interval), field(number, interval))))
    path = tmp_path / "bootstrap.pb"
    path.write_bytes(bootstrap)
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "-c", path], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode == 0) is accepted, done.stderr


class Silent(Ads):
    """Does not answer who asks for a secret that is not there."""

    def send(self, stream: Stream, kind: str, upserts: dict[str, Resource], removals: set[str]) -> None:
        if kind != SECRET or upserts:
            super().send(stream, kind, upserts, removals)


@pytest.mark.parametrize("ads", [Ads, Silent])
def test_a_secret_that_is_not_there_does_not_hold_back_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ads: type[Ads]
) -> None:
    """And the connections that need it fail: nothing goes out without it."""
    monkeypatch.setattr("tests.e2e.translate_envoy.Ads", ads)
    snapshot, outbound = Snapshot(), free_port()
    populate(snapshot)
    put(snapshot, SECRET_OF_NOBODY)
    scope = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")
    proxy = Proxy(namespace="default", name="client", scope=scope, outbound_port=outbound)
    with (
        running(tmp_path, snapshot, proxy, "spiffe://cluster.local/ns/default/sa/client"),
        httpx.Client(proxy=f"http://127.0.0.1:{outbound}", trust_env=False, timeout=20) as client,
    ):
        answers = []

        def answered() -> bool:
            answers.append(client.get("http://httpbin.org/").status_code)
            return answers[-1] == 503

        until(answered, "the request is refused")
        assert set(answers) <= {503, 404}, answers


SECRET_OF_NOBODY = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin, namespace: default}
spec: {host: httpbin.org, trafficPolicy: {tls: {mode: MUTUAL, credentialName: nobody}}}
"""
