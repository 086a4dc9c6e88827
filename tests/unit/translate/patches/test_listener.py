"""Patches within listeners: what is matched, where things go, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.listener.v3 import listener_pb2

from argosy.model.envoy_patches import Side
from argosy.translate.patches import subject
from argosy.translate.resource import LISTENER
from tests.unit.translate.patches.written import MANAGER, MANAGER_TYPE, TYPES, Json, after, message, outcome

ROUTER = f"{TYPES}.filters.http.router.v3.Router"
LUA = f"{TYPES}.filters.http.lua.v3.Lua"
TCP = f"{TYPES}.filters.network.tcp_proxy.v3.TcpProxy"
TLS = f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"
LISTENER_OF_TWO = f"""
name: virtualInbound
listener_filters: [{{name: original_dst}}, {{name: tls_inspector}}]
filter_chains:
- name: 9080_mtls
  filter_chain_match:
    destination_port: 9080
    transport_protocol: tls
    application_protocols: [istio, h2]
    server_names: [a.b]
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config: {{"@type": {TLS}, require_client_certificate: true}}
  filters:
  - name: {MANAGER}
    typed_config:
      "@type": {MANAGER_TYPE}
      stat_prefix: a
      http_filters:
      - name: peer-authentication/9080
        config_discovery: {{config_source: {{ads: {{}}}}, type_urls: [x]}}
      - name: cors
      - name: lua
        typed_config: {{"@type": {LUA}, inline_code: a}}
      - name: envoy.filters.http.router
        typed_config: {{"@type": {ROUTER}}}
- name: 6379_plaintext
  filter_chain_match: {{destination_port: 6379}}
  filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config: {{"@type": {TCP}, stat_prefix: b, cluster: c}}
default_filter_chain:
  name: virtualInbound
  filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config: {{"@type": {TCP}, stat_prefix: d, cluster: e}}
"""
INBOUND = subject.listener(Side.INBOUND, "virtualInbound")


def patched(*patches: Json | str) -> Any:
    return after(LISTENER, message(listener_pb2.Listener, LISTENER_OF_TWO), INBOUND, *patches)


def names(found: Any) -> dict[str, list[str]]:
    """Of each chain, its filters; with HTTP filters in place of the connection manager."""
    chains = [*found.get("filter_chains", ()), found.get("default_filter_chain", {"filters": []})]
    out = {}
    for chain in chains:
        of_chain: list[str] = []
        for one in chain["filters"]:
            within = one.get("typed_config", {}).get("http_filters", ())
            of_chain += [each["name"] for each in within] or [one["name"]]
        out[chain.get("name", "none")] = of_chain
    return out


HTTP = ["peer-authentication/9080", "cors", "lua", "envoy.filters.http.router"]
TCP_PROXY = "envoy.filters.network.tcp_proxy"


def http(operation: str, sub: str | None = None, chain: Json | None = None, **patch: Any) -> Json:
    found: Json = {"filter": {"name": MANAGER} | ({"subFilter": {"name": sub}} if sub else {})}
    value = {} if operation == "REMOVE" else {"value": {"name": "new"}}
    return {
        "applyTo": "HTTP_FILTER",
        "match": {"listener": {"filterChain": found | (chain or {})}},
        "patch": {"operation": operation} | value | patch,
    }


ROUTER_NAME = "envoy.filters.http.router"


@pytest.mark.parametrize(
    ("patch", "wanted"),
    [
        (http("INSERT_BEFORE", ROUTER_NAME), [*HTTP[:3], "new", HTTP[3]]),
        (http("INSERT_BEFORE", "envoy.router"), [*HTTP[:3], "new", HTTP[3]]),
        (http("INSERT_AFTER", "cors"), [*HTTP[:2], "new", *HTTP[2:]]),
        (http("INSERT_FIRST", "cors"), ["new", *HTTP]),
        (http("INSERT_FIRST"), ["new", *HTTP]),
        (http("INSERT_BEFORE"), ["new", *HTTP]),
        (http("INSERT_AFTER"), [*HTTP[:3], "new", HTTP[3]]),
        (http("INSERT_AFTER", ROUTER_NAME), [*HTTP[:3], "new", HTTP[3]]),
        (http("INSERT_BEFORE", "istio.stats"), HTTP),
        (http("REPLACE", "cors"), [HTTP[0], "new", *HTTP[2:]]),
        (http("REPLACE"), HTTP),
        (http("REMOVE", "cors"), [HTTP[0], *HTTP[2:]]),
        (http("REMOVE"), HTTP),
        (http("ADD"), [*HTTP[:3], "new", HTTP[3]]),
        (http("ADD", filterClass="AUTHN"), [HTTP[0], "new", *HTTP[1:]]),
        (http("ADD", filterClass="AUTHZ"), [HTTP[0], "new", *HTTP[1:]]),
        (http("ADD", filterClass="STATS"), [*HTTP[:3], "new", HTTP[3]]),
        (http("INSERT_FIRST", chain={"name": "9080_mtls"}), ["new", *HTTP]),
        (http("INSERT_FIRST", chain={"name": "0.0.0.0_9080"}), ["new", *HTTP]),
        (http("INSERT_FIRST", chain={"name": "0.0.0.0_9081"}), HTTP),
        (http("INSERT_FIRST", chain={"sni": "a.b"}), ["new", *HTTP]),
        (http("INSERT_FIRST", chain={"sni": "b.b"}), HTTP),
        (http("INSERT_FIRST", chain={"transportProtocol": "tls"}), ["new", *HTTP]),
        (http("INSERT_FIRST", chain={"transportProtocol": "raw_buffer"}), HTTP),
        (http("INSERT_FIRST", chain={"applicationProtocols": "h2,istio"}), ["new", *HTTP]),
        (http("INSERT_FIRST", chain={"applicationProtocols": "h2,http/1.1"}), HTTP),
        (http("INSERT_FIRST", chain={"destinationPort": 9080}), ["new", *HTTP]),
        (http("INSERT_FIRST", chain={"destinationPort": 1}), HTTP),
    ],
    ids=str,
)
def test_http_filters(patch: Json, wanted: list[str]) -> None:
    assert names(patched(patch)) == {
        "9080_mtls": wanted,
        "6379_plaintext": [TCP_PROXY],
        "virtualInbound": [TCP_PROXY],
    }


def test_filters_of_a_class_stand_in_the_order_in_which_they_come() -> None:
    classes = ("AUTHZ", "AUTHN", "STATS", "AUTHN", "AUTHZ", "UNSPECIFIED")
    added = [http("ADD", filterClass=kind, value={"name": f"{kind}-{at}"}) for at, kind in enumerate(classes)]
    assert names(patched(*added))["9080_mtls"] == [
        HTTP[0],
        "AUTHN-1",
        "AUTHN-3",
        "AUTHZ-0",
        "AUTHZ-4",
        *HTTP[1:3],
        "STATS-2",
        "UNSPECIFIED-5",
        HTTP[3],
    ]


def test_an_http_filter_is_merged_where_it_is_named() -> None:
    config = {"typed_config": {"@type": LUA, "source_codes": {"x": {"inline_string": "y"}}}}
    found = patched(http("MERGE", "lua", value=config), http("MERGE", value={"name": "everything"}))
    manager = found["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["http_filters"][2] == {
        "name": "lua",
        "typed_config": {"@type": LUA, "inline_code": "a", "source_codes": {"x": {"inline_string": "y"}}},
    }
    assert names(found)["9080_mtls"] == HTTP


@pytest.mark.parametrize(
    ("patch", "ends"),
    [(http("REMOVE", ROUTER_NAME), ROUTER_NAME), ({"applyTo": "NETWORK_FILTER"}, TCP_PROXY)],
    ids=["http", "network"],
)
def test_the_filter_that_ends_a_chain_is_not_removed(patch: Json, ends: str) -> None:
    """Envoy refuses a listener with such a chain as a whole."""
    if ends == TCP_PROXY:
        patch = network("REMOVE", TCP_PROXY)
    made = message(listener_pb2.Listener, LISTENER_OF_TWO)
    found = outcome(LISTENER, made, INBOUND, patch, http("INSERT_FIRST"))
    ((index, said),) = found.failed
    assert index == 0
    assert said == f"patch: REMOVE leaves a chain without {ends}, which ends it; use REPLACE"
    assert found.applied == (1,), "the other patch is in force"


def test_a_listener_all_of_whose_chains_are_removed_goes_with_them() -> None:
    remove: Json = {"applyTo": "FILTER_CHAIN", "patch": {"operation": "REMOVE"}}
    assert patched(remove) is None
    named = {"match": {"listener": {"filterChain": {"name": "9080_mtls"}}}}
    assert list(names(patched(remove | named))) == ["6379_plaintext", "virtualInbound"]


def network(operation: str, name: str = "", listener: Json | None = None, **patch: Any) -> Json:
    chain = {"filterChain": {"filter": {"name": name}}} if name else {}
    value = {} if operation == "REMOVE" else {"value": {"name": "new"}}
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {"listener": chain | (listener or {})},
        "patch": {"operation": operation} | value | patch,
    }


@pytest.mark.parametrize(
    ("patch", "wanted"),
    [
        (network("INSERT_BEFORE", TCP_PROXY), ["new", TCP_PROXY]),
        (network("INSERT_FIRST"), ["new", TCP_PROXY]),
        (network("INSERT_AFTER", TCP_PROXY), ["new", TCP_PROXY]),
        (network("ADD"), ["new", TCP_PROXY]),
        (network("REPLACE", TCP_PROXY), ["new"]),
        (network("REMOVE"), [TCP_PROXY]),
        (network("INSERT_FIRST", listener={"portNumber": 6379}), ["new", TCP_PROXY]),
        (network("INSERT_FIRST", listener={"portNumber": 6380}), [TCP_PROXY]),
        (network("INSERT_BEFORE", MANAGER), [TCP_PROXY]),
    ],
    ids=str,
)
def test_network_filters(patch: Json, wanted: list[str]) -> None:
    assert names(patched(patch))["6379_plaintext"] == wanted


def test_network_filters_are_merged_by_name_or_else_by_type() -> None:
    config = {"typed_config": {"@type": TCP, "max_connect_attempts": 3}}
    by_type = patched(network("MERGE", value=config))
    chains = [*by_type["filter_chains"], by_type["default_filter_chain"]]
    assert [chain["filters"][0]["typed_config"].get("max_connect_attempts") for chain in chains] == [
        None,
        3,
        3,
    ]
    assert chains[1]["filters"][0]["typed_config"]["cluster"] == "c"
    wrong = outcome(
        LISTENER,
        message(listener_pb2.Listener, LISTENER_OF_TWO),
        INBOUND,
        network("MERGE", MANAGER, value=config),
        network("INSERT_FIRST"),
    )
    assert wrong.applied == (1,)
    ((index, said),) = wrong.failed
    assert index == 0
    assert said.startswith("patch.value: is a envoy.extensions.filters.network.tcp_proxy")


def listener_filter(operation: str, name: str = "") -> Json:
    match = {"match": {"listener": {"listenerFilter": name}}} if name else {}
    value = {} if operation == "REMOVE" else {"value": {"name": "new"}}
    return {"applyTo": "LISTENER_FILTER", "patch": {"operation": operation} | value} | match


@pytest.mark.parametrize(
    ("patch", "wanted"),
    [
        (listener_filter("ADD"), ["original_dst", "tls_inspector", "new"]),
        (listener_filter("INSERT_FIRST"), ["new", "original_dst", "tls_inspector"]),
        (listener_filter("INSERT_BEFORE", "tls_inspector"), ["original_dst", "new", "tls_inspector"]),
        (listener_filter("INSERT_AFTER", "original_dst"), ["original_dst", "new", "tls_inspector"]),
        (listener_filter("REPLACE", "original_dst"), ["new", "tls_inspector"]),
        (listener_filter("REMOVE", "tls_inspector"), ["original_dst"]),
        (listener_filter("REMOVE"), ["original_dst", "tls_inspector"]),
        (listener_filter("INSERT_BEFORE", "nobody"), ["original_dst", "tls_inspector"]),
    ],
    ids=str,
)
def test_listener_filters(patch: Json, wanted: list[str]) -> None:
    assert [one["name"] for one in patched(patch)["listener_filters"]] == wanted


def test_filter_chains_are_merged_with_their_transport_socket_added_and_removed() -> None:
    found = patched(
        f"""
applyTo: FILTER_CHAIN
match: {{listener: {{filterChain: {{destinationPort: 9080}}}}}}
patch:
  operation: MERGE
  value:
    transport_socket_connect_timeout: 3s
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config: {{"@type": {TLS}, session_timeout: 5s}}
""",
        "{applyTo: FILTER_CHAIN, match: {listener: {portNumber: 6379}}, patch: {operation: REMOVE}}",
        "{applyTo: FILTER_CHAIN, match: {listener: {filterChain: {name: virtualInbound}}}, patch: {operation: REMOVE}}",
        "{applyTo: FILTER_CHAIN, patch: {operation: ADD, value: {name: mine, filters: [{name: a}]}}}",
    )
    assert names(found) == {"9080_mtls": HTTP, "mine": ["a"], "none": []}
    assert found["filter_chains"][0]["transport_socket_connect_timeout"] == "3s"
    config = found["filter_chains"][0]["transport_socket"]["typed_config"]
    assert config == {"@type": TLS, "require_client_certificate": True, "session_timeout": "5s"}


def chain(name: str, **match: Any) -> Json:
    value = {"name": name, "filter_chain_match": match, "filters": [{"name": "a"}]}
    return {"applyTo": "FILTER_CHAIN", "patch": {"operation": "ADD", "value": value}}


@pytest.mark.parametrize(
    ("match", "fails"),
    [
        ({"server_names": ["b.example", "a.example"]}, True),
        ({"server_names": ["b.example"]}, False),
        ({"server_names": ["a.example"], "destination_port": 9}, False),
        ({"destination_port": 9080, "application_protocols": ["istio"], "transport_protocol": "tls"}, True),
    ],
)
def test_a_chain_for_connections_that_another_takes_is_told_on_its_filter(match: Json, fails: bool) -> None:
    """Envoy would refuse the listener as a whole, for whatever filter chain is the second."""
    made = message(
        listener_pb2.Listener,
        """
name: virtualInbound
filter_chains:
- name: mesh
  filter_chain_match: {destination_port: 9080, transport_protocol: tls, application_protocols: [istio, h2]}
  filters: [{name: a}]
""",
    )
    found = outcome(
        LISTENER, made, INBOUND, chain("first", server_names=["a.example"]), chain("second", **match)
    )
    assert [index for index, _ in found.failed] == ([1] if fails else [])
    if fails:
        assert "takes connections that the filter chain" in found.failed[0][1]


def test_listeners_are_merged_and_removed() -> None:
    merge = "{applyTo: LISTENER, patch: {operation: MERGE, value: {per_connection_buffer_limit_bytes: 1}}}"
    assert patched(merge)["per_connection_buffer_limit_bytes"] == 1
    assert patched(merge, "{applyTo: LISTENER, patch: {operation: REMOVE}}") is None


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (http("MERGE", HTTP[0]), "patch.value: the configuration of peer-authentication/9080 comes by ECDS"),
        (
            {"applyTo": "LISTENER", "patch": {"operation": "MERGE", "value": {"name": "other"}}},
            "patch.value: name: 'other' would rename 'virtualInbound'",
        ),
        (http("INSERT_FIRST", value={"name": [1]}), "patch.value: is not a HttpFilter of Envoy's"),
        (
            http("INSERT_FIRST", value={"typed_config": {"@type": "type.googleapis.com/envoy.new.v3.Thing"}}),
            "patch.value.typed_config['@type']: 'envoy.new.v3.Thing' is no type that this version knows; write it",
        ),
        (
            http("INSERT_FIRST", value={"typed_config": {"@type": "type.googleapis.com/a.b.C"}}),
            "patch.value.typed_config['@type']: 'type.googleapis.com/a.b.C' is no type of Envoy's",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_made_says_why_and_changes_nothing(patch: Json, words: str) -> None:
    made = message(listener_pb2.Listener, LISTENER_OF_TWO)
    found = outcome(LISTENER, made, INBOUND, patch, listener_filter("INSERT_FIRST"))
    ((index, said),) = found.failed
    assert (index, found.applied) == (0, (1,))
    assert said.startswith(words)


def test_what_no_patch_changes_is_the_same_object() -> None:
    made = message(listener_pb2.Listener, LISTENER_OF_TWO)
    found = outcome(LISTENER, made, INBOUND, http("REMOVE", "nobody"), network("REMOVE"))
    assert (found.applied, found.failed) == ((), ())
    assert found.made is not None
    again = outcome(LISTENER, made, INBOUND, http("REMOVE", "nobody"), network("REMOVE"))
    assert again.made == found.made


def test_an_explicit_inbound_listener_is_of_its_workload_port() -> None:
    made = message(
        listener_pb2.Listener,
        f"{{name: inbound_9080, filter_chains: [{{name: mtls, filters: [{{name: {TCP_PROXY}}}]}}]}}",
    )
    found = subject.listener(Side.INBOUND, "inbound_9080")
    for match in (
        {"name": "virtualInbound"},
        {"portNumber": 9080},
        {"filterChain": {"destinationPort": 9080}},
        {"filterChain": {"name": "0.0.0.0_9080"}},
    ):
        changed = after(LISTENER, made, found, network("INSERT_FIRST", listener=match))
        assert names(changed) == {"mtls": ["new", TCP_PROXY], "none": []}, match
