"""Notes who manages which field of what is written: between requests and `managed/`, which knows neither.

Rule: what a client sends as `metadata.managedFields` counts where it can be read and is not empty, so that clients may
rewrite it; `[{}]` clears it; else what stands in the store stays. Objects that were written past the API (by the server
itself) have no managers until somebody applies to them.
# Kubernetes: "Server-Side Apply": managers, clearing managedFields
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from argosy.apiserver.managed import managers, merge, tracking
from argosy.apiserver.managed.conflicts import Conflicts
from argosy.apiserver.managed.managers import Managers
from argosy.apiserver.managed.shape import shape_of
from argosy.apiserver.managed.tracking import Writer
from argosy.apiserver.paths import Target, has_status
from argosy.apiserver.queries import LONGEST_MANAGER, WriteOptions
from argosy.apiserver.status import Refusal, bad_request

Json = dict[str, Any]

NOTHING: Json = {"metadata": {}}
UNKNOWN = "unknown"


def writer(request: Request, target: Target, options: WriteOptions, now: str) -> Writer:
    """Of a create, an update or a patch."""
    name = options.manager or _of_user_agent(request.headers.get("user-agent", ""))
    manager = managers.updater(name, target.api_version, target.subresource)
    return Writer(manager, target.api_version, now)


def applier(target: Target, options: WriteOptions, now: str) -> Writer:
    return Writer(managers.applier(options.manager, target.subresource), target.api_version, now)


def note_created(target: Target, new: Json, by: Writer) -> Json:
    """The object to be created, with its managers."""
    given = requested(new, None)
    part = tracking.part_of(new, "", has_status=has_status(target.kind))
    return with_managers(new, tracking.update(shape_of(target.kind), NOTHING, part, given, by))


def note_changed(target: Target, old: Json, new: Json, given: Managers, by: Writer) -> Json:
    """The object that takes the place of `old`, with its managers. `given`: as `requested` says."""
    if not given and not _noted(old):
        return with_managers(new, {})
    status = has_status(target.kind)
    before = tracking.part_of(old, target.subresource, has_status=status)
    after = tracking.part_of(new, target.subresource, has_status=status)
    return with_managers(new, tracking.update(shape_of(target.kind), before, after, given, by))


def apply(target: Target, old: Json | None, applied: Json, by: Writer, *, force: bool) -> Json:
    """The object after the apply, with its managers. `old` None: there is none. Raises Refusal (400, 409)."""
    shape, status = shape_of(target.kind), has_status(target.kind)
    part = tracking.part_of(applied, target.subresource, has_status=status)
    if (why := merge.ambiguous(shape, part)) is not None:
        raise bad_request(f"the applied object cannot be merged: {why}")
    live = NOTHING if old is None else tracking.part_of(old, target.subresource, has_status=status)
    there = {} if old is None else requested(old, None)
    if old is not None and not there:
        whole = tracking.part_of(old, "", has_status=status)
        there = tracking.before_first_apply(shape, whole, target.kind.api_version)
    try:
        merged, found = tracking.apply_over_client_side(shape, live, part, there, by, force=force)
    except Conflicts as conflicts:
        raise Refusal(409, str(conflicts), details={"causes": conflicts.causes}) from None
    if by.manager.name == tracking.KUBECTL and not target.subresource:
        merged = _with_last_applied(merged, applied)
    base = applied if old is None else old
    return with_managers(tracking.put_back(merged, base, target.subresource, has_status=status), found)


def requested(new: Json, old: Json | None) -> Managers:
    """The managers that a client wants the object to have, before its own changes are noted."""
    entries = _entries(new)
    if entries == [{}]:
        return {}
    try:
        found = managers.decode(entries or [])
    except (ValueError, RecursionError):
        found = {}
    return found or (requested(old, None) if old is not None else {})


def with_managers(obj: Json, found: Managers) -> Json:
    metadata = {k: v for k, v in (obj.get("metadata") or {}).items() if k != "managedFields"}
    return obj | {"metadata": metadata | ({"managedFields": managers.encode(found)} if found else {})}


def _entries(obj: Json) -> Any:
    metadata = obj.get("metadata")
    return metadata.get("managedFields") if isinstance(metadata, dict) else None


def _noted(obj: Json) -> bool:
    return bool(_entries(obj))


def _with_last_applied(merged: Json, applied: Json) -> Json:
    """Keeps the note of kubectl's client-side apply, where there is one, as its next one needs it."""
    metadata, own = merged.get("metadata") or {}, applied.get("metadata") or {}
    annotations, given = metadata.get("annotations"), own.get("annotations")
    if not isinstance(annotations, dict) or tracking.LAST_APPLIED not in annotations:
        return merged
    kept = {k: v for k, v in given.items() if k != tracking.LAST_APPLIED} if isinstance(given, dict) else {}
    said = applied | {"metadata": own | {"annotations": kept}}
    note = msgspec.json.encode(said, order="deterministic").decode() + "\n"
    return merged | {"metadata": metadata | {"annotations": annotations | {tracking.LAST_APPLIED: note}}}


def _of_user_agent(text: str) -> str:
    """`kubectl/v1.33.0 (linux/amd64)…` is kubectl."""
    name = "".join(c for c in text.partition("/")[0] if c.isprintable())
    while len(name.encode()) > LONGEST_MANAGER:
        name = name[:-1]
    return name or UNKNOWN
