"""-o jsonpath=…"""

from __future__ import annotations

from typing import Any

import pytest

from argosy.cli.template import rendered

FOUND: dict[str, Any] = {
    "items": [
        {"metadata": {"name": "a", "labels": {"x/y": "1"}}, "spec": {"ports": [1, 2], "on": True}},
        {"metadata": {"name": "b"}, "spec": {}},
    ]
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.items[*].metadata.name}", "a b"),
        (".items[0].metadata.name", "a"),
        ("{.items[0].metadata.labels['x/y']}", "1"),
        ("names: {.items[*].metadata.name}!", "names: a b!"),
        ("{.items[0].spec}", '{"ports":[1,2],"on":true}'),
        ("{.items[0].nothing}", ""),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.spec.ports[0]}{"\\n"}{end}', "a\t1\nb\t\n"),
        ("{range .items[*]}{@.metadata.name},{end}.", "a,b,."),
        ("{range .items[*]}{range .spec.ports[*]}x{end};{end}", "xx;;"),
        ('{.items[?(@.metadata.name=="b")].metadata.name}', "b"),
    ],
)
def test_what_a_template_gives(template: str, text: str) -> None:
    assert rendered(template, FOUND) == text


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("", "empty"),
        ("{.a", "cannot be read from"),
        ("{end}", "without {range}"),
        ("{range .items[*]}x", "without {end}"),
        ("{..name}", "not a JSON path"),
        ("{.}", "-o json"),
    ],
)
def test_what_is_no_template_says_why(template: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        rendered(template, FOUND)
