"""Workloads that join and leave: the ATTEND stream of each, and what it writes to the store.

The certificate of the connection decides namespace, service account and workload; a message that says otherwise is
refused. Writes go to the store itself, never through the API, so that endpoints move while the API is down. An answer
to Announce or Withdraw waits (bounded) until the proxies that use the endpoint have acknowledged it; a newer message
ends the wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, Callable
from typing import Any

import grpc
import msgspec

from argosy.identity.names import Identity
from argosy.resources.validation import validate
from argosy.runtime.log import logger
from argosy.server import entries
from argosy.server.entries import Json, entry_key
from argosy.server.losses import GRACE, Losses
from argosy.server.peers import current_peer
from argosy.server.verdict import Deliver, State
from argosy.store.base import AlreadyExists, Conflict, Key, NotFound, Store, Stored, StoreError
from argosy.xds.registration import (
    ATTEND,
    AgentMessage,
    Announce,
    Announced,
    Leave,
    Left,
    Refused,
    Register,
    Registered,
    ServerMessage,
    Withdraw,
    Withdrawn,
)

ACKNOWLEDGED_WITHIN = 5.0
SWEEP_EVERY = 1.0
RECONSIDER_EVERY = 5.0
ATTEMPTS = 20

log = logger("registration")
_decoder = msgspec.json.Decoder(AgentMessage)


class Refusal(Exception):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Registrar:
    """Writes entries and services, and knows which workloads are connected."""

    def __init__(
        self,
        store: Store,
        deliver: Deliver,
        *,
        grace: float = GRACE,
        acknowledged_within: float = ACKNOWLEDGED_WITHIN,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.deliver = deliver
        self.acknowledged_within = acknowledged_within
        self.clock = clock
        self.monotonic = monotonic
        self.losses = Losses(grace)
        self.attending: dict[Key, object] = {}  # entry -> the stream that speaks for it
        self.kept: dict[Key, str] = {}  # lost, but needed by this service
        self.removed_for_loss = 0
        self._considered = 0.0

    # --- the four messages ---

    async def register(self, identity: Identity, message: Register) -> Registered:
        """Raises Refusal, StoreError."""
        _check_claims(identity, message)
        if await self.store.get(Key(entries.NAMESPACES, "", message.namespace)) is None:
            raise Refusal("namespace", f"there is no namespace {message.namespace}: create it first")
        created = await self._ensure_service(message)
        await self._write(entry_key(message.namespace, message.workload), lambda b: self._entry(message, b))
        log.info(
            "workload registered",
            workload=f"{message.namespace}/{message.workload}",
            service=message.service,
            address=message.address,
            created_service=created,
        )
        return Registered(entry=f"{message.namespace}/{message.workload}", created_service=created)

    async def announce(self, entry: Key) -> Stored:
        stored = await self._set_health(entry, "True", "Announced", "the probe succeeds")
        log.info("workload announced", workload=f"{entry.namespace}/{entry.name}")
        return stored

    async def withdraw(self, entry: Key, reason: str) -> Stored:
        stored = await self._set_health(entry, "False", "Withdrawn", reason)
        log.info("workload withdrawn", workload=f"{entry.namespace}/{entry.name}", reason=reason)
        return stored

    async def leave(self, entry: Key) -> None:
        self.losses.find(entry)
        self.kept.pop(entry, None)
        with contextlib.suppress(NotFound):
            await self.store.delete(entry)
        log.info("workload left", workload=f"{entry.namespace}/{entry.name}")

    # --- who is connected ---

    def attend(self, entry: Key, stream: object) -> None:
        """From now on `stream` speaks for the entry."""
        self.attending[entry] = stream
        self.losses.find(entry)
        self.kept.pop(entry, None)

    def lost(self, entry: Key, stream: object) -> None:
        """The stream ended. Only the one that speaks for the entry counts."""
        if self.attending.get(entry) is stream:
            del self.attending[entry]
            self.losses.lose(entry, self.monotonic())

    def left(self, entry: Key, stream: object) -> None:
        if self.attending.get(entry) is stream:
            del self.attending[entry]

    # --- losses ---

    async def expect_all(self) -> None:
        """At the server's start: the grace of everybody who has not come back begins now."""
        for stored in (await self.store.list(entries.WORKLOAD_ENTRIES)).items:
            if entries.is_agents(_json(stored)) and stored.key not in self.attending:
                self.losses.lose(stored.key, self.monotonic())

    async def sweep(self) -> None:
        """Removes who has been lost for too long, but for those that a service cannot do without."""
        now = self.monotonic()
        due = self.losses.due(now)
        if not due or (
            all(entry in self.kept for entry in due) and now - self._considered < RECONSIDER_EVERY
        ):
            return
        self._considered = now
        objects = {
            stored.key: _json(stored)
            for resource in (entries.WORKLOAD_ENTRIES, entries.SERVICES, entries.SERVICE_ENTRIES)
            for stored in (await self.store.list(resource)).items
        }
        for entry in due:
            if entry not in objects:  # somebody deleted it
                self.losses.find(entry)
                self.kept.pop(entry, None)
        decision = self.losses.decide(now, entries.members(objects))
        for entry in decision.remove:
            self.kept.pop(entry, None)
            with contextlib.suppress(NotFound):
                await self.store.delete(entry)
            self.removed_for_loss += 1
            log.warning("lost workload removed", workload=f"{entry.namespace}/{entry.name}")
        for entry, service in decision.keep:
            if entry not in self.kept:
                self.kept[entry] = service
                log.warning(
                    "lost workload kept",
                    workload=f"{entry.namespace}/{entry.name}",
                    service=service,
                    reason="more than half of the endpoints would go for lost connections alone",
                    remedy=f"if it is gone for good: argosy delete workloadentry {entry.name} -n {entry.namespace}",
                )

    async def sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                await self.sweep()
            except StoreError as error:
                log.error("lost workloads not looked after", error=str(error))

    # --- writing ---

    def _entry(self, message: Register, before: Json | None) -> Json:
        if before is not None:
            name = f"WorkloadEntry {message.namespace}/{message.workload}"
            if not entries.is_agents(before):
                raise Refusal("workload", f"{name} was not written by an agent: choose another name")
            if (other := before["spec"].get("serviceAccount")) != message.service_account:
                raise Refusal(
                    "workload",
                    f"{name} belongs to service account {other}: choose another name, or delete it",
                )
        body = entries.workload_entry(message, before, self.clock())
        _check_valid(body, "workload")
        return body

    async def _ensure_service(self, message: Register) -> str:
        """The name of the Service where one was created. Raises Refusal where there is one of another identity."""
        if not message.service:
            return ""
        name = f"{message.namespace}/{message.service}"
        key = Key(entries.SERVICES, message.namespace, message.service)
        stored = await self.store.get(key)
        if stored is None:
            if not (message.create_service and message.ports):
                return ""
            body = entries.service(message, self.clock())
            _check_valid(body, "service")
            try:
                await self.store.create(key, msgspec.json.encode(body))
            except AlreadyExists:
                stored = await self.store.get(key)
            else:
                return name
        accounts = entries.service_accounts(_json(stored)) if stored else ()
        qualified = f"{message.namespace}/{message.service_account}"
        if accounts and message.service_account not in accounts and qualified not in accounts:
            raise Refusal(
                "service_account",
                f"Service {name} is for {', '.join(accounts)}, and this workload runs as {message.service_account}: "
                f"use --service-account {accounts[0]}, or add it to the annotation {entries.SERVICE_ACCOUNTS}",
            )
        return ""

    async def _set_health(self, entry: Key, status: str, reason: str, message: str) -> Stored:
        def change(before: Json | None) -> Json:
            if before is None:
                raise Refusal(
                    "workload", f"WorkloadEntry {entry.namespace}/{entry.name} is gone: register again"
                )
            return entries.with_health(before, status, reason, message, self.clock())

        return await self._write(entry, change)

    async def _write(self, key: Key, change: Callable[[Json | None], Json]) -> Stored:
        """Compare and swap until it holds. What does not change is not written."""
        for _ in range(ATTEMPTS):
            stored = await self.store.get(key)
            before = _json(stored) if stored else None
            after = change(before)
            if stored and after == before:
                return stored
            body = msgspec.json.encode(after)
            try:
                if stored is None:
                    return await self.store.create(key, body)
                return await self.store.update(key, body, stored.revision)
            except (Conflict, NotFound, AlreadyExists):
                continue
        raise Conflict(
            f"{key.resource} {key.namespace}/{key.name} changed {ATTEMPTS} times while it was written"
        )


def _json(stored: Stored) -> Json:
    body: Json = msgspec.json.decode(stored.body)
    return body


def _check_claims(identity: Identity, message: Register) -> None:
    for field in ("namespace", "service_account", "workload"):
        if (claimed := getattr(message, field)) != (proven := getattr(identity, field)):
            raise Refusal(field, f"{claimed!r} is not what the certificate proves, {proven!r}")


def _check_valid(body: Json, field: str) -> None:
    if errors := validate(body).errors:
        raise Refusal(field, "; ".join(str(problem) for problem in errors))


# --- the stream -----------------------------------------------------------------------------------------------------


class AttendService:
    """ATTEND as a generic handler; each stream is one Conversation."""

    def __init__(self, registrar: Registrar) -> None:
        self.registrar = registrar

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
        await Conversation(self.registrar, current_peer().identity, send).run(requests)


class Conversation:
    """One workload's stream: messages in order, one answer to each."""

    def __init__(
        self, registrar: Registrar, identity: Identity, send: Callable[[ServerMessage], Any]
    ) -> None:
        self.registrar = registrar
        self.identity = identity
        self.send = send
        self.entry = entry_key(identity.namespace, identity.workload)
        self.registered = False
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue(16)
        self.newer = asyncio.Event()

    async def run(self, requests: AsyncIterable[bytes]) -> None:
        reader = asyncio.create_task(self._read(requests))
        try:
            while (data := await self.incoming.get()) is not None:
                if self.incoming.empty():
                    self.newer.clear()
                await self.send(await self._answer(data))
            reader.result()
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await reader
            self.registrar.lost(self.entry, self)

    async def _read(self, requests: AsyncIterable[bytes]) -> None:
        try:
            async for data in requests:
                self.newer.set()
                await self.incoming.put(data)
        finally:
            self.newer.set()
            await self.incoming.put(None)

    async def _answer(self, data: bytes) -> ServerMessage:
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
        if isinstance(message, Register):
            answer = await registrar.register(self.identity, message)
            self.registered = True
            registrar.attend(self.entry, self)
            return answer
        if not self.registered:
            raise Refusal("", "the first message must be register")
        if registrar.attending.get(self.entry) is not self:
            raise Refusal(
                "workload", f"another stream speaks for {self.entry.namespace}/{self.entry.name} now"
            )
        match message:
            case Announce():
                acknowledged, missing = await self._acknowledged(await registrar.announce(self.entry))
                return Announced(acknowledged=acknowledged, missing=missing)
            case Withdraw(reason=reason):
                acknowledged, missing = await self._acknowledged(await registrar.withdraw(self.entry, reason))
                return Withdrawn(acknowledged=acknowledged, missing=missing)
            case Leave():
                registrar.left(self.entry, self)
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
        others = {f"{key.name}.{key.namespace}" for key in (self.entry, *self.registrar.kept)}
        missing = {*verdict.pending, *verdict.disconnected, *refused} - others
        return len(set(verdict.proxies) - missing), tuple(sorted(missing))
