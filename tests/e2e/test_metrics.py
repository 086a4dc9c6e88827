"""Istio's standard metrics on both sides of a call, with their labels."""

from __future__ import annotations

import re
import socket
import urllib.request

import pytest

from tests.e2e.mesh import Mesh, until

pytestmark = pytest.mark.e2e


def scrape(mesh: Mesh, name: str) -> list[tuple[str, dict[str, str], float]]:
    url = next(w["metrics_url"] for w in mesh.ps() if w["name"] == name)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        text = answer.read().decode()
    samples = []
    for line in text.splitlines():
        if found := re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line):
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
            samples.append((found[1], labels, float(found[3])))
    return samples


def test_both_sides_count_with_istios_labels(mesh: Mesh) -> None:
    mesh.echo("reviews")
    client = mesh.client()
    mesh.announced("reviews")
    until(lambda: client.request("http://reviews:9080/").status == 200, "traffic flows")
    client.many("http://reviews:9080/", 50)
    client.many("http://reviews:9080/status/404", 7)
    common = {
        "source_workload": "client",
        "source_workload_namespace": "default",
        "source_principal": "spiffe://cluster.local/ns/default/sa/client",
        "source_app": "client",
        "destination_workload": "reviews-v1",
        "destination_workload_namespace": "default",
        "destination_principal": "spiffe://cluster.local/ns/default/sa/reviews",
        "destination_app": "reviews",
        "destination_version": "v1",
        "destination_service": "reviews.default.svc.cluster.local",
        "destination_service_name": "reviews",
        "destination_service_namespace": "default",
        "request_protocol": "http",
        "response_flags": "-",
    }
    for name, reporter, policy in (
        ("client", "source", "unknown"),
        ("reviews-v1", "destination", "mutual_tls"),
    ):

        def total(code: str, name: str = name, reporter: str = reporter) -> float:
            return sum(
                value
                for metric, labels, value in scrape(mesh, name)
                if metric == "istio_requests_total"
                and labels["response_code"] == code
                and labels["reporter"] == reporter
            )

        until(lambda t=total: t("200") >= 51 and t("404") == 7, f"{reporter} counts all")  # type: ignore[misc]
        samples = scrape(mesh, name)
        found = [
            labels
            for metric, labels, _ in samples
            if metric == "istio_requests_total"
            and labels["response_code"] == "404"
            and labels["reporter"] == reporter
        ]
        assert len(found) == 1
        for label, value in {**common, "reporter": reporter, "connection_security_policy": policy}.items():
            assert found[0].get(label) == value, (reporter, label, found[0])
        until(
            lambda n=name: (
                {  # type: ignore[misc]
                    "istio_request_duration_milliseconds_bucket",
                    "istio_request_bytes_sum",
                    "istio_response_bytes_count",
                }
                <= {metric for metric, _, _ in scrape(mesh, n)}
            ),
            "the histograms are there",
        )


def test_tcp_connections_and_bytes_are_counted_on_both_sides(mesh: Mesh) -> None:
    mesh.echo("store", protocol="tcp", port=5000)
    client = mesh.client("client", "--upstream=store:5000")
    mesh.announced("store")
    found = until(
        lambda: re.search(r"store:5000\s.*127\.0\.0\.1:(\d+)", client.run.output()), "the upstream is named"
    )
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", int(found[1])), 10) as connection:
            connection.sendall(b"x" * 1000)
            received = 0
            while received < 1000:
                received += len(connection.recv(1000))

    def value(name: str, metric: str, reporter: str) -> float:
        return sum(
            number
            for sample, labels, number in scrape(mesh, name)
            if sample == metric
            and labels["reporter"] == reporter
            and labels["destination_workload"] == "store-v1"
            and labels["source_workload"] == "client"
            and labels["request_protocol"] == "tcp"
        )

    for name, reporter in (("client", "source"), ("store-v1", "destination")):
        for metric, expected in (
            ("istio_tcp_connections_opened_total", 3),
            ("istio_tcp_connections_closed_total", 3),
            ("istio_tcp_received_bytes_total", 3000),
            ("istio_tcp_sent_bytes_total", 3000),
        ):
            until(
                lambda n=name, m=metric, r=reporter, e=expected: value(n, m, r) == e,  # type: ignore[misc]
                f"{metric} of {name}",
            )
