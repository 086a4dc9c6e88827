"""Which events the loop passes over: those that change a status and nothing else."""

from __future__ import annotations

import pytest

from argosy.server.reconcile import is_status_alone
from argosy.store.base import Event, EventType, Key, Stored

ROUTES = "networking.istio.io/virtualservices"
OLD = b'{"spec":{"a":1},"status":{"b":1}}'


@pytest.mark.parametrize(
    ("resource", "type_", "old", "new", "alone"),
    [
        (ROUTES, EventType.MODIFIED, OLD, b'{"spec":{"a":1},"status":{"b":2}}', True),
        (ROUTES, EventType.MODIFIED, OLD, b'{"spec":{"a":1}}', True),
        (ROUTES, EventType.MODIFIED, OLD, b'{"spec":{"a":2},"status":{"b":1}}', False),
        (ROUTES, EventType.ADDED, None, OLD, False),
        (ROUTES, EventType.MODIFIED, None, OLD, False),
        ("networking.istio.io/workloadentries", EventType.MODIFIED, OLD, b'{"spec":{"a":1}}', False),
        # what is no object: the servers' own records, or written past the API
        ("/internal/sealing", EventType.MODIFIED, b"\0old", b"\0new", False),
        (ROUTES, EventType.MODIFIED, b"{", OLD, False),
        (ROUTES, EventType.MODIFIED, OLD, b"\xff", False),
        (ROUTES, EventType.MODIFIED, b"[]", b"[]", False),
        (ROUTES, EventType.MODIFIED, b"null", b"null", False),
    ],
)
def test_an_event_is_of_a_status_alone(
    resource: str, type_: EventType, old: bytes | None, new: bytes, alone: bool
) -> None:
    event = Event(type_, Stored(Key(resource, "shop", "x"), 2, new), old)
    assert is_status_alone(event) is alone
