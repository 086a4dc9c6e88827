"""JSON patch (RFC 6902) over JSON pointers (RFC 6901), bounded in steps and in what copies may add up to.

Of the libraries for it none bounds the second: thirty operations that each copy the whole make it 2^30 times as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import msgspec

from argosy.apiserver.managed.compare import same
from argosy.apiserver.status import Refusal, bad_request

MAX_OPERATIONS = 10_000  # as the kube-apiserver
MAX_COPIED = 3 << 20
MAX_WORK = 10_000_000
"""Steps of all operations together: what an insertion into a list moves, what is looked at of a value that moves."""
MAX_NESTED = 128
"""Levels of what comes in between; of what comes out there are fewer (documents.MAX_DEPTH)."""

_WITH_VALUE = ("add", "replace", "test")
_WITH_SOURCE = ("move", "copy")
_MISSING: Any = object()


def parse(patch: Any) -> list[dict[str, Any]]:
    """Raises Refusal (400, 413) where this is no patch at all."""
    if not isinstance(patch, list):
        raise bad_request("the JSON patch is not a list of operations")
    if len(patch) > MAX_OPERATIONS:
        raise Refusal(413, f"the JSON patch has {len(patch)} operations; at most {MAX_OPERATIONS} are taken")
    for index, operation in enumerate(patch):
        if not isinstance(operation, dict):
            raise bad_request(f"operation {index} of the JSON patch is not an object")
        name = operation.get("op")
        if name not in (*_WITH_VALUE, *_WITH_SOURCE, "remove"):
            raise bad_request(f"operation {index} of the JSON patch: op {str(name)[:40]!r} is unknown")
        needed = ["path", *(["from"] if name in _WITH_SOURCE else ())]
        for field in needed:
            if not isinstance(operation.get(field), str):
                raise bad_request(f"operation {index} of the JSON patch: {field} is not a JSON pointer")
            if len(_pointer(operation[field])) > MAX_NESTED // 2:
                raise bad_request(f"operation {index} of the JSON patch: {field} is too deep")
        if name in _WITH_VALUE and "value" not in operation:
            raise bad_request(f"operation {index} of the JSON patch: value is missing")
    return patch


def apply(target: Any, patch: Sequence[dict[str, Any]]) -> Any:
    """Raises Refusal (422) where an operation does not fit the object, or a test does not hold."""
    document = [deepcopy(target)]
    budget = _Budget()
    for index, operation in enumerate(patch):
        try:
            _apply(document, operation, budget)
        except _Unfit as error:
            raise Refusal(
                422,
                f"operation {index} of the JSON patch ({operation['op']} {operation['path'][:200]}): {error}",
            ) from None
    return document[0]


class _Unfit(Exception):
    pass


class _Budget:
    def __init__(self) -> None:
        self.copied = 0
        self.work = 0

    def copy(self, value: Any) -> Any:
        self.copied += len(msgspec.json.encode(value))
        if self.copied > MAX_COPIED:
            raise Refusal(413, f"the JSON patch copies more than {MAX_COPIED} bytes")
        return deepcopy(value)

    def fit(self, value: Any, path: tuple[str, ...]) -> Any:
        """The value, where it is not nested too deep for its new place."""
        level, depth = [value], len(path)
        while level:
            self.spend(10 * len(level))
            depth += 1
            if depth > MAX_NESTED:
                raise _Unfit(f"it would be nested more than {MAX_NESTED} levels deep")
            level = [
                inner
                for each in level
                if isinstance(each, (dict, list))
                for inner in (each.values() if isinstance(each, dict) else each)
            ]
        return value

    def spend(self, steps: int) -> None:
        self.work += steps
        if self.work > MAX_WORK:
            raise Refusal(413, "the JSON patch takes too many steps: send a smaller one")


def _apply(document: list[Any], operation: dict[str, Any], budget: _Budget) -> None:
    """`document` holds the object as its one entry, so that the whole can be replaced like any other value."""
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            _add(document, path, deepcopy(operation["value"]), budget)
        case "remove":
            _remove(document, path, budget)
        case "replace":
            parent, key = _find(document, path)
            _get(parent, key)
            parent[key] = deepcopy(operation["value"])
        case "move":
            source = _pointer(operation["from"])
            if path[: len(source)] == source and path != source:
                raise _Unfit("a value cannot be moved into itself")
            _add(document, path, budget.fit(_remove(document, source, budget), path), budget)
        case "copy":
            value = _get(*_find(document, _pointer(operation["from"])))
            _add(document, path, budget.copy(budget.fit(value, path)), budget)
        case "test":
            if not same(_get(*_find(document, path)), operation["value"]):
                raise _Unfit("the test does not hold")


def _pointer(text: str) -> tuple[str, ...]:
    if text and not text.startswith("/"):
        raise bad_request(f"the JSON pointer {text[:200]!r} does not begin with /")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def _find(document: list[Any], path: tuple[str, ...]) -> tuple[Any, Any]:
    """(the container of the value, its key there)."""
    parent: Any = document
    key: Any = 0
    for part in path:
        parent = _get(parent, key)
        if isinstance(parent, list):
            key = _index(part, len(parent))
        elif isinstance(parent, dict):
            key = part
        else:
            raise _Unfit(f"there is nothing within a simple value: {part[:80]!r}")
    return parent, key


def _get(parent: Any, key: Any) -> Any:
    if isinstance(parent, list):
        if key >= len(parent):
            raise _Unfit(f"the list has no entry {key}")
        return parent[key]
    value = parent.get(key, _MISSING)
    if value is _MISSING:
        raise _Unfit(f"there is no {key[:80]!r}")
    return value


def _add(document: list[Any], path: tuple[str, ...], value: Any, budget: _Budget) -> None:
    parent, key = _find(document, path)
    if parent is document:
        document[0] = value
    elif isinstance(parent, list):
        if key > len(parent):
            raise _Unfit(f"the list has {len(parent)} entries: {key} is past its end")
        budget.spend(len(parent) - key)
        parent.insert(key, value)
    else:
        parent[key] = value


def _remove(document: list[Any], path: tuple[str, ...], budget: _Budget) -> Any:
    parent, key = _find(document, path)
    if parent is document:
        raise _Unfit("the whole object cannot be taken away")
    value = _get(parent, key)
    if isinstance(parent, list):
        budget.spend(len(parent) - key)
    del parent[key]
    return value


def _index(part: str, size: int) -> int:
    if part == "-":
        return size
    if part.isascii() and part.isdigit() and len(part) < 10 and (part == "0" or not part.startswith("0")):
        return int(part)
    raise _Unfit(f"{part[:80]!r} is not an index of a list")
