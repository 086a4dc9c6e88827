"""Networks: who reaches whom directly, and who through the gateways of the other's network."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.locality import NETWORK, TrafficDistribution
from argosy.model.networks import Network, NetworkGateway, network_of
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.translate import outbound
from argosy.translate.endpoint import EndpointKey
from tests.unit.translate.mesh import SUFFIX, put, service

HOST = f"reviews.{SUFFIX}"
EAST, WEST = ("10.9.0.1", 15443), ("10.9.0.2", 15443)
NETWORKS = """
networks:
  here: {endpoints: [{fromCidr: 10.0.0.0/24}], gateways: [{address: 10.9.9.9, port: 15443}]}
  there: {endpoints: [{fromCidr: 10.0.1.0/24}], gateways: [{address: 10.9.0.1, port: 15443}]}
  both: {gateways: [{address: 10.9.0.1, port: 15443}, {address: 10.9.0.2, port: 15443}]}
  open: {}
"""


def settings(networks: str = NETWORKS, mesh: str = "{}") -> Any:
    metadata = {"name": "istio", "namespace": "istio-system"}
    data = {"mesh": mesh, "meshNetworks": networks}
    return decode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def mesh(*endpoints: ir.Endpoint, networks: str = NETWORKS) -> Snapshot:
    snapshot = Snapshot()
    snapshot.put_service(service("reviews", (9080, Protocol.HTTP)))
    snapshot.put_endpoints(HOST, endpoints)
    snapshot.put_config(settings(networks))
    return snapshot


def endpoint(number: int, network: str = "", **more: Any) -> ir.Endpoint:
    return ir.Endpoint(
        address=f"10.0.5.{number}",
        port=9080,
        port_name="p9080",
        namespace="default",
        network=network,
        **{"mtls": True, **more},
    )


def client(snapshot: Snapshot, network: str = "here", **more: Any) -> Scope:
    workload = ir.Workload(name="web", namespace="default", network=network, **more)
    return scope_of(Reader(snapshot), namespace="default", workload=workload)


def sent(snapshot: Snapshot, scope: Scope) -> dict[tuple[str, int], int]:
    """Where a client sends its requests -> weight."""
    return {(one.address, one.port): one.weight for one in keys(snapshot, scope)}


def keys(snapshot: Snapshot, scope: Scope) -> tuple[EndpointKey, ...]:
    key = outbound.load_assignment(Reader(snapshot), scope, HOST, 9080, "")
    assert key is not None
    return tuple(one for group in key.localities for one in group.endpoints)


def direct(*numbers: int, weight: int = 1) -> dict[tuple[str, int], int]:
    return {(f"10.0.5.{number}", 9080): weight for number in numbers}


def test_endpoints_of_another_network_are_its_gateway_with_their_weight() -> None:
    made = mesh(endpoint(1, "here"), endpoint(2, "there", weight=2), endpoint(3, "there"))
    assert sent(made, client(made)) == {**direct(1), EAST: 3}
    (through,) = [one for one in keys(made, client(made)) if one.address == EAST[0]]
    assert (through.mtls, through.workload) == (1, "")


def test_the_gateways_of_a_network_share_its_weight_in_equal_parts() -> None:
    made = mesh(endpoint(1, "here"), endpoint(2, "both"), endpoint(3, "there"))
    assert sent(made, client(made)) == {**direct(1, weight=2), EAST: 3, WEST: 1}


@pytest.mark.parametrize("network", ["", "open", "nobody's"])
def test_who_is_in_no_network_or_in_one_without_gateways_is_reached_directly(network: str) -> None:
    made = mesh(endpoint(1, network))
    assert sent(made, client(made)) == direct(1)


@pytest.mark.parametrize(("network", "found"), [("", direct(1)), ("there", direct(1)), ("open", {EAST: 1})])
def test_it_is_the_networks_of_both_that_count(network: str, found: Any) -> None:
    made = mesh(endpoint(1, "there"))
    assert sent(made, client(made, network)) == found


def test_who_takes_no_mutual_tls_is_not_reached_from_elsewhere() -> None:
    made = mesh(endpoint(1, "here", mtls=False), endpoint(2, "there", mtls=False))
    assert sent(made, client(made)) == direct(1)
    made = mesh(endpoint(1, "here"), endpoint(2, "there"))
    plain = "spec: {host: reviews, trafficPolicy: {tls: {mode: DISABLE}}}"
    put(
        made,
        f"apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: r, namespace: default}}\n{plain}",
    )
    assert sent(made, client(made)) == direct(1)


def test_a_gateway_may_be_a_service_of_the_mesh() -> None:
    gateway = f"edge.{SUFFIX}"
    networks = f"networks: {{there: {{gateways: [{{registryServiceName: {gateway}, port: 15443}}]}}}}"
    made = mesh(endpoint(1, "there"), networks=networks)
    assert sent(made, client(made)) == direct(1)  # nobody is there yet
    made.put_service(service("edge", (15443, Protocol.TLS)))
    at = ir.Endpoint(address="10.7.0.1", port=25443, port_name="p15443")
    facts = made.put_endpoints(gateway, (at,))
    reader = Reader(made)
    outbound.load_assignment(reader, client(made), HOST, 9080, "")
    assert facts <= reader.facts  # a gateway that moves is told to those who use it
    assert sent(made, client(made)) == {("10.7.0.1", 25443): 1}


def test_those_of_a_network_share_their_views_whatever_else_they_are() -> None:
    made = mesh(endpoint(1, "there"))
    scopes = {
        client(made, "here"),
        client(made, "here", locality="r/z"),
        client(made, "", labels=((NETWORK, "other"),)),
        client(made, "", address="10.0.0.7"),
    }
    assert {scope.client for scope in scopes} == {((NETWORK, "here"),)} | {()}
    labelled = scope_of(Reader(made), namespace="default", labels=((NETWORK, "here"),))
    assert labelled == client(made, "here")


def test_without_gateways_nobody_is_told_apart() -> None:
    made = mesh(endpoint(1, "there"), networks="networks: {there: {}, here: {}}")
    assert client(made, "here") == client(made, "there") == client(made, "")


def test_a_gateway_that_passes_on_has_the_endpoints_of_its_own_network() -> None:
    made = mesh(endpoint(1, "there"), endpoint(2, "here"))
    workload = ir.Workload(name="edge", namespace="default", network="there")
    scope = scope_of(Reader(made), type=ProxyType.ROUTER, namespace="default", workload=workload)
    key = outbound.sni_load_assignment(Reader(made), scope, HOST, 9080, "")
    assert key is not None
    addresses = [one.address for group in key.localities for one in group.endpoints]
    assert addresses == ["10.0.5.1", "10.9.9.9"]


@pytest.mark.parametrize(
    ("said", "labels", "address", "network"),
    [
        ("a", {NETWORK: "b"}, "10.0.0.1", "a"),
        ("", {NETWORK: "b"}, "10.0.0.1", "b"),
        ("", {}, "10.0.0.1", "here"),
        ("", {}, "10.0.1.1", "there"),
        ("", {}, "10.8.0.1", "rest"),
        ("", {}, "a.example", "rest"),
    ],
)
def test_what_a_workload_says_of_itself_goes_before_blocks_and_registries(
    said: str, labels: dict[str, str], address: str, network: str
) -> None:
    networks = (
        Network(name="here", blocks=("10.0.0.0/24",)),
        Network(name="rest", whole_registry=True),
        Network(name="there", blocks=("10.0.1.0/24",)),
    )
    assert network_of(networks, said, labels, address) == network
    assert network_of((), said, labels, address) == (network if said or labels else "")


def test_mesh_networks_are_read() -> None:
    made = mesh(
        networks="networks: {a: {endpoints: [{fromRegistry: Kubernetes}], gateways: ["
        "{address: gateway.example, port: 1}, {address: 10.0.0.1, port: 2}, {registryServiceName: s, port: 3}]}}"
    )
    assert made.mesh.networks == (
        Network(
            name="a",
            gateways=(NetworkGateway(address="10.0.0.1", port=2), NetworkGateway(service="s", port=3)),
            whole_registry=True,
        ),
    )
    broken = settings("networks: [")
    made.put_config(broken)
    assert any("meshNetworks" in why for why in made.rejected.values())


def test_a_network_by_block_counts_for_nearness_too() -> None:
    made = mesh(networks="networks: {here: {endpoints: [{fromCidr: 10.0.5.1/32}]}}")
    near = service("reviews", (9080, Protocol.HTTP), distribution=TrafficDistribution.SAME_ZONE)
    made.put_service(near)
    made.put_endpoints(HOST, (endpoint(1), endpoint(2, "there")))
    key = outbound.load_assignment(Reader(made), client(made, "here"), HOST, 9080, "")
    assert key is not None
    found = [(group.priority, one.address) for group in key.localities for one in group.endpoints]
    assert found == [(0, "10.0.5.1"), (1, "10.0.5.2")]
