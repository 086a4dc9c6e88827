"""Templates of paths: what Envoy can match is let in, what it would abort on is not."""

from __future__ import annotations

import pytest

from argosy.resources.semantics import path_templates


@pytest.mark.parametrize(
    "path",
    [
        "/{*}",
        "/{**}",
        "/a/{*}/b",
        "/a/{**}",
        "/{**}/b",
        "/a{*}",
        "/a/{*}.json",
        "/{*}/",
        "/a%20/{*}",
        "/{*}/{**}",
    ],
)
def test_templates(path: str) -> None:
    assert path_templates.is_template(path)
    assert path_templates.problem(path) is None


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a/{*}", "begin with"),
        ("/{**}/{*}", "behind"),
        ("/{**}/b/{**}", "behind"),
        ("/a//{*}", "no template"),
        ("/a b/{*}", "no template"),
        ("/ä/{*}", "no template"),
        ("/a?b/{*}", "no template"),
        ("/a%2/{*}", "no template"),
        ("/{*}/{*}a/", "no template"),
        ("/{*}{*}", "no template"),
        (f"/{'a' * 255}/{{*}}", "more than"),
    ],
)
def test_what_envoy_would_abort_on(path: str, said: str) -> None:
    assert said in (path_templates.problem(path) or "")
