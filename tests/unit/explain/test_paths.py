"""Paths as Envoy 1.40 was seen to route them."""

from __future__ import annotations

import pytest

from argosy.explain.paths import merged, normalised, with_slashes, without_query


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


@pytest.mark.parametrize(
    ("written", "routed"),
    [
        ("//a///b//", "/a/b/"),
        ("/a//../b", "/a/../b"),
        ("//", "//"),
        ("/", "/"),
        ("//?q", "//?q"),
        ("/a?x=//y", "/a?x=//y"),
        ("//a?x=//y", "/a?x=//y"),
    ],
)
def test_slashes_are_merged(written: str, routed: str) -> None:
    assert merged(written) == routed


@pytest.mark.parametrize(
    ("written", "routed"),
    [
        ("/a%2Fb%2fc", "/a/b/c"),
        ("/a%5Cb%5cc", "/a\\b\\c"),
        ("/a%2Fb?x=%2F", "/a/b?x=%2F"),
        ("/%252F", "/%252F"),
        ("/a%2F%2e%2e/b", "/a/%2e%2e/b"),
    ],
)
def test_escaped_slashes_become_slashes(written: str, routed: str) -> None:
    assert with_slashes(written) == routed
