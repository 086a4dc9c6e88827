"""Addresses that listeners are written with."""

from __future__ import annotations

EVERY_ADDRESS = frozenset(("0.0.0.0", "::"))  # noqa: S104  what is written; nothing listens here


def overlap(one: str, other: str) -> bool:
    """Whether two listeners of one port would be in each other's way at these addresses."""
    return one == other or not EVERY_ADDRESS.isdisjoint((one, other))
