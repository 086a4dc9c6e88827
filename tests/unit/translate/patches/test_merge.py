"""MERGE is Istio's merge of protobuf messages."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from argosy.translate import wire
from argosy.translate.patches.merge import configuration, merge
from argosy.translate.patches.values import PatchError
from tests.unit.translate.patches.written import message

CASES: dict[str, tuple[str, str, str]] = {
    # (what is there, what is merged, what comes out)
    "a scalar is replaced": (
        "{name: a, lb_policy: MAGLEV}",
        "{lb_policy: RANDOM}",
        "{name: a, lb_policy: RANDOM}",
    ),
    "a message is merged": (
        "{upstream_connection_options: {tcp_keepalive: {keepalive_time: 1}}}",
        "{upstream_connection_options: {tcp_keepalive: {keepalive_probes: 2}}}",
        "{upstream_connection_options: {tcp_keepalive: {keepalive_time: 1, keepalive_probes: 2}}}",
    ),
    "a list gets more items": (
        "{circuit_breakers: {thresholds: [{max_retries: 1}]}}",
        "{circuit_breakers: {thresholds: [{max_retries: 2}]}}",
        "{circuit_breakers: {thresholds: [{max_retries: 1}, {max_retries: 2}]}}",
    ),
    "a duration is replaced": ("{connect_timeout: 1.5s}", "{connect_timeout: 3s}", "{connect_timeout: 3s}"),
    "and so is a wrapper, by zero too": (
        "{per_connection_buffer_limit_bytes: 5}",
        "{per_connection_buffer_limit_bytes: 0}",
        "{per_connection_buffer_limit_bytes: 0}",
    ),
    "an entry of a map is replaced as a whole": (
        "{metadata: {filter_metadata: {a: {x: 1, y: 2}, b: {z: 3}}}}",
        "{metadata: {filter_metadata: {a: {x: 4}}}}",
        "{metadata: {filter_metadata: {a: {x: 4}, b: {z: 3}}}}",
    ),
    "a choice is changed": (
        "{type: EDS}",
        "{cluster_type: {name: x}}",
        "{cluster_type: {name: x}}",
    ),
    "a message that is there and empty counts": (
        "{}",
        "{eds_cluster_config: {eds_config: {ads: {}}}}",
        "{eds_cluster_config: {eds_config: {ads: {}}}}",
    ),
    "nothing changes nothing": ("{name: a, connect_timeout: 1s}", "{}", "{name: a, connect_timeout: 1s}"),
}


def told(one: Message) -> Any:
    return json_format.MessageToDict(one, preserving_proto_field_name=True)


@pytest.mark.parametrize("case", CASES)
def test_merge(case: str) -> None:
    held, more, wanted = (message(cluster_pb2.Cluster, text) for text in CASES[case])
    given = more.SerializeToString(deterministic=True)
    merge(held, more)
    assert told(held) == told(wanted)
    assert more.SerializeToString(deterministic=True) == given, "what is merged stays as it is"


def test_a_packed_message_within_another_is_replaced_and_a_configuration_is_merged() -> None:
    held = message(
        cluster_pb2.Cluster,
        "{cluster_type: {name: a, typed_config: {'@type': type.googleapis.com/envoy.config.core.v3.Node, id: a}}}",
    )
    more = message(
        cluster_pb2.Cluster,
        "{cluster_type: {typed_config: {'@type': type.googleapis.com/envoy.config.core.v3.Node, cluster: b}}}",
    )
    merge(held, more)
    assert told(held)["cluster_type"]["typed_config"].keys() == {"@type", "cluster"}
    one = wire.pack(lua_pb2.Lua(inline_code="a"))
    configuration(one, wire.pack(message(lua_pb2.Lua, "{default_source_code: {inline_string: b}}")))
    assert lua_pb2.Lua.FromString(one.value) == message(
        lua_pb2.Lua, "{inline_code: a, default_source_code: {inline_string: b}}"
    )


def test_configurations_of_two_types_are_not_merged() -> None:
    one = wire.pack(router_pb2.Router())
    with pytest.raises(
        PatchError, match=r"is a envoy\.\S+Lua, and what is there is a \S+Router: use REPLACE"
    ):
        configuration(one, wire.pack(lua_pb2.Lua()))


def test_fields_that_the_classes_do_not_know_stay() -> None:
    """Newer ones of our own go by their number (see `argosy.translate.cluster`)."""
    data = cluster_pb2.Cluster(name="a").SerializeToString() + b"\xfa\x7f\x01x"
    held = cluster_pb2.Cluster.FromString(data)
    merge(held, cluster_pb2.Cluster(alt_stat_name="b"))
    assert b"\xfa\x7f\x01x" in held.SerializeToString(deterministic=True)
