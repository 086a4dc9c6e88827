"""What becomes of an object when somebody applies to it, and when fields are taken out of it."""

from __future__ import annotations

from typing import Any

from argosy.apiserver.managed.compare import ABSENT, entry, grouped, step_of, steps
from argosy.apiserver.managed.fieldset import FieldSet, Path, named, shown
from argosy.apiserver.managed.shape import Form, Shape, resolve


def merge(shape: Shape, live: Any, applied: Any) -> Any:
    """`live` with what is applied: fields replaced, maps and lists merged as their shape says."""
    if applied is ABSENT or live is ABSENT:
        return live if applied is ABSENT else applied
    before, after = resolve(shape, live), resolve(shape, applied)
    if after.form is Form.LEAF or before.form is not after.form:
        return applied
    if after.form is Form.LIST:
        return _merge_lists(after, live, applied)
    merged = dict(live)
    for name in applied:
        value = entry(after, applied, name)
        if value is not ABSENT:
            merged[name] = merge(after.of(name), entry(after, live, name), value)
    return merged


def _merge_lists(shape: Shape, live: list[Any], applied: list[Any]) -> list[Any]:
    """Applied entries in their own order; an entry that is live alone keeps its place before the next shared one."""
    there, wanted = grouped(shape, live), grouped(shape, applied)
    order = list(steps(shape, live))
    shared = [step for step in wanted if step in there]
    merged: list[Any] = []
    at = 0
    for step, items in wanted.items():
        upcoming = shared[0] if shared else None
        while at < len(order) and order[at][0] != upcoming:
            if order[at][0] not in wanted:
                merged.append(order[at][1])
            at += 1
        merged.append(merge(shape.item, _single(there.get(step)), items[0]))
        if step == upcoming:
            shared.pop(0)
            at += 1
    return merged + [item for step, item in order[at:] if step not in wanted]


def remove(shape: Shape, value: Any, gone: FieldSet) -> Any:
    """The value without these fields. A map or list of which nothing is left is empty: it goes where it is named."""
    present = resolve(shape, value)
    if present.form is Form.LEAF:
        return value
    if present.form is Form.MAP:
        kept = {}
        for name, inner in value.items():
            left = _without(present.of(name), named(name), inner, gone)
            if left is not ABSENT:
                kept[name] = left
        return kept
    items = [_without(present.item, step, item, gone) for step, item in steps(present, value)]
    return [item for item in items if item is not ABSENT]


def prune(shape: Shape, merged: Any, applied: Any, last: FieldSet, owned: FieldSet) -> Any:
    """Takes out what was applied last time, is not any more, and nobody else owns.

    `owned`: the fields of all managers, among them those that are applied now. An entry of a list goes as a whole, with
    what nobody manages in it; what nobody ever applied stays; and so does, empty, what somebody owns or applies empty.
    """
    gone = with_parents(shape, last) - with_parents(shape, owned)
    # Once more: an empty list is nobody's field, and yet there where it is applied.
    return merge(shape, remove(shape, merged, gone), applied) if gone else merged


def with_parents(shape: Shape, fields: FieldSet) -> FieldSet:
    """With the declared fields that they are in: to own `.spec.selector.app` is to own `.spec`."""
    children, members = {}, set(fields.members)
    for step, below in fields.children.items():
        inner = shape.item if shape.form is Form.LIST else _shape_of_step(shape, step)
        if step.startswith("f:") and step[2:] in shape.fields:
            members.add(step)
        children[step] = with_parents(inner, below)
    return FieldSet(members, children)


def ambiguous(shape: Shape, value: Any, path: Path = ()) -> str | None:
    """Why a value cannot be applied: entries of a list that cannot be told apart. None: it can."""
    present = resolve(shape, value)
    if present.form is Form.MAP:
        inner = ((present.of(name), (*path, named(name)), each) for name, each in value.items())
    elif present.form is Form.LIST:
        for index, item in enumerate(value):
            if step_of(present, item) is None:
                missing = f"key {' or '.join(present.keys)}" if present.keys else "simple value"
                return f"{shown(path)}: entry {index} has no {missing} to tell it by; give it"
        for step, items in grouped(present, value).items():
            if len(items) > 1:
                return f"{shown((*path, step))}: is there {len(items)} times; keep one"
        inner = ((present.item, (*path, step), item) for step, item in steps(present, value))
    else:
        return None
    found = (ambiguous(each_shape, each, each_path) for each_shape, each_path, each in inner)
    return next((why for why in found if why is not None), None)


def _without(shape: Shape, step: str, value: Any, gone: FieldSet) -> Any:
    if step in gone.members:
        return ABSENT
    below = gone.children.get(step)
    return remove(shape, value, below) if below else value


def _single(items: list[Any] | None) -> Any:
    """What an applied entry is merged with; entries that are there twice are replaced by it."""
    return items[0] if items is not None and len(items) == 1 else ABSENT


def _shape_of_step(shape: Shape, step: str) -> Shape:
    return shape.of(step[2:]) if step.startswith("f:") else shape.item
