"""Views whose resources EnvoyFilters may patch.

One node reads which patches hold for the view's scope. Where there are none, that is all: no resource looks for them.
Where they change, the nodes of the kinds that they may concern are computed again, and each of them takes part in the
facts of the EnvoyFilters that really changed it (or would have), so that these are among what it was made from.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from argosy.model.envoy_patches import Operation, Part, PlacedPatch, Side
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, Scope
from argosy.model.updates import Ref
from argosy.translate.generator import Fragment
from argosy.translate.graph import VIRTUAL_HOST, Compute, Graph, Node, Phase, ViewBuild
from argosy.translate.patches.patched import HostPatchKey, PatchKey, patched, patched_host
from argosy.translate.patches.subject import LISTENER_PARTS, ROUTE_PARTS, Subject, concerns
from argosy.translate.resource import CLUSTER, LISTENER, ROUTE, Resource

PATCHES = "patches"
KIND = "EnvoyFilter"
_FAMILIES: dict[str, tuple[Part, ...]] = {
    LISTENER: LISTENER_PARTS,
    ROUTE: ROUTE_PARTS,
    CLUSTER: (Part.CLUSTER,),
}
Patches = tuple[PlacedPatch, ...]


class _Outcome(Protocol):
    @property
    def applied(self) -> tuple[int, ...]: ...
    @property
    def failed(self) -> tuple[tuple[int, str], ...]: ...


class PatchedView(ViewBuild):
    def __init__(self, graph: Graph, scope: Scope) -> None:
        super().__init__(graph)
        self.scope = scope
        self.patches: dict[str, Patches] = {}  # by the kind of resource that they may concern
        self.outcomes: dict[tuple[str, str], _Outcome] = {}  # holds what is in the generators' memo

    @property
    def side(self) -> Side:
        """Of what the proxies send."""
        return Side.OUTBOUND if self.scope.type is ProxyType.SIDECAR else Side.GATEWAY

    def subject(self, kind: str, name: str, reader: Reader) -> Subject:
        """What patches are matched against."""
        raise NotImplementedError

    def patches_of(self, kind: str, name: str) -> Patches:
        """Those that a resource as a whole is patched with."""
        return self.patches.get(kind, ())

    def patches_changed(self, patches: Patches) -> None:
        """All that hold for the scope."""

    # --- the engine -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.add(PATCHES, PATCHES, Phase.PLAN, partial(_patches, self.scope))

    def add(self, kind: str, name: str, phase: Phase, compute: Compute) -> Node:
        if kind in _FAMILIES:
            compute = partial(self._patched, kind, name, compute)
        return super().add(kind, name, phase, compute)

    def remove(self, kind: str, name: str) -> None:
        self.forget_patches(kind, name)
        super().remove(kind, name)

    def settled(self, node: Node, old: Any, new: Any) -> None:
        if node.kind != PATCHES:
            super().settled(node, old, new)
            return
        before, patches = self.patches, new or ()
        self.patches = {
            kind: found
            for kind, parts in _FAMILIES.items()
            if (found := tuple(one for one in patches if one.patch.part in parts))
        }
        changed = {kind for kind in _FAMILIES if before.get(kind) != self.patches.get(kind)}
        if ROUTE in changed:
            changed.add(VIRTUAL_HOST)
        for one in self.nodes.values():
            if one.kind in changed:
                self.graph.mark(one)
        self.patches_changed(patches)

    # --- patching ---------------------------------------------------------------------------------------------------

    def _patched(self, kind: str, name: str, compute: Compute, reader: Reader) -> Resource | None:
        made: Resource | None = compute(reader)
        patches = self.patches_of(kind, name)
        if not patches or made is None:
            self.forget_patches(kind, name)
            return made
        subject = self.subject(kind, name, reader)
        of = tuple(one for one in patches if concerns(one.patch, subject))
        if not of:
            self.forget_patches(kind, name)
            return made
        key = PatchKey(made=made, type_url=kind, subject=subject, patches=tuple(one.patch for one in of))
        outcome = patched(key)
        self._note(kind, name, of, outcome, reader)
        return outcome.made

    def patched_host(
        self, name: str, made: Fragment | None, subject: Subject, patches: Patches, reader: Reader
    ) -> Fragment | None:
        """A virtual host; `name` is unique among those of the view (ROUTE NAME)."""
        of = tuple(one for one in patches if concerns(one.patch, subject))
        if not of or made is None:
            self.forget_patches(VIRTUAL_HOST, name)
            return made
        key = HostPatchKey(made=made, subject=subject, patches=tuple(one.patch for one in of))
        outcome = patched_host(key)
        self._note(VIRTUAL_HOST, name, of, outcome, reader)
        return outcome.made

    def _note(self, kind: str, name: str, of: Patches, outcome: _Outcome, reader: Reader) -> None:
        self.outcomes[kind, name] = outcome
        for index in (*outcome.applied, *(index for index, _ in outcome.failed)):
            reader.envoy_filter(of[index].namespace, of[index].name)
        self.fault(kind, name, {of[index]: message for index, message in outcome.failed})

    def fault(self, kind: str, name: str, failed: dict[PlacedPatch, str]) -> None:
        found: dict[Ref, str] = {}
        for one, message in failed.items():
            ref = (KIND, one.namespace, one.name)
            text = f"spec.configPatches[{one.index}].{message} (this patch is left out)"
            found[ref] = f"{found[ref]}; {text}" if ref in found else text
        self.graph.faults.put((self, kind, name), found)

    def forget_patches(self, kind: str, name: str) -> None:
        """No patch concerns it."""
        if self.outcomes.pop((kind, name), None) is not None:
            self.graph.faults.put((self, kind, name), {})


def _patches(scope: Scope, reader: Reader) -> Patches:
    return reader.envoy_filters(scope)


def of_hosts(patches: Patches) -> Patches:
    """Of those of routes, the ones that change a virtual host that is there."""
    return tuple(
        one
        for one in patches
        if one.patch.part is Part.HTTP_ROUTE
        or (one.patch.part is Part.VIRTUAL_HOST and one.patch.operation is not Operation.ADD)
    )


def of_configurations(patches: Patches) -> Patches:
    """And the others."""
    hosts = of_hosts(patches)
    return tuple(one for one in patches if one not in hosts)
