"""What a write makes of an object and of the managers of its fields.

Both functions are told the part of the object that can be managed (`part_of`): what identifies it and what the server
sets belongs to nobody. The main resource does not manage `status`, and the subresource nothing else.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from argosy.apiserver.managed.compare import Comparison, field_set, same
from argosy.apiserver.managed.conflicts import Conflicts
from argosy.apiserver.managed.fieldset import FieldSet
from argosy.apiserver.managed.managers import (
    Manager,
    Managers,
    Owned,
    capped,
    union,
    updater,
)
from argosy.apiserver.managed.merge import merge, prune
from argosy.apiserver.managed.shape import Shape

Json = dict[str, Any]

BEFORE_FIRST_APPLY = "before-first-apply"
"""Who has the fields of an object that was written when nobody noted managers."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"

NOBODYS = FieldSet(("f:metadata",))
"""All objects have it."""
IDENTITY = ("apiVersion", "kind")
UNMANAGED = frozenset(
    ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields",
     "deletionTimestamp", "deletionGracePeriodSeconds")
)  # fmt: skip


class Writer(Struct, frozen=True):
    """Who writes, in which version, when."""

    manager: Manager
    api_version: str
    now: str


def part_of(obj: Json, subresource: str, *, has_status: bool) -> Json:
    """The part that a write to this (sub)resource can change, and managers can have."""
    if subresource == "status":
        return {"status": obj["status"]} if obj.get("status") is not None else {}
    metadata = obj.get("metadata")
    kept = {k: v for k, v in metadata.items() if k not in UNMANAGED} if isinstance(metadata, dict) else {}
    left_out = (*IDENTITY, "metadata", *(("status",) if has_status else ()))
    return {"metadata": kept} | {k: v for k, v in obj.items() if k not in left_out}


def put_back(part: Json, obj: Json, subresource: str, *, has_status: bool) -> Json:
    """`obj` with this part in place of its own: what `part_of` takes out."""
    if subresource == "status":
        return {k: v for k, v in obj.items() if k != "status"} | part
    before = obj.get("metadata")
    metadata = {k: v for k, v in before.items() if k in UNMANAGED} if isinstance(before, dict) else {}
    kept = {k: v for k, v in obj.items() if k in IDENTITY or (has_status and k == "status")}
    return kept | part | {"metadata": metadata | (part.get("metadata") or {})}


def update(shape: Shape, old: Json, new: Json, managers: Managers, writer: Writer) -> Managers:
    """The managers after a write that replaces `old`: the writer has what it changed, others lose that."""
    compared = Comparison(shape, old, new)
    changed = compared.changed - NOBODYS
    if not changed and not compared.removed:
        return managers
    found = _without(managers, changed, compared.removed, but=writer.manager)
    before = managers.get(writer.manager)
    fields = ((before.fields if before else FieldSet()) - compared.removed) | changed
    found.pop(writer.manager, None)
    if fields:
        moved = changed or before is None or fields != before.fields
        time = writer.now if moved or before is None else before.time
        found[writer.manager] = Owned(fields, writer.api_version, time)
    return capped(found)


def apply(
    shape: Shape, live: Json, applied: Json, managers: Managers, writer: Writer, *, force: bool
) -> tuple[Json, Managers]:
    """The object after an apply, and its managers: the writer has all that it applied, and no more.

    Raises Conflicts where it has other values for what others manage, unless `force`.
    """
    merged = merge(shape, live, applied)
    last = managers.get(writer.manager)
    fields = field_set(shape, applied) - NOBODYS
    others = {manager: owned for manager, owned in managers.items() if manager != writer.manager}
    if last is not None and last.fields:
        merged = prune(shape, merged, applied, last.fields, union(others) | fields)
    compared = Comparison(shape, live, merged)
    changed = compared.changed - NOBODYS
    contested = {manager: owned.fields & changed for manager, owned in others.items()}
    contested = {manager: both for manager, both in contested.items() if both}
    if contested and not force:
        raise Conflicts(contested, others)
    found = _without(others, changed, compared.removed)
    if fields:
        unchanged = last is not None and last.fields == fields and not contested and same(live, merged)
        unchanged = unchanged and last is not None and last.api_version == writer.api_version
        found[writer.manager] = Owned(
            fields, writer.api_version, last.time if last and unchanged else writer.now
        )
    return merged, found


def apply_over_client_side(
    shape: Shape, live: Json, applied: Json, managers: Managers, writer: Writer, *, force: bool
) -> tuple[Json, Managers]:
    """As `apply`, and for kubectl's own manager what leads from its client-side apply to this one.

    Fields that it last applied there, and that nobody has changed since, do not conflict.
    """
    try:
        return apply(shape, live, applied, managers, writer, force=force)
    except Conflicts as conflicts:
        if writer.manager.name != KUBECTL or writer.manager.subresource:
            raise
        left = conflicts.without(_last_applied(shape, live))
        if left is not None:
            raise left from None
    return apply(shape, live, applied, managers, writer, force=True)


def before_first_apply(shape: Shape, live: Json, api_version: str) -> Managers:
    """The managers of an object that has none noted."""
    fields = Comparison(shape, {}, live).changed - NOBODYS
    return {updater(BEFORE_FIRST_APPLY, api_version): Owned(fields, api_version)} if fields else {}


def _without(
    managers: Managers, changed: FieldSet, removed: FieldSet, but: Manager | None = None
) -> Managers:
    """The managers without the fields that somebody else changed or removed; who has none left, is none."""
    found: Managers = {}
    for manager, owned in managers.items():
        left = owned.fields if manager == but else owned.fields - changed - removed
        if left:
            found[manager] = Owned(left, owned.api_version, owned.time)
    return found


def _last_applied(shape: Shape, live: Json) -> FieldSet:
    """The fields of kubectl's note of what it last applied, as far as they are still so."""
    annotations = live["metadata"].get("annotations")
    try:
        noted = json.loads(annotations[LAST_APPLIED]) if isinstance(annotations, dict) else None
    except (ValueError, RecursionError, TypeError, KeyError):
        return FieldSet()
    if not isinstance(noted, dict):
        return FieldSet()
    part = part_of(noted, "", has_status=True)
    compared = Comparison(shape, part, live)
    return field_set(shape, part) - compared.changed - compared.removed
