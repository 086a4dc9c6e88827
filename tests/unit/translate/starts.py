"""What a field does where a workload joins: to its WorkloadEntry, and to what its proxy is started with."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import msgspec

from argosy.identity.names import Identity
from argosy.model.proxy_start import start_of
from argosy.model.snapshot import Snapshot
from argosy.resources.meta import Object
from argosy.resources.networking import WorkloadGroup
from argosy.server import entries
from argosy.server.attendance import Attendance
from argosy.server.registration import Refusal, Registrar
from argosy.server.verdict import State, Verdict
from argosy.store.base import Key
from argosy.store.memory import MemoryStore
from argosy.xds.registration import Register

REVIEWS = Identity(
    trust_domain="cluster.local", namespace="default", service_account="reviews", workload="reviews-v1"
)
JOINS = Register(
    workload="reviews-v1",
    namespace="default",
    service_account="reviews",
    service="",
    address="127.0.0.1",
    labels={"app": "reviews"},
    group="started",
)


def joined(obj: Object) -> Any:
    """(the entry, what the agent is told) of a workload that joins where this object is; or why it may not."""
    return asyncio.run(_joined(obj))


async def _joined(obj: Object) -> Any:
    async def deliver(key: Key, revision: int, timeout: float) -> Verdict:
        return Verdict(state=State.LIVE)

    store, snapshot = MemoryStore(), Snapshot()
    snapshot.put_config(obj)
    assert snapshot.rejected == {}
    message = JOINS
    await store.create(Key("/namespaces", "", "default"), b"{}")
    if isinstance(obj, WorkloadGroup):
        await store.create(Key(entries.WORKLOAD_GROUPS, "default", "started"), msgspec.json.encode(obj))
    else:
        message = msgspec.structs.replace(JOINS, group="")
    registrar = Registrar(
        store,
        deliver,
        Attendance(store, "one", clock=lambda: 0.0, monotonic=lambda: 0.0),
        starts=partial(start_of, snapshot),
        clock=lambda: 0.0,
    )
    try:
        answer = await registrar.register(REVIEWS, message)
    except Refusal as refusal:
        return str(refusal)
    stored = await store.get(entries.entry_key("default", "reviews-v1"))
    assert stored is not None
    body = msgspec.json.decode(stored.body)
    del body["metadata"]["uid"]
    return body, answer
