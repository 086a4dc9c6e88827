"""Strategic merge patch: as merge patch, but lists of entries with a key are merged by it. For Kubernetes' kinds alone.

    $patch: replace | delete | merge     in an object, or as an entry of a list
    $retainKeys: [a, b]                  all other keys of the object go
    $setElementOrder/LIST: […]           how the entries of LIST are to follow each other
    $deleteFromPrimitiveList/LIST: […]   values to take out of LIST

Facts: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/ and the design paper
"strategic merge patch" of Kubernetes
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import msgspec

from argosy.apiserver.managed.shape import LEAF, Form, Shape, resolve
from argosy.apiserver.status import bad_request

Json = dict[str, Any]
PATCH, RETAIN = "$patch", "$retainKeys"
ORDER, DELETE_FROM = "$setElementOrder/", "$deleteFromPrimitiveList/"
_MISSING: Any = object()


def apply(shape: Shape, target: Any, patch: Any) -> Any:
    """Raises Refusal (400) for directives that make no sense."""
    if not isinstance(patch, dict):
        raise bad_request("the strategic merge patch is not an object")
    found = _map(shape, target if isinstance(target, dict) else {}, patch)
    return {} if found is _MISSING else found


def _map(shape: Shape, target: Json, patch: Json) -> Any:
    """`_MISSING`: the patch deletes it."""
    match directive := patch.get(PATCH):
        case None | "merge":
            merged = dict(target)
        case "replace":
            return _clean({k: v for k, v in patch.items() if k != PATCH})
        case "delete":
            return _MISSING
        case _:
            raise bad_request(
                f"the strategic merge patch has an unknown directive: $patch: {str(directive)[:40]!r}"
            )
    if RETAIN in patch:
        kept = _list_of(patch, RETAIN)
        merged = {k: v for k, v in merged.items() if k in kept}
    for name in _fields_of(patch):
        value = _merged(shape.of(name), name, merged.get(name, _MISSING), patch)
        if value is _MISSING:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def _merged(shape: Shape, name: str, old: Any, patch: Json) -> Any:
    """One field of an object, and the directives beside it that are about it."""
    given = patch.get(name, _MISSING)
    if given is None:
        return _MISSING
    if isinstance(given, dict):
        return _map(resolve(shape, given), old if isinstance(old, dict) else {}, given)
    about_list = given is _MISSING or isinstance(given, list)
    if not about_list or resolve(shape, []).form is not Form.LIST:
        return old if given is _MISSING else _clean(given)
    items = old if isinstance(old, list) else []
    changes = [] if given is _MISSING else given
    order = _list_of(patch, ORDER + name)
    if not shape.keys:
        gone = {_identity(each) for each in _list_of(patch, DELETE_FROM + name)}
        merged = [each for each in items if _identity(each) not in gone]
        there = {_identity(each) for each in merged}
        merged += [each for each in changes if _identity(each) not in there]
        return _missing_if_untouched(old, _ordered(merged, items, order, _identity))
    key = shape.keys[0]
    merged = _keyed(shape, key, items, changes)
    wanted = [each.get(key) if isinstance(each, dict) else each for each in order]
    live = [each for each in items if isinstance(each, dict)]
    return _missing_if_untouched(old, _ordered(merged, live, wanted, lambda each: _identity(each.get(key))))


def _keyed(shape: Shape, key: str, items: list[Any], changes: list[Any]) -> list[Any]:
    if {PATCH: "replace"} in changes:
        return [_clean(each) for each in changes if not (isinstance(each, dict) and PATCH in each)]
    merged = [each for each in items if isinstance(each, dict)]
    places = {_identity(each.get(key)): place for place, each in enumerate(merged)}
    for change in changes:
        if not isinstance(change, dict) or key not in change:
            raise bad_request(
                f"the strategic merge patch has an entry of a list without its merge key {key!r}"
            )
        identity = _identity(change[key])
        place = places.get(identity)
        before = {} if place is None else merged[place]
        entry = _map(resolve(shape.item, change), before if isinstance(before, dict) else {}, change)
        if place is None and entry is not _MISSING:
            places[identity] = len(merged)
            merged.append(entry)
        elif place is not None:
            merged[place] = entry
    return [each for each in merged if each is not _MISSING]


def _ordered(
    merged: list[Any], live: list[Any], order: list[Any], identity: Callable[[Any], Hashable]
) -> list[Any]:
    """In this order; an entry that it does not name stays before the first that followed it in the live list."""
    if not order:
        return merged
    rank = {_identity(each): place for place, each in enumerate(order)}
    before = {identity(each): place for place, each in enumerate(live)}
    named = sorted((each for each in merged if identity(each) in rank), key=lambda each: rank[identity(each)])
    others = [each for each in merged if identity(each) not in rank]
    result: list[Any] = []
    for each in others:
        while named and before.get(identity(named[0]), -1) <= before.get(identity(each), len(live)):
            result.append(named.pop(0))
        result.append(each)
    return result + named


def _fields_of(patch: Json) -> list[str]:
    """The fields that a patch is about, by themselves or in a directive."""
    found = dict.fromkeys(name for name in patch if not name.startswith("$"))
    for name in patch:
        for prefix in (ORDER, DELETE_FROM):
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] = None
    return list(found)


def _list_of(patch: Json, directive: str) -> list[Any]:
    value = patch.get(directive)
    if value is None:
        return []
    if not isinstance(value, list) or any(isinstance(each, list) for each in value):
        raise bad_request(f"the strategic merge patch has a directive that is not a list: {directive[:80]}")
    return value


def _missing_if_untouched(old: Any, merged: list[Any]) -> Any:
    return _MISSING if old is _MISSING and not merged else merged


def _clean(value: Any) -> Any:
    """A value that is new: without directives and nulls."""
    if isinstance(value, dict):
        found = _map(LEAF, {}, value) if PATCH in value else value
        if found is _MISSING:
            return {}
        return {k: _clean(v) for k, v in found.items() if v is not None and not k.startswith("$")}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return value


def _identity(value: Any) -> Hashable:
    """What a value is told apart by; true is not 1."""
    return msgspec.json.encode(value)
