"""A scripted agent on a real Unix socket: it says what the test tells it to, and keeps what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest

from argosy.agent import client, protocol
from argosy.runtime.paths import private_dir, runtime_dir

R = TypeVar("R", bound=protocol.Message)
BOUND = 60.0


class Agent:
    """Accepts one lease after another; `said` is everything it was told, in order."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.said: asyncio.Queue[protocol.Message] = asyncio.Queue()
        self.writer: asyncio.StreamWriter | None = None
        self.server: asyncio.Server | None = None
        self.workloads: tuple[protocol.WorkloadStatus, ...] = ()
        self.counted: list[str] = []  # whose requests each question for the list wanted

    async def listen(self) -> None:
        path = client.socket_path(self.state)
        private_dir(path.parent)
        path.unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self.accept, str(path))

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line == b"\n":
                writer.write(b"\n")
                continue
            request = protocol.requests.decode(line)
            if isinstance(request, protocol.List):
                self.counted.append(request.counted)
                status = protocol.AgentStatus(
                    pid=1,
                    version="0",
                    protocol=protocol.PROTOCOL,
                    started_at=0,
                    state_dir=str(self.state),
                    metrics_address="",
                    log="",
                )
                writer.write(protocol.line(protocol.Listed(agent=status, workloads=self.workloads)))
                break
            if isinstance(request, protocol.Start | protocol.Attach):
                self.writer = writer
            await self.said.put(request)
        writer.close()

    async def told(self, kind: type[R]) -> R:
        """The next thing it was told, which must be of this kind."""
        message = await asyncio.wait_for(self.said.get(), BOUND)
        assert isinstance(message, kind), f"expected {kind.__name__}, was told {message}"
        return message

    async def say(self, *events: protocol.Event) -> None:
        assert self.writer is not None
        for event in events:
            self.writer.write(protocol.line(event))
        await self.writer.drain()

    def drop(self) -> None:
        """Ends the connection as a killed agent would."""
        assert self.writer is not None
        self.writer.close()

    async def close(self) -> None:
        if self.server:
            self.server.close()
        if self.writer:
            self.writer.close()


@pytest.fixture
async def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agent]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path)) if len(str(tmp_path)) < 40 else None
    state = tmp_path / "state"
    state.mkdir()
    running = Agent(state)
    await running.listen()
    yield running
    await running.close()
    for left in runtime_dir(state).iterdir():
        left.unlink()
    runtime_dir(state).rmdir()
