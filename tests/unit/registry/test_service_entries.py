"""What stored ServiceEntries say, and whose a host is that several claim."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.resources.meta import Object
from tests.unit.registry.objects import REVIEWS, service, service_entry, workload
from tests.unit.registry.told import Told


def test_the_fields_of_a_service_entry() -> None:
    told = Told(
        service_entry(
            "shop/api",
            "b.com",
            "a.com",
            addresses=["10.0.0.0/8"],
            location="MESH_INTERNAL",
            exportTo=["."],
            subjectAltNames=["spiffe://x/b", "spiffe://x/a"],
            ports=[{"number": 443, "name": "tls", "protocol": "tls", "targetPort": 8443}],
        )
    )
    assert sorted(told.services) == ["a.com", "b.com"]
    assert told.services["a.com"] == ir.Service(
        hostname="a.com",
        name="api",
        namespace="shop",
        ports=(ir.ServicePort(name="tls", number=443, protocol=ir.Protocol.TLS, target_port=8443),),
        addresses=("10.0.0.0/8",),
        export_to=("shop",),
        subject_alt_names=("spiffe://x/a", "spiffe://x/b"),
        kubernetes=False,
    )


@pytest.mark.parametrize(
    ("host", "spec", "expected"),
    [
        ("a.com", {"endpoints": [{"address": "10.0.0.1"}]}, ["10.0.0.1:80/http"]),
        ("a.com", {"endpoints": [{"address": "10.0.0.1", "ports": {"http": 81}}]}, ["10.0.0.1:81/http"]),
        ("a.com", {"endpoints": [{"address": "10.0.0.1", "ports": {"x": 81}}]}, ["10.0.0.1:80/http"]),
        (
            "a.com",
            {
                "endpoints": [{"address": "10.0.0.1"}],
                "ports": [{"number": 80, "name": "http", "targetPort": 8080}],
            },
            ["10.0.0.1:8080/http"],
        ),
        (
            "a.com",
            {"endpoints": [{"address": "10.0.0.2"}, {"address": "10.0.0.1"}]},
            ["10.0.0.2:80/http", "10.0.0.1:80/http"],
        ),
        ("a.com", {"endpoints": [{"address": "unix:///a"}]}, ["unix:///a:0/http"]),
        ("a.com", {}, []),
        ("a.com", {"resolution": "DNS"}, ["a.com:80/http"]),
        ("a.com", {"resolution": "DNS_ROUND_ROBIN"}, ["a.com:80/http"]),
        ("a.com", {"resolution": "DNS", "endpoints": [{"address": "b.com"}]}, ["b.com:80/http"]),
        ("*.a.com", {"resolution": "DNS"}, []),
        ("a.com", {"resolution": "NONE"}, []),
    ],
)
def test_the_endpoints_of_a_service_entry(host: str, spec: dict[str, Any], expected: list[str]) -> None:
    told = Told(service_entry("s", host, **spec))
    assert told.reached(host) == expected


def test_a_service_entry_selects_workloads() -> None:
    told = Told(
        workload("w", ports={"http": 81}),
        service_entry("s", "a.com", workloadSelector={"labels": {"app": "reviews"}}),
        service_entry("all", "all.com", workloadSelector={"labels": {}}),
        workload("x", "other"),
    )
    assert told.reached("a.com") == ["10.0.0.1:81/http"]
    assert told.reached("all.com") == ["10.0.0.1:81/http", "10.0.0.1:80/http"]


def test_service_entries_of_one_namespace_that_share_a_host_are_joined() -> None:
    told = Told(
        service_entry(
            "b", "a.com", resolution="DNS", ports=[{"number": 443, "name": "https", "protocol": "HTTPS"}]
        ),
        service_entry("a", "a.com", resolution="DNS", addresses=["10.0.0.9"]),
    )
    found = told.services["a.com"]
    assert [port.number for port in found.ports] == [80, 443]
    assert found.addresses == ("10.0.0.9",)
    assert told.reached("a.com") == ["a.com:80/http", "a.com:443/https"]
    assert told.registry.shadowed == {}
    told.take(told.registry.remove("ServiceEntry", "default", "a"))
    assert told.reached("a.com") == ["a.com:443/https"]


@pytest.mark.parametrize(
    ("other", "winner"),
    [
        (service_entry("shop/z", "a.com", created="2019-01-01T00:00:00Z"), "shop"),
        (service_entry("shop/z", "a.com", created="2021-01-01T00:00:00Z"), "default"),
        (service_entry("z", "a.com", created="2021-01-01T00:00:00Z"), "default"),
    ],
)
def test_otherwise_the_oldest_has_the_host_and_the_rest_is_told_of(other: Object, winner: str) -> None:
    told = Told(service_entry("mine", "a.com", created="2020-01-01T00:00:00Z"), other)
    assert told.services["a.com"].namespace == winner
    assert len(told.registry.shadowed["a.com"]) == 1


def test_who_writes_out_that_all_see_a_host_means_what_is_usual() -> None:
    told = Told(
        service_entry("a/one", "a.com", ports=[{"number": 80, "name": "http"}]),
        service_entry("a/two", "a.com", exportTo=["*"], ports=[{"number": 81, "name": "other"}]),
    )
    assert [port.number for port in told.services["a.com"].ports] == [80, 81]


def test_a_service_goes_before_a_service_entry_and_gives_the_host_back() -> None:
    entry = service_entry("s", REVIEWS, endpoints=[{"address": "10.9.9.9"}], created="2000-01-01T00:00:00Z")
    told = Told(entry, service("reviews"), workload("w"))
    assert told.reached() == ["10.0.0.1:80/http"]
    assert told.registry.shadowed == {REVIEWS: (("ServiceEntry", "default", "s"),)}
    told.take(told.registry.upsert(workload("w2")))
    assert told.reached() == ["10.0.0.1:80/http", "10.0.0.1:80/http"]
    told.take(told.registry.remove("Service", "default", "reviews"))
    assert told.reached() == ["10.9.9.9:80/http"]
    assert told.registry.shadowed == {}


def test_a_host_that_changes_hands_changes_the_ports_of_the_workloads_it_loses() -> None:
    told = Told(
        workload("w", "other"), service_entry("s", REVIEWS, workloadSelector={"labels": {"app": "other"}})
    )

    def reached_as() -> list[str]:
        return [host for port in told.workloads["default", "w"].ports for host in port.service_hosts]

    assert reached_as() == [REVIEWS]
    told.take(told.registry.upsert(service("reviews")))
    assert reached_as() == []
    told.take(told.registry.remove("Service", "default", "reviews"))
    assert reached_as() == [REVIEWS]


def test_a_workload_of_a_claim_in_vain_serves_nothing() -> None:
    selecting = service_entry("s", REVIEWS, workloadSelector={"labels": {"app": "other"}})
    told = Told(service("reviews"), selecting)
    told.take(told.registry.upsert(workload("w", "other")))
    assert told.reached() == []
    assert told.workloads["default", "w"].ports == ()
