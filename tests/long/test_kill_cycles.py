"""Whatever part of the control is killed, again and again, requests go on and nothing is left behind.

The order is random; ARGOSY_SEED repeats one that was printed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.mesh import Load, Mesh, running_mesh, until
from tests.e2e.test_outages import NO_RETRIES, URL, resources_sent, restarted, workload
from tests.long.conftest import count
from tests.long.processes import agent_pid, descriptors, of_state

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(1800)]

CYCLES = count(full=50, short=5)
REQUESTS = 50  # at the least, in each state of each cycle
LEAK = 8
"""Descriptors that an agent may have more than at first: commands that ask it, streams that are being renewed."""


class Disturber:
    def __init__(self, mesh: Mesh, load: Load) -> None:
        self.mesh = mesh
        self.load = load
        self.envoys = self.pids()

    def pids(self) -> dict[str, int]:
        return {w["name"]: w["envoy_pid"] for w in self.mesh.ps()}

    def connected(self) -> None:
        """All the workloads' streams are there again, the same Envoys, and each holds all that it should."""

        def done() -> bool:
            listed = self.mesh.ps()
            assert {w["name"] for w in listed} == self.envoys.keys()
            states = json.loads(self.mesh.argosy("proxy", "status", "-o", "json"))
            return all(w["connected"] for w in listed) and all(one["synced"] for one in states)

        until(done, "all are connected and in sync", 60)

    def server(self) -> None:
        self.mesh.kill_server()
        self.load.at_least(REQUESTS)
        self.mesh.start_server()
        self.connected()
        assert resources_sent(self.mesh) == 0, "nothing that is the same is sent again"

    def agent(self) -> None:
        sent, before = resources_sent(self.mesh), agent_pid(self.mesh)
        os.kill(before, signal.SIGKILL)
        self.load.at_least(REQUESTS)
        self.adopted(before)
        self.connected()
        assert resources_sent(self.mesh) == sent, "a new agent knows what its Envoys have"

    def both(self) -> None:
        before = agent_pid(self.mesh)
        self.mesh.kill_server()
        os.kill(before, signal.SIGKILL)
        self.load.at_least(REQUESTS)
        self.adopted(before)
        self.mesh.start_server()
        self.connected()
        assert resources_sent(self.mesh) == 0, "nothing that is the same is sent again"

    def adopted(self, before: int) -> None:
        until(
            lambda: agent_pid(self.mesh) != before and self.pids() == self.envoys,
            "a new agent adopted the Envoys",
            60,
        )

    def sidecar(self) -> None:
        """Of a workload that serves nobody: what it serves when it dies is lost by right."""
        before = workload(self.mesh, "bystander-v1")["envoy_pid"]
        os.kill(before, signal.SIGKILL)
        restarted(self.mesh, "bystander-v1", before)
        self.envoys = self.pids()
        self.connected()


def test_killed_again_and_again_under_load(tmp_path: Path) -> None:
    seed = int(os.environ.get("ARGOSY_SEED") or time.time_ns() % 2**32)
    print(f"ARGOSY_SEED={seed}")
    chance = random.Random(seed)
    state = tmp_path / "state"
    with running_mesh(state) as mesh:
        mesh.echo("reviews", "v1")
        mesh.echo("reviews", "v2")
        mesh.echo("bystander")
        client = mesh.client()
        mesh.announced("reviews", count=2)
        mesh.announced("bystander")
        mesh.apply(NO_RETRIES)
        kinds = ("server", "agent", "sidecar", "both")
        plan = [kinds[number % len(kinds)] for number in range(CYCLES)]
        chance.shuffle(plan)
        with Load(client.port, URL, pause=0.02) as load:
            load.at_least(REQUESTS)
            disturber = Disturber(mesh, load)
            for number, kind in enumerate(plan):
                print(f"{number}: {kind}")
                getattr(disturber, kind)()
                assert load.failures == [], f"cycle {number}: {kind}"
            one_agent_lives_long(disturber, load)
        assert load.failures == []
        assert {"reviews-v1", "reviews-v2"} == set(load.answers)
        assert load.total >= CYCLES * REQUESTS
        assert of_state(state), "while the mesh runs, it is found"
    until(lambda: nothing_of(state), "no process is left", 10)


def nothing_of(state: Path) -> bool:
    left = of_state(state)
    assert left == {}
    return True


def one_agent_lives_long(disturber: Disturber, load: Load) -> None:
    """What an agent opens for a server or a sidecar, it closes."""
    agent = agent_pid(disturber.mesh)
    first = descriptors(agent)
    for number in range(max(2, CYCLES // 4)):
        disturber.server() if number % 2 else disturber.sidecar()
        assert load.failures == []
        until(lambda: descriptors(agent) <= first + LEAK, f"the agent's descriptors come back to {first}", 20)
    assert agent_pid(disturber.mesh) == agent
