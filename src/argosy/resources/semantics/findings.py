"""Where checks put what they find: a field path and a message, as error or as warning."""

from __future__ import annotations

from argosy.resources.problem import Problem

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

    def warn(self, field: str, message: str | None) -> None:
        if message is not None:
            _add(self.warnings, Problem(field, message))


def _add(problems: list[Problem], problem: Problem) -> None:
    if len(problems) < MOST:
        problems.append(problem)
    elif len(problems) == MOST:
        problems.append(_MORE)
