from __future__ import annotations

import re

import pytest

from argosy.agent.metrics import Own, Rewriter, exposition
from argosy.agent.protocol import BEYOND
from argosy.agent.traffic import Totals, totals, traffic

OWN = Own(
    workload="reviews-v1",
    namespace="default",
    principal="spiffe://cluster.local/ns/default/sa/reviews",
    app="reviews",
    version="v1",
)
CALLER = 'source="v2.productpage.productpage-1.web.workload.mesh",source_principal="spiffe://td/ns/web/sa/pp"'
REST = 'destination_service="reviews.default.svc.cluster.local",destination_port="9080",request_protocol="HTTP/2"'
INBOUND = f'reporter="destination",{CALLER},{REST},response_code="200",response_flags="-",grpc_status="-"'
OUTBOUND = (
    'reporter="source",destination="ratings-v1;shop;ratings;v1;Kubernetes",'
    'destination_service="ratings.shop.svc.cluster.local",destination_principal="spiffe://td/ns/shop/sa/ratings",'
    'request_protocol="HTTP/1.1",response_code="503",response_flags="UF",grpc_status="-"'
)


def rewritten(raw: str) -> str:
    return exposition(Rewriter(OWN).scrape(raw.encode())).decode()


def labels(tags: str) -> dict[str, str]:
    return dict(Rewriter(OWN).labels(tags.encode()))


def test_a_counter_gets_istios_name_and_full_labels() -> None:
    text = rewritten(
        f"# TYPE envoy_istio_requests_total counter\nenvoy_istio_requests_total{{{INBOUND}}} 12\n"
    )
    first, sample = text.splitlines()
    assert first == "# TYPE istio_requests_total counter"
    found = re.fullmatch(r"istio_requests_total\{(.*)\} 12", sample)
    assert found
    assert dict(re.findall(r'(\w+)="([^"]*)"', found[1])) == {
        "reporter": "destination",
        "source_workload": "productpage-1",
        "source_workload_namespace": "web",
        "source_principal": "spiffe://td/ns/web/sa/pp",
        "source_app": "productpage",
        "source_version": "v2",
        "source_canonical_service": "productpage",
        "source_canonical_revision": "v2",
        "destination_workload": "reviews-v1",
        "destination_workload_namespace": "default",
        "destination_principal": "spiffe://cluster.local/ns/default/sa/reviews",
        "destination_app": "reviews",
        "destination_version": "v1",
        "destination_canonical_service": "reviews",
        "destination_canonical_revision": "v1",
        "destination_service": "reviews.default.svc.cluster.local",
        "destination_service_name": "reviews",
        "destination_service_namespace": "default",
        "request_protocol": "http",
        "response_flags": "-",
        "connection_security_policy": "mutual_tls",
        "response_code": "200",
        "grpc_response_status": "",
    }


def test_labels_that_somebody_writes_stand_beside_the_standard_ones_and_in_their_place() -> None:
    plain, seen = (
        labels(INBOUND),
        labels(
            f'{INBOUND},tag_host="a.example",tag_source_app="b",tag_no="",removed="response_code,source_version"'
        ),
    )
    gone = {"response_code", "source_version"}
    assert seen == {name: value for name, value in plain.items() if name not in gone} | {
        "host": "a.example",
        "source_app": "b",
        "no": "unknown",
    }


def test_the_source_side_names_its_peer_by_the_endpoint() -> None:
    seen = labels(OUTBOUND)
    expected = {
        "reporter": "source",
        "source_workload": "reviews-v1",
        "source_principal": "spiffe://cluster.local/ns/default/sa/reviews",
        "destination_workload": "ratings-v1",
        "destination_workload_namespace": "shop",
        "destination_principal": "spiffe://td/ns/shop/sa/ratings",
        "destination_app": "ratings",
        "destination_version": "v1",
        "destination_service_name": "ratings",
        "destination_service_namespace": "shop",
        "response_code": "503",
        "response_flags": "UF",
        "connection_security_policy": "unknown",
    }
    assert {name: seen[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("tags", "label", "value"),
    [
        ('reporter="destination",source="",source_principal=""', "connection_security_policy", "none"),
        ('reporter="destination",source="-",source_principal="-"', "connection_security_policy", "none"),
        ('reporter="destination",source="-",source_principal="-"', "source_workload", "unknown"),
        ('reporter="destination",source="-",source_principal="-"', "source_canonical_revision", "unknown"),
        ('reporter="destination",source="-",source_principal="spiffe://x"', "source_principal", "spiffe://x"),
        (
            'reporter="destination",source="-",source_principal="spiffe://x"',
            "connection_security_policy",
            "mutual_tls",
        ),
        ('reporter="destination",source="example.com",source_principal="-"', "source_workload", "unknown"),
        (
            'reporter="destination",source="www.example.com,v1.a.w.n.workload.mesh",source_principal="spiffe://x"',
            "source_workload",
            "w",
        ),
        (
            'reporter="destination",source="unknown.a.w.n.workload.mesh",source_principal="spiffe://x"',
            "source_canonical_revision",
            "latest",
        ),
        ('reporter="source",destination="w;n;;;"', "destination_app", "unknown"),
        ('reporter="source",destination="w;n;;;"', "destination_canonical_service", "w"),
        ('reporter="source",destination="-"', "destination_workload", "unknown"),
        ('reporter="source",destination=""', "destination_workload_namespace", "unknown"),
        ('reporter="source",destination_service="-"', "destination_service", "unknown"),
        (
            'reporter="source",destination_service="api.example.com"',
            "destination_service_name",
            "api.example.com",
        ),
        (
            'reporter="source",destination_service="api.example.com"',
            "destination_service_namespace",
            "unknown",
        ),
        (
            'reporter="source",destination="w;shop;;;",destination_service="api.example.com"',
            "destination_service_namespace",
            "shop",
        ),
        (
            'reporter="source",request_protocol="HTTP/2",grpc_status="0",response_code="200"',
            "request_protocol",
            "grpc",
        ),
        (
            'reporter="source",request_protocol="HTTP/2",grpc_status="14",response_code="200"',
            "grpc_response_status",
            "14",
        ),
        (
            'reporter="source",request_protocol="HTTP/2",grpc_status="-",response_code="200"',
            "request_protocol",
            "http",
        ),
        (
            'reporter="source",request_protocol="HTTP/2",grpc_status="-",response_code="200"',
            "grpc_response_status",
            "",
        ),
        ('reporter="source",request_protocol="tcp",response_flags="UF"', "request_protocol", "tcp"),
        ('reporter="source",response_flags=""', "response_flags", "-"),
        (r'reporter="source",destination_service="a\"b\\c"', "destination_service", 'a"b\\c'),
    ],
)
def test_single_labels(tags: str, label: str, value: str) -> None:
    assert labels(tags)[label] == value


def test_tcp_has_no_response_code() -> None:
    assert "response_code" not in labels('reporter="source",request_protocol="tcp",response_flags="-"')


def test_a_histogram_keeps_buckets_sum_and_count() -> None:
    name = "envoy_istio_request_duration_milliseconds"
    text = rewritten(
        f"# TYPE {name} histogram\n"
        f'{name}_bucket{{{INBOUND},le="0.5"}} 1\n{name}_bucket{{{INBOUND},le="+Inf"}} 3\n'
        f"{name}_sum{{{INBOUND}}} 40.5\n{name}_count{{{INBOUND}}} 3\n"
    )
    lines = text.splitlines()
    assert lines[0] == "# TYPE istio_request_duration_milliseconds histogram"
    assert lines[1].startswith("istio_request_duration_milliseconds_bucket{reporter=")
    assert lines[1].endswith('le="0.5"} 1')
    assert lines[2].endswith('le="+Inf"} 3')
    assert lines[3].startswith("istio_request_duration_milliseconds_sum{")
    assert lines[3].endswith(" 40.5")
    assert lines[4].endswith(" 3")
    assert "le=" not in lines[4]


def test_a_counter_whose_name_ends_like_a_histogram_is_a_counter() -> None:
    text = rewritten(f"# TYPE envoy_istio_odd_count counter\nenvoy_istio_odd_count{{{INBOUND}}} 2\n")
    assert text.splitlines()[0] == "# TYPE istio_odd_count counter"


def test_series_that_become_equal_are_added_up() -> None:
    """Two ports of one service, and two spellings of nobody."""
    other = INBOUND.replace("9080", "9081")
    text = rewritten(f"envoy_istio_requests_total{{{INBOUND}}} 1\nenvoy_istio_requests_total{{{other}}} 2\n")
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(samples) == 1
    assert samples[0].endswith(" 3")


def test_the_rest_passes_unchanged_behind() -> None:
    raw = '# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\nenvoy_cluster_x{a="b"} 2\n'
    assert rewritten(raw) == raw


def test_tags_are_remembered_but_not_for_ever() -> None:
    rewriter = Rewriter(OWN)
    for number in range(5000):
        rewriter.labels(f'reporter="source",response_code="{number}"'.encode())
    assert dict(rewriter.labels(b'reporter="source",response_code="7"'))["response_code"] == "7"


def test_labels_are_escaped_again() -> None:
    text = rewritten('envoy_istio_requests_total{reporter="source",destination_service="a\\"b"} 1\n')
    assert 'destination_service="a\\"b"' in text


def test_what_people_see_is_the_same_scrape() -> None:
    name = "envoy_istio_request_duration_milliseconds"
    plain = INBOUND.replace(CALLER, 'source="-",source_principal="-"')
    failed = INBOUND.replace('response_code="200"', 'response_code="503"')
    raw = (
        f"# TYPE envoy_istio_requests_total counter\nenvoy_istio_requests_total{{{INBOUND}}} 7\n"
        f"envoy_istio_requests_total{{{failed}}} 2\nenvoy_istio_requests_total{{{plain}}} 3\n"
        f"envoy_istio_requests_total{{{OUTBOUND}}} 5\n"
        'envoy_istio_tcp_connections_opened_total{reporter="source",destination="db-1;shop;db;;",'
        'destination_service="db.shop.svc.cluster.local",request_protocol="tcp",response_flags="-"} 4\n'
        f"# TYPE {name} histogram\n"
        f'{name}_bucket{{{INBOUND},le="5"}} 6\n{name}_bucket{{{INBOUND},le="+Inf"}} 7\n'
        f'{name}_bucket{{{failed},le="5"}} 0\n{name}_bucket{{{failed},le="+Inf"}} 2\n'
    )
    scrape = Rewriter(OWN).scrape(raw.encode())
    assert totals(scrape) == Totals(inbound=12, outbound=9, plaintext=3)
    by_key = {(t.reporter, t.security, t.protocol): t for t in traffic(scrape)}
    secure = by_key["destination", "mutual_tls", "http"]
    assert (secure.requests, secure.failures, secure.codes) == (9, 2, {"200": 7, "503": 2})
    assert secure.durations == ((5.0, 6), (BEYOND, 9))
    assert by_key["destination", "none", "http"].requests == 3
    assert by_key["source", "unknown", "http"].failures == 5
    assert by_key["source", "unknown", "tcp"].requests == 4
    assert by_key["source", "unknown", "tcp"].destination_workload == "db-1"


@pytest.mark.parametrize(
    ("changed", "failures"),
    [
        ('response_code="200"', 0),
        ('response_code="404"', 0),
        ('response_code="500"', 1),
        ('response_code="0"', 1),  # the client went away, or there was nobody to ask
    ],
)
def test_what_counts_as_a_failure(changed: str, failures: int) -> None:
    raw = "envoy_istio_requests_total{" + INBOUND.replace('response_code="200"', changed) + "} 1\n"
    assert traffic(Rewriter(OWN).scrape(raw.encode()))[0].failures == failures


def test_a_grpc_status_other_than_ok_is_a_failure() -> None:
    raw = "envoy_istio_requests_total{" + INBOUND.replace('grpc_status="-"', 'grpc_status="14"') + "} 1\n"
    assert traffic(Rewriter(OWN).scrape(raw.encode()))[0].failures == 1
