"""Whether one value is what one condition of a policy asks for.

# Istio: AuthorizationPolicy, exact, prefix, suffix and presence match; Envoy: extensions.path.match.uri_template.v3
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from msgspec.structs import replace

from argosy.explain.called import Account, RequestPrincipal, Value
from argosy.explain.matching import lower
from argosy.model.ir.policies import Attribute, Match, TextMatch

_SEGMENT = r"[a-zA-Z0-9\-._~%!$&'()*+,;:@=]"
"""What a path template takes for text within a segment (Envoy 1.40, tried)."""


_MAY_BE_EMPTY = frozenset((Attribute.HEADER, Attribute.HOST, Attribute.METHOD, Attribute.SOURCE_PRINCIPAL))


def matched(attribute: Attribute, wanted: Match, values: Sequence[Value]) -> bool:
    """Whether ANY of the values of an attribute is what a match asks for; none are there: never."""
    return any(_is(attribute, wanted, value) for value in values)


def _is(attribute: Attribute, wanted: Match, value: Value) -> bool:
    if isinstance(value, RequestPrincipal):
        if not _text(wanted, value.issuer):
            return False
        return wanted.subject is None or (value.subject is not None and _text(wanted.subject, value.subject))
    if isinstance(value, Account):
        return _account(wanted.value).fullmatch(value.principal) is not None
    if wanted.kind is TextMatch.PRESENT and attribute in _MAY_BE_EMPTY:
        return True
    if attribute is Attribute.HOST:
        return _text(replace(wanted, value=lower(wanted.value)), lower(value))
    return _text(wanted, value)


def _text(wanted: Match, value: str) -> bool:
    expected = wanted.value
    match wanted.kind:
        case TextMatch.EXACT | TextMatch.PORT:
            return value == expected
        case TextMatch.PREFIX:
            return value.startswith(expected)
        case TextMatch.SUFFIX:
            return value.endswith(expected)
        case TextMatch.PRESENT:
            return value != ""
        case TextMatch.PATTERN:
            return _pattern(expected).fullmatch(value) is not None
        case TextMatch.ADDRESS:
            return within(value, expected)
        case TextMatch.TEMPLATE:
            return _template(expected).fullmatch(value) is not None


@lru_cache(maxsize=1024)
def _account(written: str) -> re.Pattern[str]:
    """Facts (Istio): an identity may say more than its namespace and its account."""
    namespace, _, name = map(re.escape, written.partition("/"))
    return re.compile(f".+/ns/{namespace}/(.+/|)sa/{name}(/.+)?")


@lru_cache(maxsize=1024)
def _pattern(written: str) -> re.Pattern[str]:
    return re.compile("[^/]*".join(map(re.escape, written.split("*"))))


def within(address: str, block: str) -> bool:
    """Whether an address is in a block of its own family."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _template(written: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\*\*?\})", written)
    known = {"{*}": f"{_SEGMENT}+", "{**}": f"(?:{_SEGMENT}|/)*"}
    return re.compile("".join(known.get(part) or re.escape(part) for part in parts))


def describe(wanted: Match) -> str:
    """As it was written."""
    if wanted.kind is TextMatch.PRESENT and wanted.subject in (None, Match(TextMatch.PRESENT)):
        return "anything"
    if wanted.subject is None:
        return wanted.written
    return (
        wanted.written
        if wanted.subject == Match(TextMatch.EXACT)
        else f"{wanted.written}/{wanted.subject.written}"
    )
