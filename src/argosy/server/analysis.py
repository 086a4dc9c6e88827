"""The analysis of the mesh that runs here: the rules of `argosy analyze` about each object, kept as the store changes.

    events -> Live (what may be found otherwise now) -> Reporter -> conditions; an object that is applied -> warnings

A change is taken in as it happens, before anything is made of it for proxies, at the price of its own object: who
applies two objects one after the other is told what they do to each other. What is found about an object that stands is
worked out when the reporter looks at it, within the reporter's share of the time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from argosy.explain.analysis import applied
from argosy.explain.analysis.applied import Warned
from argosy.explain.analysis.index import Ref
from argosy.explain.analysis.live import Live
from argosy.explain.analysis.message import Finding
from argosy.explain.analysis.parts import Json
from argosy.model import ir, lower_mesh
from argosy.resources.kinds import KINDS, Kind, by_resource
from argosy.runtime.log import logger
from argosy.store.base import Event, EventType, Key

log = logger("analysis")

TAKEN = frozenset((*applied.RULES, *applied.ASKED))
"""Kinds that rules are about, or ask for."""
RESOURCES = {kind.unique_name: kind.resource for kind in KINDS}


def is_analysed(kind: Kind) -> bool:
    """Whether there are rules about objects of a kind."""
    return bool(applied.RULES.get(kind.unique_name))


class Found(Struct, frozen=True):
    """One finding, as a condition has it."""

    reason: str  # `ConflictingMeshGatewayVirtualServiceHosts`
    text: str
    reference: bool  # to something that is not there, or of no use
    secret: bool = False  # to a Secret


class Analysis:
    def __init__(self, mesh: ir.Mesh) -> None:
        self.mesh = mesh
        self.live = Live(mesh.domain_suffix)
        self.revision = 0
        """Up to where the store's changes are in it."""
        self._outdated: set[Ref] = set()

    def follow(self, event: Event) -> None:
        """The next change of the store; whatever it is."""
        key = event.stored.key
        self.revision = max(self.revision, event.stored.revision)
        kind = by_resource(key.resource)
        if kind is None or not _is_taken(kind, key):
            return
        if event.type is EventType.DELETED:
            self._outdated |= self.live.remove((kind.unique_name, key.namespace, key.name))
        elif (obj := _read(event.stored.body)) is not None:
            metadata = obj["metadata"] | {"namespace": sys.intern(key.namespace), "name": key.name}
            named = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
            try:
                self._outdated |= self.live.put(obj | named)
            except Exception as error:
                # Written past our validation, maybe. What it said before counts; nobody else notices.
                log.error("object not analysed", object=str(key), error=repr(error))

    def outdated(self) -> set[Key]:
        """The objects about which something else may be found than when this was last asked."""
        refs, self._outdated = self._outdated, set()
        return {Key(RESOURCES[kind], namespace, name) for kind, namespace, name in refs if kind in RESOURCES}

    def aged(self) -> None:
        """Time has passed: certificates may have run out."""
        self._outdated |= self.live.aged()

    def of(self, kind: Kind, key: Key, now: float) -> tuple[Found, ...]:
        """`now`: Unix time."""
        ref = (kind.unique_name, key.namespace, key.name)
        return tuple(map(_found, self.live.findings(ref, datetime.fromtimestamp(now, UTC).isoformat())))

    def warnings(self, body: Json, now: float) -> Sequence[Warned]:
        """About an object that is being applied, whether or not it is there."""
        self.live.world.now = datetime.fromtimestamp(now, UTC).isoformat()
        return applied.warnings(self.live.world, body, self.mesh)


def _read(body: bytes) -> Json | None:
    """None: somebody wrote past the API what is no object. Rules read what is of another form than it should be."""
    try:
        obj = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return obj if isinstance(obj, dict) and isinstance(obj.get("metadata"), dict) else None


def _is_taken(kind: Kind, key: Key) -> bool:
    if kind.kind == "ConfigMap":
        return (key.namespace, key.name) == (lower_mesh.NAMESPACE, lower_mesh.NAME)
    return kind.unique_name in TAKEN


def _found(finding: Finding) -> Found:
    text = applied.text(finding)
    return Found(
        finding.type.name,
        f"{finding.field}: {text}" if finding.field else text,
        applied.is_reference(finding),
        applied.is_secret(finding),
    )
