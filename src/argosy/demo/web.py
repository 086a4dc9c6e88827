"""HTTP/1.1 for the shop's services: a small asyncio server and client with kept connections, nothing else imported.

The services are what a user's would be: they know nothing of the mesh. The client goes where `http_proxy` says, as
every HTTP client does; names such as `reviews` are never resolved here, the sidecar does that.
Limits: bodies by Content-Length or chunked; no upgrade, no pipelining.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

REASONS = {200: "OK", 303: "See Other", 404: "Not Found", 500: "Internal Server Error", 502: "Bad Gateway"}
PASSED_ON = (
    "end-user",
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
)
"""Headers a service copies from the request it serves to the requests it makes: who asks, and the trace."""


class Request(Struct, frozen=True):
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes = b""

    @property
    def caller(self) -> str:
        """The identity the caller proved by its certificate, as the sidecar tells it: docs/caller.md."""
        return self.headers.get("x-argosy-caller", "")

    def passed_on(self) -> dict[str, str]:
        return {name: self.headers[name] for name in PASSED_ON if name in self.headers}


class Response(Struct, frozen=True):
    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = {}

    @classmethod
    def json(cls, value: object, status: int = 200) -> Response:
        return cls(json.dumps(value).encode(), status)


class Answer(Struct, frozen=True):
    """What a call came back with; `status` 0: no answer, `error` says why."""

    status: int
    headers: dict[str, str]
    body: bytes
    milliseconds: float
    error: str = ""

    def decoded(self) -> dict[str, object]:
        """The JSON object of a 200; {} otherwise."""
        if self.status != 200:
            return {}
        value = json.loads(self.body)
        return value if isinstance(value, dict) else {}


Handler = Callable[[Request], Awaitable[Response]]


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """First line and headers. Raises IncompleteReadError where the peer has gone."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text[:-4].split("\r\n")
    return first, {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = bytearray()
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        while (await reader.readline()).strip():
            pass  # trailers
        return bytes(body)
    return await reader.readexactly(int(headers.get("content-length", "0")))


class Server:
    """Serves until SIGTERM or SIGINT; then lets the requests it has run to their end."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.active = 0

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            pass  # the peer has gone, or does not speak HTTP
        except asyncio.CancelledError:
            pass  # the end of the program; Python 3.11's streams would print it as an error
        finally:
            writer.close()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, headers = await read_head(reader)
        method, target, _ = first.split(" ", 2)
        body = await read_body(reader, headers)
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.active += 1
        try:
            response = await self.handler(Request(method, parts.path, query, headers, body))
        except Exception as error:
            print(f"{method} {target}: {error!r}", file=sys.stderr, flush=True)
            response = Response.json({"error": repr(error)}, 500)
        finally:
            self.active -= 1
        keep = headers.get("connection", "").lower() != "close"
        lines = [
            f"HTTP/1.1 {response.status} {REASONS.get(response.status, '')}",
            f"content-type: {response.content_type}",
            f"content-length: {len(response.body)}",
            *(f"{name}: {value}" for name, value in response.headers.items()),
            *([] if keep else ["connection: close"]),
        ]
        writer.write(
            "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if method == "HEAD" else response.body)
        )
        await writer.drain()
        return keep


def stop_event() -> asyncio.Event:
    """Set by SIGTERM or SIGINT. To be made before one listens: who is seen to listen may be asked to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def serve(handler: Handler, port: int) -> None:
    """Listens on the loopback alone: whoever wants in comes through the sidecar."""
    stop = stop_event()
    server = Server(handler)
    listener = await asyncio.start_server(server.connection, "127.0.0.1", port, limit=1 << 16)
    await stop.wait()
    listener.close()
    deadline = time.monotonic() + 5
    while server.active and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


class Client:
    """Requests through the proxy that the environment names, on kept connections, one request at a time on each."""

    def __init__(self, proxy: str | None = None, timeout: float = 15) -> None:
        named = os.environ.get("http_proxy", "") if proxy is None else proxy
        self.proxy = urlsplit(named) if named else None
        self.timeout = timeout
        self.idle: dict[tuple[str, int], list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}

    async def get(self, url: str, headers: dict[str, str] | None = None) -> Answer:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout):
                status, seen, body = await self.request(url, headers or {})
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            why = "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            return Answer(0, {}, b"", (time.perf_counter() - began) * 1000, why)
        return Answer(status, seen, body, (time.perf_counter() - began) * 1000)

    async def request(self, url: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(url)
        target = url if self.proxy else (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        through = self.proxy or parts
        place = (through.hostname or "127.0.0.1", through.port or 80)
        lines = [
            f"GET {target} HTTP/1.1",
            f"host: {parts.netloc}",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        payload = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        kept = self.idle.setdefault(place, [])
        while kept:
            # A kept connection may have been closed meanwhile: then, and only where nothing came back, once more.
            reader, writer = kept.pop()
            if reader.at_eof() or writer.is_closing():
                writer.close()
                continue
            try:
                return await self.exchange(place, reader, writer, payload)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                if isinstance(error, asyncio.IncompleteReadError) and error.partial:
                    raise
        reader, writer = await asyncio.open_connection(*place)
        return await self.exchange(place, reader, writer, payload)

    async def exchange(
        self,
        place: tuple[str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        payload: bytes,
    ) -> tuple[int, dict[str, str], bytes]:
        kept = False
        try:
            writer.write(payload)
            first, headers = await read_head(reader)
            body = await read_body(reader, headers)
            kept = headers.get("connection", "").lower() != "close"
            return int(first.split(" ", 2)[1]), headers, body
        finally:
            if kept:
                self.idle[place].append((reader, writer))
            else:
                writer.close()

    async def close(self) -> None:
        for connections in self.idle.values():
            for _, writer in connections:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        self.idle.clear()
