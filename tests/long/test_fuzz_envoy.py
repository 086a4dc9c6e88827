"""Whatever the door takes, the model lowers, the translator makes and Envoy accepts, for proxies of every sort.

Random objects of every kind and field that is in force are put into a mesh together. That they mean something is
measured: most of what is drawn is valid, and of that a good part changes what some proxy gets.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from tests.long import any_object
from tests.long.conftest import FULL, count
from tests.long.fuzzed_mesh import Mesh, drawn
from tests.unit.translate.fields import kind_name, places, written

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

BATCHES = count(full=300, short=10)
OBJECTS = 14
DRAWN, LIKE_EACH = 60, 15
"""Of each kind, and of each example."""
ELSEWHERE = {
    "ProxyConfig": "is of bootstraps",
    "WorkloadGroup": "is of the entries that are made for its members",
}
VALID, IN_THE_OUTPUT = 0.7, 0.4
"""Least shares: of what is drawn, and of what is valid."""
Json = dict[str, Any]


@cache
def sample() -> tuple[Counter[str], tuple[Json, ...]]:
    """How often nothing valid came of a draw, by kind, and what was valid."""
    chance = random.Random(7)
    nothing: Counter[str] = Counter()
    found = []
    draws: list[tuple[str, Callable[[], Json | None]]] = []
    for kind in sorted(any_object.IN_FORCE):
        draws += [(kind, partial(any_object.valid, chance, kind))] * DRAWN
        for example in any_object.examples().get(kind, ()):
            draws += [(kind, partial(any_object.like, chance, example))] * LIKE_EACH
    for kind, draw in draws:
        obj = draw()
        if obj is None:
            nothing[kind] += 1
        else:
            found.append(obj)
    return nothing, tuple(found)


def test_every_field_that_is_in_force_is_drawn() -> None:
    """With every kind: a field that comes into force stands in the examples, and is here from that day."""
    wanted = {place.field for body in written("fields_in_force.yaml") for place in places(body)}
    kinds = {kind_name(body) for body in written("fields_in_force.yaml")} - {"ConfigMap"} | {"Secret"}
    _, found = sample()
    fields = {place.field for obj in found if obj["kind"] != "Secret" for place in places(obj)}
    assert kinds <= {kind_name(obj) for obj in found}
    assert wanted - fields - {"core.ConfigMap.data"} == set()


def test_most_of_what_is_drawn_is_valid() -> None:
    nothing, found = sample()
    assert len(found) / (len(found) + nothing.total()) > VALID, nothing


def broken(objects: list[Json], folder: Path) -> str:
    """Why a mesh of the objects is not accepted; "": it is."""
    try:
        mesh = Mesh(objects)
        assert mesh.refused() == {}
        assert mesh.errors() == {}
        mesh.accepted(folder)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def least(objects: list[Json], folder: Path) -> list[Json]:
    """As few of the objects as are still not accepted."""
    for one in list(objects):
        rest = [other for other in objects if other is not one]
        if broken(rest, folder):
            objects = rest
    return objects


def test_what_the_door_takes_envoy_accepts(tmp_path: Path) -> None:
    seed = int(os.environ.get("ARGOSY_SEED") or (time.time_ns() % 2**32 if FULL else 1))
    print(f"ARGOSY_SEED={seed}")
    there: Counter[str] = Counter()
    means: Counter[str] = Counter()
    for batch in range(BATCHES):
        objects = drawn(random.Random(seed + batch), OBJECTS)
        if said := broken(objects, tmp_path):
            fewer = any_object.shown(least(objects, tmp_path))
            raise AssertionError(f"ARGOSY_SEED={seed + batch}: {said}\n{fewer}")
        mesh = Mesh(objects)
        for one in objects[-OBJECTS:]:
            if (kind := kind_name(one)) in any_object.IN_FORCE:
                there[kind] += 1
                means[kind] += mesh.concerns(one)
    print({kind: f"{means[kind]} of {number}" for kind, number in there.items()})
    assert means.total() / there.total() > IN_THE_OUTPUT, (means, there)
    if FULL:
        assert any_object.IN_FORCE - set(ELSEWHERE) == set(+means), "every kind changes what some proxy gets"
