"""Workloads that join and leave: what their registration writes to the store.

The certificate of the connection decides namespace, service account and workload; a message that says otherwise is
refused. Writes go to the store itself, never through the API, so that endpoints move while the API is down.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from argosy.identity.names import Identity
from argosy.model.limits import annotation_not_in_force
from argosy.model.scope import ProxyType
from argosy.resources.kinds import decode
from argosy.resources.networking import WorkloadGroup
from argosy.resources.proxy_start import ANNOTATION, ProxyStart, read
from argosy.resources.validation import validate
from argosy.runtime.log import logger
from argosy.server import entries, starting
from argosy.server.attendance import Attendance
from argosy.server.bootstraps import ASKED, ROUTES, Bootstraps
from argosy.server.entries import Json, entry_key
from argosy.server.pace import Pace
from argosy.server.verdict import Deliver
from argosy.store.base import AlreadyExists, Conflict, Key, NotFound, Store, Stored
from argosy.xds import start as wire
from argosy.xds.registration import Register, Registered

Starts = Callable[[str, Mapping[str, str], Sequence[str]], ProxyStart]
"""What a proxy is started with: of its namespace, its labels, and its own ProxyConfigs in YAML."""

ACKNOWLEDGED_WITHIN = 5.0
ATTEMPTS = 20

log = logger("registration")


class Refusal(Exception):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Registrar:
    """Writes entries and services. `servers`: the addresses of all that serve proxies, this one's first. `starts`: what
    proxies are started with, by the configuration that is known; `caught_up` waits until all that is stored is."""

    def __init__(
        self,
        store: Store,
        deliver: Deliver,
        attendance: Attendance,
        *,
        acknowledged_within: float = ACKNOWLEDGED_WITHIN,
        servers: Callable[[], tuple[str, ...]] = tuple,
        starts: Starts = lambda namespace, labels, annotations: ProxyStart(),
        caught_up: Callable[[], Awaitable[None]] | None = None,
        bootstraps: Bootstraps | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.deliver = deliver
        self.attendance = attendance
        self.acknowledged_within = acknowledged_within
        self.servers = servers
        self.starts = starts
        self.caught_up = caught_up
        self.bootstraps = bootstraps
        self.clock = clock
        self.pace = Pace()
        self.on_left: Callable[[Key], None] = lambda _: None
        """Hears of each entry whose workload has left for good."""

    # --- the four messages ---

    async def register(self, identity: Identity, message: Register) -> Registered:
        """Raises Refusal, StoreError."""
        _check_claims(identity, message)
        async with self.attendance.arriving(entry_key(message.namespace, message.workload)):
            return await self._register(message)

    async def _register(self, message: Register) -> Registered:
        if await self.store.get(Key(entries.NAMESPACES, "", message.namespace)) is None:
            raise Refusal("namespace", f"there is no namespace {message.namespace}: create it first")
        group, gone = await self._group(message)
        created = await self._ensure_service(message)
        key = entry_key(message.namespace, message.workload)
        if self.caught_up is not None and await self.store.get(key) is None:
            await self.caught_up()  # who starts a workload has written its configuration before
        _check_config(message)
        entry = _json(await self._write(key, lambda before: self._entry(message, before, group)))
        start, remarks = self._start(message, entry, group)
        remarks += gone
        for remark in remarks:
            log.warning(remark, workload=f"{message.namespace}/{message.workload}")
        if self.bootstraps is not None:
            self.bootstraps.refused(key, message.refused)
            kind = ProxyType(message.proxy_type)
            labels = entry["spec"].get("labels", {})
            start = self.bootstraps.added(start, key, labels, start.environment, kind)
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
            start=start,
            labels=entry["spec"].get("labels", {}),
            locality=entry["spec"].get("locality", ""),
            remarks=remarks,
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
        if self.bootstraps is not None:
            self.bootstraps.refused(entry, ())
        self.attendance.find(entry)
        with contextlib.suppress(NotFound):
            await self.store.delete(entry)
        self.on_left(entry)
        log.info("workload left", workload=f"{entry.namespace}/{entry.name}")

    # --- writing ---

    async def _group(self, message: Register) -> tuple[WorkloadGroup | None, tuple[str, ...]]:
        """And what a person should know of it. A workload that has joined and registers again, as each does when a
        server starts, is a member though the group is gone by now. Raises Refusal where there is none of that name, or
        it is for another identity than the proven one."""
        if not message.group:
            return None, ()
        name = f"{message.namespace}/{message.group}"
        stored = await self.store.get(Key(entries.WORKLOAD_GROUPS, message.namespace, message.group))
        if stored is None:
            joined = await self.store.get(entry_key(message.namespace, message.workload))
            entry = _json(joined) if joined is not None else {}
            if entries.annotation(entry, entries.GROUP) != message.group:
                raise Refusal("group", f"there is no WorkloadGroup {name}: create it first")
            told = f"WorkloadGroup {name} is gone: what it gave to the entry stays, but for its probe"
            return entries.group_of(entry), (told,)
        try:
            group = decode(stored.body)
        except ValueError as error:
            raise Refusal("group", f"WorkloadGroup {name} cannot be used: {error}") from error
        if not isinstance(group, WorkloadGroup):
            raise Refusal("group", f"{name} is no WorkloadGroup")
        account = group.spec.template.service_account
        if account and account != message.service_account:
            raise Refusal(
                "service_account",
                f"WorkloadGroup {name} is for {account}, and this workload runs as {message.service_account}: use "
                f"--service-account {account}",
            )
        return group, ()

    def _start(
        self, message: Register, entry: Json, group: WorkloadGroup | None
    ) -> tuple[wire.ProxyStart, tuple[str, ...]]:
        """What its proxy is started with, and what a person should know of it."""
        labels = entry["spec"].get("labels", {})
        of_group = group.spec.metadata.annotations if group is not None and group.spec.metadata else {}
        written = (of_group.get(ANNOTATION, ""), entries.annotation(entry, ANNOTATION))
        texts, remarks = [], []
        for text in dict.fromkeys(filter(None, written)):
            try:
                read(text)
            except ValueError as error:
                remarks.append(f"the annotation {ANNOTATION} is left out: {error}")
            else:
                texts.append(text)
                remarks += [
                    f"the annotation {ANNOTATION}: {field} {told}"
                    for field, told in annotation_not_in_force(text)
                ]
        said = self.starts(message.namespace, labels, texts)
        asked = said.proxy_metadata.get(ROUTES, ASKED[0])
        if asked not in ASKED:
            remarks.append(
                f"proxyMetadata {ROUTES}: {asked!r} is neither {' nor '.join(ASKED)}; it goes by the mesh's size"
            )
        probe = group.spec.probe if group is not None else None
        start = starting.told(
            said, workload=message.workload, namespace=message.namespace, labels=labels, probe=probe
        )
        return start, tuple(remarks)

    def _entry(self, message: Register, before: Json | None, group: WorkloadGroup | None = None) -> Json:
        if before is not None:
            name = f"WorkloadEntry {message.namespace}/{message.workload}"
            if not entries.is_agents(before):
                raise Refusal("workload", f"{name} was not written by an agent: choose another name")
            if (other := before["spec"].get("serviceAccount")) != message.service_account:
                raise Refusal(
                    "workload",
                    f"{name} belongs to service account {other}: choose another name, or delete it",
                )
        body = entries.workload_entry(message, before, self.clock(), self.attendance.own, group)
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
    if message.proxy_type not in tuple(ProxyType):
        known = ", ".join(ProxyType)
        raise Refusal("proxy_type", f"{message.proxy_type!r} is no type of proxy: it is one of {known}")


def _check_config(message: Register) -> None:
    try:
        read(message.proxy_config)
    except ValueError as error:
        raise Refusal("proxy_config", str(error)) from error


def _check_valid(body: Json, field: str) -> None:
    if errors := validate(body).errors:
        raise Refusal(field, "; ".join(str(problem) for problem in errors))
