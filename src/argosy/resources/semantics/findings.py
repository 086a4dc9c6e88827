"""Where checks put what they find: a field path and a message, as error or as warning."""

from __future__ import annotations

from argosy.resources.problem import Problem


class Findings:
    __slots__ = ("errors", "warnings")

    def __init__(self) -> None:
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def error(self, field: str, message: str | None) -> None:
        """None is "nothing wrong", so that a predicate's answer can be passed on as it is."""
        if message is not None:
            self.errors.append(Problem(field, message))

    def warn(self, field: str, message: str | None) -> None:
        if message is not None:
            self.warnings.append(Problem(field, message))
