"""What one sender sees of the model, and how places in it are named."""

from __future__ import annotations

from collections.abc import Callable

from argosy.explain.outcome import Miss, Origin
from argosy.model import ir
from argosy.model.hostnames import exported_to, visible_from
from argosy.model.provenance import PassedOver, Provenance, Written
from argosy.model.scope import Scope
from argosy.model.snapshot import Snapshot
from argosy.model.updates import Ref

Locate = Callable[[Ref, str], tuple[str, int] | None]
"""(object, field) -> (file, line), where it was read from a file."""


def nowhere(_ref: Ref, _field: str) -> None:
    return None


class View:
    def __init__(self, snapshot: Snapshot, scope: Scope, locate: Locate = nowhere) -> None:
        """It holds as long as the snapshot does not change."""
        self.reader = Provenance(snapshot)
        self.scope = scope
        self.locate = locate

    def origin(self, ref: Ref, field: str = "") -> Origin:
        file, line = self.locate(ref, field) or ("", 0)
        return Origin(*ref, field=field, file=file, line=line)

    def origins(self, written: Written | None) -> tuple[Origin, ...]:
        """The place, and the one that delegated to it."""
        if written is None:
            return ()
        own = self.origin(written.ref, written.field)
        return (own,) if written.root is None else (own, self.origin(written.root, written.root_field))

    def unseen(self, service: ir.Service) -> str:
        """Why the sender does not see a service."""
        default = self.reader.mesh().service_export
        if not visible_from(service, default, self.scope.namespace):
            seen = ", ".join(exported_to(service, default)) or "nobody"
            return f"is exported to {seen}, not to {self.scope.namespace}"
        return f"is not imported by Sidecar {self.scope.sidecar}"

    def miss(self, stage: str, passed: PassedOver) -> Miss:
        _, namespace, name = passed.written.ref
        return Miss(stage, f"{namespace}/{name}", passed.reason, self.origins(passed.written))
