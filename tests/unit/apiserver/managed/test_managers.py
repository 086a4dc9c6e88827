"""`metadata.managedFields`, read and written."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.apiserver.managed.conflicts import Conflicts
from argosy.apiserver.managed.fieldset import of_paths, shown
from argosy.apiserver.managed.managers import (
    ANCIENT,
    MOST_UPDATERS,
    Managers,
    Owned,
    applier,
    capped,
    decode,
    encode,
    updater,
)

NAME, HOSTS = ("f:spec", "f:name"), ("f:spec", "f:hosts")
ENTRY: dict[str, Any] = {
    "manager": "ann",
    "operation": "Apply",
    "apiVersion": "v1",
    "time": "2026-01-02T03:04:05Z",
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:spec": {"f:name": {}}},
}


def test_entries_come_in_order_and_back() -> None:
    managers: Managers = {
        updater("zoe", "v1"): Owned(of_paths([NAME]), "v1", "2026-01-01T00:00:00Z"),
        updater("ann", "v1", "status"): Owned(of_paths([HOSTS]), "v1", "2026-01-03T00:00:00Z"),
        applier("ann"): Owned(of_paths([NAME]), "v1", "2026-01-02T03:04:05Z"),
    }
    written = encode(managers)
    assert written[0] == ENTRY
    assert [(e["manager"], e["operation"], e.get("subresource")) for e in written] == [
        ("ann", "Apply", None),
        ("zoe", "Update", None),
        ("ann", "Update", "status"),
    ]
    assert decode(written) == managers


def test_one_who_applies_in_two_versions_is_one() -> None:
    other = ENTRY | {"apiVersion": "v2", "fieldsV1": {"f:spec": {"f:hosts": {}}}}
    assert decode([ENTRY, other]) == {
        applier("ann"): Owned(of_paths([NAME, HOSTS]), "v2", "2026-01-02T03:04:05Z")
    }
    updates = [each | {"operation": "Update"} for each in (ENTRY, other)]
    assert len(decode(updates)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        "x",
        [5],
        [ENTRY | {"operation": "Delete"}],
        [ENTRY | {"operation": None}],
        [ENTRY | {"manager": 5}],
        [ENTRY | {"manager": "x" * 300}],
        [ENTRY | {"fieldsType": "FieldsV2"}],
        [ENTRY | {"fieldsV1": []}],
        [ENTRY | {"fieldsV1": {"spec": {}}}],
    ],
)
def test_what_cannot_be_read_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(wrong)


def test_a_manager_without_fields_is_none() -> None:
    assert decode([ENTRY | {"fieldsV1": {}}, ENTRY | {"fieldsV1": None}]) == {}


def test_the_oldest_changes_are_put_together() -> None:
    managers: Managers = {
        updater(f"m{i:02}", "v1"): Owned(
            of_paths([("f:spec", f"f:x{i:02}")]), "v1", f"2026-01-01T00:00:{i:02}Z"
        )
        for i in range(MOST_UPDATERS + 3)
    } | {applier("ann"): Owned(of_paths([NAME]), "v1", "2025-01-01T00:00:00Z")}
    kept = capped(managers)
    assert len([m for m in kept if m.operation == "Update"]) == MOST_UPDATERS
    assert applier("ann") in kept
    together = kept[updater(ANCIENT, "v1")]
    assert set(map(shown, together.fields)) == {".spec.x00", ".spec.x01", ".spec.x02", ".spec.x03"}
    assert together.time == "2026-01-01T00:00:03Z"
    assert capped(kept) == kept


def test_conflicts_say_who_and_what_as_kubernetes_does() -> None:
    since: Managers = {
        applier("ann"): Owned(of_paths([NAME]), "v1"),
        updater("kubectl", "v1", "status"): Owned(of_paths([HOSTS]), "v1", "2026-01-02T03:04:05Z"),
    }
    one = Conflicts({applier("ann"): of_paths([NAME])}, since)
    assert str(one) == 'Apply failed with 1 conflict: conflict with "ann": .spec.name'
    assert one.causes == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "ann"', "field": ".spec.name"}
    ]
    two = Conflicts({manager: owned.fields for manager, owned in since.items()}, since)
    assert str(two) == (
        'Apply failed with 2 conflicts: conflicts with "ann":\n- .spec.name\n'
        'conflicts with "kubectl" with subresource "status" using v1 at 2026-01-02T03:04:05Z:\n- .spec.hosts'
    )
    left = two.without(of_paths([HOSTS]))
    assert left is not None
    assert str(left) == str(one)
    assert two.without(of_paths([HOSTS, NAME])) is None
