"""Which rules cover others: by a table, and by trying requests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.apiserver.access.attributes import Attributes
from argosy.apiserver.access.escalation import MOST_PARTS, missing, told
from argosy.apiserver.access.rbac import allows
from argosy.apiserver.auth import User
from argosy.resources.rbac import PolicyRule
from tests.unit.apiserver.access.rbac_objects import rule
from tests.unit.apiserver.access.test_rbac import asked, rules

TABLE = [
    ("the same", [rule("get", "a")], rule("get", "a"), True),
    ("less", [rule("get list", "a b")], rule("list", "b"), True),
    ("more verbs", [rule("get", "a")], rule("get list", "a"), False),
    ("put together from two", [rule("get", "a"), rule("list", "a")], rule("get list", "a"), True),
    ("two that cross", [rule("get", "a"), rule("list", "b")], rule("get list", "a b"), False),
    ("every verb by one", [rule("*", "a")], rule("anything", "a"), True),
    ("every verb by many", [rule("get list", "a")], rule("*", "a"), False),
    ("one name of all", [rule("get", "a")], rule("get", "a", names="x"), True),
    ("all of one name", [rule("get", "a", names="x")], rule("get", "a"), False),
    (
        "names of several",
        [rule("get", "a", names="x"), rule("get", "a", names="y")],
        rule("get", "a", names="x y"),
        True,
    ),
    ("status of all", [rule("get", "*/status")], rule("get", "a/status"), True),
    ("status by the thing", [rule("get", "a")], rule("get", "a/status"), False),
    ("another group", [rule("get", "a", groups="x")], rule("get", "a", groups="y"), False),
    ("a path of many", [rule("get", urls="/api*")], rule("get", urls="/api/v1 /apis"), True),
    ("many paths of one", [rule("get", urls="/api")], rule("get", urls="/api/*"), False),
    ("paths by resources", [rule("*", "*", groups="*")], rule("get", urls="/x"), False),
]


@pytest.mark.parametrize(
    ("held", "wanted", "covered"), [case[1:] for case in TABLE], ids=[c[0] for c in TABLE]
)
def test_rules_cover(held: list[PolicyRule], wanted: PolicyRule, covered: bool) -> None:
    assert (not missing(held, [wanted])) is covered


def test_what_is_missing_is_told_in_kubernetes_words() -> None:
    lacking = missing([rule("get", "pods", groups="core")], [rule("get list watch", "pods", groups="core")])
    assert told(User("ada", ("devs", "system:authenticated")), lacking) == (
        'user "ada" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently '
        'held:\n{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}'
    )


def test_a_rule_of_many_combinations_is_not_taken_apart() -> None:
    many = " ".join(f"r{number}" for number in range(MOST_PARTS + 1))
    held = [rule("get", resource) for resource in many.split()]
    assert missing(held, [rule("get", many)]) == (rule("get", many),)
    assert not missing([rule("get", many)], [rule("get", many)])


@settings(max_examples=200, deadline=None)
@given(st.lists(rules, max_size=4), rules, st.lists(asked, min_size=1, max_size=8))
def test_what_is_covered_allows_nothing_that_is_not_held(
    held: list[PolicyRule], wanted: PolicyRule, requests: list[Attributes]
) -> None:
    if not missing(held, [wanted]):
        for request in requests:
            assert not allows(wanted, request) or any(allows(one, request) for one in held)
