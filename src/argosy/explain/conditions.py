"""Whether one value is what one condition of a policy asks for.

# Istio: AuthorizationPolicy, exact, prefix, suffix and presence match; Envoy: extensions.path.match.uri_template.v3
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from argosy.explain.matching import lower
from argosy.model.ir.policies import Attribute, Match, TextMatch

_SEGMENT = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]"
"""What a path template takes for a segment's text. Facts (Envoy, tried): a `*` in a path is no such text."""


def holds(attribute: Attribute, wanted: Match, value: str) -> bool:
    expected = wanted.value
    if attribute is Attribute.HOST:
        expected, value = lower(expected), lower(value)
    match wanted.kind:
        case TextMatch.EXACT | TextMatch.PORT:
            return value == expected
        case TextMatch.PREFIX:
            return value.startswith(expected)
        case TextMatch.SUFFIX:
            return value.endswith(expected)
        case TextMatch.PRESENT:
            return value != ""
        case TextMatch.ADDRESS:
            return within(value, expected)
        case TextMatch.TEMPLATE:
            return _template(expected).fullmatch(value) is not None


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


_SAYS = {
    TextMatch.PREFIX: "{}*",
    TextMatch.SUFFIX: "*{}",
    TextMatch.PRESENT: "anything",
}


def describe(wanted: Match) -> str:
    """As it was written."""
    return _SAYS.get(wanted.kind, "{}").format(wanted.value)
