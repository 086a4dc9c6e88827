"""Damage to good objects, in one to three places, and the patches of four types that somebody may send for them.

All of it is decided by the dice, but for values that nobody expects: those are drawn by hypothesis (`odd`).
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
Odd = Callable[[], Any]
"""A JSON value of any kind."""
Place = tuple[str | int, ...]

JSON_PATCH, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"

TEXTS = (
    "",
    "a",
    "a.example.com",
    "*",
    "10.0.0.1",
    "1s",
    "0s",
    "-1",
    "http",
    "x" * 300,
    "é",
    "a\0b",
    "a/b",
    "None",
)
NUMBERS = (0, 1, -1, 80, 65536, 1 << 31, 1 << 63, 1 << 70, 0.5, 1e308)
FINALIZERS = ("example.com/a", "example.com/b", "orphan", "foregroundDeletion", "kubernetes", "")
ANNOTATIONS = (
    "argosy.dev/service-accounts",
    "sidecar.argosy.dev/ports",
    "istio.io/dry-run",
    "proxy.istio.io/health-checks-enabled",
    "kubectl.kubernetes.io/last-applied-configuration",
    "example.com/a",
)
TIMES = ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00.5Z", "", "soon")
DIRECTIVES = (
    {"$patch": "delete"},
    {"$patch": "replace"},
    {"$retainKeys": ["name"]},
    {"$patch": "merge"},
    {"$patch": "x"},
)


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Of every value inside, holders before what they hold."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in inner:
        yield (*at, step)
        yield from places(below, (*at, step))


def at(value: Any, place: Place) -> Any:
    for step in place:
        value = value[step]
    return value


def pointer(place: Place) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)


def mutated(dice: random.Random, obj: Json, odd: Odd, owners: list[Json]) -> Json:
    """A damaged copy. `owners`: references to objects that are there."""
    found = copy.deepcopy(obj)
    for _ in range(dice.choice((1, 1, 2, 3))):
        if dice.random() < 0.4:
            _in_metadata(dice, found, odd, owners)
        else:
            _in_content(dice, found, odd)
    return found


def spliced(dice: random.Random, obj: Json, other: Any) -> Json:
    """With one to three parts of what a schema alone made."""
    found = copy.deepcopy(obj)
    inside = [place for place in places(other) if place[0] not in ("apiVersion", "kind", "metadata")]
    for place in dice.sample(inside, min(len(inside), dice.randint(1, 3))):
        holder: Any = found
        for step in place[:-1]:
            below = holder.get(step) if isinstance(holder, dict) else None
            if not isinstance(below, dict):
                break
            holder = below
        else:
            if isinstance(holder, dict):
                holder[place[-1]] = copy.deepcopy(at(other, place))
    return found


def _in_content(dice: random.Random, obj: Json, odd: Odd) -> None:
    inside = [
        place
        for place in places(obj)
        if place[0] not in ("apiVersion", "kind", "metadata") and len(place) > 1
    ]
    if not inside or dice.random() < 0.03:
        obj[dice.choice(("spec", "data", "status", "type", "immutable", "x", "kind", "apiVersion"))] = odd()
        return
    place = dice.choice(inside)
    step: Any
    holder, step = at(obj, place[:-1]), place[-1]
    match dice.randrange(8):
        case 0 | 1:
            del holder[step]
        case 2:  # what stands elsewhere under the same name, or anywhere
            alike = [each for each in inside if each[-1] == step or isinstance(step, int)]
            holder[step] = copy.deepcopy(at(obj, dice.choice(alike)))
        case 3 if isinstance(holder, list):
            holder.insert(dice.randint(0, len(holder)), copy.deepcopy(holder[step]))
        case 3 | 4:
            holder[step] = near(dice, holder[step])
        case 5 if isinstance(holder, dict):
            holder[dice.choice(("x", "", "labels", "namespace", f"{step}s"))] = copy.deepcopy(holder[step])
        case 6:
            holder[step] = None
        case _:
            holder[step] = odd()


def near(dice: random.Random, value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return dice.choice((value + 1, value - 1, str(value), *NUMBERS))
        case str():
            return dice.choice((value.upper(), value + "x", value[:-1], value * 2, *TEXTS))
        case list():
            return dice.choice((value * 2, value[::-1], [], value[:1]))
        case dict():
            return {k: v for k, v in value.items() if dice.random() < 0.5}
    return value


def _in_metadata(dice: random.Random, obj: Json, odd: Odd, owners: list[Json]) -> None:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return
    match dice.randrange(12):
        case 0 | 1:
            metadata["labels"] = {dice.choice(("app", "tier", "a")): dice.choice(("reviews", "a", "b"))}
        case 2:
            said = dice.choice(("x", "true", "", "{}", "[]", json.dumps(obj)))
            metadata["annotations"] = {dice.choice(ANNOTATIONS): said}
        case 3 | 4:
            metadata["finalizers"] = dice.sample(FINALIZERS[:4], dice.randint(0, 2))
        case 5 | 6 if owners:
            metadata["ownerReferences"] = dice.sample(owners, min(len(owners), dice.randint(1, 2)))
        case 7 if dice.random() < 0.5:
            metadata["generateName"] = dice.choice(("g-", "generated-", "x" * 70, ""))
            metadata.pop("name", None)
        case 8:
            metadata[dice.choice(("creationTimestamp", "deletionTimestamp"))] = dice.choice(TIMES)
        case 9:
            metadata[dice.choice(("uid", "resourceVersion", "generation", "selfLink"))] = dice.choice(
                (0, "", "1", "x")
            )
        case 10:
            field = dice.choice(
                ("labels", "annotations", "finalizers", "ownerReferences", "managedFields", "name", "x")
            )
            metadata[field] = odd()
        case _:
            metadata["finalizers"] = [dice.choice(FINALIZERS)]


def patch(dice: random.Random, live: Json, wanted: Json, odd: Odd, kinds: tuple[str, ...]) -> tuple[str, Any]:
    """(media type, body) of a patch that leads from what is there in the direction of what is wanted."""
    kind = dice.choice(kinds)
    if kind == JSON_PATCH:
        return kind, _operations(dice, live, wanted, odd)
    if kind == APPLY:
        return kind, _applied(dice, wanted)
    wanted = copy.deepcopy(wanted)
    body = {part: value for part, value in wanted.items() if dice.random() < 0.5 or part == "metadata"}
    body["metadata"] = _patched_metadata(dice, live, wanted)
    if kind == STRATEGIC and dice.random() < 0.4:
        _directed(dice, body)
    if dice.random() < 0.2:
        body[dice.choice(("spec", "data", "status", "rules", "subsets", "type"))] = dice.choice(
            (None, {}, odd())
        )
    return kind, body


def _patched_metadata(dice: random.Random, live: Json, wanted: Json) -> Json:
    given, there = (each.get("metadata") for each in (wanted, live))
    found = {k: v for k, v in given.items() if dice.random() < 0.5} if isinstance(given, dict) else {}
    if isinstance(there, dict) and there.get("finalizers") and dice.random() < 0.5:
        found["finalizers"] = dice.choice((None, [], there["finalizers"][1:]))
    for field in ("managedFields", "ownerReferences", "labels"):
        if dice.random() < 0.05:
            found[field] = dice.choice((None, [], [{}], {}))
    return found


def _directed(dice: random.Random, body: Json) -> None:
    """Puts directives of strategic merge patches where an object or a list stands."""
    holders = [place for place in ((), *places(body)) if isinstance(at(body, place), (dict, list))]
    holder = at(body, dice.choice(holders))
    if isinstance(holder, list):
        holder.append(dict(dice.choice(DIRECTIVES)))
    elif dice.random() < 0.7:
        holder |= dice.choice(DIRECTIVES)
    else:
        field = dice.choice(list(holder) or ["ports"])
        holder[f"{dice.choice(('$setElementOrder', '$deleteFromPrimitiveList'))}/{field}"] = dice.choice(
            ([], ["a"], [{"name": "a"}], "x")
        )


def _applied(dice: random.Random, wanted: Json) -> Json:
    """Without what only a live object has, most of the time."""
    metadata = wanted.get("metadata")
    if not isinstance(metadata, dict) or dice.random() < 0.05:
        return wanted
    kept = ("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences")
    return {k: v for k, v in wanted.items() if k != "status"} | {
        "metadata": {k: v for k, v in metadata.items() if k in kept}
    }


def _operations(dice: random.Random, live: Json, wanted: Json, odd: Odd) -> list[Json]:
    inside = [place for place in places(live) if place[0] not in ("apiVersion", "kind")]
    content = [place for place in inside if place[0] not in ("metadata", "status")] or inside
    found: list[Json] = []
    for _ in range(dice.randint(1, 3)):
        place = dice.choice(content if dice.random() < 0.8 else inside) if inside else ("spec",)
        path, other = pointer(place), pointer(dice.choice(inside)) if inside else "/spec"
        match dice.randrange(9):
            case 0 if inside:
                found.append({"op": "test", "path": path, "value": at(live, place)})
            case 1:
                found.append({"op": "remove", "path": path})
            case 2 if inside:
                found.append({"op": "replace", "path": path, "value": near(dice, at(live, place))})
            case 3:
                found.append({"op": dice.choice(("copy", "move")), "from": path, "path": other})
            case 4 if inside and isinstance(place[-1], int):
                listed = pointer((*place[:-1], "-"))
                found.append({"op": dice.choice(("copy", "move")), "from": path, "path": listed})
            case 5:
                found.append(
                    {"op": "add", "path": "/metadata/labels", "value": {"app": dice.choice(("a", "b"))}}
                )
            case 6:
                finalizers = dice.choice(([], list(FINALIZERS[:1])))
                found.append({"op": "add", "path": "/metadata/finalizers", "value": finalizers})
            case 7:
                part = dice.choice(
                    [part for part in wanted if part not in ("apiVersion", "kind", "metadata")] or ["x"]
                )
                found.append({"op": "add", "path": f"/{part}", "value": wanted.get(part)})
            case _:
                found.append({"op": dice.choice(("add", "replace")), "path": path, "value": odd()})
    return found
