"""The JSON paths that columns of tables are written in, compiled to functions.

Taken are fields (`.spec.hosts`, `['a.b']`, `.a\\.b`), positions (`[0]`, `[-1]`), all of a list or a map (`[*]`), and a
filter by equality (`[?(@.type=="Programmed")]`). Braces and `$` around it may be there or not.
# Kubernetes: JSONPath support; additionalPrinterColumns
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

_TOKEN = re.compile(
    r"""(?P<all>\[\*\]|\.\*)
    |\.(?P<field>(?:\\.|[^.\[\]\\'"])+)
    |\[(?P<quote>['"])(?P<quoted>(?:\\.|(?!(?P=quote)).)+)(?P=quote)\]
    |\[(?P<index>-?\d+)\]
    |\[\?\(@(?P<path>(?:\.(?:\\.|[^.\[\]\\'"=\s])+)+)\s*==\s*(?P<mark>['"])(?P<value>(?:(?!(?P=mark)).)*)(?P=mark)\)\]
    """,
    re.VERBOSE,
)

Step = Callable[[list[Any]], list[Any]]


class Path:
    """`find` gives every value that the path leads to, in order."""

    def __init__(self, text: str, steps: tuple[Step, ...], first_field: str) -> None:
        self.text = text
        self.first_field = first_field  # the field of the object where it begins
        self._steps = steps

    def find(self, obj: Any) -> list[Any]:
        found = [obj]
        for step in self._steps:
            found = step(found)
        return found

    def first(self, obj: Any) -> Any:
        """The first value; None where there is none."""
        found = self.find(obj)
        return found[0] if found else None


@cache
def compiled(text: str) -> Path:
    """Raises ValueError for what is not such a path."""
    inner = text.strip().removeprefix("{").removesuffix("}").strip().removeprefix("$")
    steps: list[Step] = []
    first, position = "", 0
    while position < len(inner):
        token = _TOKEN.match(inner, position)
        if token is None:
            raise ValueError(f"{text!r} is not a JSON path: it cannot be read from {inner[position:]!r} on")
        name = token["field"] or token["quoted"]
        if not steps and name:
            first = _plain(name)
        steps.append(_step(token, name))
        position = token.end()
    if not steps:
        raise ValueError(f"{text!r} is not a JSON path: it is empty; write `.field`")
    return Path(text, tuple(steps), first)


def _plain(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _step(token: re.Match[str], name: str | None) -> Step:
    if token["all"]:
        return _all
    if token["index"]:
        return _item(int(token["index"]))
    if token["path"]:
        return _filter(compiled(token["path"]), token["value"])
    return _field(_plain(name or ""))


def _field(name: str) -> Step:
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _item(index: int) -> Step:
    def step(values: list[Any]) -> list[Any]:
        return [
            value[index] for value in values if isinstance(value, list) and -len(value) <= index < len(value)
        ]

    return step


def _all(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if isinstance(value, list):
            found += value
        elif isinstance(value, dict):
            found += value.values()
    return found


def _filter(path: Path, wanted: str) -> Step:
    def step(values: list[Any]) -> list[Any]:
        return [each for each in _all(values) if path.first(each) == wanted]

    return step
