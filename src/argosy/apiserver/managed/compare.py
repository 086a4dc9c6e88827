"""What the difference of two objects is in fields, and which fields an object has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from argosy.apiserver.managed.fieldset import FieldSet, Path, indexed, keyed, named, valued
from argosy.apiserver.managed.shape import Form, Shape, resolve

ABSENT: Final[Any] = object()
"""What is not there. (null is a value, but for a declared field, which it leaves out.)"""


class Comparison:
    """The fields in which an object differs from an older one."""

    def __init__(self, shape: Shape, old: Any, new: Any) -> None:
        self.added, self.modified, self.removed = FieldSet(), FieldSet(), FieldSet()
        self._walk(shape, old, new, ())

    @property
    def changed(self) -> FieldSet:
        return self.added | self.modified

    def _walk(self, shape: Shape, old: Any, new: Any, path: Path) -> None:
        before = None if old is ABSENT else resolve(shape, old)
        after = None if new is ABSENT else resolve(shape, new)
        present = after or before
        if present is None:
            return
        if before is not None and after is not None and before.form is not after.form:
            self._walk(shape, old, ABSENT, path)
            self._walk(shape, ABSENT, new, path)
            return
        # Two empty ones are a field, so that an empty map or list is told from none.
        whole = present.form is Form.LEAF or (not _filled(old) and not _filled(new))
        if not whole and present.form is Form.MAP:
            for name in _names(old) | _names(new):
                self._walk(
                    present.of(name),
                    entry(present, old, name),
                    entry(present, new, name),
                    (*path, named(name)),
                )
        elif not whole:
            self._lists(present, old, new, path)
        if old is ABSENT:
            self.added.insert(path)
        elif new is ABSENT:
            self.removed.insert(path)
        elif whole and not same(old, new):
            self.modified.insert(path)

    def _lists(self, shape: Shape, old: Any, new: Any, path: Path) -> None:
        before, after = grouped(shape, old), grouped(shape, new)
        for step in before.keys() | after.keys():
            olds, news = before.get(step, []), after.get(step, [])
            at = (*path, step)
            if len(olds) <= 1 and len(news) <= 1:
                self._walk(shape.item, olds[0] if olds else ABSENT, news[0] if news else ABSENT, at)
            elif len(olds) <= 1:  # twice now: they are one field together
                self._walk(shape.item, olds[0] if olds else ABSENT, ABSENT, at)
                self.added.insert(at)
            elif len(news) <= 1:
                self._walk(shape.item, ABSENT, news[0] if news else ABSENT, at)
                self.removed.insert(at)
            elif not same(olds, news):
                self.modified.insert(at)


def field_set(shape: Shape, value: Any) -> FieldSet:
    """The fields of what somebody applies: its leaves, and those entries of maps and lists that it names."""
    found = FieldSet()
    _collect(shape, value, (), found)
    return found


def _collect(shape: Shape, value: Any, path: Path, found: FieldSet) -> None:
    present = resolve(shape, value)
    if present.form is Form.LEAF:
        found.insert(path)
    elif present.form is Form.MAP:
        for name in value:
            inner = entry(present, value, name)
            if inner is ABSENT:
                continue
            at = (*path, named(name))
            _collect(present.of(name), inner, at, found)
            if name not in present.fields or inner == {}:
                found.insert(at)
    else:
        for step, items in grouped(present, value).items():
            at = (*path, step)
            if len(items) == 1:
                _collect(present.item, items[0], at, found)
            found.insert(at)


def entry(shape: Shape, value: Any, name: str) -> Any:
    """An entry of a map; a declared field that is null is not there."""
    if value is ABSENT:
        return ABSENT
    found = value.get(name, ABSENT)
    return ABSENT if found is None and name in shape.fields else found


def steps(shape: Shape, items: Any) -> Iterator[tuple[str, Any]]:
    """The entries of a list, each with the step that tells it apart."""
    for index, item in enumerate(() if items is ABSENT else items):
        yield step_of(shape, item) or indexed(index), item


def grouped(shape: Shape, items: Any) -> dict[str, list[Any]]:
    """The entries of a list by their steps; more than one of a step: they are there twice."""
    found: dict[str, list[Any]] = {}
    for step, item in steps(shape, items):
        found.setdefault(step, []).append(item)
    return found


def step_of(shape: Shape, item: Any) -> str | None:
    """None: an entry that cannot be told apart: it is not what the list is made of, or says a key not at all."""
    if not shape.keys:
        return None if isinstance(item, (dict, list)) else valued(item)
    if not isinstance(item, dict):
        return None
    keys = {key: item.get(key, shape.defaults.get(key, ABSENT)) for key in shape.keys}
    if any(value is ABSENT or value is None or isinstance(value, (dict, list)) for value in keys.values()):
        return None
    return keyed(keys)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1, but 1.0 is."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _filled(value: Any) -> bool:
    return value is not ABSENT and bool(value)


def _names(value: Any) -> set[str]:
    return set() if value is ABSENT else set(value)
