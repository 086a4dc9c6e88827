"""The life of a namespace: Active, Terminating, gone; and what that means for what is in it.

Rule: a namespace is marked before its contents are looked at, and a new object is stored in one transaction with the
condition that its namespace is as it was known: there and not marked. So nothing is stored in a namespace that is to
go, and nothing is left behind.
# Kubernetes: "Namespaces"; core/v1 NamespaceStatus, its conditions
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

from argosy.apiserver import encoding, removal, status
from argosy.apiserver.defaulting import KUBERNETES
from argosy.apiserver.paths import NAMESPACES, Target
from argosy.resources.kinds import Kind, by_resource
from argosy.store.base import Conflict, Key, NotFound, Store, Stored, Unchanged

Json = dict[str, Any]

PROTECTED = frozenset(("default", "istio-system"))
PAGE = 100
MOST_KNOWN = 10_000
CONTENT, FINALIZERS = "NamespaceContentRemaining", "NamespaceFinalizersRemaining"


def _namespace_kind() -> Kind:
    found = by_resource(NAMESPACES)
    if found is None:
        raise LookupError("the kind Namespace is not served")
    return found


NAMESPACE = _namespace_kind()


class OpenNamespaces:
    """The revisions at which namespaces were last seen open, so that a create need not read them first.

    Whoever relies on one makes it the condition of its write (`Unchanged`); what was not so any more is read again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, int] = {}

    async def condition(self, target: Target, name: str = "", *, fresh: bool = False) -> Unchanged | None:
        """That of creating something there; None: it has no namespace. Raises Refusal (403, 404) where nobody can.

        `name`: of what is to be created, where the path does not say it. `fresh`: as the store says now.
        """
        if not target.namespace:
            return None
        key = Key(NAMESPACES, "", target.namespace)
        revision = None if fresh else self._known.get(target.namespace)
        if revision is None:
            self._known.pop(target.namespace, None)
            revision = await _revision_if_open(self._store, key, target, name)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[target.namespace] = revision
        return Unchanged(key, revision)


async def _revision_if_open(store: Store, key: Key, target: Target, name: str) -> int:
    found = await store.get(key)
    if found is None:
        raise status.not_found(NAMESPACE, target.namespace)
    if terminating(encoding.decode(found)):
        said = f"namespace {target.namespace} is being terminated"
        cause = {"reason": "NamespaceTerminating", "message": said, "field": "metadata.namespace"}
        why = f"unable to create new content in namespace {target.namespace} because it is being terminated"
        raise status.forbidden(target.kind, target.name or name, why, [cause])
    return found.revision


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
