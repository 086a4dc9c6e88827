"""Questions about access: they need no name, and are judged as everything else that is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.apiserver.guarded import guarded

RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"


def review(**metadata: Any) -> dict[str, Any]:
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    return kind | {"metadata": metadata, "spec": {"namespace": "shop"}}


@pytest.mark.parametrize("metadata", [{}, {"name": ""}, {"name": None}, {"name": "mine"}])
async def test_a_question_needs_no_name(tmp_path: Path, metadata: dict[str, Any]) -> None:
    async with guarded(tmp_path) as api, api.web() as web:
        answer = await web.post(RULES, json=review(**metadata))
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("name", [{}, [], 0, False, {"a": 1}])
async def test_a_name_that_is_none_is_refused(tmp_path: Path, name: Any) -> None:
    async with guarded(tmp_path) as api, api.web() as web:
        answer = await web.post(RULES, json=review(name=name))
    assert answer.status_code == 422, answer.text
    assert "metadata.name" in answer.json()["message"]
