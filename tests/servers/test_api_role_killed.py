"""The API's process is killed (-9) while the runtime's goes on: endpoints move all the same, as soon as before."""

from __future__ import annotations

import asyncio
import signal
import statistics
from pathlib import Path
from typing import Any, cast

import pytest

from argosy.xds.registration import Announce, Announced, Withdraw, Withdrawn
from argosy.xds.types import ENDPOINT, ROUTE
from tests.servers.server_process import Server, running_server
from tests.unit.server.whole_server import REVIEWS, Attendance, FakeEnvoy, identity, register, until

ROUNDS = 3
PROMISED = 1.0
"""Seconds in which a change of an endpoint arrives; where the machine is slower: twice what it took before."""

pytestmark = pytest.mark.timeout(240)


def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("runtime", "front"):
        (tmp_path / name).mkdir()
    return tmp_path / "runtime", tmp_path / "front"


async def moved(runtime: Server, envoy: FakeEnvoy) -> float:
    """A workload joins and leaves, a few times; how long a change takes to arrive, in the median."""
    plane = cast(Any, runtime)  # what `identity` needs is the state directory's server.json
    loop, took = asyncio.get_running_loop(), []
    for _ in range(ROUNDS):
        attendance = Attendance(runtime.info.xds, await identity(plane, "reviews-v1"))
        await attendance.ask(register("reviews-v1", "reviews"))
        asked = loop.time()
        assert isinstance(await attendance.ask(Announce()), Announced)
        await until(lambda: envoy.has(ENDPOINT, REVIEWS, b"reviews-v1"), "the endpoint arrives")
        took.append(loop.time() - asked)
        asked = loop.time()
        assert isinstance(await attendance.ask(Withdraw("leaving")), Withdrawn)
        await until(lambda: not envoy.has(ENDPOINT, REVIEWS, b"reviews-v1"), "the endpoint goes")
        took.append(loop.time() - asked)
        await attendance.close()
    return statistics.median(took)


async def test_endpoints_move_at_once_while_the_api_is_dead(tmp_path: Path) -> None:
    first, second = folders(tmp_path)
    with running_server(first, "--roles", "xds,ca") as runtime:
        envoy = FakeEnvoy(runtime.info.xds, await identity(cast(Any, runtime), "client"))
        shared = ("--state-dir", str(runtime.state), "--roles", "api")
        with running_server(second, *shared) as front:
            await until(lambda: envoy.has(ROUTE, "http_proxy"), "the client has its first configuration")
            before = await moved(runtime, envoy)
            await asyncio.to_thread(runtime.ok, "get", "workloadentries")
            front.process.send_signal(signal.SIGKILL)
            front.process.wait(10)
            refused = await asyncio.to_thread(runtime.argosy, "get", "workloadentries")
            assert refused.returncode != 0, "the API is gone"
            after = await moved(runtime, envoy)
            assert after < max(PROMISED, 2 * before), (before, after)
        with running_server(second, *shared):
            await asyncio.to_thread(runtime.ok, "get", "workloadentries")
        await envoy.close()
