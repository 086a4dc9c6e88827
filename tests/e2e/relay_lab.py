"""The lab of `envoy_lab.py` with an agent's relay between the server and Envoy, both joined by their real gRPC shells.

`said` is what passes between server and relay, `heard` what passes between relay and Envoy, `saved` each state that an
agent may have written to disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import structlog

from argosy.xds.connection import Backoff, Connection, channel_options
from argosy.xds.relay import Relay
from argosy.xds.server import Peer, Session
from argosy.xds.stream import HOLD
from argosy.xds.view import View
from argosy.xds.wire import Node
from tests.e2e.envoy_lab import Lab, Noting, ads_server


@dataclass
class RelayLab(Lab):
    """One Envoy, one agent with one relay, one server. A new Relay never sees the old one, only what that one saved."""

    heard: list[str] = field(default_factory=list)
    saved: list[bytes] = field(default_factory=list)
    _relay: Relay | None = None
    _outlet: grpc.aio.Server | None = None
    _fetching: asyncio.Task[None] | None = None

    @property
    def server_socket(self) -> Path:
        return self.folder / "server.sock"

    @property
    def relay(self) -> Relay:
        assert self._relay is not None, "start_agent comes first"
        return self._relay

    async def start_agent(self, saved: bytes | None = None) -> None:
        def save() -> None:
            if relay.dirty:
                self.saved.append(relay.acknowledged_state())

        relay = self._relay = Relay(Node(id="agent"), View(), on_status=save)
        if saved is not None:
            relay.restore(saved)

        async def resolve(node: Node, peer: Peer) -> Session:
            return Noting(relay.session(), self.heard)

        def open_channel() -> grpc.aio.Channel:
            return grpc.aio.insecure_channel(f"unix:{self.server_socket}", options=channel_options())

        self._outlet = await ads_server(self.folder / "ads.sock", resolve)
        connection = Connection(
            relay, open_channel, structlog.get_logger(), backoff=Backoff(first=0.05, most=0.5)
        )
        self._fetching = asyncio.create_task(connection.run())

    async def stop_agent(self) -> bytes:
        """Ends the agent; returns what it saved last."""
        saved = self.relay.acknowledged_state()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait((self._fetching,))
        if self._outlet is not None:
            await self._outlet.stop(None)
        self._fetching = self._outlet = None
        return saved

    async def restart_agent(self) -> None:
        await self.start_agent(await self.stop_agent())

    async def stop_envoy(self) -> None:
        """Ends Envoy, and waits until the agent knows."""
        await super().stop_envoy()
        if self._outlet is not None:
            await self.until(lambda: not self.relay.connected, "the agent knows that Envoy is gone")

    async def restart_envoy(self) -> None:
        await self.stop_envoy()
        self.start_envoy()

    async def serve_again(self) -> None:
        """A server that knows nothing of its predecessor's streams; waits until the agent has asked for everything."""
        streams = len(self.streams)
        await self.serve()

        def asked() -> bool:
            return len(self.streams) > streams and set(self.stream.types()) >= set(self.relay.client.types())

        await self.until(asked, "the agent is back")

    async def quiet(self) -> None:
        """Waits until Envoy has everything that the server has (or has refused it), and the server every answer."""
        await self.until(lambda: self.stream.settled() and self.relay.is_idle(), "everything is acknowledged")

    async def says(self, port: int, body: str) -> None:
        """Waits until the port answers 200 with the body."""

        async def same() -> bool:
            answer = await self.get(port)
            return answer.status_code == 200 and answer.text == body

        await self.until(same, f"port {port} says {body!r}")

    async def begins_with(self, port: int) -> str:
        """What a new Envoy says at a port once it accepts connections there: the first answer, which must be good."""

        async def first() -> httpx.Response | None:
            async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
                try:
                    return await client.get(f"http://127.0.0.1:{port}/")
                except httpx.ConnectError:
                    return None
                except httpx.HTTPError as error:
                    return httpx.Response(599, text=repr(error))

        answer: httpx.Response = await self.until(first, f"port {port} is open")
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}\n" + "\n".join(self.heard)
        return answer.text


@asynccontextmanager
async def running_relay_lab(folder: Path, hold: float = HOLD) -> AsyncIterator[RelayLab]:
    """`hold`: the server's."""
    lab = RelayLab(folder, hold=hold)
    await lab.serve()
    await lab.start_agent()
    try:
        yield lab
    finally:
        await lab.stop_envoy()
        with contextlib.suppress(Exception):
            await lab.stop_agent()
            await lab.stop_serving()


@dataclass
class Load:
    """What became of the requests so far."""

    answers: Counter[str] = field(default_factory=Counter)  # the body of each that succeeded
    failures: list[str] = field(default_factory=list)


@asynccontextmanager
async def load(port: int, workers: int = 4) -> AsyncIterator[Load]:
    """Requests one after the other from each worker, until the block ends; nothing is tried twice."""
    result = Load()
    going_on = True

    async def work(client: httpx.AsyncClient) -> None:
        while going_on:
            try:
                answer = await client.get(f"http://127.0.0.1:{port}/")
            except httpx.HTTPError as error:
                result.failures.append(repr(error))
                continue
            if answer.status_code == 200:
                result.answers[answer.text] += 1
            else:
                result.failures.append(f"{answer.status_code} {answer.text}")

    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        tasks = [asyncio.create_task(work(client)) for _ in range(workers)]
        try:
            yield result
        finally:
            going_on = False
            await asyncio.gather(*tasks)
