"""Where in a text a field of an object stands: for messages about what `loading` has read. No file I/O here."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Positions:
    """Of one text, which `load_documents` takes."""

    def __init__(self, text: str) -> None:
        try:
            roots = list(yaml.compose_all(text, Loader=_LOADER))
        except (yaml.YAMLError, RecursionError):
            roots = []  # JSON that is no YAML: only where a document begins is known
        self._objects = [one for root in roots if root is not None for one in _expanded(root)]

    def line(self, index: int, field: str) -> int | None:
        """Of `spec.http[1].match[0]` of the object `index` (from 0), from 1; where the field is not there, of what is
        there of the way to it."""
        if index >= len(self._objects):
            return None
        node = self._objects[index]
        line: int = node.start_mark.line + 1
        for name, number in _STEP.findall(field):
            below = _below(node, name, number)
            if below is None:
                break
            line, node = below
        return line


def _expanded(node: yaml.Node) -> Iterator[yaml.Node]:
    """As `loading` takes lists apart."""
    kind, items = _value(node, "kind"), _value(node, "items")
    is_list = isinstance(kind, yaml.ScalarNode) and str(kind.value).endswith("List")
    if is_list and isinstance(items, yaml.SequenceNode):
        for item in items.value:
            yield from _expanded(item)
    elif not (isinstance(node, yaml.ScalarNode) and node.value in ("", "~", "null")):
        yield node


def _value(node: yaml.Node, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _below(node: yaml.Node, name: str, number: str) -> tuple[int, yaml.Node] | None:
    """(line, value): of a member of a mapping the line of its key, of an item its own."""
    if name:
        if not isinstance(node, yaml.MappingNode):
            return None
        found = next(((key, value) for key, value in node.value if key.value == name), None)
        return (found[0].start_mark.line + 1, found[1]) if found is not None else None
    if not isinstance(node, yaml.SequenceNode) or int(number) >= len(node.value):
        return None
    item = node.value[int(number)]
    return item.start_mark.line + 1, item
