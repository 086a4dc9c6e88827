"""The registration joined to a server that answers as told, over a plain channel."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import grpc
import msgspec
import pytest

from argosy.agent import registration
from argosy.agent.link import Link
from argosy.agent.registration import Registration
from argosy.identity.client import Svid
from argosy.xds.registration import (
    ATTEND,
    AgentMessage,
    Announced,
    Left,
    Refused,
    Register,
    Registered,
    ServerMessage,
    Servers,
    Withdrawn,
)

REGISTER = Register(workload="w", namespace="n", service_account="s", service="s", address="127.0.0.1")


class Server:
    def __init__(self) -> None:
        self.streams: list[list[str]] = []
        self.reasons: list[str] = []
        self.refuse: dict[str, str] = {}
        self.pushed: tuple[str, ...] = ()  # said before each answer
        self.hang_up = asyncio.Event()
        self.port = 0
        self.server: grpc.aio.Server | None = None

    async def start(self) -> None:
        service, _, method = ATTEND.removeprefix("/").partition("/")
        self.server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(self._attend)
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop(0)

    async def _attend(self, requests: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
        said: list[str] = []
        self.streams.append(said)
        answers: dict[str, ServerMessage] = {
            "Register": Registered(entry="n/w", xds_addresses=("one:1",)),
            "Announce": Announced(acknowledged=0),
            "Withdraw": Withdrawn(acknowledged=0),
            "Leave": Left(),
        }
        async for data in requests:
            if self.pushed:
                yield msgspec.json.encode(Servers(xds_addresses=self.pushed))
            message = msgspec.json.decode(data, type=AgentMessage)
            kind = type(message).__name__
            said.append(kind)
            self.reasons.append(getattr(message, "reason", ""))
            if kind in self.refuse:
                yield msgspec.json.encode(Refused(field="f", message=self.refuse[kind]))
            else:
                yield msgspec.json.encode(answers[kind])


class PlainLink:
    def __init__(self, server: Server) -> None:
        self.server = server

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[grpc.aio.Channel]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.server.port}") as channel:
            yield channel


class Told:
    def __init__(self) -> None:
        self.registered: list[Registered] = []
        self.refused: list[Refused] = []
        self.settled: list[bool] = []
        self.servers: list[tuple[str, ...]] = []

    async def on_registered(self, answer: Registered) -> None:
        self.registered.append(answer)

    async def on_refused(self, answer: Refused) -> None:
        self.refused.append(answer)

    async def on_settled(self, announced: bool) -> None:
        self.settled.append(announced)


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def attended() -> AsyncIterator[tuple[Registration, Server, Told]]:
    server, told = Server(), Told()
    await server.start()
    one = Registration(
        cast(Link, PlainLink(server)),
        REGISTER,
        on_registered=told.on_registered,
        on_refused=told.on_refused,
        on_settled=told.on_settled,
        on_servers=told.servers.append,
    )
    task = asyncio.create_task(one.run())
    try:
        yield one, server, told
    finally:
        task.cancel()
        await server.stop()


async def test_it_registers_announces_withdraws_and_leaves() -> None:
    async with attended() as (one, server, told):
        await asyncio.wait_for(one.registered.wait(), 10)
        assert (one.connected, one.known, one.announced) == (True, True, False)
        one.announce()
        await eventually(lambda: one.announced)
        one.withdraw("probe failed")
        await asyncio.wait_for(one.withdrawn.wait(), 10)
        assert not one.announced
        one.announce()
        await eventually(lambda: one.announced)
        one.withdraw("leaving")
        await asyncio.wait_for(one.withdrawn.wait(), 10)
        one.leave()
        await asyncio.wait_for(one.left.wait(), 10)
        assert server.streams == [["Register", "Announce", "Withdraw", "Announce", "Withdraw", "Leave"]]
        assert server.reasons == ["", "", "probe failed", "", "leaving", ""]
        assert told.settled == [True, False, True, False]


async def test_after_a_reconnection_it_says_again_what_it_wants() -> None:
    async with attended() as (one, server, _):
        one.announce()
        await eventually(lambda: one.announced)
        await server.stop()
        await eventually(lambda: not one.connected)
        await server.start()
        await eventually(lambda: len(server.streams) == 2 and len(server.streams[1]) == 2)
        assert server.streams[1] == ["Register", "Announce"]


async def test_a_withdrawal_that_was_not_confirmed_is_said_again() -> None:
    async with attended() as (one, server, _):
        await asyncio.wait_for(one.registered.wait(), 10)
        await server.stop()
        await eventually(lambda: not one.connected)
        one.withdraw("leaving")
        await server.start()
        await asyncio.wait_for(one.withdrawn.wait(), 10)
        assert server.streams[-1] == ["Register", "Withdraw"]


async def test_other_ports_are_registered_on_a_new_stream() -> None:
    async with attended() as (one, server, told):
        one.announce()
        await eventually(lambda: one.announced)
        one.update(msgspec.structs.replace(REGISTER, address="127.0.0.2"))
        await asyncio.wait_for(one.registered.wait(), 10)
        await eventually(lambda: len(told.settled) == 2)
        assert server.streams[1] == ["Register", "Announce"]


async def test_a_refusal_is_told_and_tried_again() -> None:
    async with attended() as (one, server, told):
        await asyncio.wait_for(one.registered.wait(), 10)
        server.refuse["Announce"] = "the entry is gone"
        one.announce()
        await eventually(lambda: told.refused)
        assert told.refused[0].message == "the entry is gone"
        assert not one.announced
        server.refuse.clear()
        await eventually(lambda: one.announced)
        assert server.streams[-1] == ["Register", "Announce"]


SVID = Svid(chain="", key="", bundle="", not_before=0, not_after=0, renew_after=0)


def test_an_undelivered_leave_is_kept_until_it_is_void(tmp_path: Path) -> None:
    registration.keep(tmp_path, REGISTER, "127.0.0.1:1", SVID)
    (note,) = registration.undelivered(tmp_path)
    assert note.register == REGISTER
    assert note.at <= time.time()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "left").iterdir())
    registration.cancel(tmp_path, "n", "w")
    assert registration.undelivered(tmp_path) == ()
    assert list((tmp_path / "left").iterdir()) == []


async def test_a_leave_whose_certificate_has_ended_is_void(tmp_path: Path) -> None:
    registration.keep(tmp_path, REGISTER, "127.0.0.1:1", SVID)
    (note,) = registration.undelivered(tmp_path)
    assert await registration.deliver(tmp_path, note, lambda: "", 1.0)
    assert registration.undelivered(tmp_path) == ()


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_note_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "n.w.json").write_text(text)
    assert registration.undelivered(tmp_path) == ()


async def test_where_the_servers_are_is_heard_and_answers_nothing() -> None:
    async with attended() as (one, server, told):
        await asyncio.wait_for(one.registered.wait(), 10)
        assert told.servers == [("one:1",)]
        server.pushed = ("one:1", "two:2")
        one.announce()
        await eventually(lambda: one.announced)
        one.withdraw("leaving")
        await asyncio.wait_for(one.withdrawn.wait(), 10)
        assert told.servers == [("one:1",), ("one:1", "two:2"), ("one:1", "two:2")]
