"""MeshConfig's defaultConfig.connectionSettings and the headers of proxyHeaders: what proxies get of each."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)
from google.protobuf.json_format import MessageToDict
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.proxy_settings import Connections, ProxySettings
from argosy.model.snapshot import Snapshot
from argosy.translate import options, wire
from argosy.translate.cluster import Application, ClusterKey, Discovery, cluster
from argosy.translate.connection_manager import ConnectionManager, Place, network_filter
from argosy.translate.listener_gateway import Chain, GatewayListenerKey, gateway_listener
from argosy.translate.listener_outbound import OutboundProxyKey, outbound_proxy
from argosy.translate.route import (
    CatchAllKey,
    Tunnel,
    VirtualHostKey,
    WrittenHeaders,
    catch_all,
    virtual_host,
)
from tests.unit.model.written import mesh_config

Json = dict[str, Any]


def lowered(said: Json) -> ProxySettings:
    snapshot = Snapshot()
    snapshot.put_config(mesh_config(yaml.safe_dump({"defaultConfig": said})))
    assert snapshot.rejected == {}
    return snapshot.mesh.proxy


def connections(**said: Any) -> ProxySettings:
    return lowered({"connectionSettings": said})


def manager(proxy: ProxySettings, place: Place = Place.INBOUND) -> Json:
    made = network_filter(
        ConnectionManager(place=place, route="r", stat_prefix="s", options=options.Options(proxy=proxy))
    )
    out = manager_pb2.HttpConnectionManager()
    made.typed_config.Unpack(out)
    described: Json = MessageToDict(out, preserving_proto_field_name=True)
    return described


FIELDS: list[tuple[str, Any, tuple[str, ...], Any]] = [
    ("httpIdleTimeout", "7s", ("common_http_protocol_options", "idle_timeout"), "7s"),
    ("httpMaxConnectionDuration", "7s", ("common_http_protocol_options", "max_connection_duration"), "7s"),
    ("httpMaxStreamDuration", "7s", ("common_http_protocol_options", "max_stream_duration"), "7s"),
    ("httpDrainTimeout", "7s", ("drain_timeout",), "7s"),
    ("httpRequestTimeout", "7s", ("request_timeout",), "7s"),
    ("httpRequestHeadersTimeout", "7s", ("request_headers_timeout",), "7s"),
    ("httpStreamIdleTimeout", "7s", ("stream_idle_timeout",), "7s"),
    ("httpMaxConcurrentStreams", 7, ("http2_protocol_options", "max_concurrent_streams"), 7),
    ("http2InitialStreamWindowSize", 70000, ("http2_protocol_options", "initial_stream_window_size"), 70000),
    (
        "http2InitialConnectionWindowSize",
        70000,
        ("http2_protocol_options", "initial_connection_window_size"),
        70000,
    ),
    (
        "httpHeadersWithUnderscoresAction",
        "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
        ("common_http_protocol_options", "headers_with_underscores_action"),
        "DROP_HEADER",
    ),
    ("httpMergeSlashes", True, ("merge_slashes",), True),
    (
        "httpPathWithEscapedSlashesAction",
        "UNESCAPE_AND_REDIRECT",
        ("path_with_escaped_slashes_action",),
        "UNESCAPE_AND_REDIRECT",
    ),
]


@pytest.mark.parametrize(("field", "value", "path", "expected"), FIELDS, ids=[row[0] for row in FIELDS])
@pytest.mark.parametrize("place", [Place.INBOUND, Place.OUTBOUND, Place.GATEWAY, Place.GATEWAY_HTTP3])
def test_each_setting_is_one_of_the_connection_manager(
    field: str, value: Any, path: tuple[str, ...], expected: Any, place: Place
) -> None:
    found: Any = manager(connections(**{field: value}), place)
    for step in path:
        found = found[step]
    assert found == expected
    assert manager(ProxySettings(), place) != manager(connections(**{field: value}), place)


def test_nothing_written_is_nothing_changed() -> None:
    for said in ({}, {"profile": "SIDECAR"}):
        assert connections(**said) == ProxySettings()


def test_what_is_said_of_paths_goes_before_the_normalisation_of_paths() -> None:
    said = options.Options(
        paths=ir.Paths.DECODE_AND_MERGE_SLASHES,
        proxy=connections(httpMergeSlashes=False, httpPathWithEscapedSlashesAction="KEEP_UNCHANGED"),
    )
    out = manager_pb2.HttpConnectionManager()
    network_filter(
        ConnectionManager(place=Place.INBOUND, route="r", stat_prefix="s", options=said)
    ).typed_config.Unpack(out)
    assert not out.merge_slashes
    assert out.path_with_escaped_slashes_action == out.KEEP_UNCHANGED


def test_the_edge_profile_is_for_gateways_and_for_what_is_not_written() -> None:
    proxy = connections(profile="EDGE", httpMaxConcurrentStreams=200)
    assert proxy.connections == Connections(max_streams=200)
    assert proxy.cluster_buffer is None
    assert proxy.gateway_connections == Connections(
        listener_buffer=32768,
        idle_timeout=3_600_000,
        stream_idle_timeout=300_000,
        request_timeout=300_000,
        headers_timeout=60_000,
        max_streams=200,
        stream_window=65536,
        connection_window=1048576,
        underscores="REJECT_REQUEST",
        merge_slashes=True,
        escaped_slashes="UNESCAPE_AND_REDIRECT",
    )
    assert proxy.gateway_cluster_buffer == 32768


def test_http3_of_a_gateway_is_the_gateways() -> None:
    proxy = ProxySettings(gateway_connections=Connections(underscores="REJECT_REQUEST", merge_slashes=True))
    found = manager(proxy, Place.GATEWAY_HTTP3)
    assert found["merge_slashes"] is True
    assert found["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"


@pytest.mark.parametrize(
    "written",
    [
        {"httpHeadersWithUnderscoresAction": "HEADERS_WITH_UNDERSCORES_ALLOW"},
        {"httpPathWithEscapedSlashesAction": "KEEP_UNCHANGED"},
        {"httpMergeSlashes": False},
        {"httpIdleTimeout": "0s"},
    ],
)
def test_a_default_that_is_written_goes_before_the_profile(written: Json) -> None:
    proxy, edge = connections(profile="EDGE", **written), connections(profile="EDGE")
    assert proxy.gateway_connections != edge.gateway_connections


def test_listeners_hold_as_much_of_a_connection_as_is_written() -> None:
    said = options.Options(proxy=connections(listenerPerConnectionBufferLimitBytes=4096))
    key = GatewayListenerKey(
        name="g", address="127.0.0.1", bind=80, chains=(Chain(stat_prefix="a", route="r"),), options=said
    )
    limit = b"\x2a\x03\x08\x80\x20"  # per_connection_buffer_limit_bytes = 5: 4096
    assert limit in gateway_listener(key).frame
    assert limit not in gateway_listener(replace(key, options=options.NONE)).frame
    outbound = OutboundProxyKey(port=1, options=said)
    assert limit in outbound_proxy(outbound).frame
    assert limit not in outbound_proxy(replace(outbound, options=options.NONE)).frame


def test_clusters_hold_as_much_of_a_connection_as_is_written() -> None:
    proxy = connections(clusterPerConnectionBufferLimitBytes=4096)
    assert (proxy.cluster_buffer, proxy.gateway_cluster_buffer) == (4096, 4096)
    assert cluster(ClusterKey(name="a", discovery=Discovery.EDS, buffer=4096)).version != (
        cluster(ClusterKey(name="a", discovery=Discovery.EDS)).version
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"httpIdleTimeout": "soon"},
        {"httpMaxConcurrentStreams": 0},
        {"http2InitialStreamWindowSize": 1},
        {"profile": "CENTRE"},
        {"httpMergeSlashes": "maybe"},
    ],
)
def test_what_envoy_would_refuse_is_refused(wrong: Json) -> None:
    from argosy.resources.meshconfig import judge

    findings = judge(yaml.safe_dump({"defaultConfig": {"connectionSettings": wrong}}))
    assert findings.errors
    assert all(problem.field.startswith("defaultConfig") for problem in findings.errors)


# --- headers --------------------------------------------------------------------------------------------------------


def rewritten(headers: WrittenHeaders, authority: str | None = "other.example") -> bytes:
    rewrite = ir.Rewrite(authority=authority) if authority else None
    action = ir.Forward(destinations=(), rewrite=rewrite)
    route = ir.Route(match=ir.RouteMatch(), action=action)
    key = VirtualHostKey(
        name="a", domains=("a",), routes=(route,), headers=headers, authority="" if authority else "own"
    )
    data: bytes = virtual_host(key).data
    return data


def test_requests_say_their_attempt_unless_it_is_switched_off() -> None:
    assert lowered({}).attempt_count
    assert not lowered({"proxyHeaders": {"attemptCount": {"disabled": True}}}).attempt_count
    key = CatchAllKey(cluster="a", tunnel=Tunnel.NONE)
    off = CatchAllKey(cluster="a", tunnel=Tunnel.NONE, headers=WrittenHeaders(attempt_count=False))
    assert b"\x70\x01" in catch_all(key).data  # include_request_attempt_count = 14
    assert b"\x70\x01" not in catch_all(off).data


@pytest.mark.parametrize(
    ("said", "forwarded"), [({}, None), ({"enabled": True}, True), ({"enabled": False}, False)]
)
def test_the_host_that_was_rewritten_is_told_as_asked(said: Json, forwarded: bool | None) -> None:
    assert lowered({"proxyHeaders": {"xForwardedHost": said}}).forwarded_host is forwarded


def test_by_default_the_host_is_told_where_a_route_rewrites_it() -> None:
    mark = b"\xb0\x02\x01"  # append_x_forwarded_host = 38
    assert mark in rewritten(WrittenHeaders())
    assert mark in rewritten(WrittenHeaders(forwarded_host=True))
    assert mark not in rewritten(WrittenHeaders(forwarded_host=False))
    assert mark not in rewritten(WrittenHeaders(), authority=None)
    assert mark in rewritten(WrittenHeaders(forwarded_host=True), authority=None)


def test_header_names_keep_their_case_on_both_sides() -> None:
    proxy = lowered({"proxyHeaders": {"preserveHttp1HeaderCase": True}})
    assert proxy.preserve_case
    formatter = wire.preserved_case().SerializeToString()
    for place in (Place.INBOUND, Place.OUTBOUND, Place.GATEWAY):
        assert "header_key_format" in manager(proxy, place)["http_protocol_options"]
        assert "header_key_format" not in manager(ProxySettings(), place)["http_protocol_options"]
    for application in (Application.HTTP1, Application.DOWNSTREAM):
        key = ClusterKey(name="a", discovery=Discovery.EDS, application=application, preserve_case=True)
        assert formatter in cluster(key).frame
