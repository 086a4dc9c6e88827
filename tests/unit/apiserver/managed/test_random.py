"""Random writers against an oracle that knows objects as flat sets of paths, and rules one at a time."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.apiserver.managed import tracking
from argosy.apiserver.managed.conflicts import Conflicts
from argosy.apiserver.managed.fieldset import shown
from argosy.apiserver.managed.managers import Managers, applier, decode, encode, updater
from argosy.apiserver.managed.tracking import Writer
from tests.unit.apiserver.managed.shapes import SHAPE

Json = dict[str, Any]
Path = tuple[str, ...]
Flat = dict[Path, Any]
STRUCT: Any = "a struct"
ENTRY: Any = "an entry"
LISTS = ("tags", "ports")


def flat(obj: Json) -> Flat:
    """Every path of an object of this test: declared structs, entries of lists, and leaves with their values."""
    found: Flat = {}
    if "labels" in obj.get("metadata", {}):
        found[("metadata", "labels")] = STRUCT
    for key, value in obj.get("metadata", {}).get("labels", {}).items():
        found[("metadata", "labels", key)] = value
    if "spec" in obj:
        found[("spec",)] = STRUCT
    spec = obj.get("spec", {})
    for key in spec.keys() & {"name", "hosts"}:
        found[("spec", key)] = spec[key]
    for key in spec.keys() & {"inner", *LISTS}:
        found[("spec", key)] = STRUCT
    for key, value in spec.get("inner", {}).items():
        found[("spec", "inner", key)] = value
    for tag in spec.get("tags", []):
        found[("spec", "tags", f'[="{tag}"]')] = tag
    for port in spec.get("ports", []):
        at = ("spec", "ports", f'[port={port["port"]},protocol="TCP"]')
        found[at] = ENTRY
        found |= {(*at, key): value for key, value in port.items()}
    return found


def is_field(path: Path, config: Flat) -> bool:
    """Whether who applies this owns the path: all but structs, and empty structs, but no empty lists."""
    if config[path] is not STRUCT:
        return True
    return path[-1] not in LISTS and not any(
        len(other) > len(path) and other[: len(path)] == path for other in config
    )


def text(path: Path) -> str:
    return "".join(step if step.startswith("[") else f".{step}" for step in path)


def with_structs(paths: set[Path], world: Flat) -> set[Path]:
    above = {path[:n] for path in paths for n in range(1, len(path))}
    return paths | {path for path in above if world.get(path, STRUCT) is STRUCT}


class Oracle:
    def __init__(self) -> None:
        self.live: Flat = {}
        self.owned: dict[str, set[Path]] = {}

    def update(self, who: str, new: Flat) -> None:
        changed = {path for path in new if path not in self.live or self.live[path] != new[path]}
        removed = self.live.keys() - new.keys()
        for other in self.owned.values():
            other -= changed | removed
        self.owned.setdefault(who, set()).update(changed)
        self.live = new

    def apply(self, who: str, config: Flat, force: bool) -> set[tuple[str, Path]]:
        """The conflicts that stopped it."""
        own = {path for path in config if is_field(path, config)}
        merged = self.live | config
        last = self.owned.get(who, set())
        others: set[Path] = set().union(*(paths for name, paths in self.owned.items() if name != who))
        gone = with_structs(last, merged) - with_structs(others | own, merged)
        merged = {p: v for p, v in merged.items() if not any(p[:n] in gone for n in range(1, len(p) + 1))}
        merged |= config
        changed = {p for p in merged if p not in self.live or self.live[p] != merged[p]}
        removed = self.live.keys() - merged.keys()
        conflicts = {(m, p) for m, paths in self.owned.items() if m != who for p in paths & changed}
        if conflicts and not force:
            return conflicts
        for name, paths in self.owned.items():
            if name != who:
                paths -= changed | removed
        self.owned[who] = own
        self.live = merged
        return set()


def _port(port: Any) -> Any:
    return port["port"]


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)
NUMBERS = st.sampled_from([1, 2])
PORT = st.fixed_dictionaries({"port": st.sampled_from([80, 81])}, optional={"target": NUMBERS})
SPEC = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from("xy"),
        "hosts": st.lists(st.sampled_from("hi"), min_size=1, max_size=2),
        "inner": st.dictionaries(st.sampled_from("xy"), NUMBERS),
        "tags": st.lists(st.sampled_from("tuv"), max_size=3, unique=True),
        "ports": st.lists(PORT, max_size=2, unique_by=_port),
    },
)
OBJECTS = st.fixed_dictionaries(
    {}, optional={"metadata": st.fixed_dictionaries({}, optional={"labels": LABELS}), "spec": SPEC}
)
WRITES = st.tuples(
    st.sampled_from(["apply", "force", "update"]), st.sampled_from(["ann", "bob", "cleo"]), OBJECTS
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WRITES, max_size=8))
def test_any_writers_leave_what_the_oracle_says(writes: list[tuple[str, str, Json]]) -> None:
    oracle = Oracle()
    live: Json = {"metadata": {}}
    managers: Managers = {}
    for how, name, obj in writes:
        obj = {"metadata": {}} | obj
        if how == "update":
            writer = Writer(updater(name, "test.dev/v1"), "test.dev/v1", "now")
            managers, live = tracking.update(SHAPE, live, obj, managers, writer), obj
            oracle.update(f"{name} Update", flat(obj))
        else:
            writer = Writer(applier(name), "test.dev/v1", "now")
            expected = oracle.apply(f"{name} Apply", flat(obj), how == "force")
            try:
                live, managers = tracking.apply(SHAPE, live, obj, managers, writer, force=how == "force")
                assert not expected
            except Conflicts as conflicts:
                found = {
                    (f"{manager.name} {manager.operation}", shown(path))
                    for manager, fields in conflicts.fields.items()
                    for path in fields
                }
                assert found == {(manager, text(path)) for manager, path in expected}
        assert flat(live) == oracle.live
        owned = {f"{m.name} {m.operation}": set(map(shown, each.fields)) for m, each in managers.items()}
        assert owned == {name: set(map(text, paths)) for name, paths in oracle.owned.items() if paths}
        managers = decode(encode(managers))


@settings(max_examples=200, deadline=None)
@given(OBJECTS, OBJECTS)
def test_what_is_applied_twice_changes_nothing_the_second_time(first: Json, second: Json) -> None:
    writer = Writer(applier("ann"), "test.dev/v1", "then")
    live, managers = tracking.apply(SHAPE, {"metadata": {}} | first, second, {}, writer, force=False)
    again = Writer(applier("ann"), "test.dev/v1", "later")
    assert tracking.apply(SHAPE, live, second, managers, again, force=False) == (live, managers)
