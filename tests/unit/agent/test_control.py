"""What the agent answers on its socket, with workloads that note when they are asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from argosy.agent import client, protocol
from argosy.agent.agent import Agent
from argosy.agent.control import Control
from argosy.agent.traffic import UNCOUNTED, Totals


@dataclass
class Noting:
    """A workload, as far as a list goes."""

    name: str
    counts: list[str]
    record: SimpleNamespace = field(init=False)

    def __post_init__(self) -> None:
        self.record = SimpleNamespace(name=self.name)

    async def counted(self) -> Totals:
        self.counts.append(self.name)
        return Totals(inbound=7)

    def status(self, seen: Totals = UNCOUNTED) -> protocol.WorkloadStatus:
        return protocol.WorkloadStatus(
            name=self.name, namespace="default", service=self.name, service_account=self.name,
            identity="", type="sidecar", labels={}, state="running", inbound=seen.inbound,
        )  # fmt: skip


@dataclass
class Workloads:
    workloads: dict[str, Noting]

    def status(self) -> protocol.AgentStatus:
        return protocol.AgentStatus(
            pid=1, version="0", protocol=1, started_at=0, state_dir="", metrics_address="", log=""
        )


@pytest.mark.parametrize(("counted", "asked"), [("", ["a", "b", "c"]), ("b", ["b"]), ("gone", [])])
async def test_a_list_asks_only_the_envoys_whose_requests_it_wants(
    tmp_path: Path, counted: str, asked: list[str]
) -> None:
    counts: list[str] = []
    agent = Workloads({name: Noting(name, counts) for name in ("c", "a", "b")})
    path = client.socket_path(tmp_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    control = Control(cast(Agent, agent))
    async with await asyncio.start_unix_server(control.serve, str(path)):
        events = await asyncio.to_thread(lambda: list(client.ask(tmp_path, protocol.List(counted=counted))))
    [listed] = events
    assert isinstance(listed, protocol.Listed)
    assert {one.name: one.inbound for one in listed.workloads} == {
        name: 7 if name in asked else 0 for name in ("a", "b", "c")
    }
    assert sorted(counts) == asked
