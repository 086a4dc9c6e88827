"""Sets of fields, and their form on the wire: FieldsV1.

    {"f:spec": {"f:ports": {"k:{\\"port\\":80}": {".": {}, "f:name": {}}}}}

A step of a path is written as on the wire: `f:` a name in a map, `k:` the keys of an entry of a list, `v:` the value of
one, `i:` its index. A path that is in the set says nothing about those above or below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

Json = dict[str, Any]
Path = tuple[str, ...]

MAX_DEPTH = 150
"""Of what clients send as FieldsV1; objects are less than half as deep."""


class FieldSet:
    """Changed by `insert` alone, while it is made; every other function returns a new one."""

    __slots__ = ("children", "members")

    def __init__(self, members: Iterable[str] = (), children: dict[str, FieldSet] | None = None) -> None:
        self.members = set(members)
        self.children = {k: v for k, v in (children or {}).items() if v}

    def insert(self, path: Path) -> None:
        """The empty path is the object as a whole, which nobody manages."""
        if not path:
            return
        node = self
        for step in path[:-1]:
            node = node.children.setdefault(step, FieldSet())
        node.members.add(path[-1])

    def __bool__(self) -> bool:
        return bool(self.members) or any(self.children.values())

    def __contains__(self, path: Path) -> bool:
        node: FieldSet | None = self
        for step in path[:-1]:
            node = node.children.get(step) if node else None
        return node is not None and bool(path) and path[-1] in node.members

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and set(self) == set(other)

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Path]:
        """Every path, in order."""
        for step in sorted(self.members | self.children.keys()):
            if step in self.members:
                yield (step,)
            below = self.children.get(step)
            if below is not None:
                for path in below:
                    yield (step, *path)

    def __repr__(self) -> str:
        return f"FieldSet({', '.join(map(shown, self))})"

    def __or__(self, other: FieldSet) -> FieldSet:
        both = {k: v | other.children[k] if k in other.children else v for k, v in self.children.items()}
        return FieldSet(self.members | other.members, other.children | both)

    def __and__(self, other: FieldSet) -> FieldSet:
        both = {k: v & other.children[k] for k, v in self.children.items() if k in other.children}
        return FieldSet(self.members & other.members, both)

    def __sub__(self, other: FieldSet) -> FieldSet:
        left = {k: v - other.children[k] if k in other.children else v for k, v in self.children.items()}
        return FieldSet(self.members - other.members, left)


def of_paths(paths: Iterable[Path]) -> FieldSet:
    found = FieldSet()
    for path in paths:
        found.insert(path)
    return found


def to_json(fields: FieldSet) -> Json:
    written: Json = {}
    for step in sorted(fields.members | fields.children.keys()):
        below = fields.children.get(step)
        inner = to_json(below) if below else {}
        if inner and step in fields.members:
            inner = {".": {}} | inner
        if inner or step in fields.members:
            written[step] = inner
    return written


def from_json(value: Any, depth: int = 0) -> FieldSet:
    """Raises ValueError."""
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        raise ValueError("FieldsV1 is not a tree of objects")
    found = FieldSet()
    for key, inner in value.items():
        if key == ".":
            continue
        step, below = _read_step(key), from_json(inner, depth + 1)
        if "." in inner or not below:
            found.members.add(step)
        if below:
            found.children[step] = below
    return found


def named(name: str) -> str:
    return f"f:{name}"


def keyed(keys: Json) -> str:
    return f"k:{_canonical({name: _whole(value) for name, value in keys.items()})}"


def valued(value: Any) -> str:
    return f"v:{_canonical(value)}"


def indexed(index: int) -> str:
    return f"i:{index}"


def shown(path: Path) -> str:
    """As people read it: `.spec.ports[port=80,protocol="TCP"].name`."""
    return "".join(_shown_step(step) for step in path)


def _shown_step(step: str) -> str:
    kind, text = step[:2], step[2:]
    match kind:
        case "f:":
            return f".{text}"
        case "k:":
            pairs = json.loads(text).items()
            return f"[{','.join(f'{key}={_canonical(value)}' for key, value in pairs)}]"
        case "v:":
            return f"[={text}]"
    return f"[{text}]"


def _read_step(key: str) -> str:
    kind, text = key[:2], key[2:]
    match kind:
        case "f:":
            return key
        case "k:":
            keys = json.loads(text)
            if isinstance(keys, dict) and keys:
                return keyed(keys)
        case "v:":
            return valued(json.loads(text))
        case "i:" if text.isascii() and text.isdigit() and len(text) < 10:
            return indexed(int(text))
    raise ValueError(f"FieldsV1: {key[:80]!r} is no step of a path")


def _canonical(value: Any) -> str:
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _whole(value: Any) -> Any:
    """80.0 is 80."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
