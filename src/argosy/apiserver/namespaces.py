"""The life of a namespace: Active, Terminating, gone; and what that means for what is in it.

Rule: a namespace is marked before its contents are looked at, and a new object looks at its namespace after it is
stored. So whichever of the two came second sees the other, and nothing is left behind.
# Kubernetes: "Namespaces"; core/v1 NamespaceStatus, its conditions
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

from argosy.apiserver import encoding, removal, status
from argosy.apiserver.defaulting import KUBERNETES
from argosy.apiserver.paths import NAMESPACES, Target
from argosy.apiserver.status import Refusal
from argosy.resources.kinds import Kind, by_resource
from argosy.store.base import Conflict, Key, NotFound, Store, Stored

Json = dict[str, Any]

PROTECTED = frozenset(("default", "istio-system"))
PAGE = 100
CONTENT, FINALIZERS = "NamespaceContentRemaining", "NamespaceFinalizersRemaining"


def _namespace_kind() -> Kind:
    found = by_resource(NAMESPACES)
    if found is None:
        raise LookupError("the kind Namespace is not served")
    return found


NAMESPACE = _namespace_kind()


async def require_open(store: Store, target: Target, name: str = "") -> None:
    """Raises Refusal (403, 404) where nothing can be created in the namespace.

    `name`: of what is to be created, where the path does not say it.
    """
    if not target.namespace:
        return
    found = await store.get(Key(NAMESPACES, "", target.namespace))
    if found is None:
        raise status.not_found(NAMESPACE, target.namespace)
    if terminating(encoding.decode(found)):
        said = f"namespace {target.namespace} is being terminated"
        cause = {"reason": "NamespaceTerminating", "message": said, "field": "metadata.namespace"}
        why = f"unable to create new content in namespace {target.namespace} because it is being terminated"
        raise status.forbidden(target.kind, target.name or name, why, [cause])


async def confirm_open(store: Store, target: Target, stored: Stored) -> None:
    """Takes a new object away again whose namespace was to go meanwhile. Raises Refusal."""
    try:
        await require_open(store, target, stored.key.name)
    except Refusal:
        with contextlib.suppress(NotFound, Conflict):  # the namespace's end has seen it
            await store.delete(stored.key, stored.revision)
        raise


def terminating(namespace: Json) -> bool:
    return bool(removal.metadata_of(namespace).get("deletionTimestamp"))


async def empty(store: Store, name: str, *, now: str, pages: int = 0) -> bool:
    """Deletes what is in a namespace that is to go, and then the namespace. True: it is gone.

    `pages` bounds how much is done (0: all); what has finalizers is waited for: call again when it is gone.
    """
    done = 0
    after: Key | None = None
    while not pages or done < pages:
        listing = await store.list(None, name, limit=PAGE, after=after)
        for stored in listing.items:
            with contextlib.suppress(NotFound, Conflict):
                await removal.remove(store, stored, policy="", now=now)
        done += 1
        if not listing.remaining:
            return await _finish(store, name, now)
        after = listing.items[-1].key
    return False


async def _finish(store: Store, name: str, now: str) -> bool:
    """The end of an empty namespace; of another one, what it waits for."""
    for _ in range(removal.ATTEMPTS):
        found = await store.get(Key(NAMESPACES, "", name))
        if found is None:
            return True
        namespace = encoding.decode(found)
        if not terminating(namespace):
            return False
        left = (await store.list(None, name)).items
        body = _waiting(namespace, left, now) if left else _without_finalizer(namespace)
        try:
            if removal.complete(found.key, body):
                await store.delete(found.key, found.revision)
                return True
            data = encoding.body_of(body)
            if data not in (found.body, encoding.body_of(namespace)):
                await store.update(found.key, data, found.revision)
            return False
        except (Conflict, NotFound):
            continue
    return False


def _without_finalizer(namespace: Json) -> Json:
    spec = namespace.get("spec")
    kept = {k: v for k, v in spec.items() if k != "finalizers"} if isinstance(spec, dict) else {}
    finalizers = [each for each in removal.list_in(namespace, "spec", "finalizers") if each != KUBERNETES]
    return namespace | {"spec": kept | ({"finalizers": finalizers} if finalizers else {})}


def _waiting(namespace: Json, left: tuple[Stored, ...], now: str) -> Json:
    """With conditions that say what keeps it."""
    kinds = Counter(_told(stored.key.resource) for stored in left)
    finalizers = Counter(
        str(each) for stored in left for each in removal.finalizers_of(encoding.decode(stored))
    )
    resources = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(kinds.items()))
    holding = ", ".join(f"{each} in {count} resource instances" for each, count in sorted(finalizers.items()))
    conditions = [
        _condition(CONTENT, "SomeResourcesRemain", f"Some resources are remaining: {resources}", now),
        _condition(
            FINALIZERS,
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {holding}",
            now,
        ),
    ]
    if not finalizers:
        conditions.pop()
    state = namespace.get("status")
    state = state if isinstance(state, dict) else {}
    there = removal.list_in(namespace, "status", "conditions")
    before = {str(each.get("type")): each for each in there if isinstance(each, dict)}
    kept = [before[each["type"]] if _same(before.get(each["type"]), each) else each for each in conditions]
    return namespace | {"status": state | {"conditions": kept}}


def _same(before: Json | None, condition: Json) -> bool:
    return before is not None and before.get("message") == condition["message"]


def _condition(kind: str, reason: str, message: str, now: str) -> Json:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}


def _told(resource: str) -> str:
    """`virtualservices.networking.istio.io`."""
    group, _, plural = resource.partition("/")
    return f"{plural}.{group}" if group else plural
