"""Clusters and endpoints on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.translate.cluster import (
    Application,
    ClusterKey,
    Discovery,
    Encryption,
    cluster,
    connect_http,
    inbound,
    passthrough,
)
from argosy.translate.endpoint import EndpointKey, LoadAssignmentKey, LocalityKey, load_assignment
from argosy.translate.tls import MeshTls, originated_secrets
from tests.unit.translate.mesh import decoded

UNLIMITED = 4294967295
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def made(**fields: Any) -> dict[str, Any]:
    return decoded(cluster(ClusterKey(**({"name": "c", "discovery": Discovery.EDS} | fields))))


def test_defaults_are_istios() -> None:
    found = made()
    assert found["connect_timeout"] == "10s"
    assert found["lb_policy"] == "LEAST_REQUEST"
    assert found["common_lb_config"]["healthy_panic_threshold"] == {}, "0, not Envoy's 50"
    (limits,) = found["circuit_breakers"]["thresholds"]
    assert limits == {
        "max_connections": UNLIMITED,
        "max_pending_requests": UNLIMITED,
        "max_requests": UNLIMITED,
        "max_retries": UNLIMITED,
        "track_remaining": True,
    }
    assert found["type"] == "EDS"
    assert found["eds_cluster_config"]["service_name"] == "c"
    assert "ads" in found["eds_cluster_config"]["eds_config"]
    assert "outlier_detection" not in found


OUTLIER = [
    (ir.OutlierDetection(), {}),
    (ir.OutlierDetection(consecutive_5xx=3), {"consecutive_5xx": 3, "enforcing_consecutive_5xx": 100}),
    (ir.OutlierDetection(consecutive_5xx=0), {"consecutive_5xx": 0, "enforcing_consecutive_5xx": 0}),
    (
        ir.OutlierDetection(consecutive_gateway=2),
        {"consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100},
    ),
    (
        ir.OutlierDetection(split_external_local_origin=True, consecutive_local_origin=4),
        {
            "split_external_local_origin_errors": True,
            "enforcing_local_origin_success_rate": 0,
            "consecutive_local_origin_failure": 4,
            "enforcing_consecutive_local_origin_failure": 100,
        },
    ),
    (
        ir.OutlierDetection(interval=1500, base_ejection_time=2000, max_ejection_percent=50),
        {"interval": "1.500s", "base_ejection_time": "2s", "max_ejection_percent": 50},
    ),
]


@pytest.mark.parametrize(("outlier", "expected"), OUTLIER)
def test_outlier_detection_enforces_what_is_set(outlier: ir.OutlierDetection, expected: Any) -> None:
    found = made(policy=ir.TrafficPolicy(outlier=outlier))["outlier_detection"]
    assert found == {"enforcing_success_rate": 0, **expected}


def test_a_connection_pool_limits() -> None:
    pool = ir.ConnectionPool(
        max_connections=1,
        connect_timeout=250,
        http1_max_pending_requests=2,
        http2_max_requests=3,
        max_retries=4,
        max_requests_per_connection=5,
        idle_timeout=6000,
        max_connection_duration=7000,
        keepalive=ir.KeepAlive(probes=3, time=60_000, interval=5_000),
    )
    found = made(application=Application.HTTP1, policy=ir.TrafficPolicy(connection_pool=pool))
    assert found["connect_timeout"] == "0.250s"
    (limits,) = found["circuit_breakers"]["thresholds"]
    assert [
        limits[one] for one in ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    ] == [
        1,
        2,
        3,
        4,
    ]
    assert found["typed_extension_protocol_options"][HTTP_OPTIONS]["common_http_protocol_options"] == {
        "idle_timeout": "6s",
        "max_requests_per_connection": 5,
        "max_connection_duration": "7s",
    }
    assert found["upstream_connection_options"]["tcp_keepalive"] == {
        "keepalive_probes": 3,
        "keepalive_time": 60,
        "keepalive_interval": 5,
    }


@pytest.mark.parametrize(
    ("application", "options"),
    [
        (Application.TCP, None),
        (Application.HTTP1, {"explicit_http_config": {"http_protocol_options": {}}}),
        (Application.HTTP2, {"explicit_http_config": {"http2_protocol_options": {"allow_connect": True}}}),
        (
            Application.DOWNSTREAM,
            {
                "use_downstream_protocol_config": {
                    "http_protocol_options": {},
                    "http2_protocol_options": {"allow_connect": True},
                }
            },
        ),
    ],
)
def test_what_is_spoken(application: Application, options: Any) -> None:
    found = made(application=application).get("typed_extension_protocol_options", {}).get(HTTP_OPTIONS)
    if found is not None:
        found.pop("@type")
    assert found == options


def test_mesh_tls_is_1_3_with_the_expected_identities_and_no_other() -> None:
    tls = MeshTls("outbound_.80_._.a", ("spiffe://td/ns/n/sa/s",), ("istio", "h2"))
    found = made(encryption=Encryption.PER_ENDPOINT, tls=tls)
    mutual, plain = found["transport_socket_matches"]
    assert mutual["match"] == {"tlsMode": "istio"}
    assert plain["match"] == {}
    assert plain["transport_socket"]["name"] == "envoy.transport_sockets.raw_buffer"
    context = mutual["transport_socket"]["typed_config"]
    common = context["common_tls_context"]
    assert context["sni"] == "outbound_.80_._.a"
    assert common["alpn_protocols"] == ["istio", "h2"]
    assert common["tls_params"] == {
        "tls_minimum_protocol_version": "TLSv1_3",
        "tls_maximum_protocol_version": "TLSv1_3",
    }
    assert [one["name"] for one in common["tls_certificate_sds_secret_configs"]] == ["default"]
    validation = common["combined_validation_context"]
    assert validation["validation_context_sds_secret_config"]["name"] == "ROOTCA"
    assert validation["default_validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "URI", "matcher": {"exact": "spiffe://td/ns/n/sa/s"}}
    ]


def test_without_a_known_identity_nobody_is_accepted() -> None:
    found = made(encryption=Encryption.ALWAYS, tls=MeshTls("a", (), ("istio",)))
    common = found["transport_socket"]["typed_config"]["common_tls_context"]
    matchers = common["combined_validation_context"]["default_validation_context"]
    assert matchers["match_typed_subject_alt_names"] == [
        {"san_type": "URI", "matcher": {"exact": "spiffe://"}}
    ]


def test_originated_tls_verifies_unless_told_not_to() -> None:
    def common(**fields: Any) -> dict[str, Any]:
        tls = ir.ClientTls(mode=ir.TlsMode.SIMPLE, **fields)
        found = made(application=Application.HTTP1, encryption=Encryption.ALWAYS, tls=tls)
        context: dict[str, Any] = found["transport_socket"]["typed_config"]["common_tls_context"]
        options = found["typed_extension_protocol_options"][HTTP_OPTIONS]
        return {**context, "options": options.get("upstream_http_protocol_options")}

    trusted = common(sni="a.example", subject_alt_names=("a.example",))
    assert trusted["validation_context"]["trusted_ca"]["filename"] == "/etc/ssl/certs/ca-certificates.crt"
    assert trusted["validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "DNS", "matcher": {"exact": "a.example"}}
    ]
    assert trusted["options"] is None
    by_authority = common()
    assert by_authority["options"] == {"auto_sni": True, "auto_san_validation": True}
    careless = common(insecure_skip_verify=True)
    assert "validation_context" not in careless
    assert careless["options"] == {"auto_sni": True}
    by_secret = common(sni="a", credential_name="kubernetes://n/cred")
    secret = by_secret["combined_validation_context"]["validation_context_sds_secret_config"]
    assert secret["name"] == "kubernetes://n/cred-cacert"


def test_files_of_originated_tls_are_secrets_so_that_a_missing_one_refuses_no_cluster() -> None:
    """And one that is replaced is read again."""
    tls = ir.ClientTls(
        mode=ir.TlsMode.MUTUAL,
        subject_alt_names=("a",),
        client_certificate="/c.pem",
        private_key="/k.pem",
        ca_certificates="/ca.pem",
    )
    found = made(application=Application.HTTP1, encryption=Encryption.ALWAYS, tls=tls)
    common = found["transport_socket"]["typed_config"]["common_tls_context"]
    assert [one["name"] for one in common["tls_certificate_sds_secret_configs"]] == [
        "file-cert:/c.pem~/k.pem"
    ]
    by = common["combined_validation_context"]
    assert by["validation_context_sds_secret_config"]["name"] == "file-root:/ca.pem"
    assert by["default_validation_context"]["match_typed_subject_alt_names"]
    assert originated_secrets(tls) == ("file-cert:/c.pem~/k.pem", "file-root:/ca.pem")
    revoked = ir.ClientTls(mode=ir.TlsMode.SIMPLE, ca_crl="/crl.pem")
    assert originated_secrets(revoked) == ("file-root:/etc/ssl/certs/ca-certificates.crt~/crl.pem",)
    assert originated_secrets(ir.ClientTls(mode=ir.TlsMode.SIMPLE)) == ()


def test_load_balancers() -> None:
    policy = ir.TrafficPolicy
    balancer = ir.LoadBalancer
    assert made(policy=policy(load_balancer=balancer.MAGLEV))["lb_policy"] == "MAGLEV"
    ring = made(policy=policy(load_balancer=balancer.RING_HASH))
    assert ring["ring_hash_lb_config"]["minimum_ring_size"] == "1024"
    warm = made(policy=policy(warmup=ir.Warmup(window=5000)))
    assert warm["least_request_lb_config"]["slow_start_config"]["slow_start_window"] == "5s"
    assert made(policy=policy(load_balancer=balancer.PASSTHROUGH))["lb_policy"] == "LEAST_REQUEST"


def test_load_balancers_in_detail() -> None:
    warm = ir.Warmup(window=5000, minimum_percent=20, aggression=2)
    found = made(policy=ir.TrafficPolicy(load_balancer=ir.LoadBalancer.ROUND_ROBIN, warmup=warm))
    assert found["round_robin_lb_config"]["slow_start_config"] == {
        "slow_start_window": "5s",
        "aggression": {"default_value": 2, "runtime_key": "argosy.slow_start.aggression"},
        "min_weight_percent": {"value": 20},
    }
    maglev = ir.TrafficPolicy(load_balancer=ir.LoadBalancer.MAGLEV, maglev_table_size=101)
    assert made(policy=maglev)["maglev_lb_config"] == {"table_size": "101"}


def test_a_retry_budget_stands_beside_the_breakers() -> None:
    (limits,) = made(policy=ir.TrafficPolicy(retry_budget=ir.RetryBudget(percent=25, minimum=4)))[
        "circuit_breakers"
    ]["thresholds"]
    assert limits["retry_budget"] == {"budget_percent": {"value": 25}, "min_retry_concurrency": 4}
    assert "retry_budget" not in made()["circuit_breakers"]["thresholds"][0]


def test_other_codes_than_the_5xx_may_count_as_errors_of_http() -> None:
    policy = ir.TrafficPolicy(outlier=ir.OutlierDetection(consecutive_5xx=3, http_codes=(429, 503)))
    options = made(application=Application.HTTP1, policy=policy)["typed_extension_protocol_options"]
    (header,) = options[HTTP_OPTIONS]["outlier_detection"]["error_matcher"]["http_response_headers_match"][
        "headers"
    ]
    assert header == {"name": ":status", "string_match": {"safe_regex": {"regex": "429|503"}}}
    assert "typed_extension_protocol_options" not in made(application=Application.TCP, policy=policy)


def test_http2_connections_are_pinged() -> None:
    pool = ir.ConnectionPool(http2_keepalive=ir.Http2KeepAlive(interval=30_000, timeout=5_000))
    found = made(application=Application.HTTP2, policy=ir.TrafficPolicy(connection_pool=pool))
    options = found["typed_extension_protocol_options"][HTTP_OPTIONS]["explicit_http_config"]
    assert options["http2_protocol_options"]["connection_keepalive"] == {"interval": "30s", "timeout": "5s"}


PROXY_PROTOCOL = "envoy.transport_sockets.upstream_proxy_protocol"


def test_the_proxy_protocol_comes_before_tls_and_before_plaintext() -> None:
    policy = ir.TrafficPolicy(proxy_protocol="V2")
    plain = made(policy=policy)["transport_socket"]
    assert plain["name"] == PROXY_PROTOCOL
    assert plain["typed_config"]["config"] == {"version": "V2"}
    assert plain["typed_config"]["transport_socket"]["name"] == "envoy.transport_sockets.raw_buffer"
    tls = MeshTls("a", ("spiffe://a",), ("istio",))
    always = made(policy=policy, encryption=Encryption.ALWAYS, tls=tls)["transport_socket"]
    assert always["typed_config"]["transport_socket"]["name"] == "envoy.transport_sockets.tls"
    each = made(policy=policy, encryption=Encryption.PER_ENDPOINT, tls=tls)["transport_socket_matches"]
    assert [one["transport_socket"]["name"] for one in each] == [PROXY_PROTOCOL, PROXY_PROTOCOL]
    assert "transport_socket" not in made()


def test_names_without_a_time_to_live_are_looked_up_at_the_meshs_rate() -> None:
    found = made(discovery=Discovery.STRICT_DNS, dns_refresh_rate=5000)
    assert found["cluster_type"]["typed_config"]["dns_refresh_rate"] == "5s"


def test_special_clusters() -> None:
    forward = decoded(cluster(passthrough(Discovery.FORWARD_PROXY, 1000)))
    assert forward["cluster_type"]["name"] == "envoy.clusters.dynamic_forward_proxy"
    assert forward["lb_policy"] == "CLUSTER_PROVIDED"
    original = decoded(cluster(passthrough(Discovery.ORIGINAL_DST, 1000)))
    assert (original["type"], original["lb_policy"]) == ("ORIGINAL_DST", "CLUSTER_PROVIDED")
    tunnel = decoded(cluster(connect_http(1000)))
    (endpoint,) = tunnel["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["envoy_internal_address"] == {
        "server_listener_name": "connect_http"
    }
    port = ir.WorkloadPort(
        name="http", workload=9080, bind=21000, application=8080, protocol=ir.Protocol.HTTP
    )
    own = decoded(cluster(inbound(port, Application.HTTP1, 1000)))
    assert own["name"] == "inbound|9080||"
    (endpoint,) = own["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 8080}


def test_a_logical_dns_cluster_of_nothing_is_one_that_envoy_takes() -> None:
    """Envoy refuses LOGICAL_DNS without exactly one endpoint."""
    endpoint = LocalityKey(endpoints=(EndpointKey(address="a.com", port=80),))
    full, empty = (
        made(discovery=Discovery.LOGICAL_DNS, load=load)["cluster_type"]["typed_config"]
        for load in ((endpoint,), ())
    )
    assert full["all_addresses_in_single_endpoint"]
    assert "all_addresses_in_single_endpoint" not in empty


@pytest.mark.parametrize("names", [{"subject_alt_names": ("a.com",)}, {"insecure_skip_verify": True}])
def test_a_forward_proxy_may_verify_other_names_than_its_host(names: dict[str, Any]) -> None:
    """Envoy refuses such a cluster without `auto_san_validation` unless it is told that this is meant."""
    told, plain = (
        made(discovery=Discovery.FORWARD_PROXY, tls=tls)["cluster_type"]["typed_config"]
        for tls in (ir.ClientTls(mode=ir.TlsMode.SIMPLE, **names), ir.ClientTls(mode=ir.TlsMode.SIMPLE))
    )
    assert told["allow_insecure_cluster_options"]
    assert "allow_insecure_cluster_options" not in plain


@pytest.mark.parametrize(
    ("sni", "unverified", "named", "verified"),
    [
        ("", False, True, True),
        ("a.com", False, False, True),
        ("", True, True, False),
        ("a.com", True, False, False),
    ],
)
def test_a_forward_proxy_asks_for_the_name_that_is_written_and_verifies_as_is_written(
    sni: str, unverified: bool, named: bool, verified: bool
) -> None:
    tls = ir.ClientTls(mode=ir.TlsMode.SIMPLE, sni=sni, insecure_skip_verify=unverified)
    cluster = made(discovery=Discovery.FORWARD_PROXY, tls=tls)
    (options,) = cluster["typed_extension_protocol_options"].values()
    said = options["upstream_http_protocol_options"]
    assert (said.get("auto_sni", False), said.get("auto_san_validation", False)) == (named, verified)
    as_written = cluster["cluster_type"]["typed_config"].get("allow_insecure_cluster_options", False)
    assert as_written is not (named and verified)


def test_endpoints_carry_what_tls_and_telemetry_need() -> None:
    near = EndpointKey(address="10.0.0.1", port=1, weight=2, mtls=1, workload="w;n;a;v1;")
    far = EndpointKey(address="unix:///run/x.sock", port=0)
    key = LoadAssignmentKey(
        name="c",
        localities=(
            LocalityKey(endpoints=(near, far)),
            LocalityKey(locality="region/zone", endpoints=(far,)),
        ),
    )
    first, second = decoded(load_assignment(key))["endpoints"]
    assert first["load_balancing_weight"] == 3
    assert first["lb_endpoints"][0] == {
        "endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 1}}},
        "load_balancing_weight": 2,
        "metadata": {
            "filter_metadata": {
                "envoy.transport_socket_match": {"tlsMode": "istio"},
                "istio": {"workload": "w;n;a;v1;"},
            }
        },
    }
    assert first["lb_endpoints"][1]["endpoint"]["address"] == {"pipe": {"path": "/run/x.sock"}}
    assert second["locality"] == {"region": "region", "zone": "zone"}
