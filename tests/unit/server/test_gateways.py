"""What is found about a Gateway where it meets the proxies that serve it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from argosy.server import gateways
from argosy.server.figures import Figure, conditions, figure_of, merged
from argosy.server.verdict import State, Verdict
from argosy.store.base import Key
from argosy.translate.resource import LISTENER
from tests.unit.pki import Authority, encoded
from tests.unit.server.world import World

ROOT = Authority()
ONE, OTHER = ROOT.issue("a.example"), ROOT.issue("a.example")
EDGE = "networking.istio.io/gateways"
Json = dict[str, Any]


def gateway(name: str = "edge", created: str = "2020-01-01T00:00:00Z", **tls: str) -> Json:
    server = {
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
        "hosts": ["a.example"],
        "tls": {"mode": "MUTUAL", "credentialName": "cert"} | tls,
    }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": created},
        "spec": {"servers": [server]},
    }


def served(world: World) -> Any:
    world.workload("gw", bind=0)
    return {world.envoy("gw", type="router").session.held.proxy.scope}


def found(world: World, held: dict[str, str] | None, now: float | None = None) -> tuple[str, ...] | None:
    scopes = served(world)
    world.put(gateway(), Key(EDGE, "default", "edge"))
    if held is not None:
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert", "namespace": "default"}}
        world.put(body | {"data": held}, Key("/secrets", "default", "cert"))
    snapshot = world.reconciler.snapshot
    return gateways.unusable_secrets(snapshot, scopes, "default/edge", now or time.time())


GOOD = encoded(tls_crt=ONE.certificate, tls_key=ONE.key, ca_crt=ROOT.certificate)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (GOOD, []),
        (None, ["server https: there is no Secret default/cert; create it"]),
        (GOOD | encoded(tls_key=OTHER.key), ["server https: Secret default/cert: tls.key is not the key of"]),
        (
            encoded(tls_crt=ONE.certificate, tls_key=ONE.key),
            ["server https: Secret default/cert has no ca.crt (or cacert); put the authorities"],
        ),
        (
            {},
            [
                "server https: Secret default/cert has no tls.crt and tls.key",
                "server https: Secret default/cert has no ca.crt",
            ],
        ),
    ],
)
def test_secrets_that_cannot_be_used_are_named(held: dict[str, str] | None, expected: list[str]) -> None:
    wrong = found(World(), held)
    assert wrong is not None
    assert len(wrong) == len(expected)
    assert all(text.startswith(start) for text, start in zip(wrong, expected, strict=True))


def test_a_certificate_that_is_over_is_told() -> None:
    wrong = found(World(), GOOD, time.time() + 2 * 3600)
    assert wrong is not None
    assert wrong[0].startswith("server https: Secret default/cert: a certificate expired on")
    assert wrong[1].startswith("server https: the authorities of Secret default/cert: a certificate expired")


def test_a_secret_of_another_namespace_is_for_nobody() -> None:
    world = World()
    scopes = served(world)
    world.put(gateway(credentialName="other/cert"), Key(EDGE, "default", "edge"))
    wrong = gateways.unusable_secrets(world.reconciler.snapshot, scopes, "default/edge", 0)
    assert wrong is not None
    assert "Secret other/cert is not in the namespace of the gateway, default; put it there" in wrong[0]


def test_a_secret_for_others_says_for_whom() -> None:
    world = World()
    scopes = served(world)
    world.put(gateway(), Key(EDGE, "default", "edge"))
    metadata = {
        "name": "cert",
        "namespace": "default",
        "annotations": {"argosy.dev/service-accounts": "a, b"},
    }
    world.put(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": GOOD},
        Key("/secrets", "default", "cert"),
    )
    wrong = gateways.unusable_secrets(world.reconciler.snapshot, scopes, "default/edge", 0)
    assert wrong is not None
    assert "Secret default/cert is for a, b alone" in wrong[0]
    assert "argosy.dev/service-accounts" in wrong[0]


def test_without_a_proxy_or_a_secret_nothing_is_said() -> None:
    world = World()
    world.put(gateway(), Key(EDGE, "default", "edge"))
    snapshot = world.reconciler.snapshot
    assert gateways.unusable_secrets(snapshot, (), "default/edge", 0) is None
    assert gateways.unusable_secrets(snapshot, served(world), "default/other", 0) is None


def test_a_server_that_stands_back_is_told_with_the_older_gateway() -> None:
    world = World()
    scopes = served(world)
    world.put(gateway(), Key(EDGE, "default", "edge"))
    world.put(gateway("late", created="2021-01-01T00:00:00Z"), Key(EDGE, "default", "late"))
    snapshot = world.reconciler.snapshot
    assert gateways.standing_back(snapshot, scopes, "default/edge") == ()
    assert gateways.standing_back(snapshot, scopes, "default/late") == (
        "server https: the older Gateway default/edge serves a.example on port 443; name other hosts",
    )


def test_the_condition_is_of_those_that_name_secrets() -> None:
    verdict = Verdict(state=State.UNAFFECTED)

    def said(references: tuple[str, ...] | None) -> list[tuple[str, str, str]]:
        figure = figure_of(1, verdict, (), references)
        return [
            (one["status"], one["reason"], one["message"])
            for one in conditions(figure, [], "T")
            if one["type"] == "ResolvedRefs"
        ]

    assert said(None) == []
    assert said(()) == [("True", "ResolvedRefs", "")]
    assert said(("a", "b")) == [("False", "InvalidCertificateRef", "a; b")]
    before = conditions(figure_of(1, verdict, (), ("a",)), [], "T")
    assert {one["type"] for one in conditions(figure_of(2, verdict), before, "T")} == {
        "Accepted",
        "Programmed",
    }


def test_what_several_servers_find_is_joined() -> None:
    ones = [
        Figure(generation=1, references=("a",), limits=("x",)),
        Figure(generation=1, references=("a", "b"), limits=("x", "y")),
        Figure(generation=1),
    ]
    assert (merged(ones).references, merged(ones).limits) == (("a", "b"), ("x", "y"))


def test_the_target_port_of_the_service_of_a_gateway_is_listened_on() -> None:
    """Its entry lists no ports: what it listens on, its Gateways say."""
    world = World()
    world.workload("gw", service="gw", bind=0)
    envoy = world.envoy("gw", type="router")
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    world.put(gateway() | {"spec": {"servers": [server]}}, Key(EDGE, "default", "edge"))
    assert set(envoy.session.held.layers[0].names(LISTENER)) == {"127.0.0.1_80"}
    metadata = {"name": "edge", "namespace": "default"}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    world.put(
        service | {"spec": {"selector": {"app": "gw"}, "ports": ports}},
        Key("/services", "default", "edge"),
    )
    assert envoy.session.held.proxy.scope.targets == (("edge.default.svc.cluster.local", 80, 8080),)
    assert set(envoy.session.held.layers[0].names(LISTENER)) == {"127.0.0.1_8080"}
