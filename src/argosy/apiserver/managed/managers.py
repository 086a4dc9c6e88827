"""The managers of an object's fields, and their form on the wire: `metadata.managedFields`.

An applier is known by its name alone, whichever version it applies in; who changes objects in other ways, by name and
version; both by subresource too.
# Kubernetes: meta/v1 ManagedFieldsEntry
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from argosy.apiserver.managed import fieldset
from argosy.apiserver.managed.fieldset import FieldSet

Json = dict[str, Any]

LONGEST_NAME = 128
MOST_UPDATERS = 10
ANCIENT = "ancient-changes"
"""Who has the fields of those whose changes are the oldest, once there are more than MOST_UPDATERS."""
FIELDS_TYPE = "FieldsV1"


class Operation(StrEnum):
    APPLY = "Apply"
    UPDATE = "Update"


class Manager(Struct, frozen=True):
    name: str
    operation: Operation
    api_version: str = ""  # "" for those who apply
    subresource: str = ""


class Owned(Struct, frozen=True):
    """What a manager has, and since when."""

    fields: FieldSet
    api_version: str
    time: str = ""


Managers = dict[Manager, Owned]


def applier(name: str, subresource: str = "") -> Manager:
    return Manager(name, Operation.APPLY, "", subresource)


def updater(name: str, api_version: str, subresource: str = "") -> Manager:
    return Manager(name, Operation.UPDATE, api_version, subresource)


def union(managers: Managers) -> FieldSet:
    """The fields of all of them."""
    found = FieldSet()
    for owned in managers.values():
        found |= owned.fields
    return found


def decode(entries: Any) -> Managers:
    """Raises ValueError."""
    if not isinstance(entries, list):
        raise ValueError("managedFields is not a list")
    found: Managers = {}
    for entry in entries:
        manager, owned = _read(entry)
        if manager in found:  # as from two versions of one applier
            owned = Owned(found[manager].fields | owned.fields, owned.api_version, owned.time)
        if owned.fields:
            found[manager] = owned
    return found


def encode(managers: Managers) -> list[Json]:
    """Those who apply first, then by time."""
    order = sorted(
        managers.items(),
        key=lambda each: (
            each[0].operation,
            each[1].time,
            each[0].name,
            each[1].api_version,
            each[0].subresource,
        ),
    )
    return [_write(manager, owned) for manager, owned in order]


def capped(managers: Managers) -> Managers:
    """With the oldest changes put together, so that an object many have changed does not grow for ever."""
    updaters = sorted(
        (m for m in managers if m.operation is Operation.UPDATE and m.name != ANCIENT),
        key=lambda m: managers[m].time,
    )
    kept = dict(managers)
    for manager in (
        updaters[: max(0, len(updaters) - MOST_UPDATERS + 1)] if len(updaters) > MOST_UPDATERS else ()
    ):
        gone = kept.pop(manager)
        bucket = updater(ANCIENT, manager.api_version)
        before = kept.get(bucket)
        fields = before.fields | gone.fields if before else gone.fields
        kept[bucket] = Owned(fields, gone.api_version, gone.time)
    return kept


def _read(entry: Any) -> tuple[Manager, Owned]:
    if not isinstance(entry, dict):
        raise ValueError("managedFields has an entry that is not an object")
    texts = {}
    for field in ("manager", "apiVersion", "time", "subresource", "fieldsType", "operation"):
        value = entry.get(field)
        texts[field] = "" if value is None else value
        if not isinstance(texts[field], str) or len(texts[field]) > 2 * LONGEST_NAME:
            raise ValueError(f"managedFields: {field} is not a short text")
    operation = Operation(texts["operation"])  # a ValueError where it is none
    if texts["fieldsType"] not in ("", FIELDS_TYPE):
        raise ValueError(f"managedFields: fieldsType {texts['fieldsType']!r} is not {FIELDS_TYPE}")
    given = entry.get("fieldsV1")
    fields = fieldset.from_json({} if given is None else given)
    version = texts["apiVersion"]
    identity = "" if operation is Operation.APPLY else version
    manager = Manager(texts["manager"], operation, identity, texts["subresource"])
    return manager, Owned(fields, version, texts["time"])


def _write(manager: Manager, owned: Owned) -> Json:
    entry: Json = {
        "manager": manager.name,
        "operation": manager.operation.value,
        "apiVersion": owned.api_version,
        "time": owned.time,
        "fieldsType": FIELDS_TYPE,
        "fieldsV1": fieldset.to_json(owned.fields),
        "subresource": manager.subresource,
    }
    return {key: value for key, value in entry.items() if value != ""}
