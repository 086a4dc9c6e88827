"""What stored objects say of services, endpoints and workloads."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.updates import RegistryUpdate
from argosy.registry.objects import ObjectRegistry
from argosy.resources.meta import Object
from tests.unit.registry.objects import REVIEWS, service, service_entry, workload
from tests.unit.registry.told import Told

NOTHING = RegistryUpdate()


# --- services -------------------------------------------------------------------------------------------------------


def test_the_fields_of_a_service() -> None:
    told = Told(
        service(
            "shop/reviews",
            {"name": "http-web", "port": 80, "targetPort": 8080},
            {"name": "metrics", "port": 90, "targetPort": "prom"},
            accounts="b, a",
            export="., other",
            created="2020-01-01T00:00:00Z",
            clusterIP="10.1.2.3",
        )
    )
    assert told.services == {
        "reviews.shop.svc.cluster.local": ir.Service(
            hostname="reviews.shop.svc.cluster.local",
            name="reviews",
            namespace="shop",
            ports=(
                ir.ServicePort(name="http-web", number=80, protocol=ir.Protocol.HTTP, target_port=8080),
                ir.ServicePort(name="metrics", number=90, protocol=ir.Protocol.UNSUPPORTED),
            ),
            addresses=("10.1.2.3",),
            export_to=("other", "shop"),
            subject_alt_names=("spiffe://cluster.local/ns/shop/sa/a", "spiffe://cluster.local/ns/shop/sa/b"),
            created="2020-01-01T00:00:00Z",
        )
    }


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        ({"name": "http"}, "HTTP"),
        ({"name": "http-web"}, "HTTP"),
        ({"name": "http2-x"}, "HTTP2"),
        ({"name": "grpc"}, "GRPC"),
        ({"name": "grpc-web"}, "GRPC-WEB"),
        ({"name": "grpc-web-x"}, "GRPC-WEB"),
        ({"name": "https"}, "HTTPS"),
        ({"name": "tls-x"}, "TLS"),
        ({"name": "tcp"}, "TCP"),
        ({"name": "mongo"}, "Mongo"),
        ({"name": "redis"}, "Redis"),
        ({"name": "mysql"}, "MySQL"),
        ({"name": "web"}, "UnsupportedProtocol"),
        ({"name": "httpx"}, "UnsupportedProtocol"),
        ({}, "UnsupportedProtocol"),
        ({"name": "http", "protocol": "UDP"}, "UDP"),
        ({"name": "http", "appProtocol": "tcp"}, "TCP"),
        ({"name": "http", "appProtocol": "kubernetes.io/h2c"}, "HTTP2"),
        ({"name": "tcp", "appProtocol": "kubernetes.io/ws"}, "HTTP"),
        ({"name": "tcp", "appProtocol": "kubernetes.io/wss"}, "HTTPS"),
        ({"name": "db", "port": 3306}, "TCP"),
        ({"name": "http", "port": 3306}, "HTTP"),
    ],
)
def test_the_protocol_of_a_port(port: dict[str, Any], protocol: str) -> None:
    told = Told(service("reviews", {"port": 80} | port))
    assert told.services[REVIEWS].ports[0].protocol == protocol


def test_a_headless_service_has_no_address() -> None:
    told = Told(service("reviews", clusterIP="None"))
    assert told.services[REVIEWS].headless
    assert told.services[REVIEWS].addresses == ()


def test_an_external_name_is_found_by_dns() -> None:
    told = Told(service("reviews", type="ExternalName", externalName="api.example.com"))
    found = told.services[REVIEWS]
    assert (found.resolution, found.external) == (ir.Resolution.DNS, True)
    assert told.reached() == ["api.example.com:80/http"]


def test_an_external_name_without_ports_is_an_alias() -> None:
    told = Told(
        service("reviews", type="ExternalName", externalName="Ratings.default.svc.cluster.local.", ports=[])
    )
    found = told.services[REVIEWS]
    assert (found.alias_of, found.ports) == ("ratings.default.svc.cluster.local", ())
    assert told.reached() == []


# --- endpoints of a Service -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "spec", "expected"),
    [
        ({"targetPort": 8080}, {}, ["10.0.0.1:8080/http"]),
        ({}, {}, ["10.0.0.1:80/http"]),
        ({"targetPort": "8080"}, {}, ["10.0.0.1:8080/http"]),
        ({"targetPort": "web"}, {"ports": {"web": 7000}}, ["10.0.0.1:7000/http"]),
        ({"targetPort": "web"}, {"ports": {"http": 7000}}, ["10.0.0.1:7000/http"]),
        ({"targetPort": "web"}, {"ports": {"other": 7000}}, []),
        ({}, {"address": "unix:///run/a.sock"}, ["unix:///run/a.sock:0/http"]),
        ({}, {"address": ""}, []),
    ],
)
def test_a_target_port_is_a_number_or_a_name_of_the_workloads(
    port: dict[str, Any], spec: dict[str, Any], expected: list[str]
) -> None:
    told = Told(service("reviews", {"name": "http", "port": 80} | port), workload("w", **spec))
    assert told.reached() == expected


def test_an_endpoint_says_who_it_is() -> None:
    told = Told(
        service("reviews"),
        workload(
            "w1",
            meta_labels={"version": "v0", "tier": "back"},
            labels={"version": "v1"},
            weight=3,
            serviceAccount="r",
            locality="eu/a",
            network="n",
        ),
    )
    assert told.endpoints[REVIEWS] == (
        ir.Endpoint(
            address="10.0.0.1",
            port=80,
            port_name="http",
            weight=3,
            workload="w1",
            namespace="default",
            service_account="r",
            app="reviews",
            version="v1",
            labels=(("app", "reviews"), ("tier", "back"), ("version", "v1")),
            locality="eu/a",
            network="n",
        ),
    )


@pytest.mark.parametrize(
    ("labels", "app", "version"),
    [
        ({"app": "a", "app.kubernetes.io/name": "b", "version": "1"}, "a", "1"),
        ({"app.kubernetes.io/name": "b", "app.kubernetes.io/version": "2"}, "b", "2"),
        ({"service.istio.io/canonical-name": "c", "service.istio.io/canonical-revision": "3"}, "c", "3"),
        ({"x": "y"}, "", ""),
    ],
)
def test_app_and_version_are_labels(labels: dict[str, str], app: str, version: str) -> None:
    told = Told(
        service("reviews", selector={"pick": "me"}), workload("w", "", labels=labels | {"pick": "me"})
    )
    (found,) = told.endpoints[REVIEWS]
    assert (found.app, found.version) == (app, version)


@pytest.mark.parametrize(
    ("checked", "healthy", "expected"),
    [
        ("", "", True),
        ("", "False", True),
        ("true", "", False),
        ("true", "False", False),
        ("true", "True", True),
    ],
)
def test_health_counts_where_checks_are_on(checked: str, healthy: str, expected: bool) -> None:
    told = Told(service("reviews"), workload("w", checked=checked, healthy=healthy))
    assert [endpoint.healthy for endpoint in told.endpoints[REVIEWS]] == [expected]


SIDECAR = [{"workload": 80, "bind": 15080, "application": 8080, "protocol": "http"}]


def test_a_sidecar_is_reached_on_its_bind_port_by_mutual_tls() -> None:
    told = Told(service("reviews"), workload("w", sidecar=SIDECAR))
    (found,) = told.endpoints[REVIEWS]
    assert (found.port, found.mtls) == (15080, True)


def test_a_port_that_the_sidecar_does_not_serve_has_no_endpoint() -> None:
    ports = ({"name": "http", "port": 80}, {"name": "tcp", "port": 90})
    assert Told(service("reviews", *ports), workload("w", sidecar=SIDECAR)).reached() == [
        "10.0.0.1:15080/http"
    ]


@pytest.mark.parametrize(
    ("labels", "sidecar", "mtls"),
    [
        ({}, None, False),
        ({"security.istio.io/tlsMode": "istio"}, None, True),
        ({"security.istio.io/tlsMode": "disabled"}, SIDECAR, False),
        ({}, SIDECAR, True),
    ],
)
def test_mutual_tls_is_a_sidecar_or_a_label(labels: dict[str, str], sidecar: Any, mtls: bool) -> None:
    told = Told(service("reviews"), workload("w", labels=labels, sidecar=sidecar))
    assert [endpoint.mtls for endpoint in told.endpoints[REVIEWS]] == [mtls]


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({"app": "reviews"}, ["a", "b"]),
        ({"app": "reviews", "version": "v1"}, ["a"]),
        ({"app": "other"}, []),
        ({}, []),
    ],
)
def test_a_service_selects_workloads_of_its_namespace_by_all_its_labels(
    selector: dict[str, str], selected: list[str]
) -> None:
    told = Told(
        workload("b", labels={"version": "v2"}),
        workload("shop/c", labels={"version": "v1"}),
        service("reviews", selector=selector),
        workload("a", labels={"version": "v1"}),
    )
    assert [endpoint.workload for endpoint in told.endpoints.get(REVIEWS, ())] == selected


# --- workloads ------------------------------------------------------------------------------------------------------


def port(
    name: str,
    workload: int,
    bind: int = 0,
    application: int = 0,
    *,
    protocol: ir.Protocol,
    reached: tuple[tuple[str, int], ...] = (),
) -> ir.WorkloadPort:
    """Where nothing else is said, all the numbers are the workload's."""
    return ir.WorkloadPort(
        name=name,
        workload=workload,
        bind=bind or workload,
        application=application or workload,
        protocol=protocol,
        service_hosts=tuple(host for host, _ in reached),
        service_ports=tuple(number for _, number in reached),
    )


def test_a_workload_with_a_sidecar_has_the_ports_of_its_annotation() -> None:
    annotation = [*SIDECAR, {"workload": 90, "bind": 15090, "application": 9090, "protocol": "tcp"}]
    told = Told(workload("w", sidecar=annotation, serviceAccount="r", ports={"side": 90}), service("reviews"))
    assert told.workloads["default", "w"] == ir.Workload(
        name="w",
        namespace="default",
        service_account="r",
        address="10.0.0.1",
        labels=(("app", "reviews"),),
        ports=(
            port("http", 80, 15080, 8080, protocol=ir.Protocol.HTTP, reached=((REVIEWS, 80),)),
            port("side", 90, 15090, 9090, protocol=ir.Protocol.TCP),
        ),
    )


def test_a_workload_without_one_has_the_ports_that_services_reach_and_its_own() -> None:
    told = Told(
        service("reviews", {"name": "http", "port": 80, "targetPort": 8080}, {"name": "grpc-x", "port": 81}),
        service("zzz", {"name": "tcp", "port": 9, "targetPort": 8080}, selector={"app": "reviews"}),
        workload("w", ports={"own": 7}),
    )
    assert told.workloads["default", "w"].ports == (
        port("own", 7, protocol=ir.Protocol.UNSUPPORTED),
        port("grpc-x", 81, protocol=ir.Protocol.GRPC, reached=((REVIEWS, 81),)),
        port(
            "http",
            8080,
            protocol=ir.Protocol.HTTP,
            reached=((REVIEWS, 80), ("zzz.default.svc.cluster.local", 9)),
        ),
    )


# --- changes --------------------------------------------------------------------------------------------------------


def test_the_same_object_again_tells_nothing() -> None:
    objects = (service("reviews"), workload("w"), service_entry("s", "a.com"))
    registry = Told(*objects).registry
    assert [registry.upsert(obj) for obj in objects] == [NOTHING] * 3
    assert not NOTHING


@pytest.mark.parametrize(
    ("healthy", "why", "expected"),
    [("True", "Announced", True), ("", "", True), ("False", "NotReady", True), ("False", "Withdrawn", False)],
)
def test_a_service_may_publish_who_is_not_ready_but_never_who_leaves(
    healthy: str, why: str, expected: bool
) -> None:
    one = workload("w", checked="true", healthy=healthy, why=why)
    published = Told(service("reviews", publishNotReadyAddresses=True), one)
    assert [endpoint.healthy for endpoint in published.endpoints[REVIEWS]] == [expected]
    told = Told(service("reviews"), one)
    assert [endpoint.healthy for endpoint in told.endpoints[REVIEWS]] == [healthy == "True"]


def test_a_change_of_health_tells_only_the_endpoints() -> None:
    registry = Told(service("reviews"), workload("w", checked="true")).registry
    update = registry.upsert(workload("w", checked="true", healthy="True"))
    ((hostname, (endpoint,)),) = update.endpoints
    assert (hostname, endpoint.healthy) == (REVIEWS, True)
    assert update == RegistryUpdate(endpoints=update.endpoints)


def test_a_workload_that_changes_its_labels_moves_from_service_to_service() -> None:
    told = Told(service("reviews"), service("ratings"), workload("w"))
    ratings = "ratings.default.svc.cluster.local"
    update = told.registry.upsert(workload("w", "ratings"))
    told.take(update)
    assert {hostname for hostname, _ in update.endpoints} == {REVIEWS, ratings}
    assert (told.reached(), told.reached(ratings)) == ([], ["10.0.0.1:80/http"])
    assert told.workloads["default", "w"].ports[0].service_hosts == (ratings,)


def test_what_is_removed_is_gone() -> None:
    told = Told(service("reviews"), workload("w"))
    told.take(told.registry.remove("WorkloadEntry", "default", "w"))
    assert (told.reached(), told.workloads) == ([], {})
    told.take(told.registry.remove("Service", "default", "reviews"))
    assert told.services == {}
    assert told.registry.remove("Service", "default", "reviews") == NOTHING


def test_many_objects_are_told_as_one_update() -> None:
    registry = ObjectRegistry()
    update = registry.upsert_all([workload("a"), service("reviews"), workload("b")])
    assert len(update.services) == len(update.endpoints) == 1
    assert [entry.name for entry in update.workloads] == ["a", "b"]


def test_a_service_that_is_removed_and_put_back_in_one_breath_tells_what_differs() -> None:
    told = Told(service("reviews"), workload("w"))
    update = told.registry.upsert_all([service("reviews", selector={"app": "none"}), service("reviews")])
    assert update == NOTHING


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        (workload("w", sidecar="{"), "metadata.annotations[sidecar.argosy.dev/ports]"),
        (workload("w", sidecar=[{"workload": 1}]), "workload, bind, application, protocol"),
        (
            workload("w", sidecar=[{"workload": 1, "bind": 2, "application": 3, "protocol": "x"}]),
            "'x' is not one of",
        ),
        (service("s", type="ExternalName"), "spec.externalName"),
    ],
)
def test_an_object_that_cannot_be_lowered_is_told_of_and_hurts_no_other(obj: Object, says: str) -> None:
    told = Told(service("reviews"), workload("good"))
    assert told.registry.upsert(obj) == NOTHING
    (message,) = told.registry.rejected.values()
    assert message.startswith(f"{obj.kind} default/")
    assert says in message
    assert told.reached() == ["10.0.0.1:80/http"]
    told.registry.remove(obj.kind, "default", obj.metadata.name)
    assert told.registry.rejected == {}


def test_origins_name_the_objects_of_a_host() -> None:
    registry = ObjectRegistry()
    dns = {"resolution": "DNS"}
    ports = [{"number": 443, "name": "https", "protocol": "HTTPS"}]
    update = registry.upsert_all(
        [service_entry("b", "a.com", ports=ports, **dns), service_entry("a", "a.com", **dns)]
    )
    assert update.origins == (
        ("a.com", (("ServiceEntry", "default", "a"), ("ServiceEntry", "default", "b"))),
    )
