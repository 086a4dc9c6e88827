"""A workload's place in the mesh: registered, announced or withdrawn, as the server knows it.

Rule: what is wanted is state, not messages. After every reconnection the workload registers again and says what it
wants to be, so nothing depends on whether an earlier message arrived. A leave that could not be delivered is kept on
disk, with the certificate that proves who says it, and delivered by any later agent; a workload that came back
meanwhile cancels it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import msgspec
from msgspec import Struct

from argosy.agent.link import Link
from argosy.identity import client as identity
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.runtime.paths import private_dir, write_private
from argosy.xds.connection import Backoff
from argosy.xds.registration import (
    ATTEND,
    AgentMessage,
    Announce,
    Announced,
    Credentials,
    Leave,
    Left,
    Refused,
    Register,
    Registered,
    ServerMessage,
    Servers,
    Trust,
    Withdraw,
    Withdrawn,
)

log = logger("agent")
_answers: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_BACKOFF = Backoff(first=0.2, most=5.0)


class Registration:
    """Attends one workload at the server until `run` is cancelled, or has left.

    `on_registered` is told of each acceptance, `on_refused` of what the server does not take (it is tried again),
    `on_settled` whenever the server confirmed an announcement (True) or a withdrawal (False), `on_servers` of where the
    servers are, `on_trust` of which roots the mesh trusts.
    """

    def __init__(
        self,
        link: Link,
        register: Register,
        *,
        on_registered: Callable[[Registered], Awaitable[None]],
        on_refused: Callable[[Refused], Awaitable[None]],
        on_settled: Callable[[bool], Awaitable[None]],
        on_servers: Callable[[tuple[str, ...]], None] = lambda _: None,
        on_trust: Callable[[Trust], Awaitable[None]] | None = None,
    ) -> None:
        self._link = link
        self._register = register
        self._on_registered = on_registered
        self._on_refused = on_refused
        self._on_settled = on_settled
        self._on_servers = on_servers
        self._on_trust = on_trust
        self._aside: Credentials | None = None
        self._understood = False  # whether the server on the stream takes it
        self._wish: Announce | Withdraw | Leave | None = None
        self._wishes = 0  # counts them: each is said once on each stream
        self._changed = asyncio.Event()
        self._renew = False
        self._outstanding: list[AgentMessage] = []  # sent and not answered yet, in order
        self.registered = asyncio.Event()
        self.withdrawn = asyncio.Event()
        self.left = asyncio.Event()
        self.announced = False
        """Whether the server confirmed it."""
        self.connected = False
        self.problem = ""
        """Why it is not connected now; "" where nothing is known against it."""
        self.known = False
        """Whether the server ever accepted it."""

    # --- what is wanted ---

    def announce(self) -> None:
        self._want(Announce())

    def withdraw(self, reason: str) -> None:
        self._want(Withdraw(reason))

    def unready(self, reason: str) -> None:
        """It stays, and is not ready."""
        self._want(Withdraw(reason, unready=True))

    def leave(self) -> None:
        self._want(Leave())

    def say_aside(self, credentials: Credentials) -> None:
        """What its proxy holds: on each stream whose server understands it, and whenever it changes."""
        if credentials != self._aside:
            self._aside = credentials
            self._changed.set()

    def _want(self, wish: Announce | Withdraw | Leave) -> None:
        self._wish = wish
        self._wishes += 1
        self.withdrawn.clear()
        self._changed.set()

    @property
    def announcing(self) -> bool:
        """Whether it is announced, or asks to be."""
        return isinstance(self._wish, Announce)

    @property
    def exposed(self) -> bool:
        """Whether others may send to it: a Service may publish what is not ready, too."""
        return self.announcing or (isinstance(self._wish, Withdraw) and self._wish.unready)

    def update(self, register: Register) -> None:
        """Other ports, say."""
        self._register = register
        self.registered.clear()
        self.renew()

    def renew_as(self, register: Register) -> None:
        """Says something else of it; what it is announced as stays."""
        self._register = register
        self.renew()

    def renew(self) -> None:
        """Attends anew, over the link's channel of now."""
        self._renew = True
        self._changed.set()

    # --- the stream ---

    async def run(self) -> None:
        attempt, said = 0, ""
        while not self.left.is_set():
            self._renew = False
            problem = self.problem = await self._attempt()
            was, self.connected = self.connected, False
            self._outstanding.clear()
            if self.left.is_set() or self._renew:
                continue
            attempt = 1 if was else attempt + 1
            if problem != said:
                log.warning("not attended", workload=self._register.workload, reason=problem)
                said = problem
            await asyncio.sleep(_BACKOFF.wait(attempt, random.random()))  # noqa: S311

    async def _attempt(self) -> str:
        """One stream from its beginning to its end; says why it ended."""
        try:
            async with self._link.open() as channel:
                method: Any = channel.stream_stream  # bytes in, bytes out: no serialisers
                call = method(ATTEND)()
                reader = asyncio.create_task(self._read(call))
                reader.add_done_callback(lambda _: self._changed.set())
                try:
                    await self._write(call, reader)
                    return await reader if reader.done() else "renewed"
                finally:
                    reader.cancel()
                    call.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await reader
        except grpc.RpcError as error:
            code = getattr(error, "code", lambda: None)()
            return f"{code.name if code else type(error).__name__}: {getattr(error, 'details', lambda: '')()}"
        except (OSError, ValueError, asyncio.InvalidStateError) as error:
            return f"{type(error).__name__}: {error}"

    async def _write(self, call: grpc.aio.StreamStreamCall[bytes, bytes], reader: asyncio.Task[str]) -> None:
        self._understood = False
        await self._send(call, self._register)
        said, aside = 0, None
        while not reader.done() and not self._renew:
            if self._understood and self._aside is not None and aside is not self._aside:
                aside = self._aside
                await call.write(msgspec.json.encode(aside))
            if self._wish is not None and said != self._wishes:
                said = self._wishes
                await self._send(call, self._wish)
            await self._changed.wait()
            self._changed.clear()

    async def _send(self, call: grpc.aio.StreamStreamCall[bytes, bytes], message: AgentMessage) -> None:
        self._outstanding.append(message)
        await call.write(msgspec.json.encode(message))

    async def _read(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> str:
        async for data in call:
            answer = _answers.decode(data)
            if isinstance(answer, Registered | Servers):
                self._on_servers(answer.xds_addresses)
            if isinstance(answer, Servers):
                continue
            if isinstance(answer, Trust):
                self._understood = True
                self._changed.set()
                if self._on_trust is not None:
                    await self._on_trust(answer)
                continue
            asked = self._outstanding.pop(0) if self._outstanding else None
            match answer:
                case Registered():
                    self.connected = self.known = True
                    self.problem = ""
                    self.registered.set()
                    await self._on_registered(answer)
                case Announced() if isinstance(self._wish, Announce):
                    self.announced = True
                    await self._on_settled(True)
                case Withdrawn() if asked is self._wish:
                    self.announced = False
                    self.withdrawn.set()
                    await self._on_settled(False)
                case Left():
                    self.announced = False
                    self.left.set()
                    return "left"
                case Refused():
                    await self._on_refused(answer)
                    return f"refused: {answer.message}"
                case _:
                    pass  # the answer to what is no longer wanted
        return "the server ended the stream"


# --- leaves that could not be delivered -----------------------------------------------------------------------------


class Undelivered(Struct, frozen=True, kw_only=True):
    """A workload that left while the server was away."""

    format: int = 1
    register: Register
    xds_address: str
    at: float  # Unix time


def keep(agent: Path, register: Register, xds_address: str, svid: identity.Svid) -> None:
    """Remembers a leave for later. Raises Failure where there is no disk space."""
    folder = private_dir(agent / "left")
    name = f"{register.namespace}.{register.workload}"
    svid.save(folder / f"{name}.svid")
    note = Undelivered(register=register, xds_address=xds_address, at=time.time())
    try:
        write_private(folder / f"{name}.json", msgspec.json.encode(note))
    except OSError as error:
        raise Failure(f"cannot write below {folder}: {error.strerror}", "free some disk space") from error


def cancel(agent: Path, namespace: str, workload: str) -> None:
    """The workload is back: what its earlier instance wanted to say is void."""
    for suffix in ("json", "svid"):
        (agent / "left" / f"{namespace}.{workload}.{suffix}").unlink(missing_ok=True)


def undelivered(agent: Path) -> tuple[Undelivered, ...]:
    folder = agent / "left"
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found.append(msgspec.json.decode(path.read_bytes(), type=Undelivered))
    return tuple(found)


async def deliver(
    agent: Path, note: Undelivered, addresses: Callable[[], Sequence[str]], patience: float
) -> bool:
    """Tries to say one leave; whether nothing is left to say."""
    svid = identity.load(agent / "left" / f"{note.register.namespace}.{note.register.workload}.svid")
    if svid is None or svid.not_after < time.time():
        # Without a valid certificate nobody may say it; the server's own grace period ends the entry.
        cancel(agent, note.register.namespace, note.register.workload)
        return True

    async def ignore(_: object) -> None: ...

    attendance = Registration(
        Link(lambda: addresses() or (note.xds_address,), svid),
        msgspec.structs.replace(note.register, create_service=False),
        on_registered=ignore,
        on_refused=ignore,
        on_settled=ignore,
    )
    attendance.leave()
    try:
        async with asyncio.timeout(patience):
            await attendance.run()
    except TimeoutError:
        return False
    cancel(agent, note.register.namespace, note.register.workload)
    return True
