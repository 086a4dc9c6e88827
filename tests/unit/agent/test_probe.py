from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from argosy.agent import probe
from argosy.agent.probe import FAILURES, PERIOD, RETRY, SILENCES, Target, Verdict


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """A server on 127.0.0.1 that reads something, says `answer` and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 301 Go\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n", ""),
        (b"HTTP/1.1 503 Off\r\ncontent-length: 0\r\n\r\n", "status 503"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
    ],
)
async def test_http_counts_any_answer_below_500(answer: bytes, problem: str) -> None:
    async with answering(answer) as port:
        said = await probe.ask(Target(port, "http"))
    assert said == problem if not problem else said.startswith(problem)


async def test_http_that_closes_without_an_answer_fails() -> None:
    async with answering(b"") as port:
        assert await probe.ask(Target(port, "http"))


async def test_tcp_counts_a_connection() -> None:
    async with answering(b"") as port:
        for protocol in ("tcp", "tls", "http2"):
            assert await probe.ask(Target(port, protocol)) == ""
    for protocol in ("tcp", "http"):
        assert "refused" in await probe.ask(Target(port, protocol))


async def test_silence_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TimeoutError, match="no answer within"):
        await probe.ask(Target(port, "http"), timeout=0.05)
    server.close()


@pytest.mark.parametrize(
    ("answer", "problem"), [(b"\x08\x01", ""), (b"\x08\x02", "SERVING"), (b"", "SERVING"), (None, "")]
)
async def test_grpc_asks_the_health_service_where_there_is_one(answer: bytes | None, problem: str) -> None:
    async def check(_: bytes, __: object) -> bytes:
        assert answer is not None
        return answer

    server = grpc.aio.server()
    if answer is not None:
        handler = grpc.unary_unary_rpc_method_handler(check)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
        )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    said = await probe.ask(Target(port, "grpc"))
    await server.stop(0)
    assert said == problem if not problem else problem in said


async def test_grpc_on_a_port_nobody_listens_on_fails() -> None:
    async with answering(b"") as port:
        pass
    assert "UNAVAILABLE" in await probe.ask(Target(port, "grpc"))


class Over(Exception):
    pass


async def watched(*answers: str) -> tuple[list[Verdict], list[float]]:
    """What is told, and the pauses between probes, while the application answers so."""
    told: list[Verdict] = []
    pauses: list[float] = []
    left = iter(answers)

    async def ask(_: Target) -> str:
        try:
            answer = next(left)
        except StopIteration:
            raise Over from None
        if answer == SILENCE:
            raise TimeoutError(answer)
        return answer

    async def tell(verdict: Verdict) -> None:
        told.append(verdict)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    with pytest.raises(Over):
        await probe.watch((Target(1, "tcp"),), tell, ask=ask, sleep=sleep)
    return told, pauses


SILENCE = "no answer within 2 s"
DOWN = Verdict(False, "tcp on 127.0.0.1:1: off")
SILENT = Verdict(False, f"tcp on 127.0.0.1:1: {SILENCE}")
UP = Verdict(True, "")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (("",), [UP]),
        (("", "", ""), [UP]),
        (("off", "off", ""), [UP]),  # it starts slowly
        (("off",) * FAILURES, [DOWN]),
        (("off",) * 10, [DOWN]),  # told once
        (("", "off", "off", ""), [UP]),  # a hiccup
        (("", "off", "off", "off", "off"), [UP, DOWN]),
        (("", "off", "off", "off", ""), [UP, DOWN, UP]),
        (("off", "off", "off", ""), [DOWN, UP]),
        (("", *(SILENCE,) * (SILENCES - 1), ""), [UP]),  # busy, not broken
        (("", *(SILENCE,) * SILENCES), [UP, SILENT]),
        (("", *(SILENCE,) * 5, "off", "off", "off"), [UP, DOWN]),  # it was busy dying
        (("", "off", SILENCE, "off", SILENCE, "off"), [UP, DOWN]),
        ((SILENCE,) * FAILURES, [SILENT]),  # it never answered: whoever waits for it hears why
    ],
)
async def test_changes_are_told_once(answers: tuple[str, ...], told: list[Verdict]) -> None:
    assert (await watched(*answers))[0] == told


async def test_it_asks_often_while_it_starts_and_seldom_once_it_runs() -> None:
    _, pauses = await watched("off", "off", "off", "off", "off", "", "", "off", "")
    assert pauses[:5] == sorted(pauses[:5])
    assert pauses[4] <= RETRY
    assert pauses[5:] == [PERIOD, PERIOD, RETRY, PERIOD]


async def test_all_ports_must_answer() -> None:
    told: list[Verdict] = []
    rounds = 0

    async def ask(target: Target) -> str:
        nonlocal rounds
        rounds += 1
        if rounds > 20:
            raise Over
        return "off" if target.port == 2 else ""

    async def tell(verdict: Verdict) -> None:
        told.append(verdict)

    async def sleep(_: float) -> None: ...

    with pytest.raises(Over):
        await probe.watch((Target(1, "http"), Target(2, "grpc")), tell, ask=ask, sleep=sleep)
    assert told == [Verdict(False, "grpc on 127.0.0.1:2: off")]


async def test_a_client_has_nothing_to_be_probed() -> None:
    async def tell(_: Verdict) -> None:
        raise AssertionError

    tell_: Callable[[Verdict], Awaitable[None]] = tell
    await probe.watch((), tell_)
