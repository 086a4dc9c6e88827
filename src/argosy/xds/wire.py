"""Delta xDS on the wire: requests through upb, responses as a join of frames that were serialised once.

A response is field tags, lengths and the cached bytes of its resources (0.1 us a resource instead of 2.6 for building
messages), and a received response is cut into the same frames without re-serialising. Field numbers:
envoy.service.discovery.v3.DeltaDiscoveryResponse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import status_pb2
from msgspec import Struct

from argosy.xds.types import CachedResource, Resource

Request: TypeAlias = discovery_pb2.DeltaDiscoveryRequest
Node: TypeAlias = base_pb2.Node

_SYSTEM_VERSION = 1
_RESOURCES = 2
_TYPE_URL = 4
_NONCE = 5
_REMOVED = 6
_LENGTH_DELIMITED = 2
_SHORT = tuple(bytes((value,)) for value in range(0x80))
_SHARED_UP_TO = 256 << 10  # bytes of a response that are kept for the next stream
_INVALID_ARGUMENT = 3  # google.rpc.Code: what Envoy puts into error_detail


class Malformed(Exception):
    """Bytes that are no delta discovery message; the stream cannot go on."""


class Response(Struct, frozen=True, kw_only=True):
    """One delta response on its way out; `encode` gives its bytes."""

    type_url: str
    nonce: str
    version: str  # for people (system_version_info)
    resources: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()


class Received(Struct, frozen=True, kw_only=True):
    """One delta response as it came in."""

    type_url: str
    nonce: str
    version: str
    resources: tuple[CachedResource, ...]
    removed: tuple[str, ...]


def frame(name: str, version: str, message: Any) -> bytes:
    """A `Resource` frame around a packed message. Deterministic, so that equal resources are equal bytes."""
    resource = discovery_pb2.Resource(name=name, version=version, resource=message)
    encoded: bytes = resource.SerializeToString(deterministic=True)
    return encoded


def _varint(value: int) -> bytes:
    if value < 0x80:
        return _SHORT[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | _LENGTH_DELIMITED,)) + _varint(len(value)) + value


def encode_response(response: Response) -> bytes:
    """The bytes of a DeltaDiscoveryResponse. What goes to many streams, one after the other, differs in its nonce
    alone: the rest is made once."""
    # Of the resources the frames alone are kept: whatever made them is to be forgotten with its last view.
    told = (response.version, tuple([one.frame for one in response.resources]), response.removed)
    before, body = _last.get(response.type_url, (None, b""))
    if told != before:
        body = _without_nonce(response)
        if len(body) <= _SHARED_UP_TO:
            _last[response.type_url] = (told, body)
    return body + _field(_NONCE, response.nonce.encode())


_last: dict[str, tuple[tuple[str, tuple[bytes, ...], tuple[str, ...]] | None, bytes]] = {}
"""Type -> what the response that was encoded last tells, and its bytes but for the nonce."""


def _without_nonce(response: Response) -> bytes:
    tag = bytes((_RESOURCES << 3 | _LENGTH_DELIMITED,))
    parts = [_field(_SYSTEM_VERSION, response.version.encode())]
    for resource in response.resources:
        parts += (tag, _varint(len(resource.frame)), resource.frame)
    parts.append(_field(_TYPE_URL, response.type_url.encode()))
    parts += [_field(_REMOVED, name.encode()) for name in response.removed]
    return b"".join(parts)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, value) of each length-delimited field; other wire types are skipped."""
    view = memoryview(data)
    at, end = 0, len(data)

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= end or shift > 63:
                raise Malformed("a varint is cut off or too long")
            byte = view[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < end:
        number, kind = divmod(varint(), 8)
        match kind:
            case 0:
                varint()
            case 1 | 5:
                at += 8 if kind == 1 else 4
            case 2:
                length = varint()
                if at + length > end:
                    raise Malformed(f"field {number} says {length} bytes, {end - at} are left")
                yield number, bytes(view[at : at + length])
                at += length
            case _:
                raise Malformed(f"field {number} has the unknown wire type {kind}")
    if at > end:
        raise Malformed("the last field is cut off")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8: {value[:40]!r}") from error


def cached(frame_bytes: bytes) -> CachedResource:
    """The resource in a frame. Raises Malformed."""
    try:
        parsed = discovery_pb2.Resource.FromString(frame_bytes)
    except DecodeError as error:
        raise Malformed(f"a resource cannot be parsed: {error}") from error
    return CachedResource(parsed.name, parsed.version, frame_bytes)


def decode_response(data: bytes) -> Received:
    """Cuts a DeltaDiscoveryResponse into its frames. Raises Malformed."""
    text = {_SYSTEM_VERSION: "", _TYPE_URL: "", _NONCE: ""}
    resources: list[CachedResource] = []
    removed: list[str] = []
    for number, value in _fields(data):
        if number == _RESOURCES:
            resources.append(cached(value))
        elif number == _REMOVED:
            removed.append(_text(value))
        elif number in text:
            text[number] = _text(value)
    return Received(
        type_url=text[_TYPE_URL],
        nonce=text[_NONCE],
        version=text[_SYSTEM_VERSION],
        resources=tuple(resources),
        removed=tuple(removed),
    )


def decode_request(data: bytes) -> Request:
    """Raises Malformed."""
    try:
        parsed: Request = Request.FromString(data)
    except DecodeError as error:
        raise Malformed(f"a request cannot be parsed: {error}") from error
    return parsed


def request(
    type_url: str,
    *,
    subscribe: Iterable[str] = (),
    unsubscribe: Iterable[str] = (),
    versions: Mapping[str, str] | None = None,
    nonce: str = "",
    error: str | None = None,
    offenders: Iterable[str] = (),
    node: Node | None = None,
) -> Request:
    """A DeltaDiscoveryRequest; with `error` (also an empty one) it is a NACK of `nonce`, for which `offenders` are to
    blame and no others."""
    message: Request = Request(
        type_url=type_url,
        resource_names_subscribe=sorted(subscribe),
        resource_names_unsubscribe=sorted(unsubscribe),
        initial_resource_versions=versions or {},
        response_nonce=nonce,
        node=node,
    )
    if error is not None:
        message.error_detail.CopyFrom(status_pb2.Status(code=_INVALID_ARGUMENT, message=error))
        for name in sorted(offenders):
            message.error_detail.details.add().Pack(StringValue(value=name))
    return message


def blamed(message: Request, names: Iterable[str]) -> list[str]:
    """Those of the names that a NACK lists as offenders. Envoy's list none."""
    listed = set()
    for detail in message.error_detail.details:
        name = StringValue()
        if detail.Unpack(name):
            listed.add(name.value)
    return [name for name in names if name in listed]
