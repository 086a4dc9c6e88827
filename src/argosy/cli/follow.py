"""What becomes of objects after they were listed, whatever interrupts the watch.

A watch that ends is taken up where it was. Where the server has forgotten that revision, or was away, the objects are
listed again, and what is different is told as if it had been watched. So nobody who follows misses a change for good.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient, WatchEvent
    from argosy.resources.kinds import Kind

Json = dict[str, Any]
AGAIN_SECONDS = 0.5
"""Between an end and the next attempt."""


class Query(Struct, frozen=True, kw_only=True):
    kind: Kind
    namespace: str | None = None  # None: all
    label_selector: str = ""
    field_selector: str = ""

    def list(self, client: ApiClient) -> Json:
        return client.list(
            self.kind, self.namespace,
            label_selector=self.label_selector, field_selector=self.field_selector,
        )  # fmt: skip


def follow(
    client: ApiClient, query: Query, listed: Json, deadline: float | None = None
) -> Iterator[WatchEvent]:
    """The changes after `listed`, until `deadline` (of the monotonic clock; None: for ever)."""
    from argosy.apiserver.client import ApiError, Unreachable
    from argosy.cli.terminal import warn

    known = {_key(item): item for item in listed.get("items") or ()}
    revision = str(listed["metadata"]["resourceVersion"])
    again, away = False, False
    while (left := _left(deadline)) > 0:
        try:
            if again:
                listed = query.list(client)
                revision = str(listed["metadata"]["resourceVersion"])
                again = away = False
                yield from _missed(known, listed.get("items") or ())
            for event in client.watch(
                query.kind, query.namespace, resource_version=revision,
                label_selector=query.label_selector, field_selector=query.field_selector,
                timeout=0 if deadline is None else left,
            ):  # fmt: skip
                revision = str(event.object["metadata"]["resourceVersion"])
                if event.type != "BOOKMARK":
                    _note(known, event)
                    yield event
        except ApiError as error:
            if error.http_code not in (410, 503):
                raise
            again = True
        except Unreachable as failure:
            if not away:
                warn(f"{failure.what}; trying again")
            again = away = True
        time.sleep(max(0.0, min(AGAIN_SECONDS, _left(deadline))))


def _left(deadline: float | None) -> float:
    return float("inf") if deadline is None else deadline - time.monotonic()


def _key(item: Json) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _note(known: dict[tuple[str, str], Json], event: WatchEvent) -> None:
    if event.type == "DELETED":
        known.pop(_key(event.object), None)
    else:
        known[_key(event.object)] = event.object


def _missed(known: dict[tuple[str, str], Json], items: list[Json] | tuple[()]) -> Iterator[WatchEvent]:
    """What happened between what is known and a new list."""
    from argosy.apiserver.client import WatchEvent

    now = {_key(item): item for item in items}
    events = [WatchEvent("DELETED", known[key]) for key in known if key not in now]
    for key, item in now.items():
        before = known.get(key)
        if before is None:
            events.append(WatchEvent("ADDED", item))
        elif before["metadata"].get("uid") != item["metadata"].get("uid"):
            events += [WatchEvent("DELETED", before), WatchEvent("ADDED", item)]
        elif before["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
            events.append(WatchEvent("MODIFIED", item))
    for event in events:
        _note(known, event)
        yield event
