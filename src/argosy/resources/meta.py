"""What every object carries: names, labels, versions, conditions; and what the API sets on create and update.

Names on the wire are Kubernetes' (camelCase); attributes are snake_case.
# Kubernetes: meta/v1 ObjectMeta, Condition; Istio: meta/v1alpha1 IstioStatus
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

Json = dict[str, Any]


class OwnerReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Another object that this one belongs to."""

    api_version: str
    """The group and version of the owner."""
    kind: str
    """The kind of the owner."""
    name: str
    """The name of the owner, in the same namespace or of the cluster."""
    uid: str
    """The UID of the owner."""
    controller: bool | None = None
    """Whether the owner is the one that manages the object."""
    block_owner_deletion: bool | None = None
    """Whether the owner stays, when it is deleted in the foreground, until this object is gone."""


class ObjectMeta(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What every object has: what it is called, who made it when, and what others have noted on it."""

    name: str = ""
    """What the object is called: unique among those of its kind and namespace. It cannot be changed."""
    namespace: str = ""
    """The namespace of the object. It cannot be changed."""
    labels: dict[str, str] = {}
    """Names and values that selectors find the object by."""
    annotations: dict[str, str] = {}
    """Names and values for programs and people, which nothing selects by."""
    uid: str = ""
    """Tells the object from others that had its name before or will have it later. Set by the server."""
    resource_version: str = ""
    """The revision of the last change. An update that gives it is refused where others have changed the
    object since."""
    generation: int = 0
    """Counts the changes of what is wanted; changes of metadata and status do not count. Set by the
    server."""
    creation_timestamp: str = ""
    """When the object was created, in UTC. Set by the server."""
    deletion_timestamp: str = ""
    """When its deletion was asked for; it goes once its finalizers are gone. Set by the server."""
    deletion_grace_period_seconds: int | None = None
    """How long its deletion may take. Set by the server."""
    generate_name: str = ""
    """The beginning of a name that the server completes, where none is given."""
    finalizers: Annotated[tuple[str, ...], Meta(extra_json_schema={"x-kubernetes-list-type": "set"})] = ()
    """Who must have done their part before the object may go; each removes its own entry."""
    owner_references: Annotated[
        tuple[OwnerReference, ...],
        Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]}),
    ] = ()
    """The objects that this one belongs to."""
    managed_fields: tuple[dict[str, Any], ...] = ()
    """Which manager has set which fields, for server-side apply. Kept by the server."""
    self_link: str = ""
    """No longer used."""


class Condition(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One statement about an object, true, false or unknown, with its reason."""

    type: str
    """What the statement is about, as Accepted or Programmed."""
    status: str
    """True, False or Unknown."""
    reason: str = ""
    """Why, in one word in CamelCase for programs."""
    message: str = ""
    """Why, for people."""
    last_transition_time: str = ""
    """When the status changed last."""
    last_probe_time: str = ""
    """When it was looked at last."""
    observed_generation: int | None = None
    """The generation of the object that the statement is about."""


class Status(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the mesh has found about the object. Programs write it; people read it."""

    conditions: tuple[Condition, ...] = ()
    """Accepted: the object is valid. Programmed: the proxies that it concerns run it."""
    validation_messages: tuple[dict[str, Any], ...] = ()
    """What an analysis has found, as Istio writes it."""
    observed_generation: int | str | None = None
    """The generation of the object that the status is about."""


class Object(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The part that all kinds share. Kinds of Istio's form add `spec` and `status`."""

    api_version: str
    kind: str
    metadata: ObjectMeta = ObjectMeta()

    @property
    def label(self) -> str:
        """How messages name it: `VirtualService shop/reviews`."""
        return describe(self.kind, self.metadata.namespace, self.metadata.name)


AnyObject = TypeVar("AnyObject", bound=Object)


def describe(kind: str, namespace: str, name: str) -> str:
    """`VirtualService shop/reviews`; without a namespace `VirtualService reviews`."""
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def prepare_create(obj: Json, *, uid: str, now: str) -> Json:
    """The body to store for a new object: identity set, no resourceVersion (the store's revision is that)."""
    metadata = {k: v for k, v in _metadata(obj).items() if k not in _SET_BY_API}
    metadata |= {"uid": uid, "creationTimestamp": now, "generation": 1}
    return obj | {"metadata": metadata}


def prepare_update(old: Json, new: Json) -> Json:
    """The body to store in place of `old`: what identifies the object stays, generation counts changes of intent.

    Of an `old` that was written past the API only what has the right form stays.
    """
    before = _metadata(old)
    generation = before.get("generation", 1)
    if not isinstance(generation, int) or not 0 <= generation < _LARGEST:
        generation = 1
    if _intent(old) != _intent(new):
        generation += 1
    metadata = {k: v for k, v in _metadata(new).items() if k not in _SET_BY_API}
    metadata |= {k: before[k] for k, form in _KEPT.items() if isinstance(before.get(k), form)}
    metadata["generation"] = generation
    return new | {"metadata": metadata}


_LARGEST = (1 << 63) - 1
_KEPT = {"uid": str, "creationTimestamp": str, "deletionTimestamp": str, "deletionGracePeriodSeconds": int}
_SET_BY_API = frozenset((*_KEPT, "generation", "resourceVersion", "selfLink"))


def identified(obj: Json, *, uid: str, now: str) -> Json:
    """With the identity that an object lacks which was written past the API."""
    lacking = {k: v for k, v in (("uid", uid), ("creationTimestamp", now)) if not _metadata(obj).get(k)}
    return obj | {"metadata": _metadata(obj) | lacking} if lacking else obj


def _metadata(obj: Json) -> Json:
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _intent(obj: Json) -> Json:
    """All but metadata, status and the version it was written in: what a person wants."""
    return {k: v for k, v in obj.items() if k not in ("metadata", "status", "apiVersion")}
