"""On which line of a text a field of an object is written, as in `spec.http[0].route[1].destination.host`.

The text is read again only for what is told; a field that is not written (it is missing) is on the line of what it
would be in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


class Lines:
    """Of one text, whose objects are counted as `load_documents` does."""

    def __init__(self, text: str) -> None:
        try:
            self._objects = [
                each
                for node in yaml.compose_all(text, Loader=_LOADER)
                if not _empty(node)
                for each in _expanded(node)
            ]
        except (yaml.YAMLError, RecursionError):  # it was read by other means: JSON that is no YAML
            self._objects = []

    def of(self, index: int, field: str) -> int | None:
        """From 1; None: the object is not found."""
        if not 0 <= index < len(self._objects):
            return None
        node = self._objects[index]
        line = _line(node)
        for step in _steps(field):
            found = _within(node, step)
            if found is None:
                break
            line, node = found
        return line


def _steps(field: str) -> Iterator[str]:
    for bracketed, plain in _STEP.findall(field):
        yield bracketed or plain


def _within(node: yaml.Node, step: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and step.isdecimal() and int(step) < len(node.value):
        item = node.value[int(step)]
        return _line(item), item
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return _line(key), value
    return None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _empty(node: yaml.Node | None) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"))


def _expanded(node: yaml.Node) -> Iterator[yaml.Node]:
    """The objects of a list (`kind: List`); else the object itself."""
    kind, items = _within(node, "kind"), _within(node, "items")
    if (
        kind is not None
        and items is not None
        and str(kind[1].value).endswith("List")
        and isinstance(items[1], yaml.SequenceNode)
    ):
        for item in items[1].value:
            yield from _expanded(item)
    else:
        yield node
