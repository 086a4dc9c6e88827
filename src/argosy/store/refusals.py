"""What stores say when they refuse: one wording for all of them."""

from __future__ import annotations

from argosy.store.base import INTERNAL, AlreadyExists, Compacted, Conflict, Key, NotFound, Stored, Unchanged


def describe(key: Key) -> str:
    return f"{key.resource} {key.namespace}/{key.name}" if key.namespace else f"{key.resource} {key.name}"


def exists(key: Key) -> AlreadyExists:
    return AlreadyExists(f"{describe(key)} already exists")


def missing(key: Key) -> NotFound:
    return NotFound(f"{describe(key)} does not exist")


def changed(key: Key, revision: int, expected: int) -> Conflict:
    return Conflict(
        f"{describe(key)} is at revision {revision}, not {expected}: read it again, then repeat the change"
    )


def check_given(given: Unchanged | None, found: Stored | None) -> None:
    """`found`: the object that the condition of a write is about, where there is one. Raises Conflict."""
    if given is not None and (found is None or found.revision != given.revision):
        raise changed(given.key, found.revision if found else 0, given.revision)


def cut(floor: int, after: int) -> Compacted:
    return Compacted(f"the event log begins after revision {floor}, not {after}: list again")


def forgotten(after: int) -> Compacted:
    """As `cut`, where the store does not say how far back it knows."""
    return Compacted(f"what was there at revision {after} is compacted: list again")


def check_internal(key: Key) -> None:
    if not key.resource.startswith(INTERNAL):
        raise ValueError(f"{describe(key)} cannot be held: only resources under {INTERNAL} can")


def ahead(latest: int, after: int) -> Compacted:
    """Of another history (a backup was put back): what came after it there says nothing about here."""
    return Compacted(f"revision {after} is newer than the store ({latest}): list again")
