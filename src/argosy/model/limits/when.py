"""When a field of an object has no effect: always, or for some of its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from argosy.resources.meta import Object


class When(Struct, frozen=True):
    """Which values of a field, as written in an object, have no effect; `values` in words, "" for all."""

    values: str
    holds: Callable[[Any, Object], bool]


def only_if(*values: Any) -> When:
    return When(" or ".join(map(str, values)), lambda value, obj: value in values)


def unless(*values: Any) -> When:
    return When(f"other than {' or '.join(map(_shown, values))}", lambda value, obj: value not in values)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


ALWAYS = When("", lambda value, obj: True)
