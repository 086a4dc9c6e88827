"""The model of the objects of files, with nobody else's in it: what is asked of files without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argosy.model.ir import Mesh
    from argosy.model.snapshot import Snapshot
    from argosy.resources.meta import Object


def modelled(found: Sequence[Object], mesh: Mesh) -> tuple[Snapshot, list[str]]:
    """The model, and why some of the objects cannot be in it."""
    from argosy.model.discovery import seen
    from argosy.model.snapshot import Snapshot
    from argosy.registry.objects import ObjectRegistry
    from argosy.resources.core import ConfigMap

    snapshot = Snapshot(mesh)
    for one in found:
        if isinstance(one, ConfigMap):
            snapshot.put_config(one)
    found = seen(found, snapshot.mesh)
    registry = ObjectRegistry(trust_domain=mesh.trust_domain, domain_suffix=mesh.domain_suffix)
    snapshot.apply(registry.upsert_all(found))
    for one in found:
        snapshot.put_config(one)
    return snapshot, list({**registry.rejected, **snapshot.rejected}.values())
