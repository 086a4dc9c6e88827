"""Objects as bytes: how they are stored, and how stored bytes become answers without being decoded.

Rule: a stored body has its keys sorted, but for `apiVersion`, `kind`, `metadata`, which come first: equal bytes mean
equal objects, and `resourceVersion` (the store's revision) and the version asked for are put in by slicing. A body that
somebody else wrote in another way is decoded instead: slower, not different. What cannot be read is shown as an object
of which only the name is known, so that it can be replaced or deleted and hides no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from argosy.resources.kinds import Kind
from argosy.store.base import Key, Stored

Json = dict[str, Any]

_ENCODER = msgspec.json.Encoder(order="deterministic")
_HEAD = re.compile(rb'\{"apiVersion":"[^"\\]*","kind":"[^"\\]*","metadata":\{')
_FIRST = ("apiVersion", "kind", "metadata")


class _Labelled(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Head(msgspec.Struct):
    metadata: _Labelled = msgspec.field(default_factory=_Labelled)


class _Identity(msgspec.Struct, rename="camel"):
    name: Any = ""
    namespace: Any = ""
    resource_version: Any = None


class _Identified(msgspec.Struct):
    metadata: _Identity


class _Metadata(msgspec.Struct):
    metadata: msgspec.Raw


_LABELS = msgspec.json.Decoder(_Head)
_IDENTITY = msgspec.json.Decoder(_Identified)
_METADATA = msgspec.json.Decoder(_Metadata)
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading bytes that somebody else wrote may raise."""


def body_of(obj: Json) -> bytes:
    """The bytes to store. `obj` has no `metadata.resourceVersion`."""
    first = {key: obj[key] for key in _FIRST if key in obj}
    rest = {key: value for key, value in obj.items() if key not in _FIRST}
    members = [
        encode(key) + b":" + encode(value)
        for part in (first, dict(sorted(rest.items())))
        for key, value in part.items()
    ]
    return b"{" + b",".join(members) + b"}"


def encode(value: Any) -> bytes:
    return _ENCODER.encode(value)


def decode(stored: Stored) -> Json:
    """The stored object, without its resourceVersion; {} for what somebody stored that is no object."""
    try:
        obj = msgspec.json.decode(stored.body)
    except UNREADABLE:
        return {}
    return obj if isinstance(obj, dict) else {}


def shown(stored: Stored, kind: Kind, api_version: str) -> Json:
    """The object as clients get it, whatever it says of itself."""
    obj = decode(stored)
    return obj | {"apiVersion": api_version, "kind": kind.kind, "metadata": shown_metadata(stored, obj)}


def labels(body: bytes) -> dict[str, str]:
    """`metadata.labels` of a stored body; reads no more of it than it must."""
    try:
        return _LABELS.decode(body).metadata.labels or {}
    except UNREADABLE:
        metadata = decode(Stored(Key("", "", ""), 0, body)).get("metadata")
        found = metadata.get("labels") if isinstance(metadata, dict) else None
        return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def render(stored: Stored, kind: Kind, api_version: str) -> bytes:
    """The object as clients get it: with its resourceVersion, in the version they asked for."""
    head = _HEAD.match(stored.body)
    if head is None or not _ordinary(stored):
        return body_of(shown(stored, kind, api_version))
    rest = stored.body[head.end() :]
    comma = b"" if rest.startswith(b"}") else b","
    return b'{"apiVersion":%b,"kind":%b,"metadata":{"resourceVersion":"%d"%b%b' % (
        encode(api_version),
        encode(kind.kind),
        stored.revision,
        comma,
        rest,
    )


def render_metadata(stored: Stored, api_version: str) -> bytes:
    """The object's metadata alone, as `PartialObjectMetadata`."""
    head = b'{"kind":"PartialObjectMetadata","apiVersion":%b,"metadata":' % encode(api_version)
    if not _ordinary(stored):
        return head + encode(shown_metadata(stored, decode(stored))) + b"}"
    metadata = bytes(_METADATA.decode(stored.body).metadata).lstrip()
    rest = metadata[1:]
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return b'%b{"resourceVersion":"%d"%b%b}' % (head, stored.revision, comma, rest)


def shown_metadata(stored: Stored, obj: Json) -> Json:
    """Its own, but for what the key and the revision say better."""
    found, key = obj.get("metadata"), stored.key
    said = {k: v for k, v in (("name", key.name), ("namespace", key.namespace)) if v}
    kept = (
        {k: v for k, v in found.items() if k not in ("name", "namespace")} if isinstance(found, dict) else {}
    )
    return kept | said | {"resourceVersion": str(stored.revision)}


def _ordinary(stored: Stored) -> bool:
    """Whether the body is whole, and names the object as its key does: what is written through the API."""
    try:
        if not stored.body.isascii():
            stored.body.decode()
        found = _IDENTITY.decode(stored.body).metadata
    except UNREADABLE:
        return False
    key = stored.key
    return found.resource_version is None and (found.name, found.namespace) == (key.name, key.namespace)


class ListMeta(msgspec.Struct, frozen=True):
    """What a list says about itself."""

    revision: int
    continues: str = ""  # the token for the rest; "": this is all
    remaining: int | None = None

    def as_json(self) -> Json:
        said: Json = {"resourceVersion": str(self.revision)}
        if self.continues:
            said["continue"] = self.continues
        if self.remaining is not None:
            said["remainingItemCount"] = self.remaining
        return said


def render_list(items: Iterable[Stored], meta: ListMeta, kind: Kind, api_version: str) -> bytes:
    return join_list(
        f"{kind.kind}List", api_version, meta, [render(stored, kind, api_version) for stored in items]
    )


def join_list(kind: str, api_version: str, meta: ListMeta, rendered: Iterable[bytes]) -> bytes:
    return b'{"kind":%b,"apiVersion":%b,"metadata":%b,"items":[%b]}' % (
        encode(kind),
        encode(api_version),
        encode(meta.as_json()),
        b",".join(rendered),
    )


def bookmark_metadata(revision: int, annotations: dict[str, str]) -> Json:
    """The metadata of the object of a BOOKMARK frame: no more than how far the client has come."""
    said: Json = {"resourceVersion": str(revision)}
    return said | ({"annotations": annotations} if annotations else {})


def render_frame(event: str, obj: bytes) -> bytes:
    """One line of a watch."""
    return b'{"type":"%b","object":%b}\n' % (event.encode(), obj)
