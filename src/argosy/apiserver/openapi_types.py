"""What the API takes and gives beside objects, as structs, for the OpenAPI documents alone.

# Kubernetes: meta/v1 ListMeta, Status, DeleteOptions, WatchEvent, Patch, APIResourceList; the names are those that
# clients look for: io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from argosy.resources.meta import Condition, ObjectMeta, OwnerReference

PACKAGE = "io.k8s.apimachinery.pkg.apis.meta.v1"
_ANY_OBJECT = Meta(extra_json_schema={"type": "object"})


class ListMeta(Struct, rename="camel"):
    """What a list says about itself."""

    resource_version: str = ""
    """The revision of the store that was listed: a watch from here misses nothing."""
    continue_: str = field(default="", name="continue")
    """The token to ask for the rest with, where a limit has cut the list."""
    remaining_item_count: int | None = None
    """How many objects follow, where that is known."""
    self_link: str = ""
    """No longer used."""


class StatusCause(Struct, rename="camel"):
    """One of the things that are wrong."""

    reason: str = ""
    """What it is, in one word for programs."""
    message: str = ""
    """What it is, for people."""
    at: str = field(default="", name="field")
    """The field that it is about, as `spec.http[0].timeout`."""


class StatusDetails(Struct, rename="camel"):
    """What a Status is about."""

    name: str = ""
    """The name of the object."""
    group: str = ""
    """The group of the object."""
    kind: str = ""
    """The resource of the object."""
    uid: str = ""
    """The UID of the object."""
    causes: tuple[StatusCause, ...] = ()
    """All that is wrong."""
    retry_after_seconds: int = 0
    """When to try again."""


class Status(Struct, rename="camel"):
    """The answer to a request that did not succeed, or that has no object to give."""

    api_version: str = ""
    """v1."""
    kind: str = ""
    """Status."""
    metadata: ListMeta | None = None
    """The revision of the store."""
    status: str = ""
    """Success or Failure."""
    message: str = ""
    """What happened, for people."""
    reason: str = ""
    """What happened, in one word for programs."""
    details: StatusDetails | None = None
    """What it is about."""
    code: int = 0
    """The HTTP status."""


class Preconditions(Struct, rename="camel"):
    """What must hold of the object for it to be deleted."""

    uid: str | None = None
    """The UID that it must have."""
    resource_version: str | None = None
    """The revision that it must have."""


class DeleteOptions(Struct, rename="camel"):
    """How something is to be deleted."""

    api_version: str = ""
    """v1."""
    kind: str = ""
    """DeleteOptions."""
    dry_run: tuple[str, ...] = ()
    """All: do everything but delete."""
    grace_period_seconds: int | None = None
    """Taken for the sake of clients: objects of configuration are deleted at once."""
    orphan_dependents: bool | None = None
    """No longer used: see propagationPolicy."""
    preconditions: Preconditions | None = None
    """What must hold of the object."""
    propagation_policy: str | None = None
    """What becomes of objects that it owns: Orphan, Background or Foreground."""


class WatchEvent(Struct):
    """One line of a watch."""

    type: str
    """ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""
    object: Annotated[Any, _ANY_OBJECT]
    """The object as it is after the event; for DELETED, as it was before; for ERROR a Status."""


class APIResource(Struct, rename="camel"):
    """A resource and what can be done with it."""

    name: str
    """The plural name, as in paths."""
    singular_name: str
    """The singular name."""
    namespaced: bool
    """Whether its objects are in namespaces."""
    kind: str
    """The kind of its objects."""
    verbs: tuple[str, ...]
    """What can be done: get, list, watch, create, update, patch, delete, deletecollection."""
    short_names: tuple[str, ...] = ()
    """Short names to type."""
    categories: tuple[str, ...] = ()
    """Names of groups of resources that it belongs to."""


class APIResourceList(Struct, rename="camel"):
    """The resources of a version of a group."""

    group_version: str
    """The group and version."""
    resources: tuple[APIResource, ...]
    """The resources, and their subresources."""
    api_version: str = ""
    """v1."""
    kind: str = ""
    """APIResourceList."""


NAMES: dict[type[Struct], str] = {
    struct: f"{PACKAGE}.{struct.__name__}"
    for struct in (
        ObjectMeta,
        OwnerReference,
        Condition,
        ListMeta,
        Status,
        StatusDetails,
        StatusCause,
        Preconditions,
        DeleteOptions,
        WatchEvent,
        APIResource,
        APIResourceList,
    )
}
PATCH = f"{PACKAGE}.Patch"
PATCH_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A change to an object, in the form that its content type names.",
}
OF_EVERY_GROUP: tuple[type[Struct], ...] = (Status, DeleteOptions, WatchEvent, APIResourceList)
