"""Paths with {*} (one segment) and {**} (any number of them), as far as Envoy can match them.

Rule: what is let in here Envoy takes. It does not refuse others: Envoy 1.40 aborts on a template that it cannot read
in an RBAC, and every proxy that gets it is gone.
# Envoy: extensions.path.match.uri_template.v3; tried with 15,000 random ones
"""

from __future__ import annotations

import re

from argosy.resources.semantics import names

MARKS = ("{*}", "{**}")
_LONGEST = 255
_LITERAL = r"(?:[A-Za-z0-9\-._~!$&'()+,;:@=]|%[0-9A-Fa-f]{2})"
_WILDCARD = r"\{\*\*?\}"
# A wildcard ends its segment, but in the last one, which something may follow.
_TEMPLATE = re.compile(
    rf"(?:/(?:{_LITERAL}+|{_LITERAL}*{_WILDCARD}))*(?:/|/{_LITERAL}*{_WILDCARD}{_LITERAL}+)?"
)


def is_template(path: str) -> bool:
    return any(mark in path for mark in MARKS)


def problem(path: str) -> str | None:
    """Of a path with {*} or {**}."""
    if len(path) > _LONGEST:
        return f"has more than {_LONGEST} characters; shorten it"
    if not path.startswith("/"):
        return f"{names.shown(path)} does not begin with '/'; write that first"
    if "*" in path.partition("{**}")[2]:
        return f"{names.shown(path)} has a wildcard behind {{**}}, which takes all that follows; leave it out"
    if _TEMPLATE.fullmatch(path) is None:
        return (
            f"{names.shown(path)} is no template that can be matched: segments are not empty, have letters, digits and "
            "-._~!$&'()+,;:@=% alone, and end with their wildcard"
        )
    return None
