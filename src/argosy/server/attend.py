"""The ATTEND stream: what one workload's agent and this server say to each other, as a gRPC handler.

Messages are answered in order. An answer to Announce or Withdraw waits (bounded) until the proxies that use the
endpoint have acknowledged it; a newer message ends the wait. Unasked the server says where the servers are, and which
roots the mesh trusts; what an agent says of its credentials is taken aside, and ends no wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Callable
from typing import Any

import grpc
import msgspec

from argosy.identity.names import Identity
from argosy.runtime.log import logger
from argosy.server.entries import entry_key
from argosy.server.peers import current_peer
from argosy.server.registration import Refusal, Registrar
from argosy.server.verdict import State
from argosy.store.base import Stored, StoreError
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
    ServerMessage,
    Servers,
    Trust,
    Withdraw,
    Withdrawn,
)

LONGEST_MESSAGE = 1 << 20
TOLD_OF_SERVERS = 2  # the protocol from which on an agent understands it
TOLD_OF_TRUST = 3
RENEWALS_A_SECOND = 20.0  # that a server asks for when the root changes

log = logger("registration")
_decoder = msgspec.json.Decoder(AgentMessage)
_ASIDE = b'{"type":"credentials"'  # as msgspec writes it: the tag comes first
LONGEST_PROBLEM = 300
MOST_ROOTS = 8
LONGEST_WORD = 128


def bounded(said: Credentials) -> Credentials:
    """Of a size that is kept for each workload."""
    return msgspec.structs.replace(
        said,
        serial=said.serial[:LONGEST_WORD],
        root=said.root[:LONGEST_WORD],
        trusts=tuple(one[:LONGEST_WORD] for one in said.trusts[:MOST_ROOTS]),
        problem=said.problem[:LONGEST_PROBLEM],
    )


class AttendService:
    """ATTEND as a generic handler; each stream is one Conversation."""

    def __init__(self, registrar: Registrar, trust: Callable[[], Trust]) -> None:
        """`trust`: what the mesh trusts now."""
        self.registrar = registrar
        self._trust = trust
        self._open: set[Conversation] = set()

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        service, _, method = ATTEND.removeprefix("/").partition("/")
        return grpc.method_handlers_generic_handler(
            service, {method: grpc.stream_stream_rpc_method_handler(self._serve)}
        )

    async def _serve(
        self, requests: AsyncIterable[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        async def send(message: ServerMessage) -> None:
            await context.write(msgspec.json.encode(message))

        await context.send_initial_metadata(())
        conversation = Conversation(self.registrar, current_peer().identity, send, self._trusted)
        self._open.add(conversation)
        try:
            await conversation.run(requests)
        finally:
            self._open.discard(conversation)

    def servers_changed(self) -> None:
        """A server came or went: every agent hears of it."""
        for conversation in self._open:
            conversation.tell_servers()

    def trust_changed(self) -> None:
        """Every agent hears which roots are trusted now."""
        for conversation in self._open:
            conversation.tell_trust()

    def _trusted(self) -> Trust:
        return msgspec.structs.replace(self._trust(), within=len(self._open) / RENEWALS_A_SECOND)

    def credentials(self) -> dict[str, Credentials]:
        """What the proxies of the workloads that are attended here hold: workload.namespace -> as its agent says."""
        return {
            f"{one.entry.name}.{one.entry.namespace}": one.credentials
            for one in self._open
            if one.credentials is not None
        }


class Conversation:
    """One workload's stream: messages in order, one answer to each."""

    def __init__(
        self,
        registrar: Registrar,
        identity: Identity,
        send: Callable[[ServerMessage], Any],
        trust: Callable[[], Trust] | None = None,
    ) -> None:
        self.registrar = registrar
        self.identity = identity
        self.send = send
        self.entry = entry_key(identity.namespace, identity.workload)
        self.registered = False
        self.told: tuple[str, ...] | None = None  # where the servers are; None: it would not understand
        self.credentials: Credentials | None = None
        self._trust = trust
        self._told_trust: Trust | None = None
        self._understands_trust = False
        self._sending = asyncio.Lock()
        self._telling: set[asyncio.Task[None]] = set()
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue(16)
        self.newer = asyncio.Event()

    async def run(self, requests: AsyncIterable[bytes]) -> None:
        reader = asyncio.create_task(self._read(requests))
        try:
            while (data := await self.incoming.get()) is not None:
                if self.incoming.empty():
                    self.newer.clear()
                await self.registrar.pace.wait(f"{self.entry.namespace}/{self.entry.name}")
                await self._say(await self._answer(data))
                self.tell_trust()
            reader.result()
        finally:
            for task in (reader, *self._telling):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await reader
            self.registrar.attendance.lost(self.entry, self)

    async def _say(self, message: ServerMessage) -> None:
        async with self._sending:
            await self.send(message)

    def tell_servers(self) -> None:
        now = self.registrar.servers()
        if self.told is None or now == self.told:
            return
        self.told = now
        self._soon(Servers(xds_addresses=now))

    def tell_trust(self) -> None:
        """Once it is registered, and whenever that changes."""
        if self._trust is None or not (self.registered and self._understands_trust):
            return
        now = self._trust()
        if self._told_trust is None or (now.version, now.bundle, now.issues) != (
            self._told_trust.version,
            self._told_trust.bundle,
            self._told_trust.issues,
        ):
            self._told_trust = now
            self._soon(now)

    def _soon(self, message: Servers | Trust) -> None:
        task = asyncio.create_task(self._tell(message))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, message: Servers | Trust) -> None:
        with contextlib.suppress(
            grpc.RpcError, asyncio.InvalidStateError
        ):  # the stream has ended: it asks again
            await self._say(message)

    async def _read(self, requests: AsyncIterable[bytes]) -> None:
        try:
            async for data in requests:
                if data.startswith(_ASIDE):
                    self._take_aside(data)
                    continue
                self.newer.set()
                await self.incoming.put(data)
        finally:
            self.newer.set()
            await self.incoming.put(None)

    def _take_aside(self, data: bytes) -> None:
        """What it says of its credentials; nothing waits for it."""
        try:
            said = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("credentials not readable", workload=str(self.entry), error=str(error))
            return
        if isinstance(said, Credentials):
            before, self.credentials = self.credentials, bounded(said)
            problem = self.credentials.problem
            if problem and (before is None or before.problem != problem):
                log.warning(
                    "certificate not renewed",
                    workload=f"{self.entry.namespace}/{self.entry.name}",
                    until=int(said.not_after),
                    reason=problem,
                )

    async def _answer(self, data: bytes) -> ServerMessage:
        if len(data) > LONGEST_MESSAGE:
            return Refused(field="", message=f"a message of an agent has {LONGEST_MESSAGE} bytes at the most")
        try:
            message = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return Refused(field="", message=f"not a message of an agent: {error}")
        try:
            return await self._handle(message)
        except Refusal as refusal:
            log.warning(
                "registration refused", workload=str(self.entry), field=refusal.field, reason=refusal.message
            )
            return Refused(field=refusal.field, message=refusal.message)
        except StoreError as error:
            log.error("registration failed", workload=str(self.entry), error=str(error))
            return Refused(field="", message=f"the store cannot take it now: {error}")

    async def _handle(self, message: AgentMessage) -> ServerMessage:
        registrar = self.registrar
        if isinstance(message, Credentials):
            raise Refusal("", "credentials are said as the first member of a message")
        if isinstance(message, Register):
            answer = await registrar.register(self.identity, message)
            self.registered = True
            self.told = answer.xds_addresses if message.protocol >= TOLD_OF_SERVERS else None
            self._understands_trust = message.protocol >= TOLD_OF_TRUST
            registrar.attendance.attend(self.entry, self)
            return answer
        if not self.registered:
            raise Refusal("", "the first message must be register")
        if registrar.attendance.attending.get(self.entry) is not self:
            raise Refusal(
                "workload", f"another stream speaks for {self.entry.namespace}/{self.entry.name} now"
            )
        match message:
            case Announce():
                acknowledged, missing = await self._acknowledged(await registrar.announce(self.entry))
                return Announced(acknowledged=acknowledged, missing=missing)
            case Withdraw(reason=reason, unready=unready):
                withdraw = registrar.unready if unready else registrar.withdraw
                acknowledged, missing = await self._acknowledged(await withdraw(self.entry, reason))
                return Withdrawn(acknowledged=acknowledged, missing=missing)
            case Leave():
                registrar.attendance.left(self.entry, self)
                await registrar.leave(self.entry)
                self.registered = False
                return Left()

    async def _acknowledged(self, stored: Stored) -> tuple[int, tuple[str, ...]]:
        """(how many proxies have acknowledged the entry's state, which have not). A newer message ends the wait."""
        within = self.registrar.acknowledged_within
        waiting = asyncio.ensure_future(self.registrar.deliver(stored.key, stored.revision, within))
        newer = asyncio.ensure_future(self.newer.wait())
        try:
            await asyncio.wait((waiting, newer), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                return 0, ("(not waited for: a newer message came)",)
            verdict = waiting.result()
        finally:
            for task in (waiting, newer):
                task.cancel()
        refused = (
            {rejection.proxy for rejection in verdict.rejected} if verdict.state is State.REJECTED else set()
        )
        # Nobody waits for itself, nor for those that are most likely gone for good.
        others = {f"{key.name}.{key.namespace}" for key in (self.entry, *self.registrar.attendance.kept)}
        missing = {*verdict.pending, *verdict.disconnected, *refused} - others
        return len(set(verdict.proxies) - missing), tuple(sorted(missing))
