"""EnvoyFilters in real Envoy: what they insert runs, what they remove does not, and what is wrong harms nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.dump import dump
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.e2e.mesh import until
from tests.e2e.test_translate_envoy import everything
from tests.e2e.translate_envoy import Running, answering, peer_authentication, running, validate
from tests.ports import free_port
from tests.unit.translate.mesh import SUFFIX, endpoint, put, service, workload

pytestmark = pytest.mark.e2e

IDENTITY = "spiffe://cluster.local/ns/default/sa/reviews"
MANAGER = "filterChain: {filter: {name: envoy.filters.network.http_connection_manager"
ROUTER = f"{MANAGER}, subFilter: {{name: envoy.filters.http.router}}}}}}"
LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
LIMIT = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
TYPED_STRUCT = "type.googleapis.com/xds.type.v3.TypedStruct"


@dataclass
class Sidecar:
    """An Envoy that is client and server at once."""

    envoy: Running
    outbound: int

    def get(self, path: str = "/") -> httpx.Response:
        with httpx.Client(proxy=f"http://127.0.0.1:{self.outbound}", trust_env=False, timeout=20) as client:
            return client.get(f"http://reviews:9080{path}")

    def put(self, text: str) -> None:
        self.envoy.apply(put(self.envoy.snapshot, text))


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    bind, outbound = free_port(), free_port()
    snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
    with answering("reviews") as application:
        snapshot.put_service(service("reviews", (9080, Protocol.HTTP)))
        one = endpoint("reviews", "v1", 9080, bind, service_account="reviews")
        snapshot.put_endpoints(f"reviews.{SUFFIX}", (one,))
        snapshot.put_workload(workload("reviews", "v1", (9080, bind, application, Protocol.HTTP)))
        put(snapshot, peer_authentication("STRICT"))
        scope = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")
        proxy = Proxy(namespace="default", name="reviews-v1", scope=scope, outbound_port=outbound)
        with running(tmp_path, snapshot, proxy, IDENTITY) as envoy:
            yield Sidecar(envoy, outbound)


def envoy_filter(name: str, *patches: str) -> str:
    indented = "\n".join("  - " + patch.strip().replace("\n", "\n    ") for patch in patches)
    return f"""
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: {name}, namespace: default}}
spec:
  configPatches:
{indented}
"""


def lua(context: str, match: str, script: str, operation: str = "INSERT_BEFORE") -> str:
    return f"""
applyTo: HTTP_FILTER
match: {{context: {context}, listener: {{{match}}}}}
patch:
  operation: {operation}
  value:
    name: lua.{context}
    typed_config: {{"@type": {LUA}, default_source_code: {{inline_string: '{script}'}}}}
"""


def answers_with(header: str) -> str:
    return f'function envoy_on_response(handle) handle:headers():add("{header}", "yes") end'


def test_filters_are_inserted_on_both_sides(sidecar: Sidecar) -> None:
    assert sidecar.get().status_code == 200
    sidecar.put(
        envoy_filter(
            "lua",
            lua("SIDECAR_OUTBOUND", ROUTER, answers_with("x-out")),
            lua("SIDECAR_INBOUND", f"portNumber: 9080, {ROUTER}", answers_with("x-in")),
            lua("SIDECAR_INBOUND", f"portNumber: 9081, {ROUTER}", answers_with("x-other")),
        )
    )

    def both() -> bool:
        headers = sidecar.get().headers
        assert "x-other" not in headers
        return bool(headers.get("x-in") == headers.get("x-out") == "yes")

    until(both, "both filters run")
    sidecar.envoy.apply(sidecar.envoy.snapshot.remove_config("EnvoyFilter", "default", "lua"))
    until(lambda: "x-out" not in sidecar.get().headers, "the filter is gone with its object")


def test_a_limit_is_merged_into_a_route(sidecar: Sidecar) -> None:
    bucket = "token_bucket: {max_tokens: 2, tokens_per_fill: 2, fill_interval: 600s}"
    enabled = "default_value: {numerator: 100}"
    sidecar.put(
        envoy_filter(
            "limit",
            f"""
applyTo: HTTP_FILTER
match: {{context: SIDECAR_OUTBOUND, listener: {{{ROUTER}}}}}
patch:
  operation: INSERT_BEFORE
  value:
    name: envoy.filters.http.local_ratelimit
    typed_config: {{"@type": {TYPED_STRUCT}, type_url: {LIMIT}, value: {{stat_prefix: limited}}}}
""",
            f"""
applyTo: HTTP_ROUTE
match:
  context: SIDECAR_OUTBOUND
  routeConfiguration: {{portNumber: 9080, vhost: {{name: "reviews.{SUFFIX}:9080", route: {{action: ROUTE}}}}}}
patch:
  operation: MERGE
  value:
    typed_per_filter_config:
      envoy.filters.http.local_ratelimit:
        "@type": {LIMIT}
        stat_prefix: limited
        {bucket}
        filter_enabled: {{{enabled}}}
        filter_enforced: {{{enabled}}}
""",
        )
    )
    until(lambda: sidecar.get().status_code == 429, "the limit is reached")


def test_a_circuit_breaker_is_merged_into_a_cluster(sidecar: Sidecar) -> None:
    """Lists get more items: of two thresholds of one priority Envoy takes the first, ours."""
    thresholds = "[{max_connections: 5}, {priority: HIGH, max_connections: 7}]"
    sidecar.put(
        envoy_filter(
            "breaker",
            f"""
applyTo: CLUSTER
match: {{context: SIDECAR_OUTBOUND, cluster: {{service: reviews.{SUFFIX}, portNumber: 9080}}}}
patch: {{operation: MERGE, value: {{circuit_breakers: {{thresholds: {thresholds}}}}}}}
""",
        )
    )
    url, name = f"http://127.0.0.1:{sidecar.envoy.admin}/clusters", f"outbound|9080||reviews.{SUFFIX}"

    def told() -> str:
        return httpx.get(url, trust_env=False).text

    until(lambda: f"{name}::high_priority::max_connections::7" in told(), "the cluster has the limit")
    assert f"{name}::default_priority::max_connections::5" not in told()
    assert sidecar.get().status_code == 200


def test_a_filter_takes_its_configuration_from_one_that_is_added(sidecar: Sidecar) -> None:
    def configured(header: str) -> str:
        return envoy_filter(
            "discovered",
            f"""
applyTo: HTTP_FILTER
match: {{context: SIDECAR_OUTBOUND, listener: {{{ROUTER}}}}}
patch:
  operation: INSERT_BEFORE
  value:
    name: discovered
    config_discovery: {{config_source: {{ads: {{}}, resource_api_version: V3}}, type_urls: [{LUA}]}}
""",
            f"""
applyTo: EXTENSION_CONFIG
patch:
  operation: ADD
  value:
    name: discovered
    typed_config: {{"@type": {LUA}, default_source_code: {{inline_string: '{answers_with(header)}'}}}}
""",
        )

    sidecar.put(configured("x-one"))
    until(lambda: sidecar.get().headers.get("x-one") == "yes", "the filter runs")
    sidecar.put(configured("x-two"))
    until(lambda: sidecar.get().headers.get("x-two") == "yes", "it changes with its configuration alone")


def test_a_filter_that_is_removed_does_nothing_any_more(sidecar: Sidecar) -> None:
    sidecar.put(
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http: [{fault: {abort: {httpStatus: 418, percentage: {value: 100}}}, route: [{destination: {host: reviews}}]}]
"""
    )
    until(lambda: sidecar.get().status_code == 418, "the fault is injected")
    fault = f"{MANAGER}, subFilter: {{name: envoy.filters.http.fault}}}}}}"
    sidecar.put(
        envoy_filter(
            "no-fault",
            f"""
applyTo: HTTP_FILTER
match: {{context: SIDECAR_OUTBOUND, listener: {{{fault}}}}}
patch: {{operation: REMOVE}}
""",
        )
    )
    until(lambda: sidecar.get().status_code == 200, "there is no filter that injects it")


def test_a_patch_that_cannot_be_made_is_left_out_and_told(sidecar: Sidecar) -> None:
    sidecar.put(
        envoy_filter(
            "half",
            "{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: [1]}}}",
            lua("SIDECAR_OUTBOUND", ROUTER, answers_with("x-out")),
        )
    )
    told = sidecar.envoy.compiler.faults.of(("EnvoyFilter", "default", "half"))
    assert told.startswith("spec.configPatches[0].patch.value: is not a Cluster")
    assert not sidecar.envoy.compiler.errors
    until(lambda: sidecar.get().headers.get("x-out") == "yes", "the other patch is in force")


# --- Envoy accepts what comes out -----------------------------------------------------------------------------------

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
RBAC = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
MANY = envoy_filter(
    "many",
    "{applyTo: LISTENER, patch: {operation: MERGE, value: {per_connection_buffer_limit_bytes: 1000}}}",
    "applyTo: LISTENER_FILTER\n"
    "match: {context: SIDECAR_INBOUND}\n"
    "patch:\n  operation: INSERT_FIRST\n  value:\n    name: proxy-protocol\n    typed_config:\n"
    '      "@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol\n'
    "      allow_requests_without_proxy_protocol: true",
    "applyTo: FILTER_CHAIN\n"
    "match: {context: SIDECAR_INBOUND, listener: {filterChain: {applicationProtocols: istio}}}\n"
    "patch:\n  operation: MERGE\n  value:\n    transport_socket_connect_timeout: 3s\n    transport_socket:\n"
    "      name: envoy.transport_sockets.tls\n"
    f'      typed_config: {{"@type": {TLS}, disable_stateless_session_resumption: true}}',
    "applyTo: NETWORK_FILTER\n"
    "match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}\n"
    "patch:\n  operation: MERGE\n  value:\n"
    f'    typed_config: {{"@type": {HCM}, stream_idle_timeout: 77s, xff_num_trusted_hops: 2}}',
    "applyTo: NETWORK_FILTER\n"
    "match: {context: SIDECAR_INBOUND}\n"
    "patch:\n  operation: ADD\n  value:\n    name: rbac\n"
    f'    typed_config: {{"@type": {RBAC}, stat_prefix: many}}',
    "applyTo: HTTP_FILTER\n"
    "patch:\n  operation: ADD\n  filterClass: AUTHZ\n  value:\n    name: added\n"
    f'    typed_config: {{"@type": {LUA}, default_source_code: {{inline_string: "local a = 1"}}}}',
    "applyTo: ROUTE_CONFIGURATION\n"
    "patch: {operation: MERGE, value: {request_headers_to_remove: [x-removed]}}",
    "applyTo: VIRTUAL_HOST\n"
    "match: {context: SIDECAR_OUTBOUND}\n"
    "patch:\n  operation: MERGE\n  value: {response_headers_to_add: [{header: {key: a, value: b}}]}",
    "applyTo: HTTP_ROUTE\n"
    "patch:\n  operation: INSERT_FIRST\n"
    "  value: {name: alive, match: {path: /alive}, direct_response: {status: 204}}",
    "applyTo: CLUSTER\n"
    "patch: {operation: MERGE, value: {per_connection_buffer_limit_bytes: 2000, connect_timeout: 700ms}}",
    "applyTo: CLUSTER\n"
    "match: {context: SIDECAR_OUTBOUND}\n"
    "patch:\n  operation: ADD\n  value:\n    name: mine\n    type: STATIC\n    connect_timeout: 1s",
    "applyTo: LISTENER\n"
    "match: {context: SIDECAR_OUTBOUND}\n"
    "patch:\n  operation: ADD\n  value:\n    name: own\n"
    "    address: {socket_address: {address: 127.0.0.1, port_value: 19999}}\n"
    "    filter_chains:\n    - filters:\n      - name: envoy.filters.network.tcp_proxy\n"
    f'        typed_config: {{"@type": {TCP}, stat_prefix: own, cluster: mine}}',
)


@pytest.mark.parametrize("interception", list(Interception))
def test_envoy_accepts_a_patched_sidecar(tmp_path: Path, interception: Interception) -> None:
    snapshot = everything("PERMISSIVE")
    put(snapshot, MANY)
    scope = Scope(type=ProxyType.SIDECAR, interception=interception, namespace="default")
    proxy = Proxy(
        namespace="default",
        name="reviews-v1",
        scope=scope,
        outbound_port=15001,
        upstreams=(DeclaredUpstream("reviews", 9080, 18000), DeclaredUpstream("cache", 6379, 18001)),
    )
    found = dump(snapshot, proxy)
    assert {"mine"} <= {one["name"] for one in found["clusters"]}
    assert {"own"} <= {one["name"] for one in found["listeners"]}
    validate(found, tmp_path)


def test_envoy_accepts_a_patched_gateway(tmp_path: Path) -> None:
    snapshot = everything("STRICT")
    put(snapshot, MANY)
    scope = scope_of(
        Reader(snapshot), type=ProxyType.ROUTER, namespace="default", labels=(("istio", "ingressgateway"),)
    )
    validate(dump(snapshot, Proxy(namespace="default", name="gateway", scope=scope)), tmp_path)
