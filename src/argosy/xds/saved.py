"""What a relay writes to disk, and reads at its next start: per type what Envoy confirmed and what it refused.

The frames are the server's bytes. A state of an older version that lacks a field reads as if it were empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from argosy.xds import wire
from argosy.xds.types import CachedResource

FORMAT = 1


class StateError(Exception):
    """A saved state that cannot be used; the message says why."""


class SavedType(Struct, array_like=True):
    """One type. `frames` are serialised `envoy.service.discovery.v3.Resource`s."""

    type_url: str
    wildcard: bool
    frames: list[bytes]
    absent: list[str]  # names that do not exist, so that nobody waits for them
    refused: list[tuple[str, str, str]]  # name, version, Envoy's words
    astray: list[str] = []  # names of which Envoy may run another version than it tells

    def resources(self) -> list[CachedResource]:
        return [wire.cached(frame) for frame in self.frames]


class _Saved(Struct, array_like=True):
    format: int
    types: list[SavedType]


def encode(types: Sequence[SavedType]) -> bytes:
    return msgspec.msgpack.encode(_Saved(FORMAT, list(types)))


def decode(data: bytes) -> list[tuple[SavedType, list[CachedResource]]]:
    """Each type with its resources. Raises StateError."""
    try:
        form = msgspec.msgpack.decode(data, type=list[msgspec.Raw])
        number = msgspec.msgpack.decode(form[0], type=int)
    except (msgspec.DecodeError, IndexError) as error:
        raise _damaged(error) from error
    if number != FORMAT:
        raise StateError(
            f"the saved state has format {number}, this version reads {FORMAT}; "
            "start the version that wrote it, or remove the file to fetch it again"
        )
    try:
        saved = msgspec.msgpack.decode(data, type=_Saved)
        return [(one, one.resources()) for one in saved.types]
    except (msgspec.DecodeError, wire.Malformed) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> StateError:
    return StateError(f"the saved state is damaged: {error}; it is fetched again from the server")
