"""Whether a text is an expression of the Common Expression Language (CEL), which Envoy evaluates.

Only its grammar is looked at: which attributes there are is the proxy's to say.
# Istio: validateTelemetryFilter
"""

from __future__ import annotations

import re

FUNCTIONS = frozenset(
    (
        *("has", "size", "matches", "contains", "startsWith", "endsWith", "type", "dyn"),
        *("int", "uint", "double", "bool", "bytes", "duration", "timestamp"),
        *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getMonth"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    )
)
"""Those that Envoy has where an expression is a value (tried with 1.40). Not among them: string(), which says nothing
around a whole expression, for that becomes text anyway; and macros over lists."""

_LITERAL = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_CALL = re.compile(r"([A-Za-z_][\w]*)\s*\(")
_STRING = re.compile(r"\s*string\s*\((.*)\)\s*", re.DOTALL)
_PEER = re.compile(r"\b(?:up|down)stream_peer\w*")
_WORDS = frozenset(("in",))  # before a bracket it is an operator
_END = ")%"

MAX_CHARACTERS = 4096  # bounds the parser, which recurses
_MESSAGE = 200  # characters


def problem(text: str) -> str | None:
    """What is wrong with it, or None."""
    if len(text) > MAX_CHARACTERS:
        return f"has {len(text)} characters; at most {MAX_CHARACTERS} are read: shorten it"
    import cel  # only this needs it, and it brings a command line along

    try:
        cel.compile(text)
    except ValueError as error:
        said = " ".join(str(error).partition("Syntax error: ")[2].split())[:_MESSAGE]
        return (
            f"is no expression (CEL): {said or 'it cannot be parsed'}; write one as in response.code >= 400"
        )
    return None


def value(text: str) -> str:
    """An expression as the value that it is: `string(...)` around the whole of it taken off."""
    found = _STRING.fullmatch(text)
    if found is None:
        return text
    depth = 0
    for part in _LITERAL.split(found[1])[::2]:
        for character in part:
            depth += (character == "(") - (character == ")")
            if depth < 0:
                return text
    return found[1]


def problem_of_value(text: str) -> str | None:
    """What keeps Envoy from making a value of an expression, or None. Beside one that it cannot make it refuses all."""
    if (found := problem(text)) is not None:
        return found
    parts = _LITERAL.split(value(text))
    if any(_END in part for part in parts[1::2]):
        return f"has {_END!r} in a text, where Envoy ends the expression"
    for part in parts[::2]:
        if (peer := _PEER.search(part)) is not None:
            return f"names {peer[0]}, which stock Envoy does not have"
        for name in _CALL.findall(part):
            if name not in FUNCTIONS | _WORDS:
                return f"calls {name}(), which Envoy does not have here"
    return None
