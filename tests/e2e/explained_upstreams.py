"""Upstreams that remember what reached them: which of them it was, over which connection, and how often it was tried.

Each answers in plaintext, in TLS and in TLS within TLS, whichever comes. A request says by a header that it is to fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from tests.e2e.explained_relays import Relay
from tests.e2e.translate_envoy import Authority

FAILS = "x-fail"
"""A header: `503`: that is answered; `reset`: the connection ends without an answer."""
OWN_HEADERS = (("x-echo", "1"), ("x-b", "here"), ("access-control-allow-origin", "own"))
"""Of every answer that is none of a failure."""
FAILED_HEADERS = (("x-b", "failed"), ("access-control-allow-origin", "own"))
SHADOW = "-shadow"
"""Facts (Envoy): behind the host of a copy."""


@dataclass(frozen=True)
class Hop:
    """One request as an upstream got it."""

    address: str  # of the upstream
    shadow: bool
    tls: str  # mutual | originated | plaintext
    server_name: str
    caller: str  # the identity in the client's certificate
    got: dict[str, Any]
    within: str = ""  # the server name of TLS inside that TLS
    through: str = ""  # the gateway of a network that passed the connection on

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.got["headers"] if key == name), None)


class Upstreams:
    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.hops: dict[str, list[Hop]] = {}  # by user agent
        self.relay = Relay()
        self.tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def one(self, folder: Path, identity: str, host: str = "127.0.0.1") -> AsyncIterator[int]:
        """An upstream with a certificate for the identity; its port."""
        chain, key = self.authority.issue(identity, "upstream.test")
        file = folder / f"{identity.rpartition('/')[2]}.pem"
        file.write_bytes(chain + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.verify_mode = ssl.CERT_OPTIONAL
        roots = folder / "roots.pem"
        roots.write_bytes(self.authority.pem())
        context.load_verify_locations(roots)
        context.sni_callback = _named
        listening = socket.create_server((host, 0), backlog=200)
        listening.setblocking(False)
        port = int(listening.getsockname()[1])
        accepting = asyncio.create_task(self._accept(listening, context, f"{host}:{port}"))
        try:
            yield port
        finally:
            accepting.cancel()
            for task in self.tasks:
                task.cancel()
            listening.close()

    async def _accept(self, listening: socket.socket, context: ssl.SSLContext, address: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            accepted, _ = await loop.sock_accept(listening)
            task = asyncio.create_task(self._serve(accepted, context, address))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _serve(self, accepted: socket.socket, context: ssl.SSLContext, address: str) -> None:
        loop = asyncio.get_running_loop()
        # Cancelled is who is left when the test ends.
        with contextlib.suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            readable = asyncio.Event()
            loop.add_reader(accepted, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(accepted)
            tls = context if accepted.recv(1, socket.MSG_PEEK) == b"\x16" else None
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted, ssl=tls)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            host, number = accepted.getpeername()
            through = self.relay.address if f"{host}:{number}" in self.relay.made else ""
            outer: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
            try:
                first = await reader.readexactly(1)
                if outer is None or first != b"\x16":
                    await self._answer(reader, writer, address, first, outer, through=through)
                    return
                inner = Within(reader, writer, context, first)
                pumping = asyncio.create_task(inner.pump())
                try:
                    await self._answer(inner.reader, inner, address, b"", outer, inner.tls, through)
                finally:
                    pumping.cancel()
            finally:
                writer.close()

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: Writes,
        address: str,
        first_byte: bytes,
        tls: ssl.SSLObject | None,
        within: ssl.SSLObject | None = None,
        through: str = "",
    ) -> None:
        """`first_byte`: what is already read."""
        while True:
            head = (first_byte + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first_byte = b""
            first, *lines = head.rstrip("\r\n").split("\r\n")
            method, path, _ = first.split(" ", 2)
            pairs = (line.partition(":") for line in lines)
            headers = [(name.lower(), value.strip()) for name, _, value in pairs]
            length = next((int(value) for name, value in headers if name == "content-length"), 0)
            await reader.readexactly(length)
            got = {"method": method, "path": path, "headers": headers}
            hop = replace(_hop(tls, within, address, got), through=through)
            self.hops.setdefault(hop.header("user-agent") or "", []).append(hop)
            match None if hop.shadow else hop.header(FAILS):
                case "reset":
                    return
                case "503":
                    writer.write(_head("503 Service Unavailable", FAILED_HEADERS, 0))
                case _:
                    body = json.dumps(got).encode()
                    writer.write(_head("200 OK", OWN_HEADERS, len(body)) + body)
            await writer.drain()


def _head(status: str, headers: tuple[tuple[str, str], ...], length: int) -> bytes:
    own = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status}\r\n{own}content-length: {length}\r\n\r\n".encode()


def _named(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    vars(tls)["asked_for"] = name or ""


def _hop(tls: ssl.SSLObject | None, within: ssl.SSLObject | None, address: str, got: dict[str, Any]) -> Hop:
    host = next((value for name, value in got["headers"] if name == "host"), "")
    shadow = host.partition(":")[0].endswith(SHADOW)
    if tls is None:
        return Hop(address, shadow, "plaintext", "", "", got)
    certificate = tls.getpeercert() or {}
    names: Any = certificate.get("subjectAltName", ())
    caller = str(next((value for key, value in names if key == "URI"), ""))
    kind = "mutual" if caller else "originated"
    name = vars(tls).get("asked_for", "")
    return Hop(address, shadow, kind, name, caller, got, vars(within)["asked_for"] if within else "")


class Writes(Protocol):
    def write(self, data: bytes, /) -> None: ...
    async def drain(self) -> None: ...


class Within:
    """The server's end of TLS that comes within TLS. `reader` has what is inside."""

    def __init__(
        self, outer: asyncio.StreamReader, out: asyncio.StreamWriter, context: ssl.SSLContext, first: bytes
    ) -> None:
        """`first`: what is already read of it."""
        self.outer, self.out = outer, out
        self.reader = asyncio.StreamReader()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.incoming.write(first)
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    async def pump(self) -> None:
        shaken = False
        try:
            while data := await self.outer.read(65536):
                self.incoming.write(data)
                with contextlib.suppress(ssl.SSLWantReadError):
                    if not shaken:
                        self.tls.do_handshake()
                        shaken = True
                    while plain := self.tls.read(65536):
                        self.reader.feed_data(plain)
                self._send()
        except OSError as error:
            self.reader.set_exception(error)
        finally:
            self.reader.feed_eof()

    def write(self, data: bytes, /) -> None:
        self.tls.write(data)
        self._send()

    async def drain(self) -> None:
        await self.out.drain()

    def _send(self) -> None:
        self.out.write(self.outgoing.read())
