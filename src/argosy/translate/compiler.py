"""The compiler: a Snapshot to views, and after each change of it only what that change concerns.

    compiler = Compiler(snapshot)
    build = compiler.shared(scope)        # interned by scope; release(build) when the last proxy leaves
    own = compiler.own(proxy)             # interned by proxy
    for build, changes in compiler.apply(snapshot.put_config(obj)): …

What a change costs follows from the facts that changed (see `graph`): never from how many services there are, but for
the RouteConfiguration that joins the virtual hosts of all of them, where it is not parted (see `parts`).
"""

from __future__ import annotations

from collections import Counter

from argosy.model.facts import Fact, FactKind
from argosy.model.scope import ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.model.tables.base import split
from argosy.translate.faults import Faults
from argosy.translate.graph import PLAN, Changes, Graph, ViewBuild
from argosy.translate.own import OwnView
from argosy.translate.patches.view import PATCHES
from argosy.translate.proxy import Proxy
from argosy.translate.shared import SharedView
from argosy.translate.shared_edge import EdgeView


class Compiler:
    def __init__(self, snapshot: Snapshot) -> None:
        """The snapshot is the caller's; after each change of it, `apply` must be given the facts that changed."""
        self.snapshot = snapshot
        self.graph = Graph(snapshot)
        self._shared: dict[Scope, SharedView] = {}
        self._own: dict[Proxy, OwnView] = {}
        self._users: Counter[ViewBuild] = Counter()

    # --- views ------------------------------------------------------------------------------------------------------

    def shared(self, scope: Scope) -> ViewBuild:
        """What all proxies of a scope see. Each call is one use; `release` ends it."""
        view = self._shared.get(scope)
        if view is None:
            view = self._shared[scope] = self._view(scope)
            self._start(view)
        self._users[view] += 1
        return view

    def _view(self, scope: Scope) -> SharedView:
        return (EdgeView if scope.type is ProxyType.ROUTER else SharedView)(self.graph, scope)

    def own(self, proxy: Proxy) -> ViewBuild:
        """What one proxy alone sees. Each call is one use; `release` ends it."""
        view = self._own.get(proxy)
        if view is None:
            view = self._own[proxy] = OwnView(self.graph, proxy)
            self._start(view)
        self._users[view] += 1
        return view

    def release(self, build: ViewBuild) -> None:
        """Ends one use; with the last, the view and everything that only it holds is dropped."""
        if self._users[build] > 1:
            self._users[build] -= 1
            return
        del self._users[build]
        if isinstance(build, SharedView):
            del self._shared[build.scope]
        elif isinstance(build, OwnView):
            del self._own[build.proxy]
        for node in build.nodes.values():
            self.graph.forget(node)
        build.nodes.clear()
        self.graph.faults.forget(build)

    def _start(self, view: ViewBuild) -> None:
        view.start()
        self.graph.run()
        view.take_changes()

    # --- changes ----------------------------------------------------------------------------------------------------

    def apply(self, facts: set[Fact]) -> list[tuple[ViewBuild, Changes]]:
        """Brings all views up to date with a snapshot in which `facts` changed; what became different, by view."""
        self._members(facts)
        self.graph.mark_facts(facts)
        self.graph.run()
        views: list[ViewBuild] = [*self._shared.values(), *self._own.values()]
        return [(view, changes) for view in views if view.changes and (changes := view.take_changes())]

    def _members(self, facts: set[Fact]) -> None:
        """What came and went. Hosts: the model names each of them beside the fact that there are others now."""
        for fact in facts:
            if fact.kind is FactKind.VIRTUAL_SERVICE:
                name = split(fact.name)
                for view in self._shared.values():
                    if isinstance(view, EdgeView):
                        view.bind(name, self.snapshot.virtual_services.gateways_of(name))
        if not any(fact.kind is FactKind.HOSTS for fact in facts):
            return
        named = {fact.name for fact in facts if fact.kind in (FactKind.SERVICE, FactKind.ROUTES)}
        for host in sorted(named):
            known = host in self.snapshot.services or self.snapshot.is_virtual_host(host)
            for view in self._shared.values():
                if known:
                    view.join(host)
                else:
                    view.leave(host)

    def slots_for(self, facts: set[Fact]) -> set[tuple[ViewBuild, str, str]]:
        """(view, type URL, name) of every resource that was made from any of the facts."""
        return {
            (node.view, *slot)
            for fact in facts
            for node in self.graph.index.get(fact, ())
            if node.kind not in (PLAN, PATCHES)
            for slot in node.view.slots(node)
        }

    # --- what is seen of it -----------------------------------------------------------------------------------------

    @property
    def errors(self) -> dict[tuple[str, str], str]:
        """(type URL, name) -> why it could not be made; its last good value is in force."""
        return {slot: error for node, error in self.graph.failed.items() for slot in node.view.slots(node)}

    @property
    def faults(self) -> Faults:
        """What objects ask for and cannot have, though everything could be made."""
        return self.graph.faults

    @property
    def rebuilt(self) -> Counter[str]:
        """How often slots of each kind (type URL, `plan`, `virtual-host`) were computed since the start (a copy)."""
        return Counter(self.graph.rebuilt)
