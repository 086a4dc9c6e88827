"""Checks objects against the JSON schema of their kind, and says what is wrong in words: field, value, remedy.

Schemas come from the structs (`kinds.json_schema`) and are compiled at the first use of each kind.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec

from argosy.resources.kinds import Kind, json_schema
from argosy.resources.problem import Problem

MAX_DEPTH = 64
MANY = 20_000
"""Values in an object, above which the first problem alone is told."""
MOST_TOLD = 1000
"""Of the unknown fields, so many are told; all are found."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
}
_WORDS |= {"boolean": "true or false", "null": "null"}
# Fields that were Istio's and whose effect is now always there: (struct, field) -> what to know
_RETIRED = {
    ("HTTPRoute", "websocketUpgrade"): "is no longer a field: WebSockets are always upgraded; remove it"
}
_SCALARS = frozenset((str, int, float, bool))
_TOLERATED = (["status"],)  # written by machines of any version


class Result(msgspec.Struct, frozen=True):
    wrong: tuple[Problem, ...] = ()  # of the wrong type or out of range, missing
    unknown: tuple[Problem, ...] = ()  # fields the kind does not have
    tolerated: tuple[Problem, ...] = ()  # such fields where machines write
    unknown_at: tuple[tuple[str | int, ...], ...] = ()  # where the unknown ones are


def check(kind: Kind, obj: dict[str, Any]) -> Result:
    """`obj` must have passed `shape`."""
    schema = json_schema(kind)
    wrong: list[Problem] = []
    closed = False
    secret = kind.resource == "/secrets"
    for error in _errors(_validator(kind), obj, schema):
        if error.kind.name == "additionalProperties":
            closed = True
        else:
            wrong.append(_problem(list(error.instance_path), error, secret))
    unknown: list[Problem] = []
    tolerated: list[Problem] = []
    unknown_at: list[tuple[str | int, ...]] = []
    for where, struct in _unknown_in(obj, schema, schema["$defs"]) if closed else ():
        *path, name = where
        retired = _RETIRED.get((struct.get("title", ""), str(name)))
        into = tolerated if retired or path[:1] in _TOLERATED else unknown
        if len(into) < MOST_TOLD:
            into.append(Problem(join([*where]), retired or _unknown_field(str(name), struct)))
        if into is unknown:
            unknown_at.append(where)
    return Result(tuple(wrong), tuple(unknown), tuple(tolerated), tuple(unknown_at))


def _unknown_in(
    value: Any, schema: dict[str, Any], defs: dict[str, Any], at: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """(where, the schema of the struct) of each field that its struct does not have.

    The paths of jsonschema_rs do not say it: they have a number for a key of digits and nothing for an empty one.
    """
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        fields, entries = schema.get("properties"), schema.get("additionalProperties")
        for name, inner in value.items():
            if fields is None:
                if isinstance(entries, dict):
                    yield from _unknown_in(inner, entries, defs, (*at, name))
            elif inner is None:
                continue  # not set
            elif name in fields:
                yield from _unknown_in(inner, fields[name], defs, (*at, name))
            elif entries is False:
                yield (*at, name), schema
    elif isinstance(value, (list, tuple)) and isinstance(schema.get("items"), dict):
        for place, inner in enumerate(value):
            yield from _unknown_in(inner, schema["items"], defs, (*at, place))


def _errors(validator: Any, obj: dict[str, Any], schema: dict[str, Any]) -> Iterable[Any]:
    """All of them; of a value with very many parts the first, as finding all takes long and nobody reads them."""
    value, (count, plain) = obj, _survey(obj)
    if not plain:
        value = without_nulls(obj, schema, schema["$defs"])
        count, _ = _survey(value)
    if count <= MANY:
        found: Iterable[Any] = validator.iter_errors(value)
        return found
    try:
        validator.validate(value)
    except ValueError as error:
        return (error,)
    return ()


def _survey(value: Any) -> tuple[int, bool]:
    """(how many values are in it, not counted far beyond MANY; whether all are seen, and the schema can have them all
    as they are: no null, no tuple)."""
    count, plain, level = 1, True, [value]
    while level and count <= MANY:
        below: list[Any] = []
        for item in level:
            inner = item.values() if isinstance(item, dict) else item
            count += len(inner)
            for each in inner:
                kind = type(each)
                if kind in _SCALARS:
                    continue
                plain = plain and kind in (dict, list)
                if isinstance(each, (dict, list, tuple)):
                    below.append(each)
        level = below
    return count, plain and not level


def without_unknown(kind: Kind, obj: dict[str, Any]) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """The object without the fields that the kind does not have (`Result.unknown`), and those."""
    if shape(obj) is not None:
        return obj, ()
    found = check(kind, obj)
    left = copy.deepcopy(obj) if found.unknown_at else obj
    for *path, name in found.unknown_at:
        at: Any = left
        for part in path:
            at = at[part]
        del at[name]
    return left, found.unknown


def shape(value: Any) -> str | None:
    """What makes a value unfit to be looked at: nesting, keys that are not text, values JSON does not have."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return f"is nested more than {MAX_DEPTH} deep; flatten it"
        following: list[Any] = []
        for item in level:
            if type(item) is str and item.isascii():
                continue  # the most of them by far
            if isinstance(item, dict):
                for key in item:
                    if not isinstance(key, str):
                        return f"key {key!r} is not text; quote it"
                following += item.values()
            elif isinstance(item, (list, tuple)):
                following += item
            elif not (item is None or isinstance(item, (str, int, float))):
                return f"has a value of type {type(item).__name__}, which JSON does not have"
            elif isinstance(item, str) and not item.isascii() and not _encodes(item):
                return "has text that is not Unicode (a lone surrogate); remove it"
            elif isinstance(item, float) and item - item != 0:
                return f"has the number {item}, which JSON does not have"
            elif isinstance(item, int) and not -(2**63) <= item < 2**64:
                return "has a whole number of more than 64 bits; write a smaller one"
        level = following
    return None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_nulls(value: Any, schema: dict[str, Any], defs: dict[str, Any]) -> Any:
    """A field that is null is a field that is not set; an entry of a map that is null stays, and is an error."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        fields = schema.get("properties")
        if fields is not None:
            return {
                k: without_nulls(v, fields[k], defs) if k in fields else v
                for k, v in value.items()
                if v is not None
            }
        entries = schema.get("additionalProperties")
        if isinstance(entries, dict):
            return {k: without_nulls(v, entries, defs) for k, v in value.items()}
    elif isinstance(value, (list, tuple)) and isinstance(schema.get("items"), dict):
        items = schema["items"]
        return [without_nulls(v, items, defs) for v in value]
    return value


def join(path: list[str | int]) -> str:
    """`spec.http[1].headers['x-a']`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


@cache
def _validator(kind: Kind) -> Any:
    import jsonschema_rs  # a quarter of the room's import time, and only this needs it

    return jsonschema_rs.validator_for(json_schema(kind))


def _unknown_field(name: str, struct: dict[str, Any]) -> str:
    known = tuple(struct.get("properties", ()))
    flat = name.replace("_", "").replace("-", "").lower()
    for candidate in known:
        if candidate.lower() == flat:
            return f"is not a field; did you mean {candidate}?"
    return f"is not a field; the fields here are {', '.join(known)}" if known else "is not a field; remove it"


def _problem(path: list[str | int], error: Any, secret: bool) -> Problem:
    kind, value = error.kind, "the value" if secret else _shown(error.instance)
    match kind.name:
        case "required":
            return Problem(join([*path, kind.property]), "is missing; give it")
        case "type":
            wanted = " or ".join(_WORDS.get(t, t) for t in kind.types)
            return Problem(join(path), f"{value} is not {wanted}")
        case "enum":
            options = kind.options if isinstance(kind.options, list) else [kind.options]
            return Problem(join(path), f"{value} is not one of {', '.join(map(str, options))}")
        case "minimum":
            return Problem(join(path), f"{value} is less than {kind.limit}; give {kind.limit} or more")
        case "maximum":
            return Problem(join(path), f"{value} is more than {kind.limit}; give {kind.limit} or less")
        case "minLength" if kind.limit == 1:
            return Problem(join(path), "is empty; give it or leave it out")
        case "maxLength":
            return Problem(join(path), f"{value} has more than {kind.limit} characters; shorten it")
        case "pattern":
            return Problem(join(path), f"{value} does not match {kind.pattern}")
        case "minItems" if kind.limit == 1:
            return Problem(join(path), "is empty; give it an entry")
        case "maxItems":
            return Problem(join(path), f"has more than {kind.limit} entries; take some out")
        case _:
            return Problem(join(path), "is not as its kind says" if secret else str(error.message)[:200])


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."
