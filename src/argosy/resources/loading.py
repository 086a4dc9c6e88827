"""Text to objects: YAML of many documents, JSON, lists; bounded in size, depth and expansion. No file I/O here.

Scalars are read as Kubernetes reads them: `yes` and `on` are booleans, dates and `1:30` are text, keys are text. A key
that is there twice is an error. It builds from parser events with a stack of its own, so that no input can exhaust
Python's, and an alias costs what it stands for.
Bounds count values; a long text counts as several.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import yaml
from msgspec import Struct

MAX_CHARACTERS = 8 * 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 2_000_000  # after aliases are expanded
MAX_ALIASED = 20_000
"""Values that aliases may stand for in one document: what is sent says how much it is, but for so much."""
TEXT_PER_VALUE = 16
"""Characters of a text that count as much as one more value."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"))
_FALSE = frozenset(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"))
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_BASED = re.compile(r"([-+]?)(?:0x([0-9a-fA-F_]+)|0o?([0-7_]+)|0b([01_]+))")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TAG = "tag:yaml.org,2002:"


class LoadError(Exception):
    """Where a text could not be read, and why."""

    def __init__(self, source: str, line: int, message: str) -> None:
        super().__init__(f"{source}:{line}: {message}")
        self.source = source
        self.line = line
        self.message = message


class Document(Struct, frozen=True):
    source: str  # as given: a file name, `-`
    index: int  # of the object within its source, from 0
    line: int  # where its document begins, from 1
    object: Any  # JSON values alone; mostly a dict


def load_documents(text: str, source: str, duplicates: list[str] | None = None) -> list[Document]:
    """The objects of a text, lists (`kind: List`) expanded, empty documents left out. Raises LoadError.

    `duplicates`: where keys that are there twice are noted, of which the last counts; None: they are an error.
    """
    if len(text) > MAX_CHARACTERS:
        raise LoadError(source, 1, f"has {len(text)} characters; at most {MAX_CHARACTERS} are read: split it")
    documents: list[Document] = []
    for line, value in _values(text, source, duplicates):
        for item in _expanded(value):
            documents.append(Document(source, len(documents), line, item))
    return documents


def _expanded(value: Any) -> Iterator[Any]:
    if (
        isinstance(value, dict)
        and str(value.get("kind", "")).endswith("List")
        and isinstance(value.get("items"), list)
    ):
        for item in value["items"]:
            yield from _expanded(item)
    else:
        yield value


def _values(text: str, source: str, duplicates: list[str] | None) -> Iterator[tuple[int, Any]]:
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            pass  # YAML's flow style looks the same; its reader names the line
        else:
            if _depth(value) > MAX_DEPTH:
                raise LoadError(source, 1, _TOO_DEEP)
            yield 1, value
            return
    reader = _Reader(source, duplicates)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if (
                isinstance(event, yaml.DocumentEndEvent)
                and reader.root is not None
                and reader.root.value is not None
            ):
                yield reader.root.line, reader.root.value
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark if error.problem_mark is not None else error.context_mark
        # libyaml 0.2.6 has a bound of its own (1,000), and its scanner meets it before it gives out the first event
        problem = _TOO_DEEP if "nesting depth" in (error.problem or "") else error.problem
        raise LoadError(source, mark.line + 1 if mark is not None else 1, problem or "is not YAML") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise LoadError(source, 1, f"is not YAML: {error}") from error


_TOO_DEEP = f"is nested more than {MAX_DEPTH} deep; flatten it"


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= MAX_DEPTH:
        deepest += 1
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return deepest


class _Built(NamedTuple):
    value: Any
    nodes: int
    depth: int
    line: int


class _Open:
    """A mapping or sequence whose end has not come."""

    __slots__ = ("anchor", "depth", "key", "keys", "line", "merges", "nodes", "value")

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None, line: int) -> None:
        self.value = value
        self.anchor = anchor
        self.line = line
        self.key: str | None = None  # read, its value not
        self.keys: set[str] = set()
        self.merges: list[Any] = []
        self.nodes = 1
        self.depth = 1


_MERGE = object()


class _Reader:
    """Builds one document after another from events."""

    def __init__(self, source: str, duplicates: list[str] | None) -> None:
        self.source = source
        self.duplicates = duplicates
        self.root: _Built | None = None
        self.stack: list[_Open] = []
        self.anchors: dict[str, _Built] = {}
        self.nodes = 0
        self.aliased = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, line)
            self._add(_Built(value, 1 + len(event.value) // TEXT_PER_VALUE, 0, line), event.anchor)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if len(self.stack) >= MAX_DEPTH:
                raise LoadError(self.source, line, _TOO_DEEP)
            if event.tag not in (None, "!", _TAG + "map", _TAG + "seq"):
                raise LoadError(self.source, line, f"tag {event.tag[:80]!r} is not read; remove it")
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
            self.stack.append(_Open(value, event.anchor, line))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            done = self.stack.pop()
            self._merge(done)
            self._add(_Built(done.value, done.nodes, done.depth, done.line), done.anchor)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise LoadError(self.source, line, f"alias *{event.anchor} has no anchor before it")
            self.aliased += self.anchors[event.anchor].nodes
            if self.aliased > MAX_ALIASED:
                raise LoadError(
                    self.source, line, f"aliases stand for more than {MAX_ALIASED} values; write them out"
                )
            self._add(self.anchors[event.anchor]._replace(line=line), None)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.root, self.anchors, self.nodes, self.aliased = None, {}, 0, 0

    def _add(self, built: _Built, anchor: str | None) -> None:
        self.nodes += built.nodes
        if self.nodes > MAX_NODES:
            raise LoadError(self.source, built.line, f"has more than {MAX_NODES} values; split it")
        if len(self.stack) + built.depth > MAX_DEPTH:
            raise LoadError(self.source, built.line, _TOO_DEEP)
        if anchor is not None:
            self.anchors[anchor] = built
        if not self.stack:
            self.root = built
            return
        parent = self.stack[-1]
        parent.nodes += built.nodes
        parent.depth = max(parent.depth, built.depth + 1)
        if isinstance(parent.value, list):
            parent.value.append(built.value)
        elif parent.key is None:
            parent.key = self._key(parent, built)
        else:
            self._member(parent, parent.key, built)
            parent.key = None

    def _key(self, parent: _Open, built: _Built) -> str:
        value = built.value
        if value is _MERGE:
            return "<<"
        if isinstance(value, (dict, list)):
            raise LoadError(self.source, built.line, "a key is not text; write a simple key")
        if value is None:
            key = "null"
        elif isinstance(value, bool):
            key = "true" if value else "false"
        else:
            key = str(value)
        if key in parent.keys and self.duplicates is not None:
            self.duplicates.append(key)
        elif key in parent.keys:
            raise LoadError(self.source, built.line, f"key {key[:80]!r} is there twice; keep one")
        parent.keys.add(key)
        return key

    def _member(self, parent: _Open, key: str, built: _Built) -> None:
        if key == "<<" and "<<" not in parent.keys:
            merged = built.value if isinstance(built.value, list) else [built.value]
            if not all(isinstance(item, dict) for item in merged):
                raise LoadError(
                    self.source, built.line, "'<<' merges mappings alone; give it an alias of one"
                )
            parent.merges += merged
        else:
            parent.value[key] = "<<" if built.value is _MERGE else built.value  # type: ignore[call-overload]

    def _merge(self, done: _Open) -> None:
        """Own keys win over merged ones, earlier merges over later."""
        for merged in done.merges:
            for key, value in merged.items():
                done.value.setdefault(key, value)  # type: ignore[union-attr]

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Any:
        tag, text = event.tag, event.value
        if tag is None or tag == "!":
            if not event.implicit[0] or tag == "!":
                return text
            in_key = self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None
            return _MERGE if text == "<<" and in_key else _plain(text)
        if tag in (_TAG + "str", _TAG + "binary"):
            return text
        if tag in (_TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null"):
            return _plain(text)
        raise LoadError(self.source, line, f"tag {tag[:80]!r} is not read; remove it")


def _plain(text: str) -> Any:
    """What a scalar without quotes means."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if len(text) > 64 or text[0] not in "-+.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    based = _BASED.fullmatch(text)
    if based:
        for digits, base in ((based[2], 16), (based[3], 8), (based[4], 2)):
            if digits and digits.strip("_"):
                return int(based[1] + digits.replace("_", ""), base)
    if _INFINITE.fullmatch(text):
        return text  # JSON has no such number
    if _FLOAT.fullmatch(text) and text.strip("+-._"):
        try:
            number = float(text.replace("_", ""))
        except ValueError:
            return text
        return number if math.isfinite(number) else text
    return text
