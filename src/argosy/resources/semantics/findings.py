"""Where checks put what they find: a field path and a message, as error or as warning."""

from __future__ import annotations

from collections.abc import Mapping

from argosy.resources.problem import Code, Problem

MOST = 1000
"""Problems of a sort that are kept: whoever makes more of them reads no more."""
_MORE = Problem("", f"there are more than {MOST} problems; mend these first")


class Findings:
    __slots__ = ("errors", "warnings")

    def __init__(self) -> None:
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def error(self, field: str, message: str | None) -> None:
        """None is "nothing wrong", so that a predicate's answer can be passed on as it is."""
        if message is not None:
            _add(self.errors, Problem(field, message))

    def warn(self, field: str, message: str | None, code: Code | None = None) -> None:
        if message is not None:
            _add(self.warnings, Problem(field, message, code))

    def at_most_one(self, field: str, values: Mapping[str, object]) -> list[str]:
        """Of the parts of a oneof (name -> value or None) those that are there; more than one is an error."""
        given = [name for name, value in values.items() if value is not None]
        if len(given) > 1:
            self.error(field, f"has {' and '.join(given)}; keep one of them")
        return given


def _add(problems: list[Problem], problem: Problem) -> None:
    if len(problems) < MOST:
        problems.append(problem)
    elif len(problems) == MOST:
        problems.append(_MORE)
