"""The changes of etcd as one stream for ever: connections come and go, the events go on where they were.

Rule: the position is the last revision that was told whole, and a new stream begins behind it, so nothing is lost or
told twice. Nothing is read ahead of who asks: etcd and gRPC's flow control hold back what a slow reader has not taken.
# etcd: api/etcdserverpb/rpc.proto (WatchCreateRequest, WatchResponse)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import grpc
import grpc.aio
from aetcd import rpc

from argosy.runtime.log import logger
from argosy.store import refusals
from argosy.store.base import Event, StoreError, Unavailable
from argosy.store.etcd.client import ATTEMPT_SECONDS, EOF, PAUSE_SECONDS, Client
from argosy.store.etcd.keys import Layout

LONGEST_PAUSE = 2.0

log = logger("store")


class Ended(Exception):
    """The stream is over, and another one may go on."""


async def changes(
    client: Client, layout: Layout, after: int, revision: Callable[[], Awaitable[int]]
) -> AsyncGenerator[Sequence[Event], None]:
    """Events with revision > after. Raises Compacted, and Unavailable once the client is closed."""
    position, pause, told = after, PAUSE_SECONDS, False
    while True:
        chosen = client.chosen
        try:
            if (newest := await revision()) < position:
                raise refusals.ahead(newest, position)  # a backup was put back
            metadata = await client.metadata(ATTEMPT_SECONDS)
            chosen = client.chosen
            stream = client.channel().watch.Watch(metadata=metadata)
            with client.following(stream):
                await _begin(client, layout, stream, position)
                if told:
                    log.info("the watch of etcd goes on", revision=position)
                pause, told = PAUSE_SECONDS, False
                parted: list[Any] = []  # of a revision of which more is to come
                while True:
                    response = await _read(stream)
                    whole, parted = _whole(parted, response)
                    events = _events(client, layout, response, whole, position)
                    position = _reached(response, whole, position)
                    if events:
                        yield events
        except (Ended, Unavailable, TimeoutError, grpc.aio.AioRpcError, grpc.aio.UsageError) as error:
            if client.closed:
                raise client.gone() from error
            why = _why(client, error)
            if not told:
                log.warning("the watch of etcd is interrupted", why=why, revision=position)
                told = True
        await client.fail_over(chosen)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _begin(client: Client, layout: Layout, stream: Any, position: int) -> None:
    """The watch has been made when this returns."""
    start, end = layout.range(None)
    wanted = rpc.WatchCreateRequest(
        key=start,
        range_end=end,
        start_revision=position + 1,
        prev_kv=True,
        progress_notify=True,
        fragment=True,  # otherwise a thousand revisions may come as one message, of any size
    )
    async with asyncio.timeout(ATTEMPT_SECONDS):
        with _ending():
            await stream.write(rpc.WatchRequest(create_request=wanted))
        response = await _read(stream)
    if response.canceled:
        raise _ended(client, response, position)


async def _read(stream: Any) -> Any:
    with _ending():
        response = await stream.read()
    if response is EOF:
        raise Ended("etcd has ended it")
    return response


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Around what waits for a stream: that it was cancelled, and not the task that waits, is raised as Ended."""
    try:
        yield
    except asyncio.InvalidStateError:
        raise Ended("the connection was closed") from None
    except asyncio.CancelledError:
        # grpc.aio says so too when the channel is closed under the stream, or the endpoint was given up.
        if (task := asyncio.current_task()) and task.cancelling():
            raise
        raise Ended("its endpoint does not answer") from None


def _whole(parted: Sequence[Any], response: Any) -> tuple[list[Any], list[Any]]:
    """etcd's events up to the last revision of which nothing more is to come; and those of the one behind it.

    A response that would be large comes in fragments, which part what was changed together.
    """
    events = [*parted, *response.events]
    if not response.fragment or not events:
        return events, []
    last = events[-1].kv.mod_revision
    count = sum(event.kv.mod_revision == last for event in events)
    return events[:-count], events[-count:]


def _events(
    client: Client, layout: Layout, response: Any, whole: Sequence[Any], position: int
) -> list[Event]:
    if response.canceled:
        raise _ended(client, response, position)
    try:
        found = [layout.event(event) for event in whole]
    except LookupError as error:
        raise refusals.forgotten(position) from error
    return [event for event in found if event is not None]


def _reached(response: Any, whole: Sequence[Any], position: int) -> int:
    """How far this goes: to its last event; a response without events says itself how far there are none."""
    if whole:
        return max(position, int(whole[-1].kv.mod_revision))
    return position if response.fragment else max(position, int(response.header.revision))


def _ended(client: Client, response: Any, position: int) -> Exception:
    """etcd has cancelled the watch: Compacted, or something that passes."""
    if response.compact_revision:
        return refusals.cut(response.compact_revision, position)
    client.outdated(response.cancel_reason)
    return Ended(response.cancel_reason or "etcd has cancelled it")


def _why(client: Client, error: Exception) -> str:
    if not isinstance(error, grpc.aio.AioRpcError):
        return str(error) or "no answer in time"
    try:
        return client.judge(error)
    except StoreError as verdict:
        return str(verdict)
