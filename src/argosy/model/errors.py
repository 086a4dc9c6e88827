"""What an object says that cannot be lowered. One bad object is refused; the others keep working."""

from __future__ import annotations


class LoweringError(ValueError):
    """`field` is the path in the object (`spec.http[1].route[0].weight`); `message` names the value and the remedy."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
