"""How a change stands with the proxies: the answer that `apply --wait` and a workload that leaves wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
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


def merged(verdicts: Sequence[Verdict], silent: Sequence[str] = ()) -> Verdict:
    """One verdict of what several servers say, each of the proxies connected to it.

    `silent`: servers that said nothing. The worst counts; who has answered anywhere is not away.
    """
    order = (State.UNAFFECTED, State.LIVE, State.TIMEOUT, State.REJECTED)
    state = max((one.state for one in verdicts), key=order.index, default=State.UNAFFECTED)
    reasons = [one.reason for one in verdicts if one.state is state and one.reason]
    if silent:
        state = max(state, State.TIMEOUT, key=order.index)
        reasons.append(f"no answer from the control plane at {', '.join(silent)}")
    elif not verdicts:
        reasons.append("no server of the control plane serves proxies: start one with the role xds")
    here = {name for one in verdicts for name in (*one.proxies, *one.pending)}
    here |= {rejection.proxy for one in verdicts for rejection in one.rejected}
    away = {name for one in verdicts for name in one.disconnected}
    return Verdict(
        state=state,
        proxies=_union(one.proxies for one in verdicts),
        pending=_union(one.pending for one in verdicts),
        disconnected=tuple(sorted(away - here)),
        rejected=tuple(rejection for one in verdicts for rejection in one.rejected),
        reason="; ".join(dict.fromkeys(reasons)),
    )


def _union(names: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(sorted({name for each in names for name in each}))
