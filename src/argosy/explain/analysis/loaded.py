"""From the documents of files to a World. Mesh settings may be among them, in a file of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from argosy.explain.analysis.parts import Json, mapping
from argosy.explain.analysis.world import MESH_CONFIG, MESH_NETWORKS, Item, World, item, settings_item
from argosy.resources import meshconfig
from argosy.resources.loading import Document
from argosy.resources.report import SETTINGS


def world(
    documents: Iterable[Document],
    *,
    held: Sequence[Json] = (),
    namespace: str = "default",
    mesh: Document | None = None,
    complete: bool = False,
    hidden: Iterable[str] = (),
    now: str = "",
) -> tuple[World, list[Document]]:
    """The World, and the documents that are no objects. `held`: what a server holds, over which the files lie;
    `namespace`: where objects are that do not say; `mesh`: MeshConfig, before any other."""
    items = [each for body in held if (each := item(body, namespace)) is not None]
    found: dict[str, Item] = {}
    strange = []
    for document in (*documents, *([mesh] if mesh else [])):
        kind = MESH_CONFIG if document is mesh else SETTINGS.get(meshconfig.key_of(document.object) or "")
        if kind is not None:
            found[kind] = _settings(kind, document)
        elif (each := _item(document, namespace)) is not None:
            items.append(each)
        else:
            strange.append(document)
    made = World(
        items,
        mesh=found.get(MESH_CONFIG),
        networks=found.get(MESH_NETWORKS),
        complete=complete,
        hidden=hidden,
        now=now,
    )
    return made, strange


def _settings(kind: str, document: Document) -> Item:
    return settings_item(
        kind, mapping(document.object), source=document.source, index=document.index, line=document.line
    )


def _item(document: Document, namespace: str) -> Item | None:
    if not isinstance(document.object, dict):
        return None
    return item(document.object, namespace, source=document.source, index=document.index, line=document.line)
