"""The agent beside real Envoys: workloads join, are adopted, lost, rotated and leave, with a small control plane."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from argosy.agent import protocol
from argosy.agent.client import Lease, ask, ensure_agent, listed, socket_path, stats
from argosy.agent.protocol import (
    Attach,
    EnvoyRestarted,
    Failed,
    Gone,
    Health,
    PortRequest,
    Ready,
    Start,
    StopApp,
)
from argosy.runtime.errors import Failure
from tests.e2e.agent_world import World, alive, eventually, spawn, world
from tests.e2e.mesh import Connection, Load

__all__ = ["world"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]


async def test_two_workloads_talk_and_both_sides_count(world: World) -> None:
    await world.workload("reviews")
    client = await world.workload("client", serves=False)
    await world.reaches(client)
    assert [await world.get(client) for _ in range(9)] == [200] * 9

    def seen() -> tuple[int, int, int]:
        answer = listed(world.state)
        assert answer is not None
        outbound, inbound = answer.workloads
        return outbound.outbound, inbound.inbound, inbound.plaintext

    await eventually(lambda: seen() >= (10, 10, 0), "all is counted")
    assert seen()[2] == 0
    await eventually(
        lambda: all(t.durations for w in stats(world.state).workloads for t in w.traffic), "histograms"
    )
    by_reporter = {t.reporter: t for w in stats(world.state).workloads for t in w.traffic}
    assert by_reporter["destination"].security == "mutual_tls"
    assert by_reporter["destination"].source_workload == "client-v1"
    assert by_reporter["source"].destination_workload == "reviews-v1"
    assert by_reporter["source"].destination_version == "v1"
    assert protocol.quantile(by_reporter["source"].durations, 0.99) is not None


async def test_prometheus_finds_and_scrapes_every_sidecar(world: World) -> None:
    client = await world.workload("client", serves=False)
    answer = listed(world.state)
    assert answer is not None
    port = int(answer.agent.metrics_address.rpartition(":")[2])
    connection = Connection(port)
    targets = (await connection.request("http://127.0.0.1/targets")).body
    (target,) = json.loads(targets)
    assert target["targets"] == [f"127.0.0.1:{port}"]
    path = target["labels"]["__metrics_path__"]
    assert client.started.metrics_url == f"http://127.0.0.1:{port}{path}"
    scraped = await connection.request(f"http://127.0.0.1{path}")
    assert scraped.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"envoy_server_" in scraped.body
    own = (await connection.request("http://127.0.0.1/metrics")).body.decode()
    assert 'argosy_workload_connected{workload="client-v1",namespace="default"} 1' in own
    assert (await connection.request("http://127.0.0.1/workloads/nobody/metrics")).status == 404
    connection.close()


async def test_many_callers_start_one_agent(world: World) -> None:
    await asyncio.gather(*(asyncio.to_thread(ensure_agent, world.state) for _ in range(8)))
    assert len([line for line in world.agent_log().splitlines() if "agent ready" in line]) == 1


async def test_a_second_agent_is_refused_by_name_of_the_first(world: World) -> None:
    await asyncio.to_thread(ensure_agent, world.state)
    second = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "argosy.agent", "--state-dir", str(world.state)],
        capture_output=True,
        text=True,
    )
    assert second.returncode == 1
    assert f"pid {world.agent_pid()}" in second.stderr
    assert "Traceback" not in second.stderr


async def test_a_killed_agent_leaves_its_sidecars_serving_and_the_next_one_adopts_them(world: World) -> None:
    reviews = await world.workload("reviews")
    client = await world.workload("client", serves=False)
    await world.reaches(client)
    envoys = [reviews.envoy, client.envoy]
    first = world.agent_pid()
    said = len(world.plane.said)
    url = "http://reviews:9080/"
    with Load(client.started.outbound_proxy_port, url, workers=2) as load:
        await asyncio.to_thread(load.at_least, 50)
        os.kill(first, signal.SIGKILL)
        await asyncio.wait_for(reviews.over.wait(), 5)
        await asyncio.to_thread(load.at_least, 100)
        await asyncio.gather(reviews.attach(), client.attach())
        await eventually(
            lambda: reviews.last(Ready) and reviews.announced and client.last(Ready), "both attached"
        )
        assert [reviews.envoy, client.envoy] == envoys
        await asyncio.to_thread(load.at_least, 100)
    assert load.failures == []
    assert world.agent_pid() != first
    await eventually(lambda: world.plane.connected == {"reviews-v1", "client-v1"}, "their streams are back")
    assert ("reviews-v1", "Withdraw") not in world.plane.said[said:]
    # The adopted sidecars take changes: a second instance, and then only that one.
    await world.workload("reviews", "v2")
    await reviews.leave()
    assert isinstance(reviews.events[-1], Gone)
    assert not alive(envoys[0])
    await world.reaches(client)


async def test_nothing_that_is_the_same_is_sent_again_to_an_adopted_sidecar(world: World) -> None:
    client = await world.workload("client", serves=False)
    await eventually(lambda: world.plane.streams["client-v1"].settled(), "all is acknowledged")
    cache = world.state / "agent" / "workloads" / "client-v1" / "xds.cache"
    await eventually(cache.exists, "what Envoy confirmed is on disk")
    os.kill(world.agent_pid(), signal.SIGKILL)
    before = world.plane.streams["client-v1"]
    await client.over.wait()
    await client.attach()
    await eventually(lambda: world.plane.streams["client-v1"] is not before, "a new stream")
    stream = world.plane.streams["client-v1"]
    await eventually(lambda: stream.resumed > 0 and stream.settled(), "it resumes")
    assert stream.sent_resources == 0


async def test_a_wrong_token_attaches_to_nothing(world: World) -> None:
    client = await world.workload("client", serves=False)
    lease = await Lease.open(world.state, Attach(name=client.started.name, token="guess"))
    answer = await lease.receive()
    assert isinstance(answer, Failed)
    assert client.status().state == "ready"


async def test_the_application_dies_with_whoever_held_it(world: World) -> None:
    """A client process that is killed: no grace, its application group is killed, the workload leaves."""
    await asyncio.to_thread(ensure_agent, world.state)
    holder = spawn(sys.executable, "-c", HOLDER, str(world.state))
    assert holder.stdout is not None
    app = int(await asyncio.to_thread(holder.stdout.readline))
    assert alive(app)
    await eventually(lambda: "held" in world.plane.registers, "it is registered")
    holder.kill()
    holder.wait()
    await eventually(lambda: not alive(app), "the application died")
    await eventually(lambda: ("held", "Leave") in world.plane.said, "the entry left")


HOLDER = """
import asyncio, subprocess, sys
from pathlib import Path
from argosy.agent.client import Lease, start_time
from argosy.agent.protocol import AppStarted, Ready, Start

async def main():
    lease = await Lease.open(Path(sys.argv[1]), Start(name="held", service="held"))
    while not isinstance(await lease.receive(), Ready):
        pass
    app = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL)
    await lease.send(AppStarted(pid=app.pid, pgid=app.pid, start_time=start_time(app.pid)))
    print(app.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_an_envoy_that_crashes_is_restarted_and_counted(world: World) -> None:
    await world.workload("reviews")
    client = await world.workload("client", serves=False)
    await world.reaches(client)
    before = client.envoy
    os.kill(before, signal.SIGSEGV)
    await eventually(lambda: client.last(EnvoyRestarted), "it is told")
    event = client.last(EnvoyRestarted)
    assert isinstance(event, EnvoyRestarted)
    assert (event.restarts, event.reason) == (1, "killed by SIGSEGV")
    await world.reaches(client)
    status = client.status()
    assert status.restarts == 1
    assert status.envoy_pid not in (0, before)


async def test_with_the_server_down_a_killed_sidecar_comes_back_serving(world: World) -> None:
    reviews = await world.workload("reviews")
    client = await world.workload("client", serves=False)
    await world.reaches(client)
    await world.plane.stop()
    for held in (reviews, client):
        os.kill(held.envoy, signal.SIGKILL)
        await eventually(lambda h=held: h.last(EnvoyRestarted), "it is restarted")  # type: ignore[misc]
    await world.reaches(client)
    await eventually(lambda: not client.status().connected, "it knows that the server is away")
    assert client.status().synced_at > 0
    await world.plane.start()
    await eventually(lambda: client.status().connected, "it is connected again")


async def test_with_the_server_down_even_a_new_agent_serves_from_the_disk(world: World) -> None:
    await world.workload("reviews")
    client = await world.workload("client", serves=False)
    await world.reaches(client)
    folder = world.state / "agent" / "workloads" / "client-v1"
    await eventually((folder / "xds.cache").exists, "the cache is saved")
    await asyncio.sleep(0.6)  # one saving period: the last change is on disk
    await world.plane.stop()
    envoy = client.envoy
    os.kill(world.agent_pid(), signal.SIGKILL)
    os.kill(envoy, signal.SIGKILL)
    for held in world.held:
        await held.over.wait()
    await asyncio.gather(*(held.attach() for held in world.held))
    await eventually(lambda: client.last(Ready), "attached")
    await world.reaches(client)
    assert client.status().restarts == 1
    await world.plane.start()


@pytest.mark.parametrize("server", ["up", pytest.param("down", marks=pytest.mark.long)])
async def test_a_workload_leaves_under_load_without_a_failed_request(world: World, server: str) -> None:
    world.plane.retries = 2 if server == "down" else 0
    leaving = await world.workload("reviews", "v1")
    await world.workload("reviews", "v2")
    client = await world.workload("client", serves=False)
    await world.reaches(client)
    url = "http://reviews:9080/"
    with Load(client.started.outbound_proxy_port, url, workers=8, headers={"x-delay-ms": "300"}) as load:
        await asyncio.to_thread(load.at_least, 40)
        if server == "down":
            await world.plane.stop()
        await leaving.leave()
        await asyncio.to_thread(load.at_least, 60)
    assert load.failures == []
    assert load.answers["reviews-v1"] > 0
    assert load.total >= 100
    assert isinstance(leaving.events[-1], Gone)
    if server == "down":
        assert (world.state / "agent" / "left" / "default.reviews-v1.json").exists()
        await world.plane.start()
        await eventually(lambda: ("reviews-v1", "Leave") in world.plane.said, "the leave is delivered later")
        await eventually(lambda: not list((world.state / "agent" / "left").iterdir()), "and forgotten")
    else:
        assert world.plane.said.index(("reviews-v1", "Withdraw")) < world.plane.said.index(
            ("reviews-v1", "Leave")
        )


async def test_an_application_that_fails_its_probe_is_withdrawn_and_announced_again(world: World) -> None:
    reviews = await world.workload("reviews")
    assert reviews.app is not None
    os.kill(reviews.app.pid, signal.SIGSTOP)
    await eventually(lambda: not reviews.announced, "it is withdrawn", 40)
    health = reviews.last(Health)
    assert isinstance(health, Health)
    assert "GET / on 127.0.0.1" in health.detail
    assert world.plane.announced == set()
    os.kill(reviews.app.pid, signal.SIGCONT)
    await eventually(lambda: reviews.announced, "it is announced again")


async def test_down_from_elsewhere_stops_the_application_in_order(world: World) -> None:
    reviews = await world.workload("reviews")
    names = await asyncio.to_thread(lambda: list(ask(world.state, protocol.Down(name="reviews-v1"), 40)))
    assert names[-1] == protocol.DownAnswer(names=("reviews-v1",))
    await asyncio.wait_for(reviews.over.wait(), 10)
    assert [type(event) for event in reviews.events if isinstance(event, StopApp | Gone)] == [StopApp, Gone]
    assert reviews.app is not None
    assert reviews.app.poll() is not None


async def test_names_in_use_get_a_number_and_ports_return(world: World) -> None:
    first = await world.workload("reviews")
    second = await world.workload("reviews")
    assert [first.started.name, second.started.name] == ["reviews-v1", "reviews-v1-2"]
    binds = first.started.ports[0].bind
    await first.leave()
    again = await world.workload("reviews")
    assert again.started.name == "reviews-v1"
    assert again.started.ports[0].bind == binds


async def test_a_port_that_is_taken_meanwhile_is_replaced(world: World) -> None:
    """Another program takes the proxy port between its choice and Envoy's bind."""
    first = await world.workload("client", serves=False)
    port = first.started.outbound_proxy_port
    await first.leave()
    # The kernel lets a socket bind without listening: the agent's check with SO_REUSEADDR does not see it, Envoy does.
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen(1)
        again = await world.workload("client", serves=False)
        assert again.started.outbound_proxy_port != port
    await world.workload("reviews")
    await world.reaches(again)


@pytest.mark.long  # `make test` has it with the whole control plane: tests/e2e/test_security.py
async def test_certificates_rotate_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    world.plane.authority.default_ttl = world.plane.authority.maximum_ttl = 60
    await world.workload("reviews")
    client = await world.workload("client", serves=False)
    await world.reaches(client)
    expires = client.status().certificate_expires_at
    assert expires < time.time() + 61
    with Load(client.started.outbound_proxy_port, "http://reviews:9080/", workers=4) as load:
        await eventually(lambda: client.status().certificate_expires_at > expires, "it is renewed", 40)
        await asyncio.to_thread(load.at_least, 100)
    assert load.failures == []
    await eventually(lambda: client.status().connected, "connected with the new certificate")


async def test_without_a_server_a_start_fails_with_the_remedy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.plane.stop()
    await asyncio.to_thread(ensure_agent, world.state)
    lease = await Lease.open(world.state, Start(name="client", service="client"))
    events = []
    async with asyncio.timeout(60):
        while (event := await lease.receive()) is not None:
            events.append(event)
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert "no server answers" in failed.what
    assert "argosy server" in failed.remedy
    await world.plane.start()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Start(name="Reviews"), "'Reviews' is not a name"),
        (Start(name="a", ports=(PortRequest(workload=1, protocol="smtp"),)), "protocol 'smtp' is not known"),
        (Start(name="a", ports=(PortRequest(workload=1), PortRequest(workload=1))), "port 1 is given twice"),
        (Start(name="a", interception="redirect"), "needs a network namespace"),
    ],
)
async def test_what_cannot_be_run_is_refused(world: World, request_: Start, words: str) -> None:
    await asyncio.to_thread(ensure_agent, world.state)
    lease = await Lease.open(world.state, request_)
    answer = await lease.receive()
    assert isinstance(answer, Failed)
    assert words in answer.what


async def test_an_agent_with_nothing_to_do_ends(world: World) -> None:
    command = [sys.executable, "-m", "argosy.agent", "--state-dir", str(world.state), "--linger", "0.3"]
    process = spawn(*command)
    assert await asyncio.wait_for(asyncio.to_thread(process.wait), 20) == 0
    assert not socket_path(world.state).exists()


async def test_no_agent_says_so(world: World) -> None:
    assert listed(world.state) is None
    with pytest.raises(Failure, match="no agent runs"):
        stats(world.state)
