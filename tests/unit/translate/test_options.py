"""What MeshConfig says of all listeners, of TLS, and of what clusters are counted as."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from argosy.model import ir
from argosy.model.ir import MtlsMode, Paths
from argosy.translate import options
from argosy.translate.cluster import ClusterKey, Discovery, Encryption, cluster
from argosy.translate.connection_manager import ConnectionManager, Place, network_filter
from argosy.translate.filters import access_log
from argosy.translate.http_or_tcp import Handling
from argosy.translate.listener_inbound import InboundListenerKey, InboundPort, inbound_listener
from argosy.translate.listener_outbound import CapturedListenerKey, captured_listener
from argosy.translate.route import InboundRouteKey, inbound_routes
from argosy.translate.tls import MeshTls
from tests.unit.translate.mesh import decoded

LINE = ir.Mesh(access_log_file="/dev/stdout")


def message(made: Message) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(made, preserving_proto_field_name=True)
    return found


def logged(mesh: ir.Mesh) -> dict[str, Any]:
    (found,) = access_log.loggers(access_log.of_mesh(mesh), access_log.Layer.HTTP)
    written: dict[str, Any] = message(found)["typed_config"]["log_format"]
    return written


def test_a_line_begins_as_istios_and_ends() -> None:
    line = logged(LINE)["text_format_source"]["inline_string"]
    request = "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%"
    assert line.startswith(f'[%START_TIME%] "{request}" %RESPONSE_CODE% ')
    assert line.endswith("%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n")
    assert '"%REQ(USER-AGENT)%"' in line


@pytest.mark.parametrize(
    ("json", "written", "found"),
    [
        (False, "%PROTOCOL%\n", {"text_format_source": {"inline_string": "%PROTOCOL%\n"}}),
        (True, '{"a": {"b": "%PROTOCOL%"}}', {"json_format": {"a": {"b": "%PROTOCOL%"}}}),
        (True, "", {"json_format": access_log.FIELDS}),
    ],
)
def test_a_format_stands_for_istios(json: bool, written: str, found: dict[str, Any]) -> None:
    mesh = ir.Mesh(access_log_file="/a", access_log_json=json, access_log_format=written)
    assert logged(mesh) == found


@pytest.mark.parametrize(
    ("paths", "normal", "merged", "escaped"),
    [
        (Paths.NONE, False, None, "KEEP_UNCHANGED"),
        (Paths.BASE, True, None, "KEEP_UNCHANGED"),
        (Paths.MERGE_SLASHES, True, True, "KEEP_UNCHANGED"),
        (Paths.DECODE_AND_MERGE_SLASHES, True, True, "UNESCAPE_AND_FORWARD"),
    ],
)
@pytest.mark.parametrize("place", Place)
def test_paths_are_normalised_everywhere(
    place: Place, paths: Paths, normal: bool, merged: bool | None, escaped: str
) -> None:
    said = options.of_mesh(ir.Mesh(paths=paths))
    manager = ConnectionManager(place=place, route="r", stat_prefix="s", options=said)
    found = message(network_filter(manager))["typed_config"]
    assert found["normalize_path"] is normal
    assert found.get("merge_slashes") is merged
    assert found["path_with_escaped_slashes_action"] == escaped


@pytest.mark.parametrize(
    ("timeout", "undeclared", "inbound"), [(None, "0.100s", None), (0, "0s", "0s"), (5000, "5s", "5s")]
)
def test_how_long_the_first_bytes_are_waited_for(
    timeout: int | None, undeclared: str, inbound: str | None
) -> None:
    said = options.of_mesh(ir.Mesh(detection_timeout=timeout))
    captured = captured_listener(
        CapturedListenerKey(address="0.0.0.0", port=80, handling=Handling.DETECT, options=said)
    )
    assert decoded(captured)["listener_filters_timeout"] == undeclared
    assert decoded(captured)["continue_on_listener_filters_timeout"]
    port = InboundPort(port=80, handling=Handling.HTTP, mode=MtlsMode.PERMISSIVE, options=said)
    own = decoded(inbound_listener(InboundListenerKey(address="127.0.0.1", bind=20001, inbound=port)))
    assert own.get("listener_filters_timeout") == inbound


def test_tls_between_proxies_is_as_the_mesh_says_on_both_sides() -> None:
    said = ir.TlsParameters(min_version="TLSV1_2", cipher_suites=("AES128-SHA",))
    to = MeshTls("sni", ("spiffe://a",), ("istio",), said)
    client = decoded(
        cluster(ClusterKey(name="c", discovery=Discovery.EDS, encryption=Encryption.ALWAYS, tls=to))
    )
    port = InboundPort(port=80, handling=Handling.HTTP, mode=MtlsMode.STRICT, mesh_tls=said)
    own = decoded(inbound_listener(InboundListenerKey(address="127.0.0.1", bind=20001, inbound=port)))
    for one in (client, own["filter_chains"][0]):
        assert one["transport_socket"]["typed_config"]["common_tls_context"]["tls_params"] == {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3",
            "cipher_suites": ["AES128-SHA"],
        }


def test_tls_that_a_rule_originates_has_the_meshs_defaults() -> None:
    key = ClusterKey(
        name="c",
        discovery=Discovery.EDS,
        encryption=Encryption.ALWAYS,
        tls=ir.ClientTls(mode=ir.TlsMode.SIMPLE, sni="a"),
        tls_parameters=ir.TlsParameters(min_version="TLSV1_3", ecdh_curves=("P-256",)),
    )
    found = decoded(cluster(key))["transport_socket"]["typed_config"]["common_tls_context"]["tls_params"]
    assert found == {
        "tls_minimum_protocol_version": "TLSv1_3",
        "tls_maximum_protocol_version": "TLSv1_3",
        "ecdh_curves": ["P-256"],
    }


def test_a_sidecar_tries_again_at_its_application_what_that_has_not_seen() -> None:
    def retries(policy: ir.RetryPolicy | None) -> Any:
        made = decoded(inbound_routes(InboundRouteKey(port=80, retry=policy)))
        return made["virtual_hosts"][0]["routes"][0]["route"].get("retry_policy")

    assert retries(ir.INBOUND_RETRY) == {"retry_on": "reset-before-request", "num_retries": 2}
    assert retries(None) is None
