"""What a patch brings: its value as a message, read once; and the failure of a patch."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TypeVar, cast

from google.protobuf.message import Message

from argosy.model.envoy_patches import EnvoyPatch
from argosy.resources.networking.envoy_filter import ApplyTo
from argosy.resources.semantics import envoy_parts

M = TypeVar("M", bound=Message)


class PatchError(ValueError):
    """One patch cannot be made; the message says why."""


def value(patch: EnvoyPatch, kind: type[M]) -> M:
    """A copy of the patch's value, for whoever takes it into a resource. Raises PatchError."""
    out = kind()
    out.CopyFrom(shared_value(patch, kind))
    return out


def shared_value(patch: EnvoyPatch, kind: type[M]) -> M:
    """The patch's value, to be read alone. Raises PatchError."""
    found = _read(str(patch.part), patch.value)
    if isinstance(found, str):
        raise PatchError(found)
    return cast(M, found)


@lru_cache(maxsize=1024)
def _read(part: str, text: str) -> Message | str:
    """The message, or why there is none."""
    if not text:
        return "patch.value: is missing"
    try:
        return envoy_parts.read("patch.value", ApplyTo(part), json.loads(text))
    except (ValueError, RecursionError) as error:
        return str(error)


def keeps_name(name: str, given: str) -> None:
    """What Envoy and other resources call a resource by is not changed. Raises PatchError."""
    if given not in ("", name):
        raise PatchError(f"patch.value: name: {given!r} would rename {name!r}; leave the name out")
