"""What a trial of several objects warns of although they come together: the server has none of them yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

if TYPE_CHECKING:
    from argosy.cli.apply import Tried
    from argosy.model.snapshot import Snapshot

Json = dict[str, Any]


def without_what_comes(tried: Sequence[Tried]) -> list[Tried]:
    """Each without the warnings of what another of them brings: the host of a Service, the subset of a rule."""
    if not any(one.warnings for one in tried):
        return list(tried)
    from argosy.cli.modelled import modelled
    from argosy.model.ir import Mesh
    from argosy.resources.kinds import decode

    objects = [decode(one.object) for one in tried]
    nothing, all_of_them = (modelled(found, Mesh())[0] for found in ((), objects))
    left = []
    for one in tried:
        settled = set(_said(nothing, one.object)) - set(_said(all_of_them, one.object))
        left.append(replace(one, warnings=tuple(each for each in one.warnings if each not in settled)))
    return left


def _said(snapshot: Snapshot, body: Json) -> list[str]:
    from argosy.explain.analysis.applied import warnings

    return [f"{field}: {message}" for field, message in warnings(snapshot, body)]
