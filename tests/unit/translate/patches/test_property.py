"""Whatever people patch: what comes out can be read by protobuf, nothing is raised, and it is the same anew."""

from __future__ import annotations

from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.model import ir
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.resources.networking.envoy_filter import ApplyTo, FilterClass, Operation, PatchContext
from argosy.translate.compiler import Compiler
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.unit.translate.mesh import SUFFIX, populate
from tests.unit.translate.patches.written import MANAGER, TYPES

Json = dict[str, Any]
VALUES: list[Json | None] = [
    None,
    {},
    {"name": "new"},
    {"name": "PassthroughCluster", "connect_timeout": "250ms"},
    {"connect_timeout": "5s", "type": "STATIC"},
    {"domains": ["x"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "a"}}]},
    {"match": {"prefix": "/"}, "route": {"timeout": "1s"}, "redirect": {"path_redirect": "/"}},
    {"route": {"timeout": "1s"}},
    {"filters": [{"name": "a"}], "filter_chain_match": {"destination_port": 1}},
    {"address": {"socket_address": {"address": "1.2.3.4", "port_value": 1}}},
    {"name": "lua", "typed_config": {"@type": f"{TYPES}.filters.http.lua.v3.Lua", "inline_code": "a"}},
    {"typed_config": {"@type": f"{TYPES}.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "x"}},
    {"typed_config": {"@type": "type.googleapis.com/envoy.unknown.v3.Thing"}},
    {"transport_socket": {"name": "envoy.transport_sockets.tls"}},
    {"name": 1},
    {"@type": "x", "name": ["a"]},
]
NAMES = ("", "virtualInbound", "0.0.0.0_9080", "inbound_9080", "9080", "http_proxy", "inbound|9080||")
numbers = st.sampled_from((0, 9080, 80))
filters = st.builds(
    lambda name, sub: {"name": name} | ({"subFilter": {"name": sub}} if sub else {}),
    st.sampled_from((MANAGER, "envoy.filters.network.tcp_proxy", "nobody")),
    st.sampled_from(("", "envoy.filters.http.router", "envoy.filters.http.cors")),
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=fields)


listener = some(
    name=st.sampled_from(NAMES),
    portNumber=numbers,
    listenerFilter=st.sampled_from(("envoy.filters.listener.tls_inspector", "x")),
    filterChain=some(
        filter=filters,
        transportProtocol=st.sampled_from(("tls", "raw_buffer")),
        destinationPort=numbers,
        applicationProtocols=st.just("istio"),
    ),
)
routes = some(
    name=st.sampled_from(NAMES),
    portNumber=numbers,
    vhost=some(
        name=st.sampled_from((f"reviews.{SUFFIX}:9080", "allow_any")),
        domainName=st.just("reviews"),
        route=some(name=st.just("default"), action=st.sampled_from(("ANY", "ROUTE", "REDIRECT"))),
    ),
)
clusters = some(service=st.just(f"reviews.{SUFFIX}"), portNumber=numbers, subset=st.just("v1"))
matches = some(
    context=st.sampled_from(list(PatchContext)),
    listener=listener,
    routeConfiguration=routes,
    cluster=clusters,
)
patches = st.builds(
    lambda part, match, operation, value, kind: {
        "applyTo": str(part),
        "match": match,
        "patch": {"operation": str(operation), "value": value, "filterClass": str(kind)},
    },
    st.sampled_from([part for part in ApplyTo if part is not ApplyTo.INVALID]),
    matches,
    st.sampled_from([one for one in Operation if one is not Operation.INVALID]),
    st.sampled_from(VALUES),
    st.sampled_from(list(FilterClass)),
)


def body(found: list[Json]) -> Any:
    return decode(
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": "e", "namespace": "default"},
            "spec": {"configPatches": found},
        }
    )


def views(compiler: Compiler, interception: Interception) -> list[Any]:
    scope = Scope(type=ProxyType.SIDECAR, interception=interception, namespace="default")
    proxy = Proxy(
        namespace="default",
        name="reviews-v1",
        scope=scope,
        outbound_port=15001,
        upstreams=(DeclaredUpstream("reviews", 9080, 18000),),
    )
    return [compiler.shared(scope), compiler.own(proxy)]


@settings(max_examples=60, deadline=None)
@given(st.lists(patches, min_size=1, max_size=4), st.sampled_from(list(Interception)))
def test_what_is_patched_can_be_read_and_is_the_same_anew(
    found: list[Json], interception: Interception
) -> None:
    snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
    populate(snapshot)
    compiler = Compiler(snapshot)
    held = views(compiler, interception)
    plain = [{kind: dict(of) for kind, of in view.resources.items() if of} for view in held]
    compiler.apply(snapshot.put_config(body(found)))
    assert compiler.errors == {}
    for view in held:
        for kind, resources in view.resources.items():
            for name, one in resources.items():
                frame = discovery_pb2.Resource.FromString(one.frame)
                told = json_format.MessageToDict(frame.resource, preserving_proto_field_name=True)
                assert (frame.resource.type_url, told.get("name", told.get("cluster_name"))) == (kind, name)
    anew = Compiler(snapshot)
    for view, other in zip(held, views(anew, interception), strict=True):
        kinds = view.resources.keys() | other.resources.keys()
        assert all(view.resources.get(kind, {}) == other.resources.get(kind, {}) for kind in kinds)
    assert [compiler.faults.of(ref) for ref in compiler.faults] == [
        anew.faults.of(ref) for ref in anew.faults
    ]
    compiler.apply(snapshot.remove_config("EnvoyFilter", "default", "e"))
    assert [{kind: of for kind, of in view.resources.items() if of} for view in held] == plain
    assert list(compiler.faults) == []
