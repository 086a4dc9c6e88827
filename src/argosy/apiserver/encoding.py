"""Objects as bytes: how they are stored, and how stored bytes become answers without being decoded.

Rule: a stored body has its keys sorted, but for `apiVersion`, `kind`, `metadata`, which come first: equal bytes mean
equal objects, and `resourceVersion` (the store's revision) and the version asked for are put in by slicing. A body that
somebody else wrote in another order is decoded instead: slower, not different.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from argosy.resources.kinds import Kind
from argosy.store.base import Stored

Json = dict[str, Any]

_ENCODER = msgspec.json.Encoder(order="deterministic")
_HEAD = re.compile(rb'\{"apiVersion":"[^"\\]*","kind":"[^"\\]*","metadata":\{')
_FIRST = ("apiVersion", "kind", "metadata")


class _Labelled(msgspec.Struct):
    labels: dict[str, Any] | None = None


class _Head(msgspec.Struct):
    metadata: _Labelled = msgspec.field(default_factory=_Labelled)


_LABELS = msgspec.json.Decoder(_Head)


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
    """The stored object, without its resourceVersion."""
    obj: Json = msgspec.json.decode(stored.body)
    return obj


def labels(body: bytes) -> dict[str, Any]:
    """`metadata.labels` of a stored body; reads no more of it than it must."""
    return _LABELS.decode(body).metadata.labels or {}


def render(stored: Stored, kind: Kind, api_version: str) -> bytes:
    """The object as clients get it: with its resourceVersion, in the version they asked for."""
    head = _HEAD.match(stored.body)
    if head is None:
        obj = decode(stored)
        metadata = obj.get("metadata") or {}
        obj |= {"apiVersion": api_version, "kind": kind.kind}
        return body_of(obj | {"metadata": metadata | {"resourceVersion": str(stored.revision)}})
    rest = stored.body[head.end() :]
    comma = b"" if rest.startswith(b"}") else b","
    return b'{"apiVersion":%b,"kind":%b,"metadata":{"resourceVersion":"%d"%b%b' % (
        encode(api_version),
        encode(kind.kind),
        stored.revision,
        comma,
        rest,
    )


def render_list(items: Iterable[Stored], revision: int, kind: Kind, api_version: str) -> bytes:
    head = encode(f"{kind.kind}List"), encode(api_version), revision
    rendered = b",".join([render(stored, kind, api_version) for stored in items])
    return b'{"kind":%b,"apiVersion":%b,"metadata":{"resourceVersion":"%d"},"items":[%b]}' % (*head, rendered)


def render_frame(event: str, obj: bytes) -> bytes:
    """One line of a watch."""
    return b'{"type":"%b","object":%b}\n' % (event.encode(), obj)
