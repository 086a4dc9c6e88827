"""docs/security.md: every threat has a number, a defence and a test that tries it, every door its bounds and tests."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading."""
    text = PAGE.read_text()
    section = text[text.index(f"## {heading}\n") :].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


THREATS, DOORS = table("Threats"), table("Doors and their bounds")
NAMED = sorted({name for row in (*THREATS, *DOORS) for name in re.findall(r"`(tests/[^`]+)`", row[-1])})


@cache
def written(file: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse((ROOT / file).read_text())
    return {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_threat_has_a_number_a_defence_and_a_test() -> None:
    assert len(THREATS) >= 30
    for number, row in enumerate(THREATS, 1):
        assert len(row) == 4, row
        label, threat, defence, tried = row
        assert label == f"T{number}"
        assert len(threat) > 20, row
        assert len(defence) > 10, row
        assert re.findall(r"`tests/[^`]+::test_\w+`", tried), f"{label} is not tried"


def test_every_door_has_bounds_and_a_test() -> None:
    assert len(DOORS) >= 9
    for row in DOORS:
        assert len(row) == 4, row
        assert len(row[2]) > 20, row
        assert re.findall(r"`tests/[^`]+::test_\w+`", row[3]), f"{row[0]} is not tried"


@pytest.mark.parametrize("name", NAMED)
def test_what_a_line_names_is_there_and_is_run(name: str) -> None:
    file, _, function = name.partition("::")
    found = written(file)
    assert function in found, f"{name} is not there"
    marks = " ".join(ast.dump(one) for one in found[function].decorator_list)
    assert "'long'" not in marks, f"{name} is a long test: it does not run with the others"
    assert "attr='skip'" not in marks, f"{name} is skipped"
    checks = [node for node in ast.walk(found[function]) if isinstance(node, ast.Assert | ast.Call)]
    assert checks, f"{name} checks nothing"
