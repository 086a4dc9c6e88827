"""What `argosy identity` says of a rotation and of certificates; that it asks and acts is for tests with a server."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.cli.identity import told
from argosy.cli.revoking import object_name, objects, parted
from argosy.resources.validation import validate
from argosy.runtime.errors import Failure

NOW = 1_800_000_000.0


def rotation(phase: str, **changes: Any) -> dict[str, Any]:
    report = {
        "phase": phase,
        "workloads": 3,
        "behind": [],
        "servers": ["a", "b"],
        "servers_behind": [],
        "silent": [],
    }
    return report | changes


def test_a_rotation_in_words() -> None:
    behind = [{"name": "w.shop", "why": "it holds a certificate of the old root", "until": NOW + 7300}]
    assert told(rotation("issue", behind=behind), NOW) == [
        "phase issue: 2 of 3 workloads hold a certificate of the new root, 2 of 2 servers are ready",
        "  w.shop: it holds a certificate of the old root (it ends in 2h)",
    ]
    waiting = [{"name": "b", "why": "it has no issuing certificate below the new root"}]
    assert told(rotation("trust", servers_behind=waiting, silent=["10.0.0.2:15012"]), NOW) == [
        "phase trust: 3 of 3 workloads trust the new root, 1 of 2 servers are ready",
        "  server b: it has no issuing certificate below the new root",
        "  server 10.0.0.2:15012: it does not answer",
    ]


def test_what_revokes_an_identity_is_valid_and_names_it_alone() -> None:
    policy, issuing = objects("shop", "reviews", "stolen", "td")
    for obj in (policy, issuing):
        assert validate(obj).valid, validate(obj).errors
        assert obj["metadata"]["name"] == "revoked-shop.reviews"
    assert policy["spec"]["rules"] == [{"from": [{"source": {"principals": ["td/ns/shop/sa/reviews"]}}]}]
    assert issuing["spec"] == {"deny": ["shop/reviews"], "reason": "stolen"}
    assert object_name("a-b", "c") != object_name("a", "b-c")


@pytest.mark.parametrize("text", ["reviews", "shop/", "/reviews", "shop/*", "Shop/reviews", "shop/re views"])
def test_what_is_no_service_account_is_not_revoked(text: str) -> None:
    with pytest.raises(Failure, match="not a service account"):
        parted(text)
