"""Which part of the requests of a fuzz the API takes: those that it refuses at the door look at nothing behind it."""

from __future__ import annotations

from collections import Counter

Codes = Counter[tuple[str, int]]
"""(method, code) of each answer."""

LEAST = {"": 0.3, "GET": 0.3, "POST": 0.2, "PUT": 0.15, "PATCH": 0.15, "DELETE": 0.2}
"""Method -> which part of its requests must be taken at least; "": of all. It is far more; less says that the bodies do
not get past the door any more, and what is behind it is not looked at."""
ENOUGH = 50
"""Requests of which a share can be told, however slow the machine is."""


def enough_is_taken(codes: Codes) -> None:
    """Prints the shares. Raises AssertionError."""
    for method, least in LEAST.items():
        print(f"  {method or 'all'}: {share(codes, method):.0%} taken, {of(codes, method)}")
        if sum(of(codes, method).values()) >= ENOUGH:
            assert share(codes, method) >= least, f"{method or 'all'}: they knock and do not come in"


def of(codes: Codes, method: str) -> dict[int, int]:
    """How often each code came to that method ("": to all)."""
    found = Counter[int]()
    for (which, code), number in codes.items():
        found[code] += number if method in ("", which) else 0
    return {code: number for code, number in sorted(found.items()) if number}


def share(codes: Codes, method: str) -> float:
    """Of those requests, which part was taken."""
    found = of(codes, method)
    return sum(number for code, number in found.items() if code < 300) / (sum(found.values()) or 1)
