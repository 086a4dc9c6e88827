"""A door that anybody may knock at: how often one address may, how often it may fail, and how much all may at once.

Two budgets for each address, which fill again with time: one for calls, wide, as a host that comes back asks for a
thousand certificates in a row; one for calls that were refused, narrow, as who guesses has many of these. Addresses are
remembered to a bound; IPv6 counts by its /64, of which whoever has one has all.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc
from msgspec import Struct

from argosy.runtime.log import logger

CALLS, CALLS_A_SECOND = 4_000.0, 400.0
FAILURES, FAILURES_A_SECOND = 40.0, 0.5
MOST_ADDRESSES = 20_000
MOST_AT_ONCE = 256
LONGEST_MESSAGE = 64 << 10
TOO_OFTEN = "too many requests: try again later"

log = logger("identity")


class _Budget(Struct):
    calls: float
    failures: float
    at: float
    told: bool = False


class Limiter:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()
        self.turned_away = 0
        self.at_once = 0

    def admit(self, peer: str) -> bool:
        """Whether a call of this peer (as gRPC names it) is served."""
        budget = self._of(peer)
        if self.at_once >= MOST_AT_ONCE or budget.calls < 1 or budget.failures < 1:
            self.turned_away += 1
            if not budget.told:
                budget.told = True
                log.warning("turned away for a while", peer=peer, calls=budget.calls < 1)
            return False
        budget.told = False
        budget.calls -= 1
        return True

    def failed(self, peer: str) -> None:
        self._of(peer).failures -= 1

    def _of(self, peer: str) -> _Budget:
        name, now = address(peer), self._clock()
        budget = self._budgets.pop(name, None) or _Budget(CALLS, FAILURES, now)
        passed = max(0.0, now - budget.at)
        budget.calls = min(CALLS, budget.calls + passed * CALLS_A_SECOND)
        budget.failures = min(FAILURES, budget.failures + passed * FAILURES_A_SECOND)
        budget.at = now
        self._budgets[name] = budget  # the one used last stands last
        if len(self._budgets) > MOST_ADDRESSES:
            self._budgets.popitem(last=False)
        return budget


def address(peer: str) -> str:
    """`ipv4:192.0.2.1:4711` -> `192.0.2.1`; `ipv6:[2001:db8::1]:4711` -> `2001:db8::/64`; others as they are."""
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return peer if kind not in ("ipv4", "ipv6") else kind
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


Call: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


def by_identity(context: Call) -> str:
    """Whoever a caller over mutual TLS is, from wherever it calls."""
    return " ".join(value.decode() for value in context.auth_context().get("peer_uri", ()))


class Limited(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs alone
    """A generic handler of unary calls behind a Limiter. A call that is aborted counts as a failure. `who` names the
    caller whose budget it is: where nobody has proven anything, the address."""

    def __init__(
        self,
        inner: grpc.GenericRpcHandler[Any, Any],
        limiter: Limiter,
        who: Callable[[Call], str] = lambda context: context.peer(),
    ) -> None:
        self.inner = inner
        self.limiter = limiter
        self.who = who

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = self.inner.service(handler_call_details)
        if method is None:
            return None
        serve: Any = method.unary_unary
        if serve is None:
            raise TypeError(f"{handler_call_details.method} is no unary call")

        async def guarded(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> Any:
            peer = self.who(context)
            if not self.limiter.admit(peer):
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, TOO_OFTEN)
            self.limiter.at_once += 1
            try:
                return await serve(body, context)
            except asyncio.CancelledError:
                raise
            except BaseException:
                self.limiter.failed(peer)
                raise
            finally:
                self.limiter.at_once -= 1

        return grpc.unary_unary_rpc_method_handler(guarded)
