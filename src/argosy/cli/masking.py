"""Objects as they may be shown: of what is secret the names, and whether it differs, never a value.

Secret are the values of Secrets, the hashes of users' tokens, and of both the annotation in which kubectl keeps a copy.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from argosy.apiserver.access.differences import LAST_APPLIED, WITHHELD

Json = dict[str, Any]
HIDDEN = "***"
SECRET_FIELDS = (("data",), ("stringData",), ("spec", "tokens"), ("metadata", "annotations", LAST_APPLIED))


def masked(resource: str, obj: Json) -> Json:
    return _masked(resource, obj, obj, "")


def both(resource: str, old: Json, new: Json) -> tuple[Json, Json]:
    """Two states of an object, which say of each secret whether it is the same."""
    return _masked(resource, old, new, " (before)"), _masked(resource, new, old, " (after)")


def size(value: Any) -> str:
    """`5 bytes`, of a value of a Secret's data."""
    try:
        count = len(base64.b64decode(str(value), validate=True))
    except (binascii.Error, ValueError):
        count = len(str(value).encode())
    return f"{count} {'byte' if count == 1 else 'bytes'}"


def _masked(resource: str, obj: Json, other: Json, mark: str) -> Json:
    if resource in WITHHELD:
        for path in SECRET_FIELDS:
            obj = _at(path, obj, other, mark)
    return obj


def _at(path: Sequence[str], value: Any, other: Any, mark: str) -> Any:
    """The value, with what the path leads to hidden."""
    if not path:
        return _hidden(value, other, mark)
    field, *rest = path
    if not isinstance(value, dict) or field not in value:
        return value
    return value | {field: _at(rest, value[field], _field(other, field), mark)}


def _hidden(value: Any, other: Any, mark: str) -> Any:
    if isinstance(value, dict):
        return {field: _hidden(held, _field(other, field), mark) for field, held in value.items()}
    if isinstance(value, list):
        others = other if isinstance(other, list) else []
        return [
            _hidden(held, others[at] if at < len(others) else None, mark) for at, held in enumerate(value)
        ]
    return HIDDEN if value == other else HIDDEN + mark


def _field(value: Any, field: str) -> Any:
    return value.get(field) if isinstance(value, dict) else None
