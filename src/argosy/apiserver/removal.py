"""What it is to delete an object: gone at once, or marked until its finalizers are gone. Over the store, without HTTP.

    deletionTimestamp set, finalizers left  -> it stays, whoever has a finalizer does their part and takes it off
    no finalizers left                      -> it is gone

`orphan` and `foregroundDeletion` are the collector's own finalizers: what becomes of the objects that this one owns.
# Kubernetes: "Finalizers", "Garbage Collection"; meta/v1 DeleteOptions.propagationPolicy
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from argosy.apiserver import encoding, status
from argosy.apiserver.defaulting import KUBERNETES
from argosy.apiserver.paths import NAMESPACES, Target
from argosy.resources.problem import Problem
from argosy.store.base import Conflict, Key, Store, Stored

Json = dict[str, Any]

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
POLICIES = {"Background": "", "Foreground": FOREGROUND, "Orphan": ORPHAN}
"""propagationPolicy -> the finalizer that keeps the object until it is done."""
ATTEMPTS = 10


class Removed(Struct, frozen=True):
    stored: Stored  # as it is now; where it is gone, its last body under the revision of the deletion
    gone: bool


async def remove(store: Store, found: Stored, *, policy: str, now: str, pinned: bool = False) -> Removed:
    """Deletes the object, or marks it. `policy` "": as its finalizers say. `pinned`: only what was read.

    Raises NotFound, Conflict.
    """
    for left in reversed(range(ATTEMPTS)):
        body = marked(found.key, encoding.decode(found), policy, now)
        try:
            if complete(found.key, body):
                return Removed(await store.delete(found.key, found.revision), True)
            data = encoding.body_of(body)
            if data in (found.body, encoding.body_of(encoding.decode(found))):
                return Removed(found, False)
            return Removed(await store.update(found.key, data, found.revision), False)
        except Conflict:
            again = await store.get(found.key)
            if (
                pinned
                or not left
                or again is None
                or uid_of(encoding.decode(again)) != uid_of(encoding.decode(found))
            ):
                raise
            found = again
    raise AssertionError("unreachable")


def marked(key: Key, obj: Json, policy: str, now: str) -> Json:
    """The object once its deletion has been asked for."""
    metadata = metadata_of(obj)
    finalizers = finalizers_of(obj)
    if policy:
        own = POLICIES[policy]
        finalizers = [each for each in finalizers if each not in (ORPHAN, FOREGROUND) or each == own]
        finalizers += [own] if own and own not in finalizers else []
    changed = {k: v for k, v in metadata.items() if k != "finalizers"}
    if finalizers:
        changed["finalizers"] = finalizers
    if not metadata.get("deletionTimestamp"):
        changed |= {"deletionTimestamp": now, "deletionGracePeriodSeconds": 0}
        if isinstance(metadata.get("generation"), int):
            changed["generation"] = metadata["generation"] + 1
    obj = obj | {"metadata": changed}
    return _terminating(obj) if key.resource == NAMESPACES and not metadata.get("deletionTimestamp") else obj


def complete(key: Key, obj: Json) -> bool:
    """Whether nothing keeps an object that is to go."""
    if not metadata_of(obj).get("deletionTimestamp") or finalizers_of(obj):
        return False
    return key.resource != NAMESPACES or not list_in(obj, "spec", "finalizers")


def check_finalizers(target: Target, old: Json, new: Json) -> None:
    """Raises Refusal (422) where an object that is to go would get new ones."""
    if not metadata_of(old).get("deletionTimestamp"):
        return
    fresh = [each for each in finalizers_of(new) if each not in finalizers_of(old)]
    if fresh:
        said = (
            f"{', '.join(map(str, fresh))}: no new finalizers can be added while the object is being deleted"
        )
        raise status.invalid(target.kind, target.name, [Problem("metadata.finalizers", said)])


def metadata_of(obj: Json) -> Json:
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def uid_of(obj: Json) -> str:
    uid = metadata_of(obj).get("uid")
    return uid if isinstance(uid, str) else ""


def finalizers_of(obj: Json) -> list[Any]:
    return list_in(obj, "metadata", "finalizers")


def list_in(obj: Json, part: str, field: str) -> list[Any]:
    """A list in a part of an object; [] for what is none, as somebody may have written past the API."""
    inner = obj.get(part)
    found = inner.get(field) if isinstance(inner, dict) else None
    return list(found) if isinstance(found, list) else []


def _terminating(obj: Json) -> Json:
    spec, state = obj.get("spec"), obj.get("status")
    spec, state = (each if isinstance(each, dict) else {} for each in (spec, state))
    finalizers = list_in(obj, "spec", "finalizers")
    if KUBERNETES not in finalizers:  # written before there were any
        finalizers = [*finalizers, KUBERNETES]
    return obj | {"spec": spec | {"finalizers": finalizers}, "status": state | {"phase": "Terminating"}}
