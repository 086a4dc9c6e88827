"""HTTP header names and values, and the operations on them.

# Envoy: custom request/response headers (values are format strings: `%VAR%`, `%VAR(arg):10%`, `%%` is a percent sign)
"""

from __future__ import annotations

import re

from argosy.resources.networking.virtual_service import HeaderOperations, Headers
from argosy.resources.semantics import format_strings, names
from argosy.resources.semantics.findings import Findings

_NAME = re.compile(r"[-_A-Za-z0-9]+")
_CLAIM = re.compile(
    r"@request\.auth\.claims(?:\.(?P<dotted>[^.]+(?:\.[^.]+)*)|(?P<nested>(?:\[[^\[\]]+\])+))",
    re.IGNORECASE | re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def name(text: str) -> str | None:
    if not text:
        return "a header name is empty; name the header"
    return None if _NAME.fullmatch(text) else f"{names.shown(text)} is not a header name"


def sendable(text: str) -> str | None:
    """The least that Envoy asks of a header: no end of a line in it."""
    return f"{names.shown(text)} has control characters; remove them" if _CONTROL.search(text) else None


def name_or_any(text: str) -> str | None:
    return None if text == "*" else name(text)


def name_or_claim(text: str) -> str | None:
    """A header, or `@request.auth.claims.NAME`: a claim of the request's token."""
    return None if is_claim(text) else name(text)


def is_claim(text: str) -> bool:
    return bool(claim(text))


def claim(text: str) -> tuple[str, ...]:
    """The path of the claim that stands in place of a header; () for a header. Facts (Istio): a dot leads into a claim;
    so do brackets, between which there may be dots."""
    found = _CLAIM.fullmatch(text)
    if found is None:
        return ()
    dotted = found["dotted"]
    return tuple(dotted.split(".") if dotted is not None else re.findall(r"\[([^\[\]]+)\]", found["nested"]))


def is_authority(text: str) -> bool:
    return text.lower() in (":authority", "host")


def check_operations(path: str, headers: Headers | None, findings: Findings) -> None:
    if headers is None:
        return
    if headers.request is not None:
        _check(f"{path}.request", headers.request, (":authority", "host"), findings)
    if headers.response is not None:
        _check(f"{path}.response", headers.response, (), findings)


def _check(path: str, operations: HeaderOperations, settable: tuple[str, ...], findings: Findings) -> None:
    for verb, values in (("set", operations.set), ("add", operations.add)):
        for header, value in values.items():
            at = f"{path}.{verb}[{header!r}]"
            findings.error(at, _operand(header, settable))
            findings.error(at, format_strings.in_header(value))
    for i, header in enumerate(operations.remove):
        findings.error(f"{path}.remove[{i}]", _operand(header, ()))


def _operand(header: str, settable: tuple[str, ...]) -> str | None:
    if not header:
        return "a header name is empty; name the header"
    if header.lower() in settable:
        return None
    if header.lower() == "host":
        return f"{header!r} cannot be changed here; use rewrite.authority or headers.request.set"
    if header.startswith(":"):
        return f"{names.shown(header)} is a pseudo-header, which cannot be changed; use rewrite or redirect"
    if _CONTROL.search(header) or " " in header:
        return f"{names.shown(header)} is not a header name"
    return None
