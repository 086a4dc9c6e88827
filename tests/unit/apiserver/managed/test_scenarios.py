"""The scenarios of `scenarios.yaml`, played step by step; and what a step of time changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from argosy.apiserver.managed import tracking
from argosy.apiserver.managed.conflicts import Conflicts
from argosy.apiserver.managed.fieldset import of_paths, shown
from argosy.apiserver.managed.managers import Managers, Owned, applier, updater
from argosy.apiserver.managed.tracking import Writer
from tests.unit.apiserver.managed.shapes import SHAPE

Json = dict[str, Any]
SCENARIOS: list[Json] = yaml.safe_load((Path(__file__).parent / "scenarios.yaml").read_text())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[each["it"] for each in SCENARIOS])
def test_a_scenario(scenario: Json) -> None:
    live: Json = {"metadata": {}}
    managers: Managers = {}
    for number, step in enumerate(scenario["steps"], 1):
        ((how, what),) = ((key, step[key]) for key in step.keys() & {"apply", "force", "update"})
        obj = {"metadata": {}} | what["object"]
        told = ""
        if how == "update":
            writer = Writer(updater(what["by"], "v1"), "v1", str(number))
            managers, live = tracking.update(SHAPE, live, obj, managers, writer), obj
        else:
            writer = Writer(applier(what["by"]), "v1", str(number))
            try:
                live, managers = tracking.apply_over_client_side(
                    SHAPE, live, obj, managers, writer, force=how == "force"
                )
            except Conflicts as conflicts:
                told = str(conflicts)
        assert told == step.get("refused", ""), number
        if "=" in step:
            assert {"metadata": {}} | live == {"metadata": {}} | step["="], number
        if "has" in step:
            found = {
                f"{m.name} {m.operation}": {shown(path) for path in each.fields} - PARENTS
                for m, each in managers.items()
            }
            assert found == {name: set(paths) for name, paths in step["has"].items()}, number


PARENTS = {".metadata.labels", ".metadata.annotations"}


def test_the_time_is_that_of_the_last_change() -> None:
    def wrote(managers: Managers) -> str:
        return next(owned.time for manager, owned in managers.items() if manager.name == "ann")

    config = {"spec": {"name": "a"}}
    live, managers = tracking.apply(SHAPE, {}, config, {}, Writer(applier("ann"), "v1", "1"), force=False)
    again = tracking.apply(SHAPE, live, config, managers, Writer(applier("ann"), "v1", "2"), force=False)
    assert wrote(again[1]) == "1"
    other = {"spec": {"name": "b"}}
    live, managers = tracking.apply(
        SHAPE, live, other, managers, Writer(applier("ann"), "v1", "3"), force=False
    )
    assert wrote(managers) == "3"
    newer = tracking.apply(SHAPE, live, other, managers, Writer(applier("ann"), "v2", "4"), force=False)
    assert wrote(newer[1]) == "4"
    ann = Writer(updater("ann", "v1"), "v1", "5")
    assert tracking.update(SHAPE, live, live, {}, ann) == {}
    assert wrote(tracking.update(SHAPE, live, config, {}, ann)) == "5"


def test_an_object_that_nobody_manages_is_managed_before_its_first_apply() -> None:
    found = tracking.before_first_apply(
        SHAPE, {"metadata": {"labels": {"a": "b"}}, "spec": {"name": "x"}}, "v1"
    )
    fields = [
        ("f:metadata", "f:labels"),
        ("f:metadata", "f:labels", "f:a"),
        ("f:spec",),
        ("f:spec", "f:name"),
    ]
    assert found == {updater("before-first-apply", "v1"): Owned(of_paths(fields), "v1")}
    assert tracking.before_first_apply(SHAPE, {"metadata": {}}, "v1") == {}


@pytest.mark.parametrize("subresource", ["", "status"])
@pytest.mark.parametrize("has_status", [True, False])
def test_a_part_that_is_put_back_is_the_object(subresource: str, has_status: bool) -> None:
    obj = {
        "apiVersion": "v1", "kind": "K", "spec": {"a": 1}, "status": {"b": 2},
        "metadata": {"name": "n", "uid": "u", "managedFields": [], "labels": {"l": "m"}},
    }  # fmt: skip
    part = tracking.part_of(obj, subresource, has_status=has_status)
    assert tracking.put_back(part, obj, subresource, has_status=has_status) == obj
    assert ("status" in part) == (subresource == "status" or not has_status)
    assert ("spec" in part) == (subresource == "")
    assert "apiVersion" not in part
    assert part.get("metadata", {}) == ({} if subresource else {"labels": {"l": "m"}})
