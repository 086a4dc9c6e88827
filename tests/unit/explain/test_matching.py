"""Which requests a match takes, and the first condition that fails."""

from __future__ import annotations

import pytest

from argosy.explain.matching import described, failed
from argosy.explain.request import Request, Seen, Trust, seen
from argosy.model.ir import ClaimMatch, MatchKind, NamedMatch, RouteMatch, StringMatch

EXACT, PREFIX, REGEX, PRESENT = MatchKind.EXACT, MatchKind.PREFIX, MatchKind.REGEX, MatchKind.PRESENT


def sees(path: str = "/", *headers: tuple[str, str], method: str = "GET", authority: str = "a:80") -> Seen:
    return seen(Request(authority=authority, method=method, path=path, headers=headers), Trust.ALL)


def uri(kind: MatchKind, value: str, ignore_case: bool = False) -> RouteMatch:
    return RouteMatch(uri=StringMatch(kind, value, ignore_case))


def header(name: str, kind: MatchKind, value: str = "", invert: bool = False) -> RouteMatch:
    return RouteMatch(headers=(NamedMatch(name, StringMatch(kind, value), invert),))


def claim(path: str, kind: MatchKind, value: str = "", invert: bool = False) -> RouteMatch:
    return RouteMatch(claims=(ClaimMatch(tuple(path.split()), StringMatch(kind, value), invert),))


def query(name: str, kind: MatchKind, value: str = "") -> RouteMatch:
    return RouteMatch(query=(NamedMatch(name, StringMatch(kind, value)),))


@pytest.mark.parametrize(
    ("match", "request_", "why"),
    [
        (RouteMatch(), sees("/x"), ""),
        (uri(EXACT, "/a"), sees("/a?q=1"), ""),
        (uri(EXACT, "/a"), sees("/a/"), "path /a/ is not /a"),
        (uri(EXACT, "/A", True), sees("/a"), ""),
        (uri(PREFIX, "/a"), sees("/ab"), ""),
        (uri(PREFIX, "/a"), sees("/A"), "path /A does not begin with /a"),
        (uri(PREFIX, "/a?b"), sees("/a?b"), "path /a does not begin with /a?b"),  # a query is no part of it
        (uri(PREFIX, ""), sees("/"), ""),
        (uri(REGEX, "/a"), sees("/ab"), "path /ab does not match /a"),
        (uri(REGEX, "/A.*"), sees("/ab"), "path /ab does not match /A.*"),
        (uri(MatchKind.PATH_PREFIX, "/a/"), sees("/a"), ""),
        (uri(MatchKind.PATH_PREFIX, "/a"), sees("/a/b"), ""),
        (uri(MatchKind.PATH_PREFIX, "/a"), sees("/ab"), "path /ab is not /a or below"),
        (RouteMatch(method=StringMatch(EXACT, "GET")), sees(method="POST"), "method POST is not GET"),
        (RouteMatch(authority=StringMatch(EXACT, "a")), sees(), "authority a:80 is not a"),
        (RouteMatch(scheme=StringMatch(EXACT, "https")), sees("/", ("X-Forwarded-Proto", "https")), ""),
        (RouteMatch(scheme=StringMatch(EXACT, "https")), sees(), "scheme http is not https"),
        (header("X-A", EXACT, "1"), sees("/", ("x-a", "1")), ""),
        (header("x-a", EXACT, "1"), sees(), "header x-a is not there"),
        (header("x-a", EXACT, ""), sees("/", ("x-a", "")), ""),
        (header("x-a", PREFIX, ""), sees(), "header x-a is not there"),
        # each of several values, since Envoy 1.39 …
        (header("x-a", EXACT, "2"), sees("/", ("x-a", "1"), ("X-A", "2")), ""),
        (header("x-a", EXACT, "1,2"), sees("/", ("x-a", "1"), ("x-a", "2")), "header x-a 1, 2 is not 1,2"),
        # … but of headers of which Envoy holds one
        (header("accept", EXACT, "1,2"), sees("/", ("accept", "1"), ("accept", "2")), ""),
        (header("host", EXACT, "a:80"), sees(), ""),
        (header("x-a", PRESENT), sees("/", ("x-a", "")), ""),
        (header("x-a", PRESENT), sees(), "header x-a is not there"),
        (header("x-a", PRESENT, invert=True), sees(), ""),
        (header("x-a", PRESENT, invert=True), sees("/", ("x-a", "1")), "header x-a is there (1)"),
        (header("x-a", EXACT, "1", invert=True), sees(), ""),
        (
            header("x-a", EXACT, "1", invert=True),
            sees("/", ("x-a", "2"), ("x-a", "1")),
            "header x-a 2, 1 is 1",
        ),
        (header("x-a", REGEX, ".*", invert=True), sees(), "header x-a is empty or not there, and matches .*"),
        (query("q", EXACT, "1"), sees("/?q=1&q=2"), ""),  # the first
        (query("q", EXACT, "2"), sees("/?q=1&q=2"), "query parameter q=1 is not 2"),
        (query("q", EXACT, " "), sees("/?q=%20"), "query parameter q=%20 is not  "),  # not decoded
        (query("q", PRESENT), sees("/?q"), ""),
        (query("q", PRESENT), sees("/?Q"), "query parameter q is not there"),
    ],
)
def test_the_first_condition_that_fails_is_told(match: RouteMatch, request_: Seen, why: str) -> None:
    assert failed(match, request_) == why


def test_conditions_in_words() -> None:
    match = RouteMatch(
        uri=StringMatch(PREFIX, "/a", True),
        headers=(NamedMatch("x", StringMatch(PRESENT)), NamedMatch("y", StringMatch(EXACT, "1"), True)),
    )
    assert (
        described(match)
        == "path begins with /a (in any case), header x is there, header y not so that it is 1"
    )
    assert described(RouteMatch()) == "everything"


SAYS = {"sub": "alice", "groups": ["a", 1, "b"], "org": {"team": "red"}, "age": 42}
NOBODY = "the request has no token that was verified"


@pytest.mark.parametrize(
    ("match", "claims", "why"),
    [
        (claim("sub", EXACT, "alice"), SAYS, ""),
        (claim("sub", EXACT, "bob"), SAYS, "claim [sub] is not bob"),
        (claim("sub", EXACT, "alice"), None, f"claim [sub]: {NOBODY}"),
        (claim("groups", EXACT, "b"), SAYS, ""),
        (claim("groups", EXACT, "1"), SAYS, "claim [groups] is not 1"),
        (claim("org team", PREFIX, "r"), SAYS, ""),
        (claim("org", EXACT, "red"), SAYS, "claim [org] is not red"),
        (claim("sub team", EXACT, "red"), SAYS, "claim [sub][team] is not there"),
        (claim("age", EXACT, "42"), SAYS, "claim [age] is not 42"),
        (claim("age", PRESENT), SAYS, ""),
        (claim("none", PRESENT), SAYS, "claim [none] is not there"),
        (claim("sub", EXACT, "bob", True), SAYS, ""),
        (claim("sub", EXACT, "bob", True), None, ""),
        (claim("sub", EXACT, "alice", True), SAYS, "claim [sub] is alice"),
        (claim("sub", PRESENT, "", True), SAYS, "claim [sub] is there"),
        (claim("sub", PRESENT, "", True), None, ""),
    ],
)
def test_claims_of_a_verified_token(match: RouteMatch, claims: dict[str, object] | None, why: str) -> None:
    request = seen(Request(authority="a", claims=claims), Trust.ALL)
    assert failed(match, request) == why


def test_claims_in_words() -> None:
    assert described(claim("org team", EXACT, "red")) == "claim [org][team] is red"
    assert described(claim("sub", PRESENT, "", True)) == "claim [sub] not so that it is there"
