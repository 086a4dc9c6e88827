"""HTTP/3 at gateways: which servers have it, what it is, and how clients learn of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from argosy.model.snapshot import Snapshot
from argosy.resources.validation import validate
from argosy.translate.resource import LISTENER, ROUTE
from tests.unit.translate.mesh import decoded, populate
from tests.unit.translate.test_gateway import Edge, bound, gateway

ANNOTATION = "gateway.argosy.dev/http3"
SERVERS = """
- {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
- {port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example], tls: {mode: SIMPLE, credentialName: c}}
- {port: {number: 443, name: mutual, protocol: HTTPS}, hosts: [b.example], tls: {mode: MUTUAL, credentialName: c}}
- {port: {number: 443, name: mesh, protocol: HTTPS}, hosts: [c.example], tls: {mode: ISTIO_MUTUAL}}
- {port: {number: 443, name: passed, protocol: TLS}, hosts: [d.example], tls: {mode: PASSTHROUGH}}
- port: {number: 443, name: old, protocol: HTTPS}
  hosts: [e.example]
  tls: {mode: SIMPLE, credentialName: c, maxProtocolVersion: TLSV1_2}
- {port: {number: 444, name: bytes, protocol: TLS}, hosts: [f.example], tls: {mode: SIMPLE, credentialName: c}}
"""
ROUTES = "{hosts: ['*'], http: [{route: [{destination: {host: cache}}]}]}"


def annotated(text: str, value: str | None) -> str:
    body = yaml.safe_load(text)
    if value is not None:
        body["metadata"]["annotations"] = {ANNOTATION: value}
    return yaml.safe_dump(body)


def served(value: str | None) -> Edge:
    snapshot = Snapshot()
    populate(snapshot)
    edge = Edge(snapshot)
    edge.apply(annotated(gateway(SERVERS), value))
    edge.apply(bound(ROUTES))
    return edge


def quic(edge: Edge) -> dict[str, Any]:
    found = {name: one for name, one in edge.own.resources[LISTENER].items() if name.startswith("udp_")}
    return {name: decoded(one) for name, one in found.items()}


def told(edge: Edge) -> dict[str, str]:
    """RouteConfiguration -> what its answers say of HTTP/3."""
    found = {}
    for name, one in edge.shared.resources[ROUTE].items():
        for option in decoded(one).get("response_headers_to_add", ()):
            assert option["header"]["key"] == "alt-svc"
            found[name] = option["header"]["value"]
    return found


@pytest.mark.parametrize("value", [None, "false"])
def test_nobody_who_does_not_ask_has_it(value: str | None) -> None:
    edge = served(value)
    assert (quic(edge), told(edge)) == ({}, {})


def test_servers_that_end_tls_for_http_by_certificates_of_their_own_have_it() -> None:
    edge = served("true")
    (listener,) = quic(edge).values()
    assert listener["name"] == "udp_127.0.0.1_443"
    assert listener["address"]["socket_address"] == {
        "protocol": "UDP",
        "address": "127.0.0.1",
        "port_value": 8443,
    }
    assert "quic_options" in listener["udp_listener_config"]
    chains = listener["filter_chains"]
    assert [one["filter_chain_match"]["server_names"] for one in chains] == [["a.example"], ["b.example"]]
    for chain, route in zip(chains, ("https", "mutual"), strict=True):
        manager = chain["filters"][0]["typed_config"]
        assert manager["codec_type"] == "HTTP3"
        assert manager["rds"]["route_config_name"] == f"https.443.{route}.edge.default"
        assert manager["use_remote_address"] is True
        socket = chain["transport_socket"]
        assert socket["name"] == "envoy.transport_sockets.quic"
        common = socket["typed_config"]["downstream_tls_context"]["common_tls_context"]
        assert common["alpn_protocols"] == ["h3"]
        assert common["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_3"


@pytest.mark.parametrize(("value", "port"), [("true", 443), ("8443", 8443)])
def test_answers_over_tcp_name_the_port_that_clients_reach(value: str, port: int) -> None:
    said = f'h3=":{port}"; ma=86400'
    assert told(served(value)) == {f"https.443.{name}.edge.default": said for name in ("https", "mutual")}


def test_it_comes_and_goes_with_the_annotation() -> None:
    edge = served("true")
    tcp = edge.own.resources[LISTENER]["127.0.0.1_443"]
    edge.apply(annotated(gateway(SERVERS), None))
    assert (quic(edge), told(edge)) == ({}, {})
    assert edge.own.resources[LISTENER]["127.0.0.1_443"] is tcp


@pytest.mark.parametrize(
    ("value", "valid"),
    [("true", True), ("false", True), ("8443", True), ("yes", False), ("0", False), ("65536", False)],
)
def test_the_annotation_is_true_or_a_port(value: str, valid: bool) -> None:
    verdict = validate(yaml.safe_load(annotated(gateway(SERVERS), value)))
    assert verdict.valid is valid
    assert valid or ANNOTATION in str(verdict.errors[0])
