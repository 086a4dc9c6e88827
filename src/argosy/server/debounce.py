"""When to push what changed: at once when nothing happened just now, soon when much happens. A machine; time comes in.

Leading edge: the first change after a quiet time is due at once. After that a change waits until its class has been
quiet for `quiet`, but never longer than `longest` after the first that waits. A push takes everything that waits, so
the earliest class decides.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Pace(Struct, frozen=True):
    """Seconds."""

    quiet: float
    longest: float


class Change(Enum):
    """Classes of changes and their pace."""

    ENDPOINTS = Pace(0.010, 0.100)
    CONFIG = Pace(0.050, 1.0)


class _Waiting:
    __slots__ = ("first", "last")

    def __init__(self, now: float) -> None:
        self.first = self.last = now


class Debounce:
    def __init__(self) -> None:
        self._waiting: dict[Change, _Waiting] = {}
        self._active = float("-inf")  # when something last came or was pushed

    def note(self, change: Change, now: float) -> None:
        """A change came."""
        if waiting := self._waiting.get(change):
            waiting.last = now
        else:
            self._waiting[change] = _Waiting(now)
            if not self._busy(change, now):
                self._waiting[change].first = float("-inf")  # due at once
        self._active = now

    def _busy(self, change: Change, now: float) -> bool:
        """Whether something happened just now: a push, or another change that waits."""
        return len(self._waiting) > 1 or now - self._active < change.value.quiet

    def due(self) -> float | None:
        """When to push; None where nothing waits."""
        return min(
            (
                min(waiting.last + change.value.quiet, waiting.first + change.value.longest)
                for change, waiting in self._waiting.items()
            ),
            default=None,
        )

    def pushed(self, now: float) -> None:
        """Everything that waited is out."""
        self._waiting.clear()
        self._active = now
