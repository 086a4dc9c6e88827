"""What MeshConfig says of all listeners, of TLS, and of what clusters are counted as."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from argosy.model import ir
from argosy.model.ir import MtlsMode, Paths
from argosy.model.metrics import METRICS, Metrics
from argosy.model.providers import Collector, FileLog, LogService, ServiceLog
from argosy.model.proxy_settings import CertificateDetails, ForwardedCertificate, ProxySettings
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.model.snapshot import Snapshot
from argosy.model.telemetry import Side
from argosy.translate.cluster import ClusterKey, Discovery, Encryption, cluster
from argosy.translate.connection_manager import ConnectionManager, Place, network_filter
from argosy.translate.filters import access_log, stats
from argosy.translate.http_or_tcp import Handling
from argosy.translate.listener_gateway import Chain, GatewayListenerKey, gateway_listener
from argosy.translate.listener_inbound import InboundListenerKey, InboundPort, inbound_listener
from argosy.translate.listener_outbound import CapturedListenerKey, captured_listener
from argosy.translate.options import Options, of_proxy, of_scope
from argosy.translate.proxy import Proxy
from argosy.translate.route import InboundRouteKey, inbound_routes
from argosy.translate.tls import MeshTls
from tests.unit.model.written import mesh_config
from tests.unit.translate.mesh import decoded, populate


def message(made: Message) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(made, preserving_proto_field_name=True)
    return found


def logged(to: FileLog) -> dict[str, Any]:
    (found,) = access_log.loggers((access_log.Log(to),), access_log.Layer.HTTP)
    written: dict[str, Any] = message(found)["typed_config"]["log_format"]
    return written


def test_a_line_begins_as_istios_and_ends() -> None:
    line = logged(FileLog(path="/dev/stdout"))["text_format_source"]["inline_string"]
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
    assert logged(FileLog(path="/a", json=json, format=written)) == found


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
    said = Options(paths=paths)
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
    said = Options(detection=timeout)
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


COLLECTOR = Collector("otel.example", 4317)


def test_what_is_logged_goes_to_services_of_its_layer_under_a_filter() -> None:
    kinds = (LogService.HTTP, LogService.TCP, LogService.OPEN_TELEMETRY)
    logs = tuple(
        access_log.Log(ServiceLog(kind=kind, to=COLLECTOR, name="n", labels='{"a": "b"}'), "c", "x == 1")
        for kind in kinds
    )
    http = [message(one) for one in access_log.loggers(logs, access_log.Layer.HTTP)]
    tcp = [message(one) for one in access_log.loggers(logs, access_log.Layer.TCP)]
    assert [one["name"].rpartition(".")[2] for one in http] == ["http_grpc", "open_telemetry"]
    assert [one["name"].rpartition(".")[2] for one in tcp] == ["tcp_grpc", "open_telemetry"]
    for one in http + tcp:
        common = one["typed_config"]["common_config"]
        assert common["grpc_service"] == {"envoy_grpc": {"cluster_name": "c"}}
        assert (common["log_name"], common["transport_api_version"]) == ("n", "V3")
    assert http[0]["filter"]["extension_filter"]["typed_config"]["expression"] == "x == 1"
    assert [list(one) for one in tcp[0]["filter"]["and_filter"]["filters"]] == [
        ["log_type_filter"],
        ["extension_filter"],
    ]
    assert http[1]["typed_config"]["attributes"]["values"] == [{"key": "a", "value": {"string_value": "b"}}]


def test_metrics_that_are_silent_are_not_made_and_all_of_them_leave_no_logger() -> None:
    def names(silent: tuple[str, ...]) -> list[str]:
        made = [*stats.http(stats.SOURCE, Metrics(silent)), *stats.tcp(stats.SOURCE, Metrics(silent))]
        text = [str(message(one)) for one in made]
        every = ("requests_total", "request_bytes", "tcp_connections_opened_total", "tcp_sent_bytes_total")
        return [name for name in every if any(name in one for one in text)]

    assert len(names(())) == 4
    assert names(("REQUEST_COUNT", "TCP_SENT_BYTES")) == ["request_bytes", "tcp_connections_opened_total"]
    all_silent = Metrics(METRICS)
    assert stats.http(stats.SOURCE, all_silent) == stats.tcp(stats.SOURCE, all_silent) == []


def test_a_collector_that_the_proxy_does_not_see_gets_nothing() -> None:
    made = Snapshot()
    populate(made)
    settings = """
        extensionProviders:
        - {name: here, zipkin: {service: cache.default.svc.cluster.local, port: 6379}}
        - {name: port, zipkin: {service: cache.default.svc.cluster.local, port: 1}}
        - {name: away, zipkin: {service: nowhere.example, port: 9411}}
        - {name: als, envoyTcpAls: {service: nowhere.example, port: 9000}}
        defaultProviders: {tracing: [%s], accessLogging: [als]}
    """
    for name, traced in (("here", True), ("port", False), ("away", False)):
        made.put_config(mesh_config(settings % name))
        assert not made.rejected
        found = of_scope(Reader(made), Scope(namespace="default"))
        assert (found.tracing is not None) == traced
        assert found.logs == ()


def test_spans_of_a_proxy_are_of_its_application_and_what_is_shared_of_the_namespace() -> None:
    made = Snapshot()
    populate(made)
    made.put_config(
        mesh_config(
            "extensionProviders: [{name: a, datadog: {service: cache.default.svc.cluster.local, port: 6379}}]\n"
            "defaultProviders: {tracing: [a]}"
        )
    )
    scope = Scope(namespace="default")
    own = of_proxy(Reader(made), Proxy(namespace="default", name="reviews-v1", scope=scope), Side.SERVER)
    asked = of_proxy(Reader(made), Proxy(namespace="default", name="x", scope=scope, access_log=True))
    shared = of_scope(Reader(made), scope)
    assert [one.tracing.service for one in (own, asked, shared) if one.tracing] == [
        "reviews.default",
        "x.default",
        "default",
    ]
    assert asked.logs == (access_log.ASKED,)


PROXY = ProxySettings(
    trusted_proxies=2,
    proxy_protocol=True,
    gateway_certificate=ForwardedCertificate.FORWARD_ONLY,
    sidecar_certificate=ForwardedCertificate.APPEND_FORWARD,
    sidecar_details=CertificateDetails(subject=True, chain=True),
    request_id=False,
    server="mine",
    forwarded_port=True,
    debug_headers=False,
)


def manager(place: Place, proxy: ProxySettings) -> dict[str, Any]:
    key = ConnectionManager(place=place, route="r", stat_prefix="s", options=Options(proxy=proxy))
    found: dict[str, Any] = message(network_filter(key))["typed_config"]
    return found


def test_gateways_believe_whom_the_mesh_trusts() -> None:
    usual, said = manager(Place.GATEWAY, ProxySettings()), manager(Place.GATEWAY, PROXY)
    assert "xff_num_trusted_hops" not in usual
    assert said["xff_num_trusted_hops"] == 2
    assert usual["forward_client_cert_details"] == "SANITIZE_SET"
    assert usual["set_current_client_cert_details"] == dict.fromkeys(("subject", "cert", "dns", "uri"), True)
    assert said["forward_client_cert_details"] == "FORWARD_ONLY"
    assert "set_current_client_cert_details" not in said
    assert "xff_num_trusted_hops" not in manager(Place.INBOUND, PROXY)
    for proxy, filters in ((ProxySettings(), []), (PROXY, ["envoy.filters.listener.proxy_protocol"])):
        key = GatewayListenerKey(
            name="g",
            address="127.0.0.1",
            bind=20001,
            chains=(Chain(stat_prefix="s", route="http.80"),),
            options=Options(proxy=proxy),
        )
        made = decoded(gateway_listener(key))
        assert [one["name"] for one in made.get("listener_filters", [])] == filters


def test_sidecars_tell_of_a_client_what_the_mesh_says() -> None:
    usual, said = manager(Place.INBOUND, ProxySettings()), manager(Place.INBOUND, PROXY)
    assert usual["forward_client_cert_details"] == "SANITIZE_SET"
    assert usual["set_current_client_cert_details"] == {"uri": True}
    assert said["forward_client_cert_details"] == "APPEND_FORWARD"
    assert said["set_current_client_cert_details"] == {"subject": True, "chain": True}


@pytest.mark.parametrize("place", Place)
def test_headers_of_proxies(place: Place) -> None:
    usual, said = manager(place, ProxySettings()), manager(place, PROXY)
    assert "generate_request_id" not in usual
    assert said["generate_request_id"] is False
    assert said["append_x_forwarded_port"]
    assert (usual["server_name"], said["server_name"]) == ("istio-envoy", "mine")
    assert "suppress_envoy_headers" not in usual["http_filters"][-1]["typed_config"]
    assert said["http_filters"][-1]["typed_config"]["suppress_envoy_headers"]


@pytest.mark.parametrize(
    ("place", "usual", "disabled", "named"),
    [(Place.INBOUND, "PASS_THROUGH", "PASS_THROUGH", None), (Place.GATEWAY, None, "PASS_THROUGH", None)],
)
def test_who_is_said_to_have_answered(
    place: Place, usual: str | None, disabled: str | None, named: str | None
) -> None:
    found = [
        manager(place, ProxySettings(server=one)).get("server_header_transformation")
        for one in (None, "", "mine")
    ]
    assert found == [usual, disabled, named]
