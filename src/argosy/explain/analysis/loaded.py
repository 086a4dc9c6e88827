"""From the documents of files to a World. Mesh settings may be among them, in a file of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import Item, World, item, networks_item
from argosy.resources import meshconfig
from argosy.resources.loading import Document


def world(
    documents: Iterable[Document],
    *,
    held: Sequence[Json] = (),
    namespace: str = "default",
    mesh: Json | None = None,
    complete: bool = False,
    now: str = "",
) -> tuple[World, list[Document]]:
    """The World, and the documents that are no objects. `held`: what a server holds, over which the files lie;
    `namespace`: where objects are that do not say; `mesh`: MeshConfig, before any other."""
    items = [each for body in held if (each := item(body, namespace)) is not None]
    settings, networks, strange = None, None, []
    for document in documents:
        body = document.object
        key = meshconfig.key_of(body)
        if key == meshconfig.KEY:
            settings = body
        elif key == meshconfig.NETWORKS_KEY:
            networks = networks_item(body, source=document.source, index=document.index, line=document.line)
        elif (each := _item(document, namespace)) is not None:
            items.append(each)
        else:
            strange.append(document)
    chosen = settings if mesh is None else mesh
    return World(items, mesh=chosen, networks=networks, complete=complete, now=now), strange


def _item(document: Document, namespace: str) -> Item | None:
    if not isinstance(document.object, dict):
        return None
    return item(document.object, namespace, source=document.source, index=document.index, line=document.line)
