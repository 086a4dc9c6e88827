"""Locality load balancing: what a client of some place gets, and who shares a view with whom."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.ir import Protocol
from argosy.model.locality import HOSTNAME, LOCALITY, TrafficDistribution
from argosy.model.reader import Reader
from argosy.model.scope import Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate import cluster as clusters
from argosy.translate import endpoint as endpoints
from argosy.translate import outbound
from argosy.translate.compiler import Compiler
from argosy.translate.endpoint import LocalityKey
from argosy.translate.proxy import Proxy
from argosy.translate.resource import ENDPOINT
from tests.unit.translate.mesh import SUFFIX, decoded, put, service

HOST = f"reviews.{SUFFIX}"
PLACES = ("r1/z1/s1", "r1/z1/s2", "r1/z2/s1", "r2/z1/s1", "r3/z1/s1", "")
OUTLIER = "outlierDetection: {}"
DISTRIBUTE = """loadBalancer: {localityLbSetting: {distribute: [
  {from: r1/z1/*, to: {"r1/z1/*": 80, "r1/*": 10, "r2/*": 10}},
  {from: r2/*, to: {"*": 100}}]}}"""


def mesh(
    policy: str = "", *, settings: str = "", places: tuple[str, ...] = PLACES, **fields: Any
) -> Snapshot:
    snapshot = Snapshot()
    snapshot.put_service(service("reviews", (9080, Protocol.HTTP), **fields))
    snapshot.put_endpoints(
        HOST,
        tuple(
            ir.Endpoint(
                address=f"10.0.0.{number}",
                port=9080,
                port_name="p9080",
                locality=place,
                labels=(("rack", f"k{number}"), ("tier", "gold" if number % 2 else "lead")),
                network="east",
            )
            for number, place in enumerate(places, 1)
        ),
    )
    if policy:
        put(snapshot, rule(policy))
    if settings:
        put(snapshot, settings_of(settings))
    return snapshot


def rule(policy: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: r, namespace: default}}
spec: {{host: reviews, trafficPolicy: {{{policy}}}}}
"""


def settings_of(text: str) -> str:
    return f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data: {{mesh: '{text}'}}
"""


def client(snapshot: Snapshot, place: str, **labels: str) -> Scope:
    workload = ir.Workload(name="a", namespace="default", locality=place, network="east")
    pairs = tuple(sorted(labels.items()))
    return scope_of(Reader(snapshot), namespace="default", labels=pairs, workload=workload)


def groups(snapshot: Snapshot, scope: Scope) -> tuple[LocalityKey, ...]:
    key = outbound.load_assignment(Reader(snapshot), scope, HOST, 9080, "")
    assert key is not None
    return key.localities


def priorities(snapshot: Snapshot, place: str, **labels: str) -> dict[str, int]:
    """The last number of each address: its priority."""
    found = groups(snapshot, client(snapshot, place, **labels))
    return {one.address[-1]: group.priority for group in found for one in group.endpoints}


def by_place(*numbers: int) -> dict[str, int]:
    return {str(index): number for index, number in enumerate(numbers, 1)}


# --- fail-over ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("r1/z1/s1", by_place(0, 1, 2, 3, 3, 3)),
        ("r1/z2/s1", by_place(1, 1, 0, 2, 2, 2)),
        ("r3/z9/s1", by_place(1, 1, 1, 1, 0, 1)),
        ("r9/z1/s1", by_place(0, 0, 0, 0, 0, 0)),
        ("", by_place(1, 1, 1, 1, 1, 0)),
    ],
)
def test_where_endpoints_may_fail_the_nearest_come_first(place: str, expected: dict[str, int]) -> None:
    assert priorities(mesh(OUTLIER), place) == expected


def test_without_outlier_detection_all_are_alike() -> None:
    assert set(priorities(mesh("loadBalancer: {simple: RANDOM}"), "r1/z1/s1").values()) == {0}
    failover = "loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r2}]}}"
    assert set(priorities(mesh(failover), "r1/z1/s1").values()) == {0}


def test_a_region_takes_over_before_the_others() -> None:
    failover = "loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r3}]}}"
    assert priorities(mesh(f"{OUTLIER}, {failover}"), "r1/z1/s1") == by_place(0, 1, 2, 4, 3, 4)
    assert priorities(mesh(f"{OUTLIER}, {failover}"), "r2/z1/s1") == by_place(1, 1, 1, 0, 1, 1)


def test_switched_off_by_the_rule_or_the_mesh() -> None:
    off = "localityLbSetting: {enabled: false}"
    assert set(priorities(mesh(f"{OUTLIER}, loadBalancer: {{{off}}}"), "r1/z1/s1").values()) == {0}
    assert set(priorities(mesh(OUTLIER, settings=off), "r1/z1/s1").values()) == {0}
    on = f"{OUTLIER}, loadBalancer: {{localityLbSetting: {{}}}}"
    assert priorities(mesh(on, settings=off), "r1/z1/s1") == by_place(0, 1, 2, 3, 3, 3)


def test_the_mesh_says_it_for_all() -> None:
    settings = (
        "{defaultTrafficPolicy: {outlierDetection: {}}, localityLbSetting: {failover: [{from: r1, to: r3}]}}"
    )
    assert priorities(mesh(settings=settings), "r1/z1/s1") == by_place(0, 1, 2, 4, 3, 4)


# --- labels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("[rack]", by_place(1, 0, 1, 1, 1, 1)),
        ("[tier, rack]", by_place(2, 0, 2, 1, 2, 1)),
        ("[tier=gold, rack]", by_place(0, 1, 0, 1, 0, 1)),
        ("[topology.kubernetes.io/region, topology.kubernetes.io/zone]", by_place(0, 0, 1, 2, 2, 2)),
        ("[topology.istio.io/network]", by_place(0, 0, 0, 0, 0, 0)),
    ],
)
def test_endpoints_like_the_client_come_first(labels: str, expected: dict[str, int]) -> None:
    setting = f"loadBalancer: {{localityLbSetting: {{failoverPriority: {labels}}}}}"
    assert priorities(mesh(f"{OUTLIER}, {setting}"), "r1/z1/s1", rack="k2", tier="lead") == expected


def test_labels_go_before_regions() -> None:
    setting = "loadBalancer: {localityLbSetting: {failoverPriority: [tier], failover: [{from: r1, to: r2}]}}"
    found = priorities(mesh(f"{OUTLIER}, {setting}"), "r1/z1/s1", tier="lead")
    assert found == by_place(3, 0, 4, 1, 5, 2)


# --- shares ---------------------------------------------------------------------------------------------------------


def shares(snapshot: Snapshot, place: str) -> dict[str, int]:
    return {group.locality: group.weight for group in groups(snapshot, client(snapshot, place))}


def test_requests_are_shared_out_and_the_rest_gets_none() -> None:
    expected = {"r1/z1/s1": 40, "r1/z1/s2": 40, "r1/z2/s1": 10, "r2/z1/s1": 10}
    assert shares(mesh(DISTRIBUTE), "r1/z1/s9") == expected


def test_a_wildcard_takes_all_by_their_weights() -> None:
    assert shares(mesh(DISTRIBUTE), "r2/z1/s1") == {place: 17 for place in PLACES}


def test_who_is_nowhere_mentioned_has_no_shares() -> None:
    assert shares(mesh(DISTRIBUTE), "r3/z1/s1") == {place: 1 for place in PLACES}


def test_shares_exclude_fail_over() -> None:
    assert {group.priority for group in groups(*_pair(mesh(f"{OUTLIER}, {DISTRIBUTE}")))} == {0}


def _pair(snapshot: Snapshot) -> tuple[Snapshot, Scope]:
    return snapshot, client(snapshot, "r1/z1/s1")


@pytest.mark.parametrize(
    ("policy", "weighted"),
    [
        ("", False),
        (OUTLIER, False),
        (DISTRIBUTE, True),
        ("loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r3}]}}", False),
        (f"{OUTLIER}, loadBalancer: {{localityLbSetting: {{failover: [{{from: r1, to: r3}}]}}}}", True),
    ],
)
def test_weights_of_localities_count_where_they_are_said(policy: str, weighted: bool) -> None:
    snapshot = mesh(policy)
    key = outbound.cluster(Reader(snapshot), client(snapshot, "r1/z1/s1"), HOST, 9080, "")
    assert key is not None
    made = decoded(clusters.cluster(key))
    assert ("locality_weighted_lb_config" in made["common_lb_config"]) is weighted


def test_an_assignment_has_priorities_and_weights() -> None:
    snapshot, scope = _pair(mesh(OUTLIER))
    key = outbound.load_assignment(Reader(snapshot), scope, HOST, 9080, "")
    assert key is not None
    made = decoded(endpoints.load_assignment(key))["endpoints"]
    assert [one.get("priority", 0) for one in made] == [0, 1, 2, 3, 3, 3]
    assert made[0]["locality"] == {"region": "r1", "zone": "z1", "sub_zone": "s1"}


# --- DNS, trafficDistribution ---------------------------------------------------------------------------------------


def test_endpoints_found_by_dns_have_priorities_in_the_cluster() -> None:
    snapshot = mesh(OUTLIER, resolution=ir.Resolution.DNS)
    key = outbound.cluster(Reader(snapshot), client(snapshot, "r1/z1/s1"), HOST, 9080, "")
    assert key is not None
    assert [group.priority for group in key.load] == [0, 1, 2, 3, 3, 3]
    once = mesh(OUTLIER, resolution=ir.Resolution.DNS_ROUND_ROBIN)
    key = outbound.cluster(Reader(once), client(once, "r2/z1/s1"), HOST, 9080, "")
    assert key is not None
    assert [(group.priority, group.locality) for group in key.load] == [(0, "r2/z1/s1")]


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (TrafficDistribution.ANY, by_place(0, 0, 0, 0, 0, 0)),
        (TrafficDistribution.SAME_ZONE, by_place(0, 0, 1, 2, 2, 2)),
        (TrafficDistribution.SAME_NODE, by_place(0, 1, 2, 3, 3, 3)),
    ],
)
def test_a_service_prefers_what_is_near(distribution: TrafficDistribution, expected: dict[str, int]) -> None:
    assert priorities(mesh(distribution=distribution), "r1/z1/s1") == expected


def test_a_rule_goes_before_the_services_own_preference() -> None:
    snapshot = mesh("loadBalancer: {localityLbSetting: {}}", distribution=TrafficDistribution.SAME_ZONE)
    assert set(priorities(snapshot, "r1/z1/s1").values()) == {0}


# --- scopes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "asked"),
    [
        ("", set()),
        ("connectionPool: {}", set()),
        (OUTLIER, {LOCALITY}),
        (DISTRIBUTE, {LOCALITY}),
        (f"{OUTLIER}, loadBalancer: {{localityLbSetting: {{failoverPriority: [rack, tier=gold]}}}}",
         {"rack"}),
        (f"{OUTLIER}, loadBalancer: {{localityLbSetting: {{enabled: false}}}}", set()),
    ],
)  # fmt: skip
def test_a_scope_has_what_is_asked_for_and_nothing_else(policy: str, asked: set[str]) -> None:
    snapshot = mesh(policy)
    assert {key for key, _ in client(snapshot, "r1/z1/s1", rack="k1", tier="gold", x="y").client} == asked


def test_proxies_of_several_places_share_a_view_as_long_as_places_do_not_count() -> None:
    snapshot = mesh()
    assert client(snapshot, "r1/z1/s1") == client(snapshot, "r2/z1/s1")
    changed = put(snapshot, rule(OUTLIER))
    assert Fact(FactKind.SELECTORS) in changed
    assert client(snapshot, "r1/z1/s1") != client(snapshot, "r2/z1/s1")
    assert Fact(FactKind.SELECTORS) in snapshot.remove_config("DestinationRule", "default", "r")
    assert client(snapshot, "r1/z1/s1") == client(snapshot, "r2/z1/s1")


def test_a_mesh_that_switches_it_off_asks_for_nothing() -> None:
    snapshot = mesh(OUTLIER, settings="localityLbSetting: {enabled: false}")
    assert client(snapshot, "r1/z1/s1").client == ()


def test_a_service_that_prefers_asks_as_long_as_it_is_there() -> None:
    snapshot = Snapshot()
    near = service("reviews", (9080, Protocol.HTTP), distribution=TrafficDistribution.SAME_ZONE)
    assert Fact(FactKind.SELECTORS) in snapshot.put_service(near)
    assert client(snapshot, "r1/z1/s1").client != ()
    assert ("Service", "default", "reviews") in snapshot.contributors(Fact(FactKind.SELECTORS))
    node = service("reviews", (9080, Protocol.HTTP), distribution=TrafficDistribution.SAME_NODE)
    assert Fact(FactKind.SELECTORS) in snapshot.put_service(node)
    assert Fact(FactKind.SELECTORS) in snapshot.remove_service(HOST)
    assert client(snapshot, "r1/z1/s1").client == ()


# --- hosts ----------------------------------------------------------------------------------------------------------


def on_hosts(**fields: Any) -> Snapshot:
    snapshot = Snapshot()
    snapshot.put_service(service("reviews", (9080, Protocol.HTTP), **fields))
    placed = (("10.0.0.1", ""), ("10.0.0.1", "n1"), ("10.0.0.2", ""), ("10.0.0.3", "n1"))
    snapshot.put_endpoints(
        HOST,
        tuple(
            ir.Endpoint(
                address=address,
                port=port,
                port_name="p9080",
                labels=((HOSTNAME, host),) if host else (),
            )
            for port, (address, host) in enumerate(placed, 1)
        ),
    )
    return snapshot


def at(snapshot: Snapshot, address: str, host: str = "") -> Scope:
    labels = ((HOSTNAME, host),) if host else ()
    workload = ir.Workload(name="a", namespace="default", address=address)
    return scope_of(Reader(snapshot), namespace="default", labels=labels, workload=workload)


@pytest.mark.parametrize(
    ("address", "host", "expected"),
    [
        ("10.0.0.1", "", [1]),  # who does not say its host is on one with those of its address
        ("10.0.0.1", "n1", [2, 4]),
        ("10.0.0.9", "n1", [2, 4]),
        ("10.0.0.9", "", []),
    ],
)
def test_a_node_local_service_has_the_endpoints_of_the_clients_own_host(
    address: str, host: str, expected: list[int]
) -> None:
    snapshot = on_hosts(node_local=True)
    found = groups(snapshot, at(snapshot, address, host))
    assert sorted(one.port for group in found for one in group.endpoints) == expected
    everywhere = on_hosts()
    assert at(everywhere, address, host).client == (), "nobody asks where a client is"
    whole = groups(everywhere, at(everywhere, address, host))
    assert sum(len(group.endpoints) for group in whole) == 4


def test_the_same_node_may_be_preferred() -> None:
    snapshot = on_hosts(distribution=TrafficDistribution.SAME_NODE)
    found = groups(snapshot, at(snapshot, "10.0.0.1"))
    assert [[one.port for one in group.endpoints] for group in found] == [[1], [2, 3, 4]]


# --- zones ----------------------------------------------------------------------------------------------------------

BY_ZONE = "loadBalancer: {zoneAwareLbSetting: {%s}}"


@pytest.mark.parametrize(
    ("said", "place", "expected"),
    [
        ("enabled: true", "r1/z1/s1", by_place(0, 0, 0, 1, 1, 1)),
        ("", "r1/z1/s1", by_place(0, 0, 0, 1, 1, 1)),
        ("failover: [{from: r1, to: r2}]", "r1/z2/s9", by_place(0, 0, 0, 1, 2, 2)),
        ("failoverPriority: [tier]", "r1/z1/s1", by_place(0, 2, 0, 3, 1, 3)),
        ("enabled: false", "r1/z1/s1", by_place(0, 0, 0, 0, 0, 0)),
    ],
)
def test_where_zones_are_balanced_by_load_regions_are_priorities(
    said: str, place: str, expected: dict[str, int]
) -> None:
    """Without outlier detection, too: what is not healthy is not among the endpoints."""
    assert priorities(mesh(BY_ZONE % said), place, tier="gold") == expected


@pytest.mark.parametrize(
    ("policy", "settings", "place", "expected"),
    [
        (BY_ZONE % "enabled: true", "", "r1/z1", {}),
        (BY_ZONE % "minClusterSize: 2", "", "r1/z1", {"min_cluster_size": "2"}),
        (BY_ZONE % "enabled: true", "", "", {}),
        (BY_ZONE % "enabled: false", "", "r1/z1", None),
        ("", "zoneAwareLbSetting: {enabled: true}", "r1/z1", {}),
        (
            "",
            "{zoneAwareLbSetting: {minClusterSize: 3}, localityLbSetting: {enabled: true}}",
            "r1/z1",
            {"min_cluster_size": "3"},
        ),
        ("", "{zoneAwareLbSetting: {enabled: false}, localityLbSetting: {enabled: true}}", "r1/z1", None),
        (BY_ZONE % "enabled: false", "zoneAwareLbSetting: {}", "r1/z1", {"routing_enabled": {}}),
        ("loadBalancer: {localityLbSetting: {}}", "zoneAwareLbSetting: {}", "r1/z1", {"routing_enabled": {}}),
    ],
)
def test_what_is_not_balanced_by_zones_says_so_where_the_proxy_would(
    policy: str, settings: str, place: str, expected: dict[str, Any] | None
) -> None:
    """Envoy balances by zones wherever it can, unless a cluster says otherwise."""
    snapshot = mesh(policy, settings=settings)
    key = outbound.cluster(Reader(snapshot), client(snapshot, place), HOST, 9080, "")
    assert key is not None
    assert decoded(clusters.cluster(key))["common_lb_config"].get("zone_aware_lb_config") == expected


def test_a_proxy_is_told_who_is_beside_it_where_that_is_asked_for() -> None:
    port = ir.WorkloadPort(
        name="p",
        workload=9080,
        bind=9080,
        application=9080,
        protocol=Protocol.HTTP,
        service_hosts=(HOST,),
        service_ports=(9080,),
    )
    workload = ir.Workload(name="a", namespace="default", locality="r1/z1", ports=(port,))
    for policy, zones in ((BY_ZONE % "", {"z1", "z2"}), ("", set())):
        snapshot = mesh(policy, places=("r1/z1", "r1/z2"))
        snapshot.put_workload(workload)
        scope = scope_of(Reader(snapshot), namespace="default", workload=workload)
        own = Compiler(snapshot).own(Proxy(namespace="default", name="a", scope=scope, outbound_port=1))
        found = decoded(own.resources[ENDPOINT]["local_cluster"])
        assert {one["locality"]["zone"] for one in found.get("endpoints", ())} == zones
    named = tuple(replace(one, address="api.example.com") for one in Reader(snapshot).endpoints(HOST)[:1])
    snapshot = mesh(BY_ZONE % "", places=("r1/z1", "r1/z2"))
    snapshot.put_workload(workload)
    snapshot.put_endpoints(HOST, (*Reader(snapshot).endpoints(HOST), *named))
    scope = scope_of(Reader(snapshot), namespace="default", workload=workload)
    own = Compiler(snapshot).own(Proxy(namespace="default", name="a", scope=scope, outbound_port=1))
    assert "api.example.com" not in str(decoded(own.resources[ENDPOINT]["local_cluster"])), (
        "Envoy refuses names"
    )
    nowhere = ir.Workload(name="b", namespace="default", ports=(port,))
    snapshot.put_workload(nowhere)
    own = Compiler(snapshot).own(Proxy(namespace="default", name="b", scope=scope, outbound_port=1))
    assert ENDPOINT not in own.resources
