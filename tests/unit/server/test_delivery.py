"""How a change stands with the proxies, and who waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from argosy.server import entries
from argosy.server.delivery import FOLLOW_WITHIN
from argosy.server.verdict import State
from argosy.store.base import Key
from argosy.translate.filters import order
from argosy.translate.resource import CLUSTER, EXTENSION, LISTENER, ROUTE
from tests.unit.server.world import (
    REVIEWS,
    VS,
    World,
    virtual_service,
)


def test_a_change_is_live_when_every_proxy_that_uses_it_has_acknowledged(world: World) -> None:
    world.workload("reviews-v1")
    one, other = world.envoy("client-1"), world.envoy("client-2")
    revision = world.put(virtual_service(), VS)
    assert world.delivery.verdict(VS, revision + 1).state is State.TIMEOUT
    verdict = world.delivery.verdict(VS, revision)
    assert (verdict.state, verdict.pending) == (State.TIMEOUT, ("client-1.default", "client-2.default"))
    one.exchange()
    assert world.delivery.verdict(VS, revision).pending == ("client-2.default",)
    other.exchange()
    verdict = world.delivery.verdict(VS, revision)
    assert (verdict.state, verdict.proxies) == (State.LIVE, ("client-1.default", "client-2.default"))


def test_a_deletion_is_live_when_it_is_acknowledged(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    service = Key("/services", "default", "reviews")
    revision = world.delete(service)
    assert world.delivery.verdict(service, revision).state is State.TIMEOUT
    envoy.exchange()
    assert b"reviews" not in envoy.held[ROUTE]["http_proxy"]
    assert world.delivery.verdict(service, revision).state is State.LIVE
    envoy.exchange(now=60)
    assert REVIEWS not in envoy.held[CLUSTER], "it goes later, when no request can need it any more"


def test_a_refusal_is_named_and_the_next_version_clears_it(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    envoy.refuse = {"http_proxy"}
    revision = world.put(virtual_service(), VS)
    envoy.exchange()
    verdict = world.delivery.verdict(VS, revision)
    assert verdict.state is State.REJECTED
    assert [(one.proxy, one.message) for one in verdict.rejected] == [
        ("client-1.default", "http_proxy is bad")
    ]
    envoy.refuse = set()
    revision = world.put(virtual_service("3s"), VS)
    envoy.exchange()
    assert world.delivery.verdict(VS, revision).state is State.LIVE


def test_who_is_away_is_named_and_not_waited_for(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    world.lost = {"reviews-v1.default", "client-1.default"}
    revision = world.put(virtual_service(), VS)
    envoy.exchange()
    verdict = world.delivery.verdict(VS, revision)
    assert (verdict.state, verdict.disconnected) == (State.LIVE, ("reviews-v1.default",))


@pytest.mark.parametrize("connected", [True, False])
def test_what_concerns_nobody_says_why(world: World, connected: bool) -> None:
    if connected:
        world.envoy("client-1")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}}
    key = Key("/secrets", "default", "s")
    verdict = world.delivery.verdict(key, world.put(secret, key))
    assert verdict.state is State.UNAFFECTED
    assert verdict.reason == (
        "no proxy's configuration is made from it" if connected else "no proxy is connected"
    )


async def test_waiting_ends_with_the_acknowledgement(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    waiting = asyncio.create_task(world.delivery.deliver(VS, world.revision + 1, 30))
    await asyncio.sleep(0)
    world.put(virtual_service(), VS)
    await asyncio.sleep(0)
    assert not waiting.done()
    envoy.exchange()
    assert (await asyncio.wait_for(waiting, 5)).state is State.LIVE


async def test_waiting_ends_when_the_proxy_goes(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    revision = world.put(virtual_service(), VS)
    waiting = asyncio.create_task(world.delivery.deliver(VS, revision, 30))
    await asyncio.sleep(0)
    envoy.session.disconnected()
    assert (await asyncio.wait_for(waiting, 5)).state is State.UNAFFECTED


def envoy_filters() -> tuple[str, ...]:
    """Those of an inbound port that come by ECDS."""
    return tuple(one.name for one in order.inbound(9080, told_apart=9080) if one.HasField("config_discovery"))


async def test_a_listener_is_live_when_it_has_what_it_asks_for(world: World) -> None:
    envoy = world.envoy("reviews-v1")
    key = entries.entry_key("default", "reviews-v1")
    revision = world.workload("reviews-v1")
    waiting = asyncio.create_task(world.delivery.deliver(key, revision, 30))
    await asyncio.sleep(0)
    envoy.exchange()
    assert "inbound_9080" in envoy.held[LISTENER]
    await asyncio.sleep(0.01)
    assert not waiting.done(), "the listener is there; it has not asked for its routes yet"
    envoy.client.subscribe(ROUTE, {"inbound|9080||"})
    envoy.client.subscribe(EXTENSION, set(envoy_filters()))
    envoy.exchange()
    assert (await asyncio.wait_for(waiting, 5)).state is State.LIVE


async def test_a_listener_that_asks_for_nothing_is_not_waited_for_for_ever(world: World) -> None:
    envoy = world.envoy("reviews-v1")
    key = entries.entry_key("default", "reviews-v1")
    revision = world.workload("reviews-v1")
    envoy.exchange()
    waiting = asyncio.create_task(world.delivery.deliver(key, revision, 30))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    world.now += FOLLOW_WITHIN
    world.reconciler.proxies.moved(envoy.session)
    assert (await asyncio.wait_for(waiting, 5)).state is State.LIVE


async def test_who_waits_for_a_slow_proxy_does_not_spin(world: World) -> None:
    late, slow = world.envoy("reviews-v1"), world.envoy("client-1")
    revision = world.workload("reviews-v1")
    late.exchange()
    waiting = asyncio.create_task(
        world.delivery.deliver(entries.entry_key("default", "reviews-v1"), revision, 30)
    )
    await asyncio.sleep(0.01)
    world.now += FOLLOW_WITHIN + 1
    looks = 0

    def counted(key: Key) -> Any:
        nonlocal looks
        looks += 1
        return ""

    world.reconciler.unusable = counted  # type: ignore[method-assign]
    world.reconciler.proxies.moved(late.session)
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert looks == 1
    slow.exchange()
    assert (await asyncio.wait_for(waiting, 5)).state is State.LIVE


async def test_waiting_ends_with_its_time(world: World) -> None:
    world.workload("reviews-v1")
    world.envoy("client-1")
    revision = world.put(virtual_service(), VS)
    verdict = await world.delivery.deliver(VS, revision, 0)
    assert verdict.state is State.TIMEOUT
    assert "client-1.default" in verdict.reason


def gateway(name: str, selector: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": selector,
            "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    }


def test_a_gateway_concerns_only_the_proxies_that_it_selects(world: World) -> None:
    world.workload("ingress", service="ingress", bind=0)
    router = world.envoy("ingress", type="router", port_map={80: 8080})
    router.client.subscribe(ROUTE, {"http.80"})
    mine = Key("networking.istio.io/gateways", "default", "mine")
    selected = world.put(gateway("mine", {"app": "ingress"}), mine)
    router.exchange()
    verdict = world.delivery.verdict(mine, selected)
    assert (verdict.state, verdict.proxies) == (State.LIVE, ("ingress.default",))
    other = Key("networking.istio.io/gateways", "default", "nobodys")
    revision = world.put(gateway("nobodys", {"app": "nobody"}), other)
    router.exchange()
    verdict = world.delivery.verdict(other, revision)
    assert (verdict.state, verdict.proxies) == (State.UNAFFECTED, ())
    assert verdict.reason == "no proxy's configuration is made from it"
    router.exchange()
    again = world.delivery.verdict(mine, selected)
    assert again.proxies == ("ingress.default",), "the other one takes nothing from it"


@pytest.mark.parametrize(
    ("app", "sent", "state"),
    [
        ("reviews", [["peer-authentication/9080", "inbound_9080"], []], State.LIVE),
        ("nobody", [[], []], State.UNAFFECTED),
    ],
)
def test_a_policy_concerns_only_the_workloads_that_it_selects(
    world: World, app: str, sent: list[list[str]], state: State
) -> None:
    envoys = []
    for bind, service in enumerate(("reviews", "ratings"), 21001):
        world.workload(f"{service}-v1", service, bind=bind)
        envoys.append(world.envoy(f"{service}-v1"))
    for envoy in envoys:
        envoy.client.subscribe(ROUTE, {"inbound|9080||"})
        envoy.client.subscribe(EXTENSION, set(envoy_filters()))
        envoy.exchange()
    policy = Key("security.istio.io/peerauthentications", "default", "strict")
    written = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "strict", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}, "mtls": {"mode": "STRICT"}},
    }
    revision = world.put(written, policy)
    assert [envoy.exchange() for envoy in envoys] == sent
    assert world.delivery.verdict(policy, revision).state is state
