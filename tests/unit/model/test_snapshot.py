"""What each change tells, what is contained, and where a fact came from."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.reader import Reader
from argosy.model.snapshot import Snapshot
from argosy.model.updates import RegistryUpdate
from argosy.resources.kinds import decode
from tests.unit.model.written import RATINGS, REVIEWS, mesh_config, obj, scope, service, snapshot

HOSTS = Fact(FactKind.HOSTS)
VIRTUAL = Fact(FactKind.HOSTS, "virtual")
SELECTORS = Fact(FactKind.SELECTORS)


def routes(*hosts: str) -> set[Fact]:
    return {Fact(FactKind.ROUTES, host) for host in hosts}


def bound(name: str, *gateways: str) -> set[Fact]:
    """That a VirtualService says something else now, and is bound to these gateways, or no longer."""
    return {Fact(FactKind.VIRTUAL_SERVICE, name)} | {Fact(FactKind.BOUND, gateway) for gateway in gateways}


CONNECTS = {Fact(FactKind.CONNECTIONS, "default/front")}
BACK = {Fact(FactKind.CONNECTIONS, "default/back")}
TLS = {
    "match": [{"sniHosts": ["edge.com"], "port": 443}],
    "route": [{"destination": {"host": "a.com"}}],
}


def but_targets(facts: set[Fact]) -> set[Fact]:
    return {fact for fact in facts if fact.kind is not FactKind.TARGETS}


def vs(name: str, *hosts: str, to: str = "a.com", **more: Any) -> Any:
    spec = {"hosts": list(hosts), "http": [{"route": [{"destination": {"host": to}}]}]}
    return obj("VirtualService", name, spec | more)


def endpoint(name: str, **more: Any) -> ir.Endpoint:
    return ir.Endpoint(
        address="10.0.0.1", port=80, port_name="http", workload=name, namespace="default", **more
    )


BASE = (
    service("reviews", 9080),
    vs("plain", "reviews", "other.com"),
    vs("edge", "reviews", "edge.com", gateways=["front"]),
    vs("root", "ratings", http=[{"delegate": {"name": "child"}}]),
    vs("edge-root", "root.com", gateways=["front"], http=[{"delegate": {"name": "child"}}]),
    vs("child"),
    obj("DestinationRule", "dr", {"host": "reviews"}),
    obj("PeerAuthentication", "shop/pa", {"mtls": {"mode": "STRICT"}}),
    obj("AuthorizationPolicy", "shop/ap", {"selector": {"matchLabels": {"app": "web"}}}),
)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (vs("plain", "reviews", "other.com"), set()),
        (vs("plain", "reviews", "other.com", to="b.com"), routes(REVIEWS, "other.com")),
        (vs("plain", "reviews"), routes("other.com") | {VIRTUAL}),
        (vs("plain", "reviews", "third.com"), routes("other.com", "third.com") | {VIRTUAL}),
        (vs("plain", "reviews", "other.com", exportTo=["."]), routes(REVIEWS, "other.com")),
        (vs("plain", "reviews", "other.com", gateways=["mesh"]), set()),
        (
            vs("plain", "reviews", "other.com", gateways=["mesh", "front"]),
            bound("default/plain", "default/front"),
        ),
        (
            vs("plain", "reviews", "other.com", gateways=["front"]),
            routes(REVIEWS, "other.com") | bound("default/plain", "default/front") | {VIRTUAL},
        ),
        (vs("new", "reviews"), routes(REVIEWS)),
        (vs("new", "new.com"), routes("new.com") | {VIRTUAL}),
        (vs("edge", "reviews", gateways=["front"]), bound("default/edge")),
        (
            vs("edge", "reviews", "edge.com", gateways=["shop/back"]),
            bound("default/edge", "default/front", "shop/back"),
        ),
        (vs("edge", "reviews", "edge.com", gateways=["front"], tls=[TLS]), CONNECTS),
        (vs("child", to="b.com"), routes(RATINGS) | bound("default/edge-root")),
        (
            vs(
                "plain",
                "reviews",
                "other.com",
                http=[{"match": [{"sourceLabels": {"a": "b"}}], "redirect": {}}],
            ),
            routes(REVIEWS, "other.com") | {SELECTORS},
        ),
        (
            obj("DestinationRule", "dr", {"host": "reviews", "exportTo": ["*"]}),
            {Fact(FactKind.DESTINATION, REVIEWS)},  # whatever the mesh says
        ),
        (
            obj("DestinationRule", "dr", {"host": "ratings"}),
            {Fact(FactKind.DESTINATION, REVIEWS), Fact(FactKind.DESTINATION, RATINGS)},
        ),
        (
            obj("DestinationRule", "dr", {"host": "reviews", "subsets": [{"name": "v1"}]}),
            {Fact(FactKind.DESTINATION, REVIEWS)},
        ),
        (
            obj("PeerAuthentication", "shop/pa", {"mtls": {"mode": "DISABLE"}}),
            {Fact(FactKind.PEER_AUTHENTICATION, "shop")},
        ),
        (
            obj(
                "PeerAuthentication", "shop/pa", {"selector": {"matchLabels": {"version": "1", "app": "web"}}}
            ),
            {Fact(FactKind.PEER_AUTHENTICATION, "shop"), Fact(FactKind.PEER_AUTHENTICATION, "shop|app=web")},
        ),
        (
            obj("AuthorizationPolicy", "shop/ap", {"selector": {"matchLabels": {"app": "db"}}}),
            {Fact(FactKind.AUTHORIZATION, "shop|app=web"), Fact(FactKind.AUTHORIZATION, "shop|app=db")},
        ),
        (
            obj("Gateway", "front", {"selector": {"a": "b"}, "servers": []}),
            {
                Fact(FactKind.GATEWAY, "default/front"),
                Fact(FactKind.GATEWAY_SERVERS, "gateway::a=b"),
                SELECTORS,
            },
        ),
        (mesh_config("h2UpgradePolicy: UPGRADE"), {Fact(FactKind.MESH)}),
    ],
)
def test_a_changed_object_tells(change: Any, told: set[Fact]) -> None:
    assert but_targets(snapshot(*BASE).put_config(change)) == told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hosts": ["other.com"]}, bound("default/v") | CONNECTS),
        ({"exportTo": ["."]}, bound("default/v") | CONNECTS),
        ({"created": "2020-01-01T00:00:00Z"}, bound("default/v") | CONNECTS),
        ({"http": [{"redirect": {"uri": "/"}}]}, bound("default/v")),
        ({"tls": [TLS]}, CONNECTS),
        ({"tcp": []}, CONNECTS),
        ({"gateways": ["back"]}, bound("default/v", "default/front", "default/back") | CONNECTS | BACK),
    ],
)
def test_what_a_virtual_service_says_to_gateways(change: Any, told: set[Fact]) -> None:
    to = [{"destination": {"host": "a.com"}}]
    spec = {"hosts": ["edge.com"], "gateways": ["front"], "http": [{"route": to}], "tcp": [{"route": to}]}
    made = snapshot(obj("VirtualService", "v", spec))
    created = change.get("created", "")
    said = spec | {field: value for field, value in change.items() if field != "created"}
    assert but_targets(made.put_config(obj("VirtualService", "v", said, created=created))) == told


@pytest.mark.parametrize(
    ("removed", "told"),
    [
        (("VirtualService", "default", "plain"), routes(REVIEWS, "other.com") | {VIRTUAL}),
        (("VirtualService", "default", "edge"), bound("default/edge", "default/front")),
        (("VirtualService", "default", "child"), routes(RATINGS) | bound("default/edge-root")),
        (("VirtualService", "default", "nobody"), set()),
        (("DestinationRule", "default", "dr"), {Fact(FactKind.DESTINATION, REVIEWS)}),
        (("PeerAuthentication", "shop", "pa"), {Fact(FactKind.PEER_AUTHENTICATION, "shop")}),
        (("Service", "default", "reviews"), set()),
    ],
)
def test_a_removed_object_tells(removed: tuple[str, str, str], told: set[Fact]) -> None:
    assert but_targets(snapshot(*BASE).remove_config(*removed)) == told


@pytest.mark.parametrize(
    ("change", "led"),
    [
        (vs("plain", "reviews", "other.com"), ()),
        (vs("plain", "reviews", "other.com", to="b.com"), ("a.com", "b.com")),
        (vs("plain", "reviews", "other.com", exportTo=["."]), ("a.com",)),
        (vs("child", to="b.com"), ("a.com", "b.com")),
        (vs("root", "ratings", http=[{"redirect": {}}]), ("a.com",)),  # its delegate led there for it
        (vs("root", "ratings", http=[{"delegate": {"name": "nobody"}}]), ("a.com",)),
    ],
)
def test_where_a_virtual_service_leads_is_told(change: Any, led: tuple[str, ...]) -> None:
    told = snapshot(*BASE).put_config(change)
    assert {fact for fact in told if fact.kind is FactKind.TARGETS} == {
        Fact(FactKind.TARGETS, host) for host in led
    }


def test_a_service_comes_changes_and_goes() -> None:
    made = Snapshot()
    of_service, of_endpoints = Fact(FactKind.SERVICE, REVIEWS), Fact(FactKind.ENDPOINTS, REVIEWS)
    assert made.put_service(service("reviews", 80)) == {of_service, HOSTS}
    assert made.put_service(service("reviews", 80)) == set()
    assert made.put_service(service("reviews", 81)) == {of_service}
    assert made.put_endpoints(REVIEWS, (endpoint("a"),)) == {of_endpoints}
    assert made.put_endpoints(REVIEWS, (endpoint("a"),)) == set()
    assert made.put_endpoints(REVIEWS, (endpoint("a", healthy=False),)) == {of_endpoints}
    assert made.remove_service(REVIEWS) == {of_service, of_endpoints, HOSTS}
    assert made.remove_service(REVIEWS) == set()
    assert Reader(made).hosts() == ()


def test_a_service_that_takes_over_a_virtual_host() -> None:
    made = snapshot(vs("v", "reviews"))
    assert Reader(made).virtual_hosts() == (REVIEWS,)
    assert made.put_service(service("reviews", 80)) == {Fact(FactKind.SERVICE, REVIEWS), HOSTS, VIRTUAL}
    assert Reader(made).virtual_hosts() == ()


def test_a_wildcard_that_covers_services_is_no_host_of_its_own() -> None:
    made = snapshot(vs("v", "*.cluster.local", "*.other.com"))
    assert Reader(made).virtual_hosts() == ("*.cluster.local", "*.other.com")
    of_service = {Fact(FactKind.SERVICE, REVIEWS), HOSTS}
    assert made.stands_alone("*.cluster.local")
    assert made.put_service(service("reviews", 80)) == of_service | routes("*.cluster.local")
    assert made.put_service(service("ratings", 80)) == {Fact(FactKind.SERVICE, RATINGS), HOSTS}
    assert not made.stands_alone("*.cluster.local")
    assert made.stands_alone("*.other.com")
    assert made.remove_service(RATINGS) == {Fact(FactKind.SERVICE, RATINGS), HOSTS}
    assert made.remove_service(REVIEWS) == of_service | routes("*.cluster.local")
    assert made.stands_alone("*.cluster.local")


def test_a_workload_comes_changes_and_goes() -> None:
    made = Snapshot()
    fact = Fact(FactKind.WORKLOAD, "default/a")
    assert made.put_workload(ir.Workload(name="a", namespace="default")) == {fact}
    assert made.put_workload(ir.Workload(name="a", namespace="default")) == set()
    assert made.put_workload(ir.Workload(name="a", namespace="default", address="10.0.0.1")) == {fact}
    found = Reader(made).workload("default", "a")
    assert found is not None
    assert found.address == "10.0.0.1"
    assert made.remove_workload("default", "a") == {fact}
    assert made.remove_workload("default", "a") == set()


def test_a_registrys_update_is_applied_as_a_whole() -> None:
    made = Snapshot()
    update = RegistryUpdate(
        services=(service("reviews", 80),),
        endpoints=((REVIEWS, (endpoint("a"),)),),
        workloads=(ir.Workload(name="a", namespace="default"),),
    )
    assert made.apply(update) == {
        Fact(FactKind.SERVICE, REVIEWS),
        Fact(FactKind.ENDPOINTS, REVIEWS),
        Fact(FactKind.WORKLOAD, "default/a"),
        HOSTS,
    }
    assert made.apply(update) == set()


def test_a_secret_is_a_fact() -> None:
    def secret(value: str) -> Any:
        metadata = {"name": "cert", "namespace": "infra"}
        return decode(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"tls.crt": value}}
        )

    made = Snapshot()
    fact = Fact(FactKind.SECRET, "infra/cert")
    assert made.put_config(secret("YQ==")) == {fact}
    assert made.put_config(secret("YQ==")) == set()
    held = Reader(made).secret("infra", "cert")
    assert held is not None
    assert (held.data, held.accounts) == ((("tls.crt", "YQ=="),), None)
    assert made.put_config(secret("Yg==")) == {fact}
    assert made.remove_config("Secret", "infra", "cert") == {fact}


# --- containment ----------------------------------------------------------------------------------------------------

BROKEN = {"hosts": ["reviews"], "http": [{"timeout": "soon", "route": [{"destination": {"host": "a.com"}}]}]}


def test_an_object_that_cannot_be_lowered_is_told_of_and_hurts_no_other() -> None:
    made = Snapshot()
    assert made.put_config(obj("VirtualService", "bad", BROKEN)) == set()
    (message,) = made.rejected.values()
    assert message.startswith("VirtualService default/bad: spec.http[0].timeout: 'soon'")
    assert but_targets(made.put_config(vs("good", "reviews"))) == routes(REVIEWS) | {VIRTUAL}
    assert Reader(made).route_table(scope(made), REVIEWS, 80) is not None


def test_what_it_said_before_stays_in_force_until_it_is_mended_or_removed() -> None:
    made = snapshot(vs("v", "reviews", to="before.com"))
    assert made.put_config(obj("VirtualService", "v", BROKEN)) == set()
    assert list(made.rejected) == [("VirtualService", "default", "v")]
    assert but_targets(made.put_config(vs("v", "reviews", to="after.com"))) == routes(REVIEWS)
    assert made.rejected == {}
    made.put_config(obj("VirtualService", "v", BROKEN))
    assert but_targets(made.remove_config("VirtualService", "default", "v")) == routes(REVIEWS) | {VIRTUAL}
    assert made.rejected == {}


def test_an_object_that_could_not_be_decoded_is_kept_in_view() -> None:
    made = Snapshot()
    made.reject("VirtualService", "default", "v", "spec: expected an object")
    assert made.rejected == {("VirtualService", "default", "v"): "spec: expected an object"}
    made.remove_config("VirtualService", "default", "v")
    assert made.rejected == {}


# --- origins --------------------------------------------------------------------------------------------------------


def test_every_fact_names_its_objects() -> None:
    made = snapshot(*BASE, obj("Gateway", "front", {"servers": []}), mesh_config(""))
    made.put_endpoints(REVIEWS, (endpoint("one"), endpoint("two")))
    for fact, refs in {
        Fact(FactKind.SERVICE, REVIEWS): {("Service", "default", "reviews")},
        Fact(FactKind.ENDPOINTS, REVIEWS): {
            ("Service", "default", "reviews"),
            ("WorkloadEntry", "default", "one"),
            ("WorkloadEntry", "default", "two"),
        },
        Fact(FactKind.ROUTES, REVIEWS): {("VirtualService", "default", "plain")},
        Fact(FactKind.ROUTES, RATINGS): {
            ("VirtualService", "default", "root"),
            ("VirtualService", "default", "child"),
        },
        Fact(FactKind.DESTINATION, REVIEWS): {("DestinationRule", "default", "dr")},
        Fact(FactKind.GATEWAY_SERVERS): {("Gateway", "default", "front")},
        Fact(FactKind.GATEWAY_SERVERS, "gateway::a=b"): set(),
        Fact(FactKind.GATEWAY, "default/front"): {("Gateway", "default", "front")},
        Fact(FactKind.BOUND, "default/front"): {
            ("VirtualService", "default", "edge"),
            ("VirtualService", "default", "edge-root"),
        },
        Fact(FactKind.CONNECTIONS, "default/front"): set(),
        Fact(FactKind.VIRTUAL_SERVICE, "default/plain"): set(),
        Fact(FactKind.VIRTUAL_SERVICE, "default/edge"): {("VirtualService", "default", "edge")},
        Fact(FactKind.VIRTUAL_SERVICE, "default/edge-root"): {
            ("VirtualService", "default", "edge-root"),
            ("VirtualService", "default", "child"),
        },
        Fact(FactKind.PEER_AUTHENTICATION, "shop"): {("PeerAuthentication", "shop", "pa")},
        Fact(FactKind.MESH): {("ConfigMap", "istio-system", "istio")},
        Fact(FactKind.SERVICE, "nobody.com"): set(),
    }.items():
        assert made.contributors(fact) == refs, fact


def test_every_object_names_its_facts() -> None:
    made = snapshot(*BASE)
    made.put_workload(
        ir.Workload(
            name="one",
            namespace="default",
            ports=(
                ir.WorkloadPort(
                    name="http",
                    workload=80,
                    bind=80,
                    application=80,
                    protocol=ir.Protocol.HTTP,
                    service_hosts=(REVIEWS,),
                    service_ports=(9080,),
                ),
            ),
        )
    )
    for ref, facts in {
        ("Service", "default", "reviews"): {
            Fact(FactKind.SERVICE, REVIEWS),
            Fact(FactKind.ENDPOINTS, REVIEWS),
        },
        ("WorkloadEntry", "default", "one"): {
            Fact(FactKind.WORKLOAD, "default/one"),
            Fact(FactKind.ENDPOINTS, REVIEWS),
        },
        ("VirtualService", "default", "plain"): routes(REVIEWS, "other.com"),
        ("VirtualService", "default", "edge"): bound("default/edge", "default/front"),
        ("VirtualService", "default", "child"): routes(RATINGS) | bound("default/edge-root"),
        ("DestinationRule", "default", "dr"): {Fact(FactKind.DESTINATION, REVIEWS)},
        ("VirtualService", "default", "nobody"): set(),
    }.items():
        assert but_targets(set(made.facts_of(*ref))) == facts, ref


def test_a_service_made_of_several_objects_names_them_all() -> None:
    made = Snapshot()
    both = (("ServiceEntry", "default", "a"), ("ServiceEntry", "default", "b"))
    entry = service("x.com", 80, name="a")
    made.put_service(entry, both)
    fact = Fact(FactKind.SERVICE, "x.com")
    assert made.contributors(fact) == set(both)
    assert all(fact in made.facts_of(*ref) for ref in both)
    made.put_service(entry)
    assert made.contributors(fact) == {both[0]}
    assert made.facts_of(*both[1]) == frozenset()
    made.remove_service("x.com")
    assert made.facts_of(*both[0]) == frozenset()
