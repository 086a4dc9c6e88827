"""A value that changes, and whoever waits for the next."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value
        self._changed = asyncio.Event()

    def set(self, value: T) -> None:
        self.value = value
        self._changed.set()
        self._changed = asyncio.Event()

    async def other_than(self, value: T, timeout: float | None = None) -> bool:
        """Waits until it is another; whether it is, within `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.value == value:
                    await self._changed.wait()
        return self.value != value
