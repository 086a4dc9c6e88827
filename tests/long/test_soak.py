"""Configuration changes and endpoints come and go for long: the server's and the agent's memory stays bounded.

Compared is the second half with the first: a leak grows in both alike, what fills up once is full in the first.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from argosy.apiserver.client import ApiClient
from tests.e2e.mesh import Load, Mesh, running_mesh
from tests.e2e.test_outages import URL
from tests.long.conftest import count
from tests.long.processes import agent_pid, descriptors, resident

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(1800)]

SECONDS = count(full=600, short=60)
GROWTH = 1.05
"""The median of the second half may be this much of the first's …"""
SLACK = 4.0
"""… and so many MB more: an allocator's pools come in steps."""
DESCRIPTORS = 8


def changes(api: ApiClient, turn: int) -> None:
    """One change of each kind; the path of the load stays served throughout."""
    networking = "networking.istio.io/v1"

    def put(kind: str, name: str, spec: dict[str, object], api_version: str = networking) -> None:
        metadata = {"name": name, "namespace": "default"}
        api.apply({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})

    route = {"route": [{"destination": {"host": "reviews"}}], "timeout": f"{10 + turn % 7}s"}
    put("VirtualService", "reviews", {"hosts": ["reviews"], "http": [route | {"retries": {"attempts": 0}}]})
    pool = {"tcp": {"maxConnections": 1000 + turn % 11}}
    put("DestinationRule", "reviews", {"host": "reviews", "trafficPolicy": {"connectionPool": pool}})
    # Services and endpoints that come and go, under names that are not used again: what remembers them must forget.
    name = f"passing-{turn}"
    ports = [{"name": "http", "port": 9080}]
    put("Service", name, {"selector": {"app": name}, "ports": ports}, "v1")
    labels = {"app": name}
    for address in ("127.0.0.2", "127.0.0.3"):
        put("WorkloadEntry", name, {"address": address, "labels": labels})
    for kind, api_version in (("WorkloadEntry", networking), ("Service", "v1")):
        delete(api, api_version, kind, name)


def delete(api: ApiClient, api_version: str, kind: str, name: str) -> None:
    from argosy.resources.kinds import kind_of

    found = kind_of(api_version, kind)
    assert found is not None
    api.delete(found, name)


def test_memory_stays_bounded(tmp_path: Path) -> None:
    with running_mesh(tmp_path / "state") as mesh:
        mesh.echo("reviews", "v1")
        mesh.echo("reviews", "v2")
        client = mesh.client()
        mesh.announced("reviews", count=2)
        with ApiClient.from_kubeconfig(mesh.state / "kubeconfig") as api:
            changes(api, 0)
            with Load(client.port, URL, workers=2, pause=0.02) as load:
                load.at_least(50)
                samples, opened = soak(mesh, api)
        assert load.failures == []
        assert load.total >= 3 * SECONDS
    for name, sizes in samples.items():
        half = len(sizes) // 2
        first, second = statistics.median(sizes[:half]), statistics.median(sizes[half:])
        print(f"{name}: {first:.1f} MB, then {second:.1f} MB, over {len(sizes)} rounds of changes")
        assert half >= SECONDS / 8, "changes were made throughout"
        assert second <= first * GROWTH + SLACK, f"{name} grew from {first:.1f} MB to {second:.1f} MB"
        assert opened[name][-1] <= opened[name][0] + DESCRIPTORS, f"{name} opens and does not close"


def soak(mesh: Mesh, api: ApiClient) -> tuple[dict[str, list[float]], dict[str, list[int]]]:
    """Changes until the time is over; memory and descriptors of server and agent after each round."""
    assert mesh.server is not None
    pids = {"server": mesh.server.pid, "agent": agent_pid(mesh)}
    samples: dict[str, list[float]] = {name: [] for name in pids}
    opened: dict[str, list[int]] = {name: [] for name in pids}
    end, turn = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        turn += 1
        changes(api, turn)
        for name, pid in pids.items():
            samples[name].append(resident(pid))
            opened[name].append(descriptors(pid))
        time.sleep(0.2)
    assert mesh.server.poll() is None
    assert agent_pid(mesh) == pids["agent"], "neither was restarted"
    return samples, opened
