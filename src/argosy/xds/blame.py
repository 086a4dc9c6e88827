"""Whose fault a NACK is: the resources whose names its message mentions.

Envoy names listeners and clusters ("Error adding/updating listener(s) NAME: reason"), but not always routes, endpoints
or extension configs (a failed proto constraint names only the field). Where nobody is named, `stream.py` sends the
resources again in halves until the one is alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_PART = r"[\w|/@~-]"
"""Characters that names are made of; a dot or colon counts only between two of them (`a.b`, `[::]:80`)."""


def mentions(message: str, name: str) -> bool:
    """Whether the message names it as a whole: `web` is not mentioned by `web-2: bad port` or `web.shop: …`."""
    if not name or name not in message:
        return False
    pattern = rf"(?<!{_PART})(?<!{_PART}[.:]){re.escape(name)}(?!{_PART})(?![.:]{_PART})"
    return re.search(pattern, message) is not None


def mentioned(message: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if mentions(message, name)]


def words(refusals: Mapping[str, str]) -> str:
    """Envoy's words, each with the name in it that the server looks for."""
    told = []
    for name, message in sorted(refusals.items()):
        text = message if mentions(message, name) else f"{name}: {message}"
        if text not in told:
            told.append(text)
    return "\n".join(told)
