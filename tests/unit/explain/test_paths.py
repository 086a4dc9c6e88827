"""Paths as Envoy 1.40 was seen to route them."""

from __future__ import annotations

import pytest

from argosy.explain.paths import normalised, without_query


@pytest.mark.parametrize(
    ("written", "routed"),
    [
        ("/a/../b", "/b"),
        ("/..", "/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a//../b", "/a/b"),
        ("//a", "//a"),  # slashes stay
        ("/a%2Fb", "/a%2Fb"),  # escaped ones, too
        ("/a/%2e%2E/b", "/b"),
        ("/a/..;x/b", "/b"),  # parameters do not keep dots
        ("/a/.;/b", "/a/b"),
        ("/a/...;x/b", "/a/...;x/b"),
        ("/a;../b", "/a;../b"),
        ("/a\\b\\..\\c", "/a/c"),
        ("/%61%7e%2D", "/a~-"),
        ("/%3a%c3", "/%3a%c3"),
        ('/a|b"<>^`{}', "/a%7Cb%22%3C%3E%5E%60%7B%7D"),
        ("/a%2", "/a%2"),
        ("/a?b/../c", "/a?b/../c"),
        ("/", "/"),
    ],
)
def test_a_path_is_normalised(written: str, routed: str) -> None:
    assert normalised(written) == routed


@pytest.mark.parametrize(("path", "bare"), [("/a?b", "/a"), ("/a#b?c", "/a"), ("/a", "/a")])
def test_a_query_is_no_part_of_what_is_matched(path: str, bare: str) -> None:
    assert without_query(path) == bare
