from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from argosy.agent.admin import Admin, AdminError


@asynccontextmanager
async def envoy(tmp_path: Path, answer: bytes) -> AsyncIterator[tuple[Admin, list[bytes]]]:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    path = str(tmp_path / "admin.sock")
    server = await asyncio.start_unix_server(serve, path)
    yield Admin(path), asked
    server.close()


async def test_a_chunked_answer_is_put_together(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nLIV\r\n2\r\nE\n\r\n0\r\n\r\n"
    async with envoy(tmp_path, answer) as (admin, asked):
        assert await admin.get("/ready") == b"LIVE\n"
        assert await admin.ready()
    assert asked[0].startswith(b"GET /ready HTTP/1.1\r\n")


async def test_gauges_leave_out_text_and_summaries(tmp_path: Path) -> None:
    body = b'{"stats":[{"name":"a","value":3},{"name":"v","value":"x"},{"histograms":{}},{"name":"b","value":0}]}'
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    async with envoy(tmp_path, answer) as (admin, asked):
        assert await admin.gauges("^a|b$") == {"a": 3, "b": 0}
    assert b"filter=%5Ea%7Cb%24" in asked[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 no\r\ncontent-length: 16\r\n\r\nPRE_INITIALIZING",
        b"nonsense\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ncut off",
    ],
)
async def test_anything_else_is_an_error(tmp_path: Path, answer: bytes) -> None:
    async with envoy(tmp_path, answer) as (admin, _):
        assert not await admin.ready()
        with pytest.raises(AdminError, match="GET /x"):
            await admin.get("/x")


async def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AdminError, match="GET /ready"):
        await Admin(str(tmp_path / "none.sock")).get("/ready")


async def test_silence_is_an_error(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(tmp_path / "s"))
    with pytest.raises(AdminError, match="no answer within"):
        await Admin(str(tmp_path / "s")).get("/ready", timeout=0.05)
    server.close()
