"""What a write goes through on its way to the store: does it fit its path, is it valid, what does it become.

Rule: these functions decide and never write. Order: what the path says, what the kind says, what the server adds.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from argosy.apiserver import documents, removal, status
from argosy.apiserver.paths import Target, has_status
from argosy.apiserver.queries import WriteOptions, revision
from argosy.apiserver.status import bad_request
from argosy.resources import schema
from argosy.resources.kinds import Kind
from argosy.resources.meta import prepare_update
from argosy.resources.problem import Problem
from argosy.resources.validation import validate
from argosy.store.base import Key

Json = dict[str, Any]

Admission = Callable[[Kind, Json], Awaitable[Sequence[Problem]]]
"""Warnings that need to know more than the object itself (a subset that does not exist, say). It refuses nothing."""

LONGEST_PREFIX = 58  # of a generated name, as in Kubernetes
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes' generated names: they spell nothing


async def admit_all(_kind: Kind, _obj: Json) -> Sequence[Problem]:
    return ()


def key_of(target: Target, name: str = "") -> Key:
    return Key(target.kind.resource, target.namespace, name or target.name)


def titled(target: Target, obj: Json) -> Json:
    """Kubernetes' own kinds may leave out what their path says already, as the typed objects of clients do."""
    if not target.kind.builtin:
        return obj
    said = {"apiVersion": target.api_version, "kind": target.kind.kind}
    return obj | {field: value for field, value in said.items() if obj.get(field) in (None, "")}


def fitted(target: Target, obj: Json) -> Json:
    """The object with the namespace and name that its path gives it. Raises Refusal (400) where it says otherwise."""
    for field, expected in (("apiVersion", target.api_version), ("kind", target.kind.kind)):
        if obj.get(field) != expected:
            raise bad_request(
                f"{field}: the body says {_short(obj.get(field))}, the path {expected!r}: they must be the same"
            )
    given = obj.get("metadata")
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise bad_request("metadata: is not an object")
    metadata = dict(given)
    for field, expected in (("namespace", target.namespace), ("name", target.name)):
        if not expected:
            continue
        if metadata.get(field) not in (None, "", expected):
            raise bad_request(
                f"metadata.{field}: the body says {_short(metadata[field])}, the path {expected!r}:"
                " they must be the same"
            )
        metadata[field] = expected
    return obj | {"metadata": metadata}


def unborn(obj: Json) -> Json:
    """Raises Refusal (400) where an object to be created says that it is there already."""
    if obj["metadata"].get("resourceVersion"):
        raise bad_request("metadata.resourceVersion: must not be set on an object to be created: remove it")
    return obj


def asks_for_name(obj: Json) -> bool:
    """Whether the server is to complete the name."""
    metadata = obj["metadata"]
    prefix = metadata.get("generateName")
    return not metadata.get("name") and isinstance(prefix, str) and bool(prefix)


def named(obj: Json) -> Json:
    """With a name of its own where it asks for one, another each time."""
    if not asks_for_name(obj):
        return obj
    prefix = obj["metadata"]["generateName"][:LONGEST_PREFIX]
    name = prefix + "".join(secrets.choice(_LETTERS) for _ in range(5))
    return obj | {"metadata": obj["metadata"] | {"name": name}}


async def known(
    target: Target, obj: Json, options: WriteOptions, size: int
) -> tuple[Json, Sequence[Problem]]:
    """The object without the fields that its kind does not have, and the warnings about them.

    Where the client wants these refused, it is the object itself, for `check` to refuse.
    """
    if options.strict:
        return obj, ()
    left, unknown = await documents.aside(size, schema.without_unknown, target.kind, obj)
    return left, unknown if options.validation == "Warn" else ()


async def check(
    target: Target, obj: Json, *, size: int, admission: Admission, old: Json | None = None
) -> tuple[Problem, ...]:
    """The warnings about an object. Raises Refusal (422) that names everything wrong with it.

    `old`: the object that it replaces, of which some fields may not be changed.
    """
    verdict = await documents.aside(size, _validate, obj, old)
    name = obj["metadata"].get("name")
    if verdict.errors:
        raise status.invalid(target.kind, name if isinstance(name, str) else "", verdict.errors)
    return (*verdict.warnings, *await admission(target.kind, obj))


def expected_revision(obj: Json) -> int | None:
    """The revision that the client has read; None: it does not say."""
    given = obj["metadata"].get("resourceVersion")
    if given is None:
        return None
    if not isinstance(given, str):
        raise bad_request(f"metadata.resourceVersion: {_short(given)} is not text")
    return revision(given, "metadata.resourceVersion")


def same_object(target: Target, old: Json, new: Json) -> None:
    """Raises Refusal (409) where the client means an earlier object of that name."""
    asked, there = new["metadata"].get("uid"), removal.metadata_of(old).get("uid")
    if asked and asked != there:
        raise status.conflict(
            target.kind,
            target.name,
            f"the uid of the object is {there}, not {_short(asked)}: it was made anew",
        )


def replaced(kind: Kind, old: Json, new: Json) -> Json:
    """What an update makes of the object: status is not for it to change."""
    merged = prepare_update(old, new) | {"apiVersion": kind.api_version}
    return _with_status(merged, old) if has_status(kind) else merged


def with_status(kind: Kind, old: Json, new: Json) -> Json:
    """What an update of the status makes of the object: only the status."""
    return prepare_update(old, _with_status(old, new)) | {"apiVersion": kind.api_version}


def without_status(kind: Kind, obj: Json) -> Json:
    return _with_status(obj, {}) if has_status(kind) else obj


def _with_status(obj: Json, source: Json) -> Json:
    kept = {field: value for field, value in obj.items() if field != "status"}
    return kept | ({"status": source["status"]} if source.get("status") is not None else {})


def _validate(obj: Json, old: Json | None) -> Any:
    return validate(obj, old=old)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
