"""Events (`v1`): what has happened to objects, told for people.

# Kubernetes: core/v1 Event
"""

from __future__ import annotations

from msgspec import Struct

from argosy.resources.core import ObjectReference
from argosy.resources.kind import Kind
from argosy.resources.meta import Object


class EventSource(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who tells an event."""

    component: str = ""
    """The program that tells it."""
    host: str = ""
    """The host that the program runs on."""


class EventSeries(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How often an event has happened, where it keeps happening."""

    count: int = 0
    """How often it has happened so far."""
    last_observed_time: str | None = None
    """When it happened last."""


class Event(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Something that has happened to an object. Events help people to understand; programs do not rely on them."""

    involved_object: ObjectReference
    """The object that it has happened to."""
    reason: str = ""
    """Why it is told, in one word in CamelCase, for programs."""
    message: str = ""
    """What has happened, for people."""
    source: EventSource = EventSource()
    """Who tells it; reportingComponent is the newer form."""
    first_timestamp: str | None = None
    """When it happened first."""
    last_timestamp: str | None = None
    """When it happened last."""
    count: int = 0
    """How often it has happened."""
    type: str = ""
    """Normal or Warning."""
    event_time: str | None = None
    """When it happened, to the microsecond."""
    series: EventSeries | None = None
    """How often it has happened, where it keeps happening."""
    action: str = ""
    """What was done about the object."""
    related: ObjectReference | None = None
    """Another object that has to do with it."""
    reporting_component: str = ""
    """The program that tells it, as argosy.dev/server."""
    reporting_instance: str = ""
    """Which of several such programs tells it."""


KINDS = (
    Kind(
        group="",
        versions=("v1",),
        kind="Event",
        plural="events",
        singular="event",
        short_names=("ev",),
        builtin=True,
        struct=Event,
    ),
)
