"""Why an apply is refused: fields with other values that somebody else manages.

The messages are those of the kube-apiserver, which people and programs know.
"""

from __future__ import annotations

from typing import Any

from argosy.apiserver.managed.fieldset import FieldSet, shown
from argosy.apiserver.managed.managers import Manager, Operation, Owned

Json = dict[str, Any]


class Conflicts(Exception):
    """By manager: the fields that are its own and that would change. `since`: what it had before."""

    def __init__(self, fields: dict[Manager, FieldSet], since: dict[Manager, Owned]) -> None:
        self.fields = fields
        self._since = since
        super().__init__(self._message())

    @property
    def causes(self) -> list[Json]:
        """One for each field, as a Status has them."""
        return [
            {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": shown(path)}
            for who, fields in self._sorted()
            for path in fields
        ]

    def without(self, allowed: FieldSet) -> Conflicts | None:
        """What is left of it where conflicts in these fields do not count; None: nothing."""
        left = {manager: fields - allowed for manager, fields in self.fields.items()}
        left = {manager: fields for manager, fields in left.items() if fields}
        return Conflicts(left, self._since) if left else None

    def _message(self) -> str:
        found = [(who, shown(path)) for who, fields in self._sorted() for path in fields]
        if len(found) == 1:
            ((who, path),) = found
            return f"Apply failed with 1 conflict: conflict with {who}: {path}"
        lines = []
        for who, fields in self._sorted():
            lines.append(f"conflicts with {who}:")
            lines += [f"- {shown(path)}" for path in fields]
        return f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)

    def _sorted(self) -> list[tuple[str, FieldSet]]:
        told = [
            (_described(manager, self._since[manager]), fields) for manager, fields in self.fields.items()
        ]
        return sorted(told, key=lambda each: each[0])


def _described(manager: Manager, owned: Owned) -> str:
    name = '"{}"'.format(manager.name.replace("\\", "\\\\").replace('"', '\\"'))
    if manager.subresource:
        name += f' with subresource "{manager.subresource}"'
    if manager.operation is Operation.APPLY:
        return name
    return f"{name} using {owned.api_version}" + (f" at {owned.time}" if owned.time else "")
