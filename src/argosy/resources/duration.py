"""Durations as people write them: Go's syntax (`1h30m`, `0.5s`, `100ms`), as whole milliseconds.

Envoy's and Istio's smallest unit is one millisecond; a text that is finer is refused rather than rounded. The same few
are written again and again: they are remembered, none longer than _MAX_LENGTH.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_UNITS = {
    "ns": Fraction(1, 1_000_000),
    "us": Fraction(1, 1_000),
    "µs": Fraction(1, 1_000),
    "μs": Fraction(1, 1_000),
    "ms": Fraction(1),
    "s": Fraction(1_000),
    "m": Fraction(60_000),
    "h": Fraction(3_600_000),
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_MAX_LENGTH = 64  # longer is no duration anybody means; bounds the arithmetic
_LIMIT = 315_576_000_000_000  # google.protobuf.Duration: 10,000 years


@lru_cache(1024)
def parse_duration(text: str) -> int:
    """Milliseconds. Raises ValueError, whose message says what to write instead."""
    body = text[1:] if text.startswith("+") else text
    if body == "0":
        return 0
    if text.startswith("-"):
        raise ValueError(f"{text!r} is negative; write a duration of 0s or more")
    if len(body) > _MAX_LENGTH or not _WHOLE.fullmatch(body):
        raise ValueError(
            f"{text[:80]!r} is not a duration; write numbers with units, as in 1h30m, 0.5s, 100ms"
        )
    total = Fraction(0)
    for number, unit in _PART.findall(body):
        total += Fraction(number if number[-1] != "." else number[:-1]) * _UNITS[unit]
    if total.denominator != 1:
        raise ValueError(f"{text!r} is finer than a millisecond; write whole milliseconds")
    if total > _LIMIT:
        raise ValueError(f"{text!r} is longer than 10,000 years; write a shorter duration")
    return int(total)
