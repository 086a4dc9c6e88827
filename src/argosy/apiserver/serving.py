"""Serving an ASGI application inside a running event loop: uvicorn without its signals, its logging or its process.

Rule: what can go wrong with an address or a certificate goes wrong in `serve`, as a Failure that names it; and stopping
is bounded: watches are told to end (scope key CLOSING), other requests have `grace` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from argosy.apiserver.peer import PEER, Peer
from argosy.apiserver.watching import CLOSING
from argosy.runtime.errors import Failure
from argosy.runtime.files import open_files

GRACE_SECONDS = 5
LONGEST_HEAD = 64 << 10
KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep an idle connection, so that it is they who close it and no request meets a closed one."""
HEAD_WITHIN = 20.0
"""Seconds in which the head of a request must have come, once there is a connection or its first byte."""
OF_FILES = 4
"""A quarter of the files that may be open are for the connections of one server: so many that nobody meets it, and the
store and the proxies always have theirs."""
LONGEST_SOCKET_PATH = 107
PROBES = (60, 30, 4)
"""When a quiet connection is probed first and then, in seconds, and how often without an answer."""
NO_CHECK_TIME = 0x200000  # OpenSSL: X509_V_FLAG_NO_CHECK_TIME


class Serving:
    """A server that runs until `stop`. `port` is the bound one; 0 for a Unix socket."""

    def __init__(
        self, server: _Server, task: asyncio.Task[None], closing: asyncio.Event, port: int, uds: Path | None
    ) -> None:
        self.port = port
        self._uds = uds
        self._server = server
        self._task = task
        self._closing = closing

    def renew(self, cert: Path, key: Path) -> None:
        """New connections get this certificate; those that are open stay."""
        context = self._server.config.ssl
        if context is None:
            raise Failure("this address is served without TLS", "restart with a certificate")
        _load(context, cert, key)

    async def stop(self) -> None:
        """Lets requests finish (bounded), then closes every connection and the socket."""
        self._server.should_exit = True
        self._closing.set()
        await self._task
        if self._uds is not None:
            self._uds.unlink(missing_ok=True)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self._closing = closing

    async def main_loop(self) -> None:
        """Once a second, for the date header, and at once when it is to stop; uvicorn's wakes ten times as often."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._closing.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, not to one of its servers."""
        yield


class _Protocol(H11Protocol):
    """One connection: its requests are told who is at the other end, and their heads may not take for ever."""

    _head: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, most: int, **settings: Any) -> None:
        """`most`: connections of this server at once; one more is closed."""
        super().__init__(*arguments, **settings)
        self._most = most

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.abort()
            return
        peer, app = Peer.of(transport), self.app

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            scope[PEER] = peer
            await app(scope, receive, send)

        self.app = told
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect_head()
        else:
            self._forget_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_WITHIN, self._give_up)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def send_400_response(self, msg: str) -> None:
        """Where an answer has begun, none can be given any more: what follows on this connection is no HTTP."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _give_up(self) -> None:
        self._head = None
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()


async def serve(
    app: ASGIApp,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    cert: Path | None = None,
    key: Path | None = None,
    clients: str = "",
    check_time: bool = True,
    uds: Path | None = None,
    everybody: bool = False,
    flag: str = "--api-address",
    grace: int = GRACE_SECONDS,
    connections: int = 0,
) -> Serving:
    """Serves on host and port (0: a free one), or on a Unix socket. Returns when it answers. Raises Failure.

    `clients`: the authorities (PEM) whose certificates a client may show; "": it is asked for none. `check_time` False:
    one that is too old passes, too: who reads it refuses it. `everybody`: all users of the host may connect to the Unix
    socket, not this one alone. `flag` is the option that a person would change where the address cannot be used.
    `connections`: at once; 0: a part of the files that may be open.
    """
    bound = _bind_unix(uds, 0o666 if everybody else 0o600) if uds is not None else _bind(host, port, flag)
    closing = asyncio.Event()

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CLOSING] = closing
        await app(scope, receive, send)

    config = uvicorn.Config(
        told,
        loop="none",
        http=cast(type[asyncio.Protocol], partial(_Protocol, most=connections or open_files() // OF_FILES)),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        ssl_context_factory=None
        if cert is None or key is None
        else lambda *_: _context(cert, key, clients, check_time),
    )
    try:
        config.load()
        server = _Server(config, closing)
        task = asyncio.create_task(server.serve(sockets=[bound]), name="serving")
        while not server.started:
            if task.done():
                await task
                raise Failure(f"the server on {host}:{port} ended at once", "look at the log")
            await asyncio.sleep(0.001)
    except BaseException:
        bound.close()
        raise
    port = 0 if uds is not None else int(bound.getsockname()[1])
    return Serving(server, task, closing, port, uds)


def _bind(host: str, port: int, flag: str) -> socket.socket:
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not 0 <= port <= 65535:
        raise Failure(
            f"cannot listen on {shown}: {port} is not between 0 and 65535", f"choose another port with {flag}"
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, OverflowError, UnicodeError) as error:
        raise Failure(f"cannot listen on {shown}: {error}", f"choose another address with {flag}") from error
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _expect_life(bound)
        bound.setblocking(False)
        bound.bind(address)
        bound.listen(1024)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise Failure(
                f"port {port} on {host} is taken", f"end what listens there, or choose another with {flag}"
            ) from error
        raise Failure(
            f"cannot listen on {shown}: {error.strerror}", f"choose another address with {flag}"
        ) from error
    return bound


def _expect_life(bound: socket.socket) -> None:
    """A watch may be quiet for ever: a client whose machine is gone is found out by the kernel, in three minutes.

    Connections have the options of the socket that listens (tcp(7)).
    """
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in zip(
        (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT), PROBES, strict=True
    ):
        bound.setsockopt(socket.IPPROTO_TCP, option, value)


def _bind_unix(path: Path, mode: int) -> socket.socket:
    """One that nobody listens on any more is replaced."""
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise Failure(
            f"the socket path {path} is longer than {LONGEST_SOCKET_PATH} bytes", "choose a shorter one"
        )
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.setblocking(False)
    try:
        if path.is_socket():
            _require_unused(path)
            path.unlink()
        before = os.umask(0o177)
        try:
            bound.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(mode)
        bound.listen(1024)
    except OSError as error:
        bound.close()
        raise Failure(
            f"cannot listen on {path}: {error.strerror}", "remove it, or mend its folder"
        ) from error
    except Failure:
        bound.close()
        raise
    return bound


def _require_unused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        if probe.connect_ex(str(path)) == 0:
            raise Failure(f"another process listens on {path}", "end that process")


def _context(cert: Path, key: Path, clients: str, check_time: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_2
    )  # kubectl of every age; TLS 1.3 wherever the client has it
    _load(context, cert, key)
    if clients:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=clients)
        if not check_time:
            context.verify_flags = ssl.VerifyFlags(context.verify_flags | NO_CHECK_TIME)
    return context


def _load(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise Failure(
            f"the certificate {cert} with the key {key} cannot be used: {error}",
            "remove both: new ones are made",
        ) from error
