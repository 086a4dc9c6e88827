"""What a Sidecar lets its workloads see, and which one a workload has."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.meta import Object
from tests.unit.model.written import RATINGS, REVIEWS, obj, service, snapshot

SHOP = "items.shop.svc.cluster.local"
SERVICES = (
    service("reviews", 9080, 9081),
    service("ratings", 9080),
    service("items", 80, namespace="shop"),
    service("x.example.org", 443),
)


def sidecar(name: str = "one", *, created: str = "", namespace: str = "default", **spec: Any) -> Object:
    return obj("Sidecar", name, spec, namespace=namespace, created=created)


def egress(*hosts: str, port: int = 0, **more: Any) -> dict[str, Any]:
    of_port = {"port": {"number": port, "protocol": "HTTP", "name": "p"}} if port else {}
    return {"hosts": list(hosts)} | of_port | more


def of(made: Snapshot, namespace: str = "default", **labels: str) -> Scope:
    return scope_of(Reader(made), namespace=namespace, labels=tuple(sorted(labels.items())))


@pytest.mark.parametrize(
    ("hosts", "seen"),
    [
        (["*/*"], {REVIEWS, RATINGS, SHOP, "x.example.org"}),
        (["./*"], {REVIEWS, RATINGS, "x.example.org"}),
        (["shop/*"], {SHOP}),
        ([f"./{REVIEWS}"], {REVIEWS}),
        ([f"shop/{REVIEWS}"], set()),
        (["*/*.svc.cluster.local"], {REVIEWS, RATINGS, SHOP}),
        (["*/*", f"~*/{RATINGS}"], {REVIEWS, SHOP, "x.example.org"}),
        (["*/*", "~./*"], {SHOP}),
        (["~/*"], set()),
    ],
)
def test_the_hosts_of_egress_are_what_is_seen(hosts: list[str], seen: set[str]) -> None:
    made = snapshot(*SERVICES, sidecar(egress=[egress(*hosts)]))
    scope, reader = of(made), Reader(made)
    assert {host for host in made.services if reader.visible(scope, host)} == seen
    assert {host for host in made.services if reader.reachable(scope, host)} == seen


def test_a_listener_with_a_port_decides_for_that_port_alone() -> None:
    listeners = [egress(f"./{RATINGS}", port=9080), egress("./*")]
    made = snapshot(*SERVICES, sidecar(egress=listeners))
    scope, reader = of(made), Reader(made)
    assert [reader.visible_at(scope, host, 9080) for host in (REVIEWS, RATINGS)] == [False, True]
    assert reader.visible_at(scope, REVIEWS, 9081)
    assert not reader.visible(of(snapshot(*SERVICES, sidecar(egress=listeners[:1]))), SHOP)


def vs(host: str, to: str, **more: Any) -> Object:
    return obj(
        "VirtualService", "v", {"hosts": [host], "http": [{"route": [{"destination": {"host": to}}]}]} | more
    )


def test_what_an_imported_virtual_service_leads_to_is_reachable_and_has_no_host() -> None:
    made = snapshot(*SERVICES, vs(REVIEWS, SHOP), sidecar(egress=[egress(f"./{REVIEWS}")]))
    scope, reader = of(made), Reader(made)
    assert (reader.visible(scope, SHOP), reader.reachable(scope, SHOP)) == (False, True)
    made.put_config(vs(REVIEWS, RATINGS))
    assert not Reader(made).reachable(scope, SHOP)


def test_a_delegate_leads_there_for_its_root() -> None:
    delegate = obj("VirtualService", "child", {"http": [{"route": [{"destination": {"host": SHOP}}]}]})
    root = vs(REVIEWS, "", http=[{"delegate": {"name": "child"}}])
    made = snapshot(*SERVICES, root, delegate, sidecar(egress=[egress(f"./{REVIEWS}")]))
    assert Reader(made).reachable(of(made), SHOP)


def test_a_virtual_service_of_a_namespace_that_is_not_imported_does_not_hold() -> None:
    elsewhere = obj(
        "VirtualService",
        "shop/v",
        {"hosts": [REVIEWS], "http": [{"route": [{"destination": {"host": RATINGS}}]}]},
    )
    made = snapshot(*SERVICES, elsewhere, sidecar(egress=[egress("./*")]))
    assert Reader(made).route_table(of(made), REVIEWS, 9080) is None
    made.put_config(sidecar(egress=[egress("./*", "shop/*")]))
    assert Reader(made).route_table(of(made), REVIEWS, 9080) is not None


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({}, "default/all"),
        ({"app": "a"}, "default/old"),
        ({"app": "a", "version": "1"}, "default/old"),
        ({"version": "1"}, "default/all"),
    ],
)
def test_the_one_that_selects_the_workload_goes_before_the_namespaces(
    labels: dict[str, str], name: str
) -> None:
    made = snapshot(
        sidecar("all"),
        sidecar("new", created="2022-01-01T00:00:00Z", workloadSelector={"labels": {"app": "a"}}),
        sidecar("old", created="2020-01-01T00:00:00Z", workloadSelector={"labels": {"app": "a"}}),
    )
    assert of(made, **labels).sidecar == name


def test_the_root_namespace_has_one_for_who_has_none() -> None:
    made = snapshot(sidecar("mesh", namespace="istio-system"), sidecar("own", namespace="shop"))
    assert of(made).sidecar == "istio-system/mesh"
    assert of(made, "shop").sidecar == "shop/own"
    made.remove_config("Sidecar", "istio-system", "mesh")
    assert of(made).sidecar == ""


@pytest.mark.parametrize(
    ("policy", "answer"),
    [
        (None, (True, None)),
        ({"mode": "REGISTRY_ONLY"}, (False, None)),
        ({"mode": "ALLOW_ANY"}, (True, None)),
        (
            {"mode": "ALLOW_ANY", "egressProxy": {"host": SHOP, "port": {"number": 80}, "subset": "v1"}},
            (True, ir.Destination(SHOP, 80, "v1")),
        ),
    ],
)
def test_where_requests_to_other_hosts_go(policy: Any, answer: Any) -> None:
    made = snapshot(*SERVICES, sidecar(**({"outboundTrafficPolicy": policy} if policy else {})))
    assert Reader(made).outbound(of(made)) == answer


@pytest.mark.parametrize(
    ("mode", "ends"), [({}, False), ({"mode": "PASSTHROUGH"}, False), ({"mode": "SIMPLE"}, True)]
)
def test_tls_that_passes_through_is_not_ended_at_ingress(mode: dict[str, str], ends: bool) -> None:
    """PASSTHROUGH is what a mode that is left out means."""
    tls = {"serverCertificate": "/c.pem", "privateKey": "/k.pem"} | mode
    port = {"number": 8443, "protocol": "HTTPS", "name": "https"}
    made = snapshot(sidecar(ingress=[{"port": port, "tls": tls}]))
    found = Reader(made).sidecar(of(made))
    assert found is not None
    assert (found.ingress[0].tls is not None) is ends


@pytest.mark.parametrize(
    ("address", "application"),
    [
        ("10.1.1.1", "10.1.1.1"),
        ("fd00::1", "fd00::1"),
        ("api.example.com", "127.0.0.1"),
        ("unix:///w", "127.0.0.1"),
    ],
)
def test_the_application_is_at_the_workloads_address_where_that_is_one(
    address: str, application: str
) -> None:
    made = snapshot(
        sidecar(ingress=[{"port": {"number": 80, "protocol": "TCP"}, "defaultEndpoint": "0.0.0.0:9"}])
    )
    made.put_workload(ir.Workload(name="w", namespace="default", address=address, ports=()))
    (port,) = Reader(made).inbound_ports(of(made), "default", "w")
    assert (port.application_address, port.application) == (application, 9)


def test_ingress_stands_in_place_of_the_ports_of_services() -> None:
    ports = (
        ir.WorkloadPort(name="http", workload=80, bind=20001, application=8080, protocol=ir.Protocol.HTTP),
        ir.WorkloadPort(name="tcp", workload=90, bind=20002, application=90, protocol=ir.Protocol.TCP),
    )
    made = snapshot(
        sidecar(
            ingress=[
                {"port": {"number": 80, "protocol": "GRPC", "name": "a"}, "defaultEndpoint": "0.0.0.0:7000"},
                {"port": {"number": 81, "protocol": "TCP", "name": "b"}, "defaultEndpoint": "unix:///s"},
            ]
        )
    )
    made.put_workload(ir.Workload(name="w", namespace="default", address="10.1.1.1", ports=ports))
    found = Reader(made).inbound_ports(of(made), "default", "w")
    assert [
        (port.workload, port.bind, port.application_address, port.application, port.protocol)
        for port in found
    ] == [
        (80, 20001, "10.1.1.1", 7000, ir.Protocol.GRPC),
        (81, 81, "unix:///s", 0, ir.Protocol.TCP),
    ]
    made.remove_config("Sidecar", "default", "one")
    assert Reader(made).inbound_ports(of(made), "default", "w") == ports
