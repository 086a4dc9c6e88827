"""What a write changed, for the audit log: a merge patch from the old object to the new.

Rule: of what must not be told (Secrets, and the hashes of users' tokens) the names of the changed fields, never a
value; and nowhere what only repeats the object: managedFields, and the annotation in which kubectl keeps a copy.
# JSON Merge Patch: RFC 7396
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from argosy.resources import access

Json = dict[str, Any]

WITHHELD = frozenset(("/secrets", f"{access.GROUP}/users"))
"""Resources of whose objects only the names of changed fields are told."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
LONGEST = 32 << 10
_REPEATED = ("managedFields", "resourceVersion", "generation")


def told(resource: str, old: bytes | None, new: bytes | None) -> Json:
    """`{"diff": …}`, or `{"changed": […]}` where values are not told. `old` None: it was created; `new` None: deleted,
    and what it was is not repeated."""
    if new is None:
        return {"deleted": True}
    before, after = _plain(old), _plain(new)
    if resource in WITHHELD:
        return {"changed": sorted(set(changed(before, after)))}
    patch = difference(before, after)
    encoded = len(msgspec.json.encode(patch))
    if encoded > LONGEST:
        return {"diff_bytes": encoded, "changed": sorted(set(changed(before, after)))[:200]}
    return {"diff": patch}


def difference(old: Json, new: Json) -> Json:
    """The merge patch that makes `new` of `old`."""
    patch: Json = {field: None for field in old if field not in new}
    for field, value in new.items():
        before = old.get(field)
        if isinstance(value, dict) and isinstance(before, dict):
            if deeper := difference(before, value):
                patch[field] = deeper
        elif field not in old or not _same(before, value):
            patch[field] = value
    return patch


def changed(old: Json, new: Json, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of the fields that differ, as `data.password`; no deeper than the keys of maps of metadata."""
    for field in sorted({*old, *new}):
        before, after = old.get(field), new.get(field)
        if field in old and field in new and _same(before, after):
            continue
        here = (*path, field)
        below: list[str] = []
        if len(here) < (3 if here[0] == "metadata" else 2) and (
            isinstance(before, dict) or isinstance(after, dict)
        ):
            below = list(changed(_mapping(before), _mapping(after), here))
        yield from below or [".".join(here)]


def _same(one: Any, other: Any) -> bool:
    """As JSON: 0 is not false."""
    return msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _plain(body: bytes | None) -> Json:
    """The object without what only repeats it."""
    if body is None:
        return {}
    try:
        obj = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return {}
    if not isinstance(obj, dict):
        return {}
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        kept = {field: value for field, value in metadata.items() if field not in _REPEATED}
        annotations = kept.get("annotations")
        if isinstance(annotations, dict) and LAST_APPLIED in annotations:
            kept["annotations"] = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
        obj = obj | {"metadata": kept}
    return obj
