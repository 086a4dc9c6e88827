"""Real gRPC connections over a wire that goes mute: both ends find out, and those that are answered stay."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from argosy.identity.client import channel
from argosy.runtime.pings import pings
from argosy.store.etcd.client import OPTIONS
from argosy.xds.connection import channel_options
from argosy.xds.server import server_options

OWN = 60.0  # seconds after which gRPC itself gives a ping up


class Wire:
    """Forwards TCP until it is mute: then what comes is read and thrown away, and no connection ends."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.mute = False
        self.port = 0

    async def handle(self, here: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self.target)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._copy(here, onward), self._copy(there, answers))

    async def _copy(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if not self.mute:
                to.write(data)
        if not self.mute:
            to.close()


@contextlib.asynccontextmanager
async def wire_to(target: int) -> AsyncIterator[Wire]:
    wire = Wire(target)
    server = await asyncio.start_server(wire.handle, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    yield wire
    server.close()


class Held:
    """A server whose one call answers once and then stays open; `ended` where it saw the call end."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def handler(self) -> Any:
        async def stream(_requests: Any, context: Any) -> None:
            await context.write(b"here")
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.set()

        methods = {"Hold": grpc.stream_stream_rpc_method_handler(stream)}
        return grpc.method_handlers_generic_handler("test", methods)


@contextlib.asynccontextmanager
async def held(client: Any, server: Any) -> AsyncIterator[tuple[Wire, Held, Any]]:
    """A call that is open over a wire, with those options at its ends."""
    holding = Held()
    serving = grpc.aio.server(options=server)
    serving.add_generic_rpc_handlers((holding.handler(),))
    port = serving.add_insecure_port("127.0.0.1:0")
    await serving.start()
    async with (
        wire_to(port) as wire,
        grpc.aio.insecure_channel(f"127.0.0.1:{wire.port}", options=client) as link,
    ):
        method: Any = link.stream_stream
        call = method("/test/Hold")()
        assert await call.read() == b"here"
        yield wire, holding, call
        wire.mute = False
    await serving.stop(None)


async def test_a_client_finds_a_mute_server() -> None:
    async with held(pings(0.5, 0.5), ()) as (wire, _, call):
        began = time.monotonic()
        wire.mute = True
        with pytest.raises(grpc.aio.AioRpcError) as error:
            async with asyncio.timeout(OWN / 2):
                await call.read()
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - began < OWN / 2


async def test_a_server_finds_a_mute_client() -> None:
    async with held((), pings(0.5, 0.5)) as (wire, holding, _):
        wire.mute = True
        async with asyncio.timeout(OWN / 2):
            await holding.ended.wait()


async def test_a_silent_call_that_is_answered_stays() -> None:
    """Pings in both directions, many more than gRPC lets an end send by itself, cut nothing."""
    client = [*channel_options(keepalive=0.1)]
    async with held(client, server_options(keepalive=0.1)) as (_, holding, call):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await call.read()
        assert not holding.ended.is_set()


def test_every_connection_of_the_control_plane_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead peer is found within 15 s by the store, 30 s by an agent and 40 s by a server."""
    made: list[Any] = []
    monkeypatch.setattr(grpc.aio, "secure_channel", lambda *_, options: made.append(dict(options)))
    channel("127.0.0.1:1", "")
    for options, most in (
        (dict(OPTIONS), 15_000),
        (made[0], 30_000),
        (dict(channel_options()), 30_000),
        (dict(server_options()), 40_000),
    ):
        assert options["grpc.keepalive_time_ms"] + options["grpc.http2.ping_timeout_ms"] == most
