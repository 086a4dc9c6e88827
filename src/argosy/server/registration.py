"""Workloads that join and leave: what their registration writes to the store.

The certificate of the connection decides namespace, service account and workload; a message that says otherwise is
refused. Writes go to the store itself, never through the API, so that endpoints move while the API is down.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import msgspec

from argosy.identity.names import Identity
from argosy.resources.validation import validate
from argosy.runtime.log import logger
from argosy.server import entries
from argosy.server.attendance import Attendance
from argosy.server.entries import Json, entry_key
from argosy.server.verdict import Deliver
from argosy.store.base import AlreadyExists, Conflict, Key, NotFound, Store, Stored
from argosy.xds.registration import Register, Registered

ACKNOWLEDGED_WITHIN = 5.0
ATTEMPTS = 20

log = logger("registration")


class Refusal(Exception):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Registrar:
    """Writes entries and services. `servers`: the addresses of all that serve proxies, this one's first."""

    def __init__(
        self,
        store: Store,
        deliver: Deliver,
        attendance: Attendance,
        *,
        acknowledged_within: float = ACKNOWLEDGED_WITHIN,
        servers: Callable[[], tuple[str, ...]] = tuple,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.deliver = deliver
        self.attendance = attendance
        self.acknowledged_within = acknowledged_within
        self.servers = servers
        self.clock = clock

    # --- the four messages ---

    async def register(self, identity: Identity, message: Register) -> Registered:
        """Raises Refusal, StoreError."""
        _check_claims(identity, message)
        async with self.attendance.arriving(entry_key(message.namespace, message.workload)):
            return await self._register(message)

    async def _register(self, message: Register) -> Registered:
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
        return Registered(
            entry=f"{message.namespace}/{message.workload}",
            created_service=created,
            xds_addresses=self.servers(),
        )

    async def announce(self, entry: Key) -> Stored:
        stored = await self._set_health(entry, "True", "Announced", "the probe succeeds")
        log.info("workload announced", workload=f"{entry.namespace}/{entry.name}")
        return stored

    async def withdraw(self, entry: Key, reason: str) -> Stored:
        stored = await self._set_health(entry, "False", "Withdrawn", reason)
        log.info("workload withdrawn", workload=f"{entry.namespace}/{entry.name}", reason=reason)
        return stored

    async def unready(self, entry: Key, reason: str) -> Stored:
        stored = await self._set_health(entry, "False", "NotReady", reason)
        log.info("workload is not ready", workload=f"{entry.namespace}/{entry.name}", reason=reason)
        return stored

    async def leave(self, entry: Key) -> None:
        self.attendance.find(entry)
        with contextlib.suppress(NotFound):
            await self.store.delete(entry)
        log.info("workload left", workload=f"{entry.namespace}/{entry.name}")

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
        body = entries.workload_entry(message, before, self.clock(), self.attendance.own)
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
