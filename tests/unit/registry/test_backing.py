"""v1 Endpoints and EndpointSlice: endpoints that are written for a Service."""

from __future__ import annotations

import pytest

from tests.unit.registry.objects import REVIEWS, endpoints, service, slice_of, workload
from tests.unit.registry.told import Told

BARE = service("reviews", selector={})


@pytest.mark.parametrize("first", [0, 1])
def test_a_service_without_selector_has_the_endpoints_that_are_written(first: int) -> None:
    both = [BARE, endpoints("10.0.0.1", "10.0.0.2")]
    told = Told(both[first], both[1 - first])
    assert told.reached() == ["10.0.0.1:8080/http", "10.0.0.2:8080/http"]
    assert not any(one.mtls for one in told.endpoints[REVIEWS])


def test_a_headless_service_too() -> None:
    assert Told(service("reviews", selector={}, clusterIP="None"), slice_of("10.0.0.1")).reached() == [
        "10.0.0.1:8080/http"
    ]


def test_ports_go_by_their_names() -> None:
    ports = [{"name": "http", "port": 8080}, {"name": "other", "port": 1}, {"name": "admin", "port": 9090}]
    made = service(
        "reviews", {"name": "http", "port": 80}, {"name": "admin", "port": 90, "targetPort": 1}, selector={}
    )
    assert Told(made, slice_of("10.0.0.1", ports=ports)).reached() == [
        "10.0.0.1:8080/http",
        "10.0.0.1:9090/admin",
    ]
    unnamed = service("reviews", {"port": 80}, selector={})
    assert Told(unnamed, endpoints("10.0.0.1", ports=[{"port": 7}])).reached() == ["10.0.0.1:7/"]


def test_a_slice_without_a_port_number_is_for_that_of_the_service() -> None:
    made = service("reviews", {"name": "http", "port": 80, "targetPort": 8000}, selector={})
    assert Told(made, slice_of("10.0.0.1", ports=[{"name": "http"}])).reached() == ["10.0.0.1:8000/http"]


@pytest.mark.parametrize(
    ("conditions", "healthy"),
    [
        ({}, True),
        ({"ready": True}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, False),
    ],
)
def test_ready_decides(conditions: dict[str, bool], healthy: bool) -> None:
    told = Told(BARE, slice_of("10.0.0.1", conditions=conditions))
    assert [one.healthy for one in told.endpoints[REVIEWS]] == [healthy]


def test_addresses_that_are_not_ready() -> None:
    told = Told(BARE, endpoints("10.0.0.1", notReadyAddresses=[{"ip": "10.0.0.2"}]))
    assert [one.healthy for one in told.endpoints[REVIEWS]] == [True, False]


def test_a_selector_goes_before_endpoints_and_beside_slices() -> None:
    told = Told(service("reviews"), workload("one"), endpoints("10.0.0.2"))
    assert told.reached() == ["10.0.0.1:80/http"]
    told.take(told.registry.upsert(slice_of("10.0.0.3")))
    assert told.reached() == ["10.0.0.3:8080/http", "10.0.0.1:80/http"]


@pytest.mark.parametrize("kind", ["IPv6", "FQDN"])
def test_address_types(kind: str) -> None:
    address = "fd00::1" if kind == "IPv6" else "a.example"
    told = Told(BARE, slice_of(address, kind=kind))
    assert told.reached() == (["fd00::1:8080/http"] if kind == "IPv6" else [])


def test_where_an_endpoint_is() -> None:
    topology = {"topology.kubernetes.io/region": "r", "topology.istio.io/subzone": "s"}
    for given, place in (
        ({"zone": "z"}, "/z"),
        ({"zone": "z", "deprecatedTopology": topology}, "r/z/s"),
        ({"deprecatedTopology": {"topology.kubernetes.io/region": "r"}}, "r"),
        ({}, ""),
    ):
        (one,) = Told(BARE, slice_of("10.0.0.1", **given)).endpoints[REVIEWS]
        assert one.locality == place


def test_a_label_says_that_they_take_mutual_tls() -> None:
    (one,) = Told(BARE, endpoints("10.0.0.1", labels={"security.istio.io/tlsMode": "istio"})).endpoints[
        REVIEWS
    ]
    assert one.mtls


def test_slices_come_and_go_and_move() -> None:
    told = Told(BARE, service("ratings", selector={}), slice_of("10.0.0.1"), slice_of("10.0.0.2", name="b"))
    ratings = "ratings.default.svc.cluster.local"
    assert told.reached() == ["10.0.0.1:8080/http", "10.0.0.2:8080/http"]
    assert not told.registry.upsert(slice_of("10.0.0.1"))
    told.take(told.registry.upsert(slice_of("10.0.0.1", of="ratings")))
    assert (told.reached(), told.reached(ratings)) == (["10.0.0.2:8080/http"], ["10.0.0.1:8080/http"])
    told.take(told.registry.upsert(slice_of("10.0.0.1", of="")))
    told.take(told.registry.remove("EndpointSlice", "default", "b"))
    assert (told.reached(), told.reached(ratings)) == ([], [])


def test_an_external_name_and_a_service_that_is_not_there_have_none() -> None:
    external = service("reviews", selector={}, type="ExternalName", externalName="a.example")
    told = Told(external, slice_of("10.0.0.1"), slice_of("10.0.0.1", name="b", of="missing"))
    assert told.reached() == ["a.example:80/http"]


def test_a_service_that_comes_back_has_them_again() -> None:
    told = Told(BARE, slice_of("10.0.0.1"))
    told.take(told.registry.remove("Service", "default", "reviews"))
    assert told.reached() == []
    told.take(told.registry.upsert(BARE))
    assert told.reached() == ["10.0.0.1:8080/http"]


def test_a_service_may_publish_those_that_are_not_ready() -> None:
    published = service("reviews", selector={}, publishNotReadyAddresses=True)
    for one in (
        slice_of("10.0.0.1", conditions={"ready": False}),
        endpoints(notReadyAddresses=[{"ip": "10.0.0.1"}]),
    ):
        assert [endpoint.healthy for endpoint in Told(published, one).endpoints[REVIEWS]] == [True]


def test_the_host_that_an_endpoint_is_on_is_a_label() -> None:
    assert [one.labels for one in Told(BARE, slice_of("10.0.0.1", nodeName="n")).endpoints[REVIEWS]] == [
        (("kubernetes.io/hostname", "n"),)
    ]
