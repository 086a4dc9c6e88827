"""What is wrong with an object: the field, and a message that names the value and the remedy."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Code(StrEnum):
    """What sort of problem it is, where the analysis has a message of its own for it."""

    UNREACHABLE_RULE = "unreachable rule"
    INEFFECTIVE_MATCH = "ineffective match"
    DEPRECATED = "deprecated"


class Problem(Struct, frozen=True):
    field: str  # `spec.http[1].route[0].weight`; "" is the whole object
    message: str
    code: Code | None = None

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message
