"""ExternalName Services without ports: other names of a service."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.translate.compiler import Compiler
from argosy.translate.resource import CLUSTER, ROUTE
from tests.unit.translate.mesh import decoded, put, service

CONCRETE = "concrete.default.svc.cluster.local"
ALIAS = "alias.default.svc.cluster.local"
REDIRECT = Scope(interception=Interception.REDIRECT)
VIRTUAL_SERVICE = f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: default}}
spec:
  hosts: [{ALIAS}]
  http: [{{route: [{{destination: {{host: {CONCRETE}}}}}], timeout: 3s}}]
"""


def alias(name: str = "alias", of: str = CONCRETE, **more: Any) -> ir.Service:
    return service(name, alias_of=of, **more)


def mesh(*services: ir.Service) -> Snapshot:
    snapshot = Snapshot()
    for one in services or (
        service("concrete", (80, Protocol.HTTP), (81, Protocol.HTTP), (82, Protocol.TCP)),
        alias(),
    ):
        snapshot.put_service(one)
    return snapshot


def domains(snapshot: Snapshot, route: str = "80", scope: Scope = REDIRECT) -> dict[str, list[str]]:
    """Of each virtual host but that for all others."""
    compiler = Compiler(snapshot)
    made = compiler.shared(scope).resources[ROUTE][route]
    found = {one["name"]: one["domains"] for one in decoded(made)["virtual_hosts"]}
    return {name: names for name, names in found.items() if names != ["*"]}


def test_an_alias_is_a_name_of_its_service_and_no_service() -> None:
    names = domains(mesh())[f"{CONCRETE}:80"]
    assert {ALIAS, "alias.default.svc", "alias.default", "alias", f"{ALIAS}:80"} <= set(names)
    assert {CONCRETE, "concrete"} <= set(names)
    compiler = Compiler(mesh())
    assert not any(ALIAS in name for name in compiler.shared(REDIRECT).resources[CLUSTER])


def test_elsewhere_its_short_name_means_nothing() -> None:
    other = Scope(interception=Interception.REDIRECT, namespace="other")
    names = domains(mesh(), scope=other)[f"{CONCRETE}:80"]
    assert "alias" not in names
    assert "alias.default" in names


def test_an_alias_that_is_not_exported_is_not_seen() -> None:
    concrete = service("concrete", (80, Protocol.HTTP))
    hidden = mesh(concrete, alias(export_to=("default",)))
    other = Scope(interception=Interception.REDIRECT, namespace="other")
    assert "alias.default" not in domains(hidden, scope=other)[f"{CONCRETE}:80"]
    assert "alias.default" in domains(hidden)[f"{CONCRETE}:80"]


def test_a_virtual_service_for_its_full_name_takes_that_name_alone() -> None:
    snapshot = mesh()
    put(snapshot, VIRTUAL_SERVICE)
    found = domains(snapshot)
    assert found[f"{ALIAS}:80"] == [ALIAS, f"{ALIAS}:80"]
    assert "alias.default" in found[f"{CONCRETE}:80"]
    assert ALIAS in domains(snapshot, "81")[f"{CONCRETE}:81"]


def test_with_explicit_interception_too() -> None:
    found = domains(mesh(), "http_proxy", Scope())
    assert f"{ALIAS}:82" in found[f"{CONCRETE}:82"]
    assert {ALIAS, f"{ALIAS}:80"} <= set(found[f"{CONCRETE}:80"])


def test_a_route_to_an_alias_leads_to_what_it_stands_for() -> None:
    snapshot = mesh()
    put(snapshot, VIRTUAL_SERVICE.replace(f"host: {CONCRETE}", f"host: {ALIAS}, port: {{number: 81}}"))
    table = Reader(snapshot).route_table(REDIRECT, ALIAS, 80)
    assert table is not None
    action = table.routes[0].action
    assert isinstance(action, ir.Forward)
    assert action.destinations[0].destination == ir.Destination(CONCRETE, 81)


def test_aliases_of_aliases_and_circles() -> None:
    snapshot = mesh(
        service("concrete", (80, Protocol.HTTP)),
        alias("one", CONCRETE),
        alias("two", "one.default.svc.cluster.local"),
        alias("x", "y.default.svc.cluster.local"),
        alias("y", "x.default.svc.cluster.local"),
        alias("self", "self.default.svc.cluster.local"),
    )
    reader = Reader(snapshot)
    assert reader.concrete("two.default.svc.cluster.local") == CONCRETE
    assert [one.name for one in reader.aliases(CONCRETE)] == ["one", "two"]
    assert reader.concrete("x.default.svc.cluster.local") == "y.default.svc.cluster.local"
    assert reader.concrete("self.default.svc.cluster.local") == "self.default.svc.cluster.local"


@pytest.mark.parametrize("back", [True, False])
def test_aliases_come_and_go(back: bool) -> None:
    snapshot = mesh(service("concrete", (80, Protocol.HTTP)), service("other", (80, Protocol.HTTP)))
    compiler = Compiler(snapshot)
    view = compiler.shared(REDIRECT)

    def names() -> dict[str, list[str]]:
        found = decoded(view.resources[ROUTE]["80"])["virtual_hosts"]
        return {one["name"]: [name for name in one["domains"] if "alias" in name] for one in found}

    compiler.apply(snapshot.put_service(alias()))
    assert snapshot.put_service(alias()) == set()
    assert names()[f"{CONCRETE}:80"]
    compiler.apply(snapshot.put_service(alias(of="other.default.svc.cluster.local")))
    assert not names()[f"{CONCRETE}:80"]
    assert names()["other.default.svc.cluster.local:80"]
    facts = (
        snapshot.put_service(service("alias", (80, Protocol.HTTP)))
        if back
        else snapshot.remove_service(ALIAS)
    )
    assert Fact(FactKind.SERVICE, ALIAS) in facts
    compiler.apply(facts)
    assert not names()["other.default.svc.cluster.local:80"]
    assert (f"{ALIAS}:80" in names()) is back
    assert snapshot.facts_of("Service", "default", "alias") == (
        {Fact(FactKind.SERVICE, ALIAS), Fact(FactKind.ENDPOINTS, ALIAS)} if back else set()
    )


def test_gateways_lead_to_what_an_alias_stands_for() -> None:
    snapshot = mesh()
    put(
        snapshot,
        f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: default}}
spec: {{servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["*"]}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: default}}
spec: {{hosts: [shop.example], gateways: [edge], http: [{{route: [{{destination: {{host: {ALIAS}}}}}]}}]}}
""",
    )
    made = Compiler(snapshot).shared(Scope(type=ProxyType.ROUTER)).resources[ROUTE]["http.80"]
    assert f"outbound|80||{CONCRETE}" in str(decoded(made))
