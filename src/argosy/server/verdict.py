"""How a change stands with the proxies: the answer that `apply --wait` and a workload that leaves wait for."""

from __future__ import annotations

from collections.abc import Awaitable
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from argosy.store.base import Key


class State(StrEnum):
    LIVE = "live"  # every connected proxy that uses it has acknowledged it
    REJECTED = "rejected"  # a proxy refused it; it keeps what it had
    TIMEOUT = "timeout"  # somebody has not answered yet
    UNAFFECTED = "unaffected"  # no connected proxy uses anything of it


class Rejection(Struct, frozen=True, kw_only=True):
    proxy: str
    message: str
    type: str = ""
    resource: str = ""


class Verdict(Struct, frozen=True, kw_only=True):
    state: State
    proxies: tuple[str, ...] = ()  # that have acknowledged it
    pending: tuple[str, ...] = ()  # that have not answered within the time
    disconnected: tuple[str, ...] = ()  # known, not connected: they get it when they come back
    rejected: tuple[Rejection, ...] = ()
    reason: str = ""


class Deliver(Protocol):
    def __call__(self, key: Key, revision: int, timeout: float) -> Awaitable[Verdict]:
        """Waits until the connected proxies run the state of `revision`, as far as the object matters to them."""
