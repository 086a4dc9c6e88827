"""What the API sets on create and update."""

import copy
from typing import Any

from argosy.resources.kinds import decode
from argosy.resources.meta import describe, prepare_create, prepare_update

NOW = "2026-01-01T00:00:00Z"


def written(**metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "reviews", "namespace": "shop"} | metadata,
        "spec": {"host": "reviews"},
    }


def test_create_sets_identity_and_first_generation() -> None:
    obj = prepare_create(written(), uid="u-1", now=NOW)
    assert obj["metadata"] == {
        "name": "reviews",
        "namespace": "shop",
        "uid": "u-1",
        "creationTimestamp": NOW,
        "generation": 1,
    }


def test_create_ignores_what_only_the_api_may_say() -> None:
    obj = prepare_create(
        written(uid="mine", resourceVersion="7", generation=9, deletionTimestamp=NOW, creationTimestamp=None),
        uid="u-1",
        now=NOW,
    )
    assert obj["metadata"]["uid"] == "u-1"
    assert obj["metadata"]["generation"] == 1
    assert "resourceVersion" not in obj["metadata"]
    assert "deletionTimestamp" not in obj["metadata"]


def test_update_keeps_identity_and_drops_the_revision() -> None:
    old = prepare_create(written(), uid="u-1", now=NOW)
    obj = prepare_update(old, written(uid="other", resourceVersion="12", labels={"a": "b"}))
    assert obj["metadata"] == {
        "name": "reviews",
        "namespace": "shop",
        "labels": {"a": "b"},
        "uid": "u-1",
        "creationTimestamp": NOW,
        "generation": 1,
    }


def test_generation_counts_changes_of_intent_alone() -> None:
    old = prepare_create(written(), uid="u-1", now=NOW)
    same_intent = written(labels={"a": "b"}) | {"status": {"observedGeneration": 1}}
    older_version = written() | {"apiVersion": "networking.istio.io/v1beta1"}
    assert prepare_update(old, same_intent)["metadata"]["generation"] == 1
    assert prepare_update(old, older_version)["metadata"]["generation"] == 1
    changed = prepare_update(old, written() | {"spec": {"host": "ratings"}})
    assert changed["metadata"]["generation"] == 2
    assert prepare_update(changed, written())["metadata"]["generation"] == 3


def test_intent_of_kinds_without_spec_is_all_beside_metadata() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "dg=="}}
    old = prepare_create(secret, uid="u", now=NOW)
    assert prepare_update(old, secret | {"data": {"k": "dw=="}})["metadata"]["generation"] == 2


def test_prepare_changes_nothing_in_place() -> None:
    old = prepare_create(written(), uid="u-1", now=NOW)
    new = written(resourceVersion="3")
    before = copy.deepcopy((old, new))
    prepare_create(new, uid="u-2", now=NOW)
    prepare_update(old, new)
    assert (old, new) == before


def test_objects_name_themselves() -> None:
    assert decode(written()).label == "DestinationRule shop/reviews"
    assert describe("Namespace", "", "shop") == "Namespace shop"
