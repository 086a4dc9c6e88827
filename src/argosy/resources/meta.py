"""What every object carries: names, labels, versions, conditions; and what the API sets on create and update.

Names on the wire are Kubernetes' (camelCase); attributes are snake_case.
# Kubernetes: meta/v1 ObjectMeta, Condition; Istio: meta/v1alpha1 IstioStatus
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct

Json = dict[str, Any]


class OwnerReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None
    generate_name: str = ""
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()
    managed_fields: tuple[dict[str, Any], ...] = ()
    self_link: str = ""


class Condition(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    type: str
    status: str  # True | False | Unknown
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    last_probe_time: str = ""
    observed_generation: int | None = None


class Status(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    conditions: tuple[Condition, ...] = ()
    validation_messages: tuple[dict[str, Any], ...] = ()
    observed_generation: int | str | None = None  # protobuf JSON writes an int64 as text


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
    """The body to store in place of `old`: what identifies the object stays, generation counts changes of intent."""
    before = _metadata(old)
    generation = before.get("generation", 1)
    if _intent(old) != _intent(new):
        generation += 1
    metadata = {k: v for k, v in _metadata(new).items() if k not in _SET_BY_API}
    metadata |= {k: before[k] for k in ("uid", "creationTimestamp", "deletionTimestamp") if k in before}
    metadata["generation"] = generation
    return new | {"metadata": metadata}


_SET_BY_API = frozenset(
    ("uid", "creationTimestamp", "deletionTimestamp", "generation", "resourceVersion", "selfLink")
)


def _metadata(obj: Json) -> Json:
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _intent(obj: Json) -> Json:
    """All but metadata, status and the version it was written in: what a person wants."""
    return {k: v for k, v in obj.items() if k not in ("metadata", "status", "apiVersion")}
