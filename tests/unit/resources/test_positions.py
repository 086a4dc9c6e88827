"""Where fields stand in a text."""

from __future__ import annotations

import pytest

from argosy.resources.loading import load_documents
from argosy.resources.positions import Positions

TEXT = """\
# a comment
kind: A
metadata:
  name: a
spec:
  http:
  - name: one
  - match:
    - uri: {exact: /a}
      headers: {}
---
---
kind: AList
items:
- kind: A
  metadata: {name: b}
  spec: {hosts: [x]}
- {kind: A, metadata: {name: c}}
"""


@pytest.mark.parametrize(
    ("index", "field", "line"),
    [
        (0, "", 2),
        (0, "spec", 5),
        (0, "spec.http[0]", 7),
        (0, "spec.http[1].match[0]", 9),
        (0, "spec.http[1].match[0].headers", 10),
        (0, "spec.http[9].match", 6),  # what is there of the way
        (1, "spec.hosts[0]", 17),
        (2, "metadata.name", 18),
    ],
)
def test_the_line_of_a_field(index: int, field: str, line: int) -> None:
    assert Positions(TEXT).line(index, field) == line


def test_objects_are_counted_as_they_are_loaded() -> None:
    assert [one.object["metadata"]["name"] for one in load_documents(TEXT, "t")] == ["a", "b", "c"]
    assert Positions(TEXT).line(3, "") is None


def test_json_has_lines_too() -> None:
    text = '{"kind": "A",\n "spec": {\n  "http": [\n   {}\n]}}'
    assert Positions(text).line(0, "spec.http[0]") == 4
