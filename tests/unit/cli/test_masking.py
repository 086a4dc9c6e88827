"""Secrets in what is shown: that they differ, never what they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from argosy.apiserver.access.differences import LAST_APPLIED
from argosy.cli.masking import both, masked, size

SECRET: dict[str, Any] = {
    "metadata": {"name": "s", "annotations": {LAST_APPLIED: "swordfish", "mine": "shown"}},
    "data": {"same": "c3dvcmRmaXNo", "other": "c3dvcmRmaXNo"},
    "stringData": {"more": "swordfish"},
    "type": "Opaque",
}


def test_no_value_is_left_and_all_else_is() -> None:
    shown = masked("/secrets", SECRET)
    assert "swordfish" not in json.dumps(shown)
    assert "c3dvcm" not in json.dumps(shown)
    assert shown["data"] == {"same": "***", "other": "***"}
    assert (shown["type"], shown["metadata"]["annotations"]["mine"]) == ("Opaque", "shown")
    assert SECRET["data"]["same"] == "c3dvcmRmaXNo", "the object itself is as it was"


def test_two_states_say_what_differs() -> None:
    new = SECRET | {"data": {"same": "c3dvcmRmaXNo", "other": "bmV3", "third": "bmV3"}}
    before, after = both("/secrets", SECRET, new)
    assert before["data"] == {"same": "***", "other": "*** (before)"}
    assert after["data"] == {"same": "***", "other": "*** (after)", "third": "*** (after)"}
    assert "bmV3" not in json.dumps([before, after])


def test_the_hashes_of_users_tokens_are_secret_too() -> None:
    user = {"spec": {"groups": ["g"], "tokens": [{"sha256": "abc"}, {"sha256": "def"}]}}
    before, after = both(
        "access.argosy.dev/users", user, {"spec": {"groups": ["g"], "tokens": [{"sha256": "abc"}]}}
    )
    assert before["spec"] == {"groups": ["g"], "tokens": [{"sha256": "***"}, {"sha256": "*** (before)"}]}
    assert after["spec"]["tokens"] == [{"sha256": "***"}]


def test_other_kinds_are_as_they_are() -> None:
    assert masked("/configmaps", SECRET) is SECRET


@pytest.mark.parametrize(("value", "text"), [("aGVsbG8=", "5 bytes"), ("eA==", "1 byte"), ("%", "1 byte")])
def test_sizes(value: str, text: str) -> None:
    assert size(value) == text
