"""What is wrong with an object: the field, and a message that names the value and the remedy."""

from __future__ import annotations

from msgspec import Struct


class Problem(Struct, frozen=True):
    field: str  # `spec.http[1].route[0].weight`; "" is the whole object
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message
