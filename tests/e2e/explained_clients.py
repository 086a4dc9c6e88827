"""A client of one of Envoy's listeners, and what it was answered."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from argosy.explain.request import Request
from tests.e2e.explained_upstreams import Hop


@dataclass
class Answer:
    status: int
    location: str = ""
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    got: dict[str, Any] | None = None  # what the upstream got
    hops: list[Hop] = field(default_factory=list)  # every attempt, in order
    shadows: list[Hop] = field(default_factory=list)
    agent: str = ""  # by which the request is known
    cluster: str = ""  # that Envoy chose
    line: dict[str, Any] = field(default_factory=dict)  # of the access log


class Client:
    """One connection to a listener; opened again where Envoy closes it."""

    def __init__(self, port: int, by_proxy: bool) -> None:
        self.port = port
        self.by_proxy = by_proxy
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: Request, agent: str) -> Answer:
        for last in (False, True):
            if self.streams is None:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                async with asyncio.timeout(60):
                    return await self.exchange(*self.streams, request, agent)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.close()
                if last:
                    raise
        raise AssertionError

    async def exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request, agent: str
    ) -> Answer:
        target = f"http://{request.authority}{request.path}" if self.by_proxy else request.path
        lines = [f"{request.method} {target} HTTP/1.1", f"Host: {request.authority}", f"User-Agent: {agent}"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        if request.method in ("POST", "PUT"):
            lines.append("Content-Length: 0")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n")
        first, *rest = head.split("\r\n")
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in rest)]
        headers = dict(pairs)
        status = int(first.split(" ")[1])
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int((await reader.readline()).strip() or b"0", 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        elif request.method != "HEAD" and status not in (204, 304):
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        got = json.loads(body) if "x-echo" in headers else None
        return Answer(status, headers.get("location", ""), body, pairs, got)

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None
