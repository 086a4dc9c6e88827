"""One run of patches over one resource: which of them are left, which changed something, and which cannot be made.

A patch that fails is taken out, and the resource is made again from its beginning without it: what it had half done is
nowhere, and the others are in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from google.protobuf.message import Message

from argosy.model.envoy_patches import EnvoyPatch, Operation, Part
from argosy.translate.patches.subject import Subject, concerns

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class _Failed(Exception):
    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index
        self.message = message


class Run:
    def __init__(self, subject: Subject, patches: tuple[EnvoyPatch, ...], without: dict[int, str]) -> None:
        self.subject = subject
        self.applied: set[int] = set()
        self._patches = [
            (index, one)
            for index, one in enumerate(patches)
            if index not in without and concerns(one, subject)
        ]

    def of(self, part: Part) -> list[tuple[int, EnvoyPatch]]:
        """The patches of a part, in order, with their index."""
        return [(index, one) for index, one in self._patches if one.part is part]

    @contextmanager
    def making(self, index: int) -> Iterator[None]:
        """The patch changes something here."""
        self.applied.add(index)
        try:
            yield
        except Exception as error:  # whatever one patch leads to, the others keep working
            raise _Failed(index, str(error)) from error


def contained(
    subject: Subject, patches: tuple[EnvoyPatch, ...], make: Callable[[Run], T]
) -> tuple[T, tuple[int, ...], dict[int, str]]:
    """What `make` makes, from its beginning, of the patches that can be made; the indexes of those that changed
    something; and why the others cannot be made."""
    failed: dict[int, str] = {}
    while True:
        run = Run(subject, patches, failed)
        try:
            return make(run), tuple(sorted(run.applied)), failed
        except _Failed as error:
            failed[error.index] = error.message


def place(
    items: list[M], operation: Operation, value: Callable[[], M], fits: Callable[[M], bool] | None
) -> list[M] | None:
    """The list after one operation but MERGE; None where nothing changes. `fits` None: the patch names no item: then
    it goes before or after all of them, and replaces or removes none."""
    found = next((at for at, item in enumerate(items) if fits is not None and fits(item)), None)
    match operation:
        case Operation.ADD:
            return [*items, value()]
        case Operation.INSERT_FIRST:
            return [value(), *items]
        case Operation.INSERT_BEFORE if fits is None:
            return [value(), *items]
        case Operation.INSERT_AFTER if fits is None:
            return [*items, value()]
        case _ if found is None:
            return None
        case Operation.INSERT_BEFORE:
            return [*items[:found], value(), *items[found:]]
        case Operation.INSERT_AFTER:
            return [*items[: found + 1], value(), *items[found + 1 :]]
        case Operation.REPLACE:
            return [*items[:found], value(), *items[found + 1 :]]
        case Operation.REMOVE if fits is not None:
            return [item for item in items if not fits(item)]
    return None
