"""What roles and bindings allow: by tables, and against a second implementation that is slow and plain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.apiserver.access.attributes import Attributes
from argosy.apiserver.access.rbac import Policy, allows
from argosy.apiserver.auth import User
from argosy.resources.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding
from tests.unit.apiserver.access.rbac_objects import bound, cluster_role, policy, role, rule, wanted

ADA = User("ada", ("devs", "system:authenticated"))
READ = rule("get list", "virtualservices")

ALLOWS = [
    (READ, wanted("get", "virtualservices", namespace="shop", name="reviews"), True),
    (READ, wanted("watch", "virtualservices", namespace="shop"), False),
    (READ, wanted("get", "gateways"), False),
    (READ, wanted("get", "virtualservices", group="other"), False),
    (READ, wanted("get", "virtualservices/status"), False),
    (READ, wanted("get", "/version"), False),
    (rule("*", "virtualservices"), wanted("approve", "virtualservices"), True),
    (rule("get", "*"), wanted("get", "virtualservices/status"), True),
    (rule("get", "virtualservices/status"), wanted("get", "virtualservices/status"), True),
    (rule("get", "virtualservices/status"), wanted("get", "virtualservices"), False),
    (rule("get", "*/status"), wanted("get", "gateways/status"), True),
    (rule("get", "*/status"), wanted("get", "gateways"), False),
    (rule("get", "*/status"), wanted("get", "gateways/scale"), False),
    (rule("get", "virtualservices/*"), wanted("get", "virtualservices/status"), False),
    (rule("get", "virtual*"), wanted("get", "virtualservices"), False),
    (rule("get", "secrets", groups="*"), wanted("get", "secrets", group=""), True),
    (rule("get", "secrets", groups="core"), wanted("get", "secrets", group=""), True),
    (rule("get", "secrets", groups="core"), wanted("get", "secrets", group="x"), False),
    (rule("get", "virtualservices", names="a b"), wanted("get", "virtualservices", name="a"), True),
    (rule("get", "virtualservices", names="a b"), wanted("get", "virtualservices", name="c"), False),
    (rule("list", "virtualservices", names="a"), wanted("list", "virtualservices"), False),
    (rule("create", "virtualservices", names="a"), wanted("create", "virtualservices"), False),
    (rule("get", urls="/version"), wanted("get", "/version"), True),
    (rule("get", urls="/version"), wanted("get", "/version/"), False),
    (rule("get", urls="/apis/*"), wanted("get", "/apis/x/v1"), True),
    (rule("get", urls="/apis/*"), wanted("get", "/apis"), False),
    (rule("get", urls="*"), wanted("get", "/anything"), True),
    (rule("get", urls="*"), wanted("get", "secrets"), False),
    (rule("get", urls="/version"), wanted("post", "/version"), False),
    (rule("*", "*", groups="*"), wanted("get", "/version"), False),
]  # fmt: skip


@pytest.mark.parametrize(("given_rule", "attributes", "expected"), ALLOWS)
def test_a_rule_allows(given_rule: PolicyRule, attributes: Attributes, expected: bool) -> None:
    assert allows(given_rule, attributes) is expected


IN_SHOP = wanted("get", "virtualservices", namespace="shop", name="reviews")
ELSEWHERE = wanted("get", "virtualservices", namespace="other", name="reviews")
EVERYWHERE = wanted("list", "virtualservices")
BINDINGS: list[tuple[str, list[Any], dict[Attributes, bool]]] = [
    ("nothing at all", [], {IN_SHOP: False}),
    ("a role alone gives nothing", [cluster_role("r", READ)], {IN_SHOP: False}),
    (
        "a ClusterRoleBinding counts everywhere",
        [cluster_role("r", READ), bound("r", "User:ada")],
        {IN_SHOP: True, ELSEWHERE: True, EVERYWHERE: True},
    ),
    (
        "a RoleBinding counts in its namespace",
        [cluster_role("r", READ), bound("r", "User:ada", namespace="shop")],
        {IN_SHOP: True, ELSEWHERE: False, EVERYWHERE: False},
    ),
    (
        "a Role is of its namespace",
        [role("r", READ, namespace="shop"), bound("r", "User:ada", namespace="shop", kind="Role")],
        {IN_SHOP: True, ELSEWHERE: False},
    ),
    (
        "a Role of another namespace cannot be bound",
        [role("r", READ, namespace="other"), bound("r", "User:ada", namespace="shop", kind="Role")],
        {IN_SHOP: False, ELSEWHERE: False},
    ),
    ("a group", [cluster_role("r", READ), bound("r", "Group:devs")], {IN_SHOP: True}),
    ("another group", [cluster_role("r", READ), bound("r", "Group:ops")], {IN_SHOP: False}),
    ("a group of the user's name", [cluster_role("r", READ), bound("r", "Group:ada")], {IN_SHOP: False}),
    ("a user of the group's name", [cluster_role("r", READ), bound("r", "User:devs")], {IN_SHOP: False}),
    ("another user", [cluster_role("r", READ), bound("r", "User:Ada")], {IN_SHOP: False}),
    (
        "aggregation",
        [
            cluster_role("sum", aggregates=[{"to": "sum"}]),
            cluster_role("part", READ, labels={"to": "sum"}),
            bound("sum", "User:ada"),
        ],
        {IN_SHOP: True},
    ),
    (
        "aggregation takes the place of rules",
        [cluster_role("sum", READ, aggregates=[{"to": "sum"}]), bound("sum", "User:ada")],
        {IN_SHOP: False},
    ),
    (
        "aggregation over aggregation, in a circle",
        [
            cluster_role("a", aggregates=[{"to": "a"}], labels={"to": "b"}),
            cluster_role("b", aggregates=[{"to": "b"}], labels={"to": "a"}),
            cluster_role("part", READ, labels={"to": "b"}),
            bound("a", "User:ada"),
        ],
        {IN_SHOP: True},
    ),
]


@pytest.mark.parametrize(
    ("objects", "decisions"), [case[1:] for case in BINDINGS], ids=[c[0] for c in BINDINGS]
)
def test_a_binding_gives(objects: list[Any], decisions: dict[Attributes, bool]) -> None:
    there = policy(*objects)
    assert {one: there.decide(ADA, one).allowed for one in decisions} == decisions


def test_a_service_account_is_the_user_of_that_name() -> None:
    there = policy(cluster_role("r", READ), bound("r", "ServiceAccount:shop/bot", namespace="shop"))
    assert there.decide(User("system:serviceaccount:shop:bot"), IN_SHOP).allowed
    assert not there.decide(User("bot"), IN_SHOP).allowed
    assert not there.decide(User("system:serviceaccount:other:bot"), IN_SHOP).allowed


def test_masters_may_do_everything_whatever_stands() -> None:
    assert policy().decide(User("x", ("system:masters",)), wanted("delete", "/anything")).allowed


def test_a_decision_says_why() -> None:
    there = policy(cluster_role("r", READ), bound("r", "Group:devs", namespace="shop", name="devs"))
    assert there.decide(ADA, IN_SHOP).reason == (
        'RBAC: allowed by RoleBinding "devs/shop" of ClusterRole "r" to Group "devs"'
    )
    there = policy(bound("gone", "User:ada"))
    assert there.decide(ADA, IN_SHOP).reason == (
        'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    )


def test_what_is_removed_or_changed_counts_no_more() -> None:
    there = policy(cluster_role("r", READ), bound("r", "User:ada", name="b"))
    there.put(bound("r", "User:bob", name="b"))
    assert not there.decide(ADA, IN_SHOP).allowed
    there.put(bound("r", "User:ada", "User:bob", name="b"))
    assert there.decide(ADA, IN_SHOP).allowed
    there.remove(ClusterRole, "", "r")
    assert not there.decide(ADA, IN_SHOP).allowed
    there.put(cluster_role("r", READ))
    there.remove(ClusterRoleBinding, "", "b")
    assert not there.decide(ADA, IN_SHOP).allowed


# --- against an oracle ---

NAMESPACES, NAMES = ("", "shop", "other"), ("", "a", "b")
GROUPS, RESOURCES, VERBS = ("", "g1", "*"), ("r1", "r1/status", "*/status", "*"), ("get", "list", "*")


def some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2).map(tuple)


rules = st.builds(
    PolicyRule,
    verbs=some(*VERBS),
    api_groups=some(*GROUPS),
    resources=some(*RESOURCES),
    resource_names=st.one_of(st.just(()), some("a", "b")),
) | st.builds(PolicyRule, verbs=some(*VERBS), non_resource_urls=some("/p", "/p/*", "*"))
some_rules = st.lists(rules, max_size=2).map(tuple)
subjects = st.lists(
    st.sampled_from(["User:u1", "User:u2", "Group:g1", "Group:g2", "ServiceAccount:shop/bot"]), max_size=2
)
labels = st.sampled_from([{}, {"to": "x"}, {"to": "y"}])
objects = st.one_of(
    st.builds(
        lambda n, r, ns: role(n, *r, namespace=ns),
        st.sampled_from("ab"), some_rules, st.sampled_from(NAMESPACES[1:]),
    ),
    st.builds(
        lambda n, r, to, agg: cluster_role(n, *r, labels=to, aggregates=agg),
        st.sampled_from("ab"), some_rules, labels, st.sampled_from([None, [{"to": "x"}], [{"to": "y"}]]),
    ),
    st.builds(
        lambda r, s, ns, kind, n: bound(r, *s, namespace=ns, kind=kind if ns else "ClusterRole", name=n),
        st.sampled_from("abc"), subjects, st.sampled_from(NAMESPACES), st.sampled_from(["Role", "ClusterRole"]),
        st.sampled_from("mn"),
    ),
)  # fmt: skip
users = st.builds(
    User,
    st.sampled_from(["u1", "u2", "system:serviceaccount:shop:bot"]),
    st.sampled_from([(), ("g1",), ("g1", "g2")]),
)
asked = st.builds(
    Attributes,
    verb=st.sampled_from(["get", "list", "delete"]),
    group=st.sampled_from(["", "g1", "g2"]),
    resource=st.sampled_from(["r1", "r2"]),
    subresource=st.sampled_from(["", "status", "scale"]),
    namespace=st.sampled_from(NAMESPACES),
    name=st.sampled_from(NAMES),
) | st.builds(Attributes, verb=st.sampled_from(["get", "list"]), path=st.sampled_from(["/p", "/p/q", "/q"]))


def oracle(there: list[Any], user: User, want: Attributes) -> bool:
    """Every binding, every subject, every rule, looked at one after the other."""
    latest = {(type(obj), obj.metadata.namespace, obj.metadata.name): obj for obj in there}
    cluster_roles = [obj for obj in latest.values() if isinstance(obj, ClusterRole)]

    def all_rules(one: Role | ClusterRole, seen: frozenset[str]) -> list[PolicyRule]:
        if isinstance(one, Role) or one.aggregation_rule is None:
            return list(one.rules)
        found: list[PolicyRule] = []
        for other in cluster_roles:
            chosen = any(
                all(other.metadata.labels.get(k) == v for k, v in selector.match_labels.items())
                for selector in one.aggregation_rule.cluster_role_selectors
            )
            if chosen and other.metadata.name not in seen:
                found += all_rules(other, seen | {other.metadata.name})
        return found

    for obj in latest.values():
        if not isinstance(obj, (RoleBinding, ClusterRoleBinding)):
            continue
        where = obj.metadata.namespace
        if where and where != want.namespace:
            continue
        if not any(
            (s.kind == "User" and s.name == user.name)
            or (s.kind == "Group" and s.name in user.groups)
            or (s.kind == "ServiceAccount" and user.name == f"system:serviceaccount:{s.namespace}:{s.name}")
            for s in obj.subjects
        ):
            continue
        ref = obj.role_ref
        found = latest.get((Role, where, ref.name) if ref.kind == "Role" else (ClusterRole, "", ref.name))
        for one in all_rules(found, frozenset({found.metadata.name})) if found else ():
            if "*" not in one.verbs and want.verb not in one.verbs:
                continue
            if want.path:
                for url in one.non_resource_urls:
                    if url == want.path or url == "*" or (url[-1] == "*" and want.path.startswith(url[:-1])):
                        return True
                continue
            if "*" not in one.api_groups and want.group not in one.api_groups:
                continue
            full = want.resource + ("/" + want.subresource if want.subresource else "")
            if not {"*", full, f"*/{want.subresource}" if want.subresource else "*"} & set(one.resources):
                continue
            if one.resource_names and want.name not in one.resource_names:
                continue
            return True
    return False


@settings(max_examples=250, deadline=None)
@given(
    st.lists(objects, max_size=8),
    st.lists(objects, max_size=4),
    users,
    st.lists(asked, min_size=1, max_size=6),
)
def test_decisions_are_those_of_a_plain_second_implementation(
    first: list[Any], gone: list[Any], user: User, questions: list[Attributes]
) -> None:
    """Also after other objects have come and gone."""
    there = Policy()
    for obj in (*gone, *first):
        there.put(obj)
    kept = {(type(obj), obj.metadata.namespace, obj.metadata.name) for obj in first}
    for obj in gone:
        at = (type(obj), obj.metadata.namespace, obj.metadata.name)
        if at not in kept:
            there.remove(*at)
    for question in questions:
        assert there.decide(user, question).allowed is oracle(first, user, question)
