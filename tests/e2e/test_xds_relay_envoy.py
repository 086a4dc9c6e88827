"""The agent's relay between a server and a real Envoy, on real traffic: what the unit tests say with a fake one."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from argosy.xds.stream import Standing
from argosy.xds.types import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, CachedResource, short
from tests.e2e.envoy_lab import (
    EXT,
    answering,
    cluster,
    endpoints,
    fault,
    listener,
    order,
    resource,
    route,
)
from tests.e2e.relay_lab import RelayLab, load, running_relay_lab
from tests.ports import free_port

pytestmark = pytest.mark.e2e

UNKNOWN_FILTER: dict[str, Any] = {
    "listener_filters": [
        {
            "name": "nonesuch",
            "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {}},
        }
    ]
}
"""What makes a listener bad, wherever Envoy runs."""
ENVOYS_WORDS = "Didn't find a registered implementation for 'nonesuch'"
REQUESTS = 50
"""Requests that each step under load must have answered."""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("relay", numbered=True))
    assert len(str(folder / "server.sock")) < 108
    return folder


@pytest.fixture
async def lab(folder: Path) -> AsyncIterator[RelayLab]:
    async with running_relay_lab(folder) as running:
        yield running


@pytest.fixture
async def old() -> AsyncIterator[int]:
    async with answering("old") as port:
        yield port


@pytest.fixture
async def new() -> AsyncIterator[int]:
    async with answering("new") as port:
        yield port


def web(port: int, **more: Any) -> CachedResource:
    return listener("web", port, "r", "policy", **more)


def straight(port: int, to: str, **more: Any) -> CachedResource:
    """A listener that names its cluster itself."""
    proxy = {"@type": EXT + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "straight", "cluster": to}
    body = {
        "name": "straight",
        "enable_reuse_port": False,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "tcp", "typed_config": proxy}]}],
    }
    return resource(LISTENER, "straight", {**body, **more})


def for_nobody(name: str, to: str) -> CachedResource:
    """A route that Envoy refuses, without naming it."""
    rule = {"match": {"prefix": "/"}, "route": {"cluster": to}}
    return resource(
        ROUTE, name, {"name": name, "virtual_hosts": [{"name": "nobody", "domains": [], "routes": [rule]}]}
    )


async def begin(lab: RelayLab, backend: int) -> int:
    """One resource of each type, live: listener `web`, its policy and its route `r` to the cluster `old`."""
    port = free_port()
    lab.view.update(LISTENER, [web(port)])
    lab.view.update(ROUTE, [route("r", "old")])
    lab.view.update(EXTENSION, [fault("policy", 418, percent=0)])
    lab.view.update(ENDPOINT, [endpoints("old", backend)])
    lab.view.update(CLUSTER, [cluster("old")])
    lab.start_envoy()
    await lab.says(port, "old")
    await lab.quiet()
    return port


EVERYTHING = ((CLUSTER, "old"), (ENDPOINT, "old"), (EXTENSION, "policy"), (LISTENER, "web"), (ROUTE, "r"))
"""What `begin` makes."""


async def refuse_a_change_of_web(lab: RelayLab, port: int) -> None:
    lab.view.update(LISTENER, [web(port, **UNKNOWN_FILTER)])
    await lab.quiet()
    assert lab.stream.standing(LISTENER, "web") is Standing.REJECTED


def sent(lines: list[str], type_url: str, name: str) -> int:
    """How often the name was sent."""
    heads = [line.split() for line in lines]
    return sum(head[:2] == [short(type_url), "send"] and name in head[2:] for head in heads)


async def test_envoy_is_configured_through_the_relay_and_serves(lab: RelayLab, old: int, new: int) -> None:
    port = await begin(lab, old)
    for type_url, name in EVERYTHING:
        assert lab.stream.standing(type_url, name) is Standing.ACKNOWLEDGED
        assert sent(lab.said, type_url, name) == 1
        assert sent(lab.heard, type_url, name) == 1
    order(lab.heard, "Cluster ask", "Cluster send old", "ClusterLoadAssignment send old", "Listener send web")
    lab.view.update(ENDPOINT, [endpoints("old", new)])
    await lab.says(port, "new")
    lab.view.update(EXTENSION, [fault("policy", 403)])
    await lab.quiet()
    assert (await lab.get(port)).status_code == 403


async def test_a_refusal_reaches_the_server_in_envoys_words_and_is_not_sent_again_until_it_changes(
    lab: RelayLab, old: int
) -> None:
    port, other = await begin(lab, old), free_port()
    lab.heard.clear()
    await refuse_a_change_of_web(lab, port)
    (status,) = (one for one in lab.stream.status() if one.type_url == LISTENER)
    assert status.nack is not None
    assert status.nack.names == ("web",)
    assert ENVOYS_WORDS in status.nack.message
    await lab.says(port, "old")

    lab.view.update(LISTENER, [listener("other", other, "r")])
    await lab.says(other, "old")
    await lab.stop_serving()
    await lab.serve_again()
    await lab.quiet()
    assert lab.stream.standing(LISTENER, "web") is Standing.REJECTED
    assert lab.stream.standing(LISTENER, "other") is Standing.ACKNOWLEDGED
    await lab.says(port, "old")
    assert sent(lab.heard, LISTENER, "web") == 1
    assert lab.heard.count("Listener nack") == 1

    moved = free_port()
    lab.view.update(LISTENER, [web(moved)])
    await lab.says(moved, "old")
    await lab.quiet()
    assert lab.stream.standing(LISTENER, "web") is Standing.ACKNOWLEDGED
    assert sent(lab.heard, LISTENER, "web") == 2
    assert lab.relay.refused() == {}


async def test_a_bad_route_that_envoy_does_not_name_is_told_to_the_server_and_the_others_arrive(
    lab: RelayLab, old: int
) -> None:
    await begin(lab, old)
    ports = [free_port() for _ in range(3)]
    lab.view.update(ROUTE, [route("r0", "old"), for_nobody("r1", "old"), route("r2", "old")])
    lab.view.update(LISTENER, [listener(f"l{i}", port, f"r{i}") for i, port in enumerate(ports)])
    await lab.says(ports[0], "old")
    await lab.says(ports[2], "old")
    await lab.quiet()
    assert [lab.stream.standing(ROUTE, name) for name in ("r0", "r1", "r2")] == [
        Standing.ACKNOWLEDGED,
        Standing.REJECTED,
        Standing.ACKNOWLEDGED,
    ]
    (status,) = (one for one in lab.stream.status() if one.type_url == ROUTE)
    assert status.nack is not None
    assert status.nack.names == ("r1",)


@pytest.mark.parametrize("refusal", ["nothing refused", "after a refusal"])
@pytest.mark.parametrize("agent", ["the same agent", "a new agent"])
async def test_a_new_envoy_is_served_the_last_good_though_the_server_is_gone(
    lab: RelayLab, old: int, agent: str, refusal: str
) -> None:
    port = await begin(lab, old)
    if refusal == "after a refusal":
        await refuse_a_change_of_web(lab, port)
    await lab.stop_serving()
    await lab.stop_envoy()
    if agent == "a new agent":
        await lab.restart_agent()
        assert lab.relay.stale
    lab.heard.clear()
    lab.start_envoy()
    assert await lab.begins_with(port) == "old"
    await lab.until(lab.relay.is_idle, "Envoy has everything")
    for type_url, name in EVERYTHING:
        assert sent(lab.heard, type_url, name) == 1
    assert "Listener nack" not in lab.heard


@pytest.mark.parametrize("refused", ["listener", "route"])
@pytest.mark.parametrize("envoy", ["Envoy is there", "no Envoy is there"])
async def test_a_move_to_another_cluster_that_envoy_refuses_leaves_every_later_envoy_a_whole_that_works(
    folder: Path, old: int, new: int, envoy: str, refused: str
) -> None:
    """Listener `straight` and route `r` move from cluster `old` to `new`, and the server removes `old`; one of the two
    is bad, and its last good version still names `old`."""
    hold = 0.5  # without Envoy nobody asks for the endpoints of `new`: for so long the server waits for that
    async with running_relay_lab(folder, hold=hold) as lab:
        routed, direct = await begin(lab, old), free_port()
        lab.view.update(LISTENER, [straight(direct, "old")])
        await lab.says(direct, "old")
        await lab.quiet()
        if envoy == "no Envoy is there":
            await lab.stop_envoy()
        lab.view.update(
            LISTENER, [straight(direct, "new", **UNKNOWN_FILTER if refused == "listener" else {})]
        )
        lab.view.update(ROUTE, [for_nobody("r", "new") if refused == "route" else route("r", "new")])
        lab.view.update(ENDPOINT, [endpoints("new", new)], ["old"])
        lab.view.update(CLUSTER, [cluster("new")], ["old"])
        await lab.until(lab.stream.settled, "the server has all its answers")

        expected = [
            (routed, "old" if refused == "route" else "new"),
            (direct, "old" if refused == "listener" else "new"),
        ]
        if envoy == "no Envoy is there":
            lab.start_envoy()
        for (
            port,
            body,
        ) in expected:  # whoever refuses a first route answers 404 until it has the last good one
            await lab.says(port, body)
        await lab.quiet()
        assert len(lab.relay.refused()) == 1

        async def a_new_envoy_works() -> None:
            await lab.stop_envoy()
            lab.start_envoy()
            assert [(port, await lab.begins_with(port)) for port, _ in expected] == expected
            await lab.until(lab.relay.is_idle, "Envoy has everything")

        await a_new_envoy_works()
        await lab.stop_serving()
        await a_new_envoy_works()
        await lab.restart_agent()
        await a_new_envoy_works()

        lab.view.update(LISTENER, [straight(direct, "new")])
        lab.view.update(ROUTE, [route("r", "new")])
        await lab.serve_again()
        await lab.says(routed, "new")
        await lab.says(direct, "new")
        await gone(lab, "old")
        assert lab.relay.refused() == {}


@pytest.mark.parametrize("verdict", ["taken", "refused"])
async def test_every_state_that_is_saved_during_a_move_lets_a_new_envoy_serve(
    lab: RelayLab, old: int, new: int, verdict: str
) -> None:
    """Wherever agent, Envoy and server end together."""
    port = await begin(lab, old)
    lab.saved.clear()
    move(lab, "old", "new", new)
    if verdict == "refused":
        lab.view.update(ROUTE, [for_nobody("r", "new")])
    await lab.quiet()
    if verdict == "taken":
        await gone(lab, "old")
    await lab.stop_serving()
    states = tuple(dict.fromkeys(lab.saved))
    assert len(states) >= 3
    bodies = []
    for state in states:
        await lab.stop_envoy()
        await lab.stop_agent()
        await lab.start_agent(state)
        lab.start_envoy()
        bodies.append(await lab.begins_with(port))
    if verdict == "taken":
        assert bodies == sorted(bodies, key=["old", "new"].index)
        assert bodies[-1] == "new"
    else:
        assert set(bodies) == {"old"}


def move(lab: RelayLab, before: str, after: str, backend: int) -> None:
    """Route `r` goes to another cluster, and the one before is removed; written in the worst order."""
    lab.view.update(CLUSTER, removals=[before])
    lab.view.update(ENDPOINT, removals=[before])
    lab.view.update(ROUTE, [route("r", after)])
    lab.view.update(ENDPOINT, [endpoints(after, backend)])
    lab.view.update(CLUSTER, [cluster(after)])


async def gone(lab: RelayLab, name: str) -> None:
    """Waits until Envoy has let go of the cluster."""

    async def without() -> bool:
        return f"\n{name}::" not in "\n" + await lab.admin("/clusters")

    await lab.until(without, f"cluster {name} is gone")


@pytest.mark.parametrize("server", ["the server is there", "the server comes back with it"])
async def test_a_route_moves_to_a_new_cluster_under_load_without_a_failed_request(
    lab: RelayLab, old: int, new: int, server: str
) -> None:
    """Nothing is tried twice: the routes say nothing of retries, and Envoy has none by default."""
    port = await begin(lab, old)
    before, wanted = "old", Counter[str]()
    moves = [("first", "new", new), ("second", "old", old), ("third", "new", new), ("fourth", "old", old)]
    async with load(port) as requests:
        await lab.until(lambda: requests.answers["old"] >= REQUESTS, "the load is on")
        for name, body, backend in moves:
            if server == "the server comes back with it":
                await lab.stop_serving()
            wanted[body] = requests.answers[body] + REQUESTS
            move(lab, before, name, backend)
            if server == "the server comes back with it":
                await lab.serve_again()
            await lab.until(lambda: requests.answers >= wanted, f"{name} is in use")
            await lab.quiet()
            await gone(lab, before)
            before = name
    assert requests.failures == []
    assert requests.answers.total() >= REQUESTS * (1 + len(moves))


@pytest.mark.parametrize("refusal", ["nothing refused", "after a refusal"])
@pytest.mark.parametrize("agent", ["the same agent", "a new agent"])
async def test_a_server_that_comes_back_resends_nothing_that_is_unchanged(
    lab: RelayLab, old: int, new: int, agent: str, refusal: str
) -> None:
    """But for what Envoy refuses: the relay tells no version of it, and refuses it again without asking Envoy."""
    port = await begin(lab, old)
    refused = 0
    if refusal == "after a refusal":
        await refuse_a_change_of_web(lab, port)
        refused = 1
    await lab.stop_serving()
    lab.heard.clear()
    if agent == "a new agent":
        await lab.restart_agent()
        await lab.until(lambda: len(lab.relay.status()) == len(EVERYTHING), "Envoy is back")
    await lab.serve_again()
    await lab.quiet()
    assert lab.stream.sent_resources == refused
    assert lab.stream.sent_removals == 0
    assert lab.stream.resumed == len(EVERYTHING) - refused
    assert [line for line in lab.heard if " send " in line] == []
    assert (await lab.get(port)).text == "old"

    lab.view.update(ENDPOINT, [endpoints("old", new)])
    await lab.says(port, "new")
    await lab.quiet()
    assert lab.stream.sent_resources == refused + 1
    assert [line for line in lab.heard if " send " in line] == ["ClusterLoadAssignment send old"]
