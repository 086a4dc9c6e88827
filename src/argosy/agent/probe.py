"""Whether the application answers: asked before it is announced, and for as long as it is.

HTTP: `GET /`, any answer below 500. gRPC: `grpc.health.v1.Health/Check`; a server that does not implement it, but
answers as gRPC, counts as healthy. TCP (and TLS): a connection is accepted. Asked on 127.0.0.1, at the application's
own port, not through the sidecar.

Who refuses, or says that it is broken, is withdrawn soon. Who is silent may only be busy (one thread, a long request):
that needs many more failures, since withdrawing the busy makes the others busier.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import grpc
from msgspec import Struct

from argosy.agent import asking

FAILURES = 3  # this many in a row are a failure
SILENCES = 10  # this many where some were silent: 30 s
PERIOD = 3.0  # seconds between probes of a healthy application
RETRY = 1.0  # after a failed probe
FIRST = 0.1  # while it starts; doubles up to RETRY
TIMEOUT = 2.0


class Target(Struct, frozen=True):
    port: int
    protocol: str  # http | http2 | grpc | tcp | tls


class Verdict(Struct, frozen=True):
    healthy: bool
    detail: str


Ask = Callable[[Target], Awaitable[str]]


async def ask(target: Target, timeout: float = TIMEOUT) -> str:
    """One probe: "" where it succeeds, else why it failed. Raises TimeoutError where it is silent."""
    try:
        async with asyncio.timeout(timeout):
            if target.protocol == "http":
                return await _http(target.port)
            if target.protocol == "grpc":
                return await _grpc(target.port)
            await asking.connects(target.port)
            return ""
    except TimeoutError:
        raise TimeoutError(f"no answer within {timeout:.0f} s") from None
    except OSError as error:
        return os.strerror(error.errno).lower() if error.errno else str(error)


async def _http(port: int) -> str:
    try:
        status = await asking.http_status(port, named=f"localhost:{port}")
    except asking.NoAnswer as error:
        return str(error)
    return "" if status < 500 else f"status {status}"


async def _grpc(port: int) -> str:
    try:
        serves = await asking.grpc_serves(port)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return ""
        return f"{error.code().name}: {error.details()}"
    return "" if serves else asking.NOT_SERVING


async def watch(
    targets: tuple[Target, ...],
    tell: Callable[[Verdict], Awaitable[None]],
    *,
    ask: Ask = ask,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Probes for ever; tells each change of the verdict, the first success included. ALL targets must answer.

    Without targets (a client) there is nothing to say.
    """
    if not targets:
        return
    healthy, failures, answers, pause, told = False, 0, 0, FIRST, ""
    while True:
        problems = [problem for target in targets if (problem := await _ask(target, ask))]
        if not problems:
            if not healthy:
                await tell(Verdict(True, ""))
            healthy, failures, answers, pause, told = True, 0, 0, FIRST, ""
            await sleep(PERIOD)
            continue
        failures += 1
        answers += not all(problem.silent for problem in problems)
        detail = "; ".join(problem.detail for problem in problems)
        failed = answers >= FAILURES or failures >= (SILENCES if healthy else FAILURES)
        if failed and (healthy or detail != told):
            healthy, told = False, detail
            await tell(Verdict(False, detail))
        await sleep(RETRY if healthy else pause)
        pause = min(pause * 2, RETRY)


class _Problem(Struct, frozen=True):
    detail: str
    silent: bool


async def _ask(target: Target, ask: Ask) -> _Problem | None:
    try:
        said = await ask(target)
    except TimeoutError as silence:
        return _Problem(f"{_name(target)}: {silence}", silent=True)
    return _Problem(f"{_name(target)}: {said}", silent=False) if said else None


def _name(target: Target) -> str:
    if target.protocol == "http":
        return f"GET / on 127.0.0.1:{target.port}"
    return f"{target.protocol} on 127.0.0.1:{target.port}"
