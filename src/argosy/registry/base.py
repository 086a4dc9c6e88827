"""The Registry protocol: what a platform (Consul, DNS, …) tells the mesh about who runs where.

Rules every implementation keeps:
* The first update that `updates` yields holds everything there is; each later one only what changed.
* An update holds whole values: all the endpoints of a hostname, not one more or one less.
* While the platform cannot be reached nothing is yielded: what was last known stays in force.
* Endpoints of a hostname come in a stable order, so that the same state is the same value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from argosy.model.updates import RegistryUpdate


class Registry(Protocol):
    @property
    def name(self) -> str:
        """How messages and status call it: `consul`, `dns`."""

    def updates(self) -> AsyncIterator[RegistryUpdate]:
        """For ever; ends when `close` was called."""

    async def close(self) -> None: ...
