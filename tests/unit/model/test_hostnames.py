"""Host names: short names, wildcards, visibility, names of gateways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.model import ir
from argosy.model.hostnames import (
    covers,
    full_name,
    gateway_name,
    intersection,
    patterns,
    resolved_export,
    visible_from,
    written_export,
)


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("reviews", "reviews.shop.svc.cluster.local"),
        ("reviews.shop", "reviews.shop"),
        ("api.example.com", "api.example.com"),
        ("*", "*"),
        ("*.example.com", "*.example.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_a_name_without_a_dot_is_of_the_namespace_of_its_object(written: str, full: str) -> None:
    assert full_name(written, "shop", "cluster.local") == full


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.example.com", ("a.example.com", "*.example.com", "*.com", "*")),
        ("my-a.example.com", ("my-a.example.com", "*-a.example.com", "*.example.com", "*.com", "*")),
        ("*.example.com", ("*.example.com", "*.com", "*")),
        ("*", ("*",)),
    ],
)
def test_the_most_specific_pattern_comes_first(host: str, expected: tuple[str, ...]) -> None:
    assert patterns(host) == expected


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("a.com", "a.com", True),
        ("*.com", "a.com", True),
        ("*.com", "b.a.com", True),
        ("*.com", "com", False),
        ("*.com", "*.a.com", True),
        ("*.a.com", "*.com", False),
        ("*", "*.com", True),
        ("*", "a", True),
        ("a.com", "*.com", False),
        ("*-b.com", "a-b.com", True),
        ("*-b.com", "a.b.com", False),
    ],
)
def test_a_wildcard_covers_any_number_of_labels(pattern: str, host: str, covered: bool) -> None:
    assert covers(pattern, host) is covered


LABEL = st.text("ab-", min_size=1, max_size=3).filter(lambda label: label[0] != "-")
HOST = st.lists(LABEL, min_size=1, max_size=4).map(".".join)


@given(HOST, st.one_of(HOST, HOST.map("*.{}".format), st.just("*")))
def test_a_pattern_covers_a_host_exactly_when_it_is_one_of_its_patterns(host: str, pattern: str) -> None:
    assert covers(pattern, host) == (pattern in patterns(host))


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        (("*.com",), ("a.com", "b.org"), ("a.com",)),
        (("a.com",), ("*",), ("a.com",)),
        (("*",), ("*",), ("*",)),
        (("*.a.com", "b.com"), ("*.com",), ("*.a.com", "b.com")),
        (("a.com",), ("b.com",), ()),
    ],
)
def test_of_two_hosts_the_more_specific_is_in_both(
    left: tuple[str, ...], right: tuple[str, ...], both: tuple[str, ...]
) -> None:
    assert intersection(left, right) == both


@pytest.mark.parametrize(
    ("written", "resolved", "seen", "unseen"),
    [
        ((), ("*",), "any", None),
        (("*",), ("*",), "any", None),
        ((".",), ("shop",), "shop", "other"),
        (("other", "."), ("other", "shop"), "other", "third"),
        (("~",), ("~",), None, "shop"),
    ],
)
def test_export(
    written: tuple[str, ...], resolved: tuple[str, ...], seen: str | None, unseen: str | None
) -> None:
    assert resolved_export(written, "shop") == resolved
    for by_itself, default in ((written, ("*",)), ((), written)):
        service = ir.Service(
            hostname="a",
            name="a",
            namespace="shop",
            ports=(),
            export_to=written_export(by_itself, "shop"),
        )
        assert seen is None or visible_from(service, default, seen)
        assert unseen is None or not visible_from(service, default, unseen)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("mesh", "mesh"),
        ("edge", "shop/edge"),
        ("infra/edge", "infra/edge"),
        ("./edge", "shop/edge"),
        ("edge.infra.svc.cluster.local", "infra/edge"),
    ],
)
def test_a_gateway_is_of_the_namespace_of_its_object_unless_it_says_another(written: str, name: str) -> None:
    assert gateway_name(written, "shop") == name
