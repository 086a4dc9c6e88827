"""Templates of JSON paths: text, `{.path}`, `{"text\\n"}`, and `{range .items[*]}…{end}`; as kubectl's -o jsonpath.

What a path may be is told in `resources/json_path.py`. Several values of one path stand beside each other, a space
between; a path that leads nowhere is nothing.
# Kubernetes: JSONPath support
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from argosy.resources import json_path

_TOKEN = re.compile(r"""\{((?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^{}'"])*)\}|([^{}]+)""")

Part = str | json_path.Path | tuple[json_path.Path, "list[Part]"]


def rendered(template: str, found: Any) -> str:
    """Raises ValueError for what is not such a template."""
    return "".join(_text(parsed(template), found))


def parsed(template: str) -> list[Part]:
    """Raises ValueError."""
    tokens, position = [], 0
    while position < len(template):
        token = _TOKEN.match(template, position)
        if token is None:
            raise ValueError(f"the template cannot be read from {template[position:][:40]!r} on")
        tokens.append(token)
        position = token.end()
    if not tokens:
        raise ValueError("the template is empty")
    if not any(token[1] is not None for token in tokens):
        return [json_path.compiled(template)]  # `.metadata.name`: the braces may be left out
    parts, rest = _parts(tokens, 0)
    if rest < len(tokens):
        raise ValueError("{end} without {range}")
    return parts


def _parts(tokens: Sequence[re.Match[str]], at: int) -> tuple[list[Part], int]:
    found: list[Part] = []
    while at < len(tokens):
        inner, at = tokens[at][1], at + 1
        if inner is None:
            found.append(tokens[at - 1][2])
            continue
        inner = inner.strip()
        if inner == "end":
            return found, at - 1
        if inner.startswith("range "):
            within, at = _parts(tokens, at)
            if at == len(tokens):
                raise ValueError("{range} without {end}")
            found.append((json_path.compiled(inner.removeprefix("range ")), within))
            at += 1
        elif inner[:1] in ("'", '"'):
            found.append(inner[1:-1].replace("\\n", "\n").replace("\\t", "\t"))
        elif inner in (".", "@", "$"):
            raise ValueError(f"{{{inner}}}: the whole object is -o json")
        else:
            found.append(json_path.compiled(inner.removeprefix("@")))
    return found, at


def _text(parts: Sequence[Part], value: Any) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, tuple):
            path, within = part
            for each in path.find(value):
                yield from _text(within, each)
        else:
            yield " ".join(shown(each) for each in part.find(value))


def shown(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
