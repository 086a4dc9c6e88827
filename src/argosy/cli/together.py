"""What several objects that are applied together say of each other: the server has none of them yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

Json = dict[str, Any]


class Between(Struct, frozen=True):
    """Warnings about one object: those of what another brings, as the host of a Service, the subset of a rule; and
    those that are there only because of another, as a host that both have."""

    settled: tuple[str, ...] = ()
    brought: tuple[str, ...] = ()

    def of(self, warnings: Sequence[str]) -> tuple[str, ...]:
        """What is to be told where a server that has none of the others warns of this."""
        return tuple(dict.fromkeys((*(each for each in warnings if each not in self.settled), *self.brought)))


def between(objects: Sequence[Json]) -> list[Between]:
    """For each of them."""
    from argosy.explain.analysis.world import World, item

    items = [each for obj in objects if (each := item(obj)) is not None]
    nothing, all_of_them = World((), complete=True), World(items, complete=True)
    found = []
    for obj in objects:
        alone, together = _said(nothing, obj), _said(all_of_them, obj)
        settled = tuple(each for each in alone if each not in together)
        found.append(Between(settled, tuple(each for each in together if each not in alone)))
    return found


def _said(world: Any, body: Json) -> list[str]:
    from argosy.explain.analysis.applied import warnings
    from argosy.model.ir import Mesh
    from argosy.resources.problem import Problem

    return [str(Problem(field, message)) for field, message in warnings(world, body, Mesh())]
