"""A proxy gets the view of the identity that it has proven, whatever its node, its labels or its subscriptions say."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct as PbStruct

from argosy.server.proxies import LONGEST_TEXT, MOST_TEXTS, proxy_node, texts
from argosy.store.base import Key
from argosy.translate.resource import LISTENER, SECRET
from argosy.xds.node import METADATA_KEY, MOST
from argosy.xds.server import Refused
from argosy.xds.wire import Node
from tests.unit.pki import Authority, encoded
from tests.unit.server.world import FakeEnvoy, World, node, peer

PAIR = Authority("edge").issue("a.example")
EDGE = "networking.istio.io/gateways"
CERT = "kubernetes://default/cert"
FOREIGN = "kubernetes://other/cert"


def gateway(namespace: str = "default", credential: str = "cert", **selector: str) -> dict[str, Any]:
    tls = {"mode": "SIMPLE", "credentialName": credential}
    port = {"number": 443, "name": "https", "protocol": "HTTPS"}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "edge", "namespace": namespace},
        "spec": {
            "selector": selector,
            "servers": [{"port": port, "hosts": ["a.example"], "tls": tls}],
        },
    }


def secret(world: World, namespace: str = "default", accounts: str | None = None, name: str = "cert") -> None:
    annotations = {} if accounts is None else {"argosy.dev/service-accounts": accounts}
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    data = encoded(tls_crt=PAIR.certificate, tls_key=PAIR.key)
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    world.put(body, Key("/secrets", namespace, name))


def asks(envoy: FakeEnvoy, *names: str) -> set[str]:
    """Asks for secrets by name; those that it holds then."""
    envoy.client.subscribe(SECRET, set(names))
    envoy.exchange()
    return set(envoy.held.get(SECRET, {}))


def bytes_of(envoy: FakeEnvoy) -> bytes:
    return b"".join(frame for table in envoy.held.values() for frame in table.values())


@pytest.fixture
def world() -> World:
    world = World()
    world.put(gateway(), Key(EDGE, "default", "edge"))
    return world


def test_a_gateway_is_given_the_secrets_of_its_namespace_that_are_named(world: World) -> None:
    secret(world)
    secret(world, name="unnamed")
    envoy = world.envoy("gw", type="router")
    assert asks(envoy, CERT, "kubernetes://default/unnamed") == {CERT}


def test_of_another_namespace_it_is_given_none(world: World) -> None:
    """Neither by asking nor by a Gateway that names it."""
    secret(world, "other")
    world.put(gateway(credential="other/cert"), Key(EDGE, "default", "edge"))
    envoy = world.envoy("gw", type="router")
    assert asks(envoy, FOREIGN, CERT, "default", "ROOTCA") == set()
    assert PAIR.key not in bytes_of(envoy)


def test_a_sidecar_is_given_none_of_a_gateway(world: World) -> None:
    secret(world)
    envoy = world.envoy("client-1")
    assert asks(envoy, CERT) == set()


@pytest.mark.parametrize(
    ("accounts", "given"),
    [
        (None, True),
        ("gw", True),
        ("other, gw", True),
        ("default/gw", True),
        ("other", False),
        ("other/gw", False),
        ("", False),
        ("gw-1", False),
    ],
)
def test_a_secret_for_certain_accounts(world: World, accounts: str | None, given: bool) -> None:
    secret(world, accounts=accounts)
    envoy = world.envoy("gw-1", type="router")  # proven: the service account gw
    assert asks(envoy, CERT) == ({CERT} if given else set())
    assert (PAIR.key in bytes_of(envoy)) == given


def test_who_only_says_that_it_is_a_gateway_is_given_none(world: World) -> None:
    """By its type, by the labels that it registered, by its node: as somebody else it proved to be another."""
    secret(world, accounts="gw")
    world.workload("rogue-1", "rogue", bind=0)
    key = Key("networking.istio.io/workloadentries", "default", "rogue-1")
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": "rogue-1", "namespace": "default", "labels": {"service account": "gw"}},
        "spec": {
            "address": "127.0.0.1",
            "serviceAccount": "rogue",
            "labels": {"service account": "gw", "serviceaccount": "gw", "argosy.dev/service-accounts": "gw"},
        },
    }
    world.put(entry, key)
    said = node(type="router")
    more = PbStruct()
    more.update({"SERVICE_ACCOUNT": "gw", "NAME": "gw-1", "service account": "gw", "NAMESPACE": "default"})
    said.metadata.MergeFrom(more)
    said.id = "router~127.0.0.1~gw-1.default~default.svc.cluster.local"
    envoy = FakeEnvoy(world.reconciler, "rogue-1", said)
    assert envoy.held[LISTENER], "it serves the Gateway's port"
    assert asks(envoy, CERT) == set()
    assert PAIR.key not in bytes_of(envoy)


def test_a_secret_that_comes_to_be_for_others_leaves_who_had_it(world: World) -> None:
    """And comes again: also where several proxies shared a view."""
    secret(world)
    good, other = world.envoy("gw-1", type="router"), world.envoy("other-1", type="router")
    assert asks(good, CERT) == asks(other, CERT) == {CERT}
    secret(world, accounts="gw")
    good.exchange()
    other.exchange()
    assert set(good.held[SECRET]) == {CERT}
    assert set(other.held[SECRET]) == set()
    secret(world, accounts="gw, other")
    other.exchange()
    assert set(other.held[SECRET]) == {CERT}
    secret(world)
    good.exchange()
    assert set(good.held[SECRET]) == {CERT}


def test_the_node_names_nobody(world: World) -> None:
    """The namespace, account and workload that a node claims are not looked at: the view is that of the certificate."""
    world.workload("reviews-v1")
    world.workload("ratings-v1", "ratings", bind=21002)
    honest = world.envoy("client-1")
    said = node()
    said.id = "sidecar~10.0.0.1~reviews-v1.istio-system~istio-system.svc.cluster.local"
    said.cluster = "reviews"
    more = PbStruct()
    more.update(
        {
            "NAMESPACE": "istio-system",
            "NAME": "reviews-v1",
            "SERVICE_ACCOUNT": "reviews",
            "LABELS": {"app": "reviews"},
            "INSTANCE_IPS": "127.0.0.1",
            "CONFIG_NAMESPACE": "istio-system",
        }
    )
    said.metadata.MergeFrom(more)
    liar = FakeEnvoy(world.reconciler, "client-1", said)
    assert liar.held == honest.held
    proxy = liar.session.held.proxy
    assert (proxy.namespace, proxy.name, proxy.labels) == ("default", "client-1", ())


def test_a_name_that_is_anothers_brings_nothing_of_it(world: World) -> None:
    """A certificate's workload is what its holder asked for: the entry of that name counts for its account alone."""
    world.workload("reviews-v1")
    true = FakeEnvoy(world.reconciler, "reviews-v1")
    assert any(name.startswith("inbound_") for name in true.held[LISTENER])
    session = world.reconciler.proxies.session(node(), peer("reviews-v1", "rogue"))
    proxy = session.held.proxy
    assert proxy.labels == ()
    assert proxy.scope.targets == ()


def test_what_a_node_says_is_bounded() -> None:
    """Each text that EnvoyFilters may ask for decides views: a node of many or long ones is one of few."""
    metadata = PbStruct()
    metadata.update({f"k{n:05}": "v" for n in range(5 * MOST_TEXTS)} | {"long": "x" * (LONGEST_TEXT + 1)})
    found = texts(Node(id="a", metadata=metadata))
    assert len(found) == MOST_TEXTS
    assert "long" not in dict(found)


def test_upstreams_and_ports_of_a_node_are_bounded() -> None:
    upstream = {"host": "a", "port": 80.0, "bind": 1000.0}
    wrong: tuple[dict[str, Any], ...] = (
        {"upstreams": [upstream] * (MOST + 1)},
        {"port_map": {str(n): n for n in range(1, MOST + 2)}},
        {"upstreams": [upstream | {"host": "a" * 300}]},
        {"bind_address": "a" * 300},
        {"type": "root"},
        {"interception": "all"},
    )
    for described in wrong:
        metadata = PbStruct()
        metadata.update({METADATA_KEY: described})
        with pytest.raises(Refused):
            proxy_node(Node(id="a", metadata=metadata))
