"""What each write changes, and what it leaves as it is: spec, status, metadata, generation; for real and as a dry run.

# Kubernetes: "API concepts", "Status subresource": the main resource ignores the status, the subresource all but it
"""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from argosy.store.base import Store
from tests.unit.apiserver.conftest import REVIEWS, ROUTES, virtual_service
from tests.unit.apiserver.test_apply import APPLY
from tests.unit.apiserver.test_objects import MERGE, refused

Json = dict[str, Any]
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
STATUS = f"{REVIEWS}/status"
SPEC = virtual_service()["spec"] | {"hosts": ["other"]}
CONDITION = {"type": "Accepted", "status": "True", "reason": "Valid"}
ALL = {"spec": SPEC, "status": {"conditions": [CONDITION]}, "metadata": {"labels": {"new": "1"}}}


def whole(**metadata: Any) -> Json:
    obj = virtual_service(labels={"new": "1"}, **metadata)
    return obj | {"spec": SPEC, "status": ALL["status"]}


def replace(path: str) -> list[Json]:
    return [{"op": "add", "path": f"/{part}", "value": ALL[part]} for part in path.split()] + [
        {"op": "add", "path": "/metadata/labels", "value": {"new": "1"}}
    ]


WRITES: list[tuple[str, str, str, Any, Json, set[str]]] = [
    ("an update", "PUT", REVIEWS, whole(), {}, {"spec", "labels", "generation"}),
    ("an update of the status", "PUT", STATUS, whole(), {}, {"status"}),
    ("a merge patch", "PATCH", REVIEWS, ALL, MERGE, {"spec", "labels", "generation"}),
    ("a merge patch of the status", "PATCH", STATUS, ALL, MERGE, {"status"}),
    ("a merge patch of labels", "PATCH", REVIEWS, {"metadata": ALL["metadata"]}, MERGE, {"labels"}),
    ("a merge patch of the status alone", "PATCH", REVIEWS, {"status": ALL["status"]}, MERGE, set()),
    ("a merge patch of what the server sets", "PATCH", REVIEWS,
     {"metadata": {"generation": 99, "creationTimestamp": None, "deletionTimestamp": "2020-01-01T00:00:00Z",
                   "selfLink": "/x"}}, MERGE, set()),
    ("a JSON patch", "PATCH", REVIEWS, replace("spec status"), JSON_PATCH, {"spec", "labels", "generation"}),
    ("a JSON patch of the status", "PATCH", STATUS, replace("spec status"), JSON_PATCH, {"status"}),
    ("an apply", "PATCH", REVIEWS, whole(), APPLY, {"spec", "labels", "generation"}),
    ("an apply of the status", "PATCH", STATUS, whole(), APPLY, {"status"}),
]  # fmt: skip


def told(before: Json, after: Json) -> set[str]:
    """What has changed."""
    found = {part for part in ("spec", "status") if before.get(part) != after.get(part)}
    found |= {
        name
        for name in ("labels", "generation")
        if before["metadata"].get(name) != after["metadata"].get(name)
    }
    for name in ("uid", "creationTimestamp", "name", "namespace", "deletionTimestamp", "selfLink"):
        assert before["metadata"].get(name) == after["metadata"].get(name), name
    return found


@pytest.mark.parametrize("dry", [True, False], ids=["dry run", "real"])
@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "changes"), [w[1:] for w in WRITES], ids=[w[0] for w in WRITES]
)
async def test_a_write_changes_its_own_part_alone(
    api: httpx.AsyncClient,
    store: Store,
    method: str,
    path: str,
    body: Any,
    headers: Json,
    changes: set[str],
    dry: bool,
) -> None:
    before = (await api.post(ROUTES, json=virtual_service() | {"status": {"conditions": []}})).json()
    assert "status" not in before, "a new object has none"
    revision = await store.revision()
    params = {"dryRun": "All"} if dry else {}
    if headers is APPLY:
        params |= {"fieldManager": "ann", "force": "true"}
    content = msgspec.json.encode(body)
    answer = await api.request(
        method, path, content=content, headers={"Content-Type": "application/json"} | headers, params=params
    )
    assert answer.status_code == 200, answer.text
    assert told(before, answer.json()) == changes
    after = (await api.get(REVIEWS)).json()
    assert told(before, after) == (set() if dry else changes)
    assert (await store.revision() > revision) == (bool(changes) and not dry)
    if not dry:
        assert answer.json() == after


MISSING = ROUTES.replace("shop", "nowhere")
REFUSED: list[tuple[str, str, str, Any, Json, int, str]] = [
    ("an update of what is not there", "PUT", REVIEWS, whole(), {}, 404, "NotFound"),
    ("a patch of what is not there", "PATCH", REVIEWS, {}, MERGE, 404, "NotFound"),
    ("an apply of the status of what is not there", "PATCH", STATUS, whole(), APPLY, 404, "NotFound"),
    ("a deletion of what is not there", "DELETE", REVIEWS, None, {}, 404, "NotFound"),
    ("a new one in a namespace that is not there", "POST", MISSING, virtual_service(namespace="nowhere"), {}, 404,
     "NotFound"),
    ("an apply in a namespace that is not there", "PATCH", f"{MISSING}/reviews", virtual_service(namespace="nowhere"),
     APPLY, 404, "NotFound"),
    ("no name", "POST", ROUTES, {**whole(), "metadata": {}}, {}, 422, "Invalid"),
]  # fmt: skip


@pytest.mark.parametrize("dry", [True, False], ids=["dry run", "real"])
@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code", "reason"),
    [r[1:] for r in REFUSED],
    ids=[r[0] for r in REFUSED],
)
async def test_what_cannot_be_is_refused_also_as_a_dry_run(
    api: httpx.AsyncClient,
    store: Store,
    method: str,
    path: str,
    body: Any,
    headers: Json,
    code: int,
    reason: str,
    dry: bool,
) -> None:
    revision = await store.revision()
    params = ({"dryRun": "All"} if dry else {}) | ({"fieldManager": "ann"} if headers is APPLY else {})
    content = b"" if body is None else msgspec.json.encode(body)
    sent = {"Content-Type": "application/json"} | headers
    refused(await api.request(method, path, content=content, headers=sent, params=params), code, reason)
    assert await store.revision() == revision


async def test_a_dry_run_with_a_generated_name_shows_one(api: httpx.AsyncClient, store: Store) -> None:
    body = virtual_service() | {"metadata": {"generateName": "reviews-"}}
    revision = await store.revision()
    shown = await api.post(ROUTES, json=body, params={"dryRun": "All"})
    assert shown.status_code == 201
    assert shown.json()["metadata"]["name"].startswith("reviews-")
    assert len(shown.json()["metadata"]["name"]) == len("reviews-") + 5
    assert await store.revision() == revision
