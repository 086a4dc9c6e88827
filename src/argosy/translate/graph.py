"""The incremental engine: nodes that compute a value from facts, and the reverse index fact -> nodes.

Rules:

* A node computes through a Reader of its own; the facts it read are its entries in the index, so a change of a fact
  finds exactly the nodes it concerns. Nothing walks all nodes.
* A view decides what a settled value means: a plan adds and removes nodes, a part marks what is assembled from it.
* Phases order one run: plans, parts and resources, then assemblies. A node computes at most once a run.
* A node that raises keeps its last value; the error stands in `errors` until it succeeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import partial
from typing import Any

from argosy.model.facts import Fact
from argosy.model.reader import Reader
from argosy.model.snapshot import Snapshot
from argosy.translate.faults import Faults
from argosy.translate.resource import SECRET, Resource

Compute = Callable[[Reader], Any]
PLAN = "plan"
VIRTUAL_HOST = "virtual-host"
Changes = dict[str, tuple[dict[str, Resource], set[str]]]
"""Type URL -> (what is new or other, the names of what is gone)."""


class Phase(IntEnum):
    PLAN = 0
    PART = 1
    ASSEMBLY = 2


class Node:
    """One slot of a view. `kind` is a type URL, or PLAN or VIRTUAL_HOST for what is not itself a resource."""

    __slots__ = ("compute", "facts", "kind", "name", "phase", "value", "view")

    def __init__(self, view: ViewBuild, kind: str, name: str, phase: Phase, compute: Compute) -> None:
        self.view = view
        self.kind = kind
        self.name = name
        self.phase = phase
        self.compute = compute
        self.facts: frozenset[Fact] = frozenset()
        self.value: Any = None


class ViewBuild:
    """A map type URL -> name -> Resource, kept up to date. `apply` of the Compiler says what changed in it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.resources: dict[str, dict[str, Resource]] = {}
        self.nodes: dict[tuple[str, str], Node] = {}
        self.changes: Changes = {}
        self._naming: dict[str, set[tuple[str, str]]] = {}  # secret -> the resources that name it

    def start(self) -> None:
        """Adds the first nodes."""
        raise NotImplementedError

    def settled(self, node: Node, old: Any, new: Any) -> None:
        """`node.value` went from `old` to `new`."""
        if isinstance(new, Resource) or isinstance(old, Resource):
            self.publish(node.kind, node.name, new)
            before = old.secrets if isinstance(old, Resource) else ()
            after = new.secrets if isinstance(new, Resource) else ()
            if before != after:
                self._name_secrets((node.kind, node.name), set(before), set(after))

    def secret(self, name: str, reader: Reader) -> Resource | None:
        """What a secret that a resource of this view names is."""
        raise NotImplementedError

    def _name_secrets(self, slot: tuple[str, str], before: set[str], after: set[str]) -> None:
        """A secret is there for as long as something names it."""
        for name in after - before:
            self._naming.setdefault(name, set()).add(slot)
            self.add(SECRET, name, Phase.PART, partial(self.secret, name))
        for name in before - after:
            self._naming[name].discard(slot)
            if not self._naming[name]:
                del self._naming[name]
                self.remove(SECRET, name)

    def slot(self, node: Node) -> tuple[str, str]:
        """The resource in which a node shows."""
        return node.kind, node.name

    def slots(self, node: Node) -> Iterable[tuple[str, str]]:
        """All of them, where it may show in several."""
        return (self.slot(node),)

    def add(self, kind: str, name: str, phase: Phase, compute: Compute) -> Node:
        """A new node, to be computed in this run; the one that is there where there is one."""
        found = self.nodes.get((kind, name))
        if found is None:
            found = self.nodes[kind, name] = Node(self, kind, name, phase, compute)
            self.graph.mark(found)
        return found

    def remove(self, kind: str, name: str) -> None:
        node = self.nodes.pop((kind, name), None)
        if node is None:
            return
        self.graph.forget(node)
        if node.value is not None:
            old, node.value = node.value, None
            self.settled(node, old, None)

    def mark(self, kind: str, name: str) -> None:
        if (node := self.nodes.get((kind, name))) is not None:
            self.graph.mark(node)

    def publish(self, type_url: str, name: str, resource: Resource | None) -> None:
        upserts, removals = self.changes.setdefault(type_url, ({}, set()))
        held = self.resources.setdefault(type_url, {})
        if resource is None:
            held.pop(name, None)
            upserts.pop(name, None)
            removals.add(name)
        else:
            held[name] = resource
            upserts[name] = resource
            removals.discard(name)

    def take_changes(self) -> Changes:
        """What changed since this was last asked."""
        taken, self.changes = self.changes, {}
        return {kind: parts for kind, parts in taken.items() if parts[0] or parts[1]}


class Graph:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.index: dict[Fact, set[Node]] = {}
        self.failed: dict[Node, str] = {}
        self.faults = Faults()
        self.rebuilt: Counter[str] = Counter()  # how often nodes of each kind computed
        self._dirty: tuple[dict[Node, None], ...] = ({}, {}, {})

    def mark(self, node: Node) -> None:
        self._dirty[node.phase][node] = None

    def mark_facts(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            for node in self.index.get(fact, ()):
                self.mark(node)

    def run(self) -> set[ViewBuild]:
        """Computes everything marked, and what that marks. Returns the views in which something changed."""
        touched: set[ViewBuild] = set()
        while (node := self._next()) is not None:
            if self._compute(node):
                touched.add(node.view)
        return touched

    def _next(self) -> Node | None:
        for phase in self._dirty:
            if phase:
                return phase.popitem()[0]
        return None

    def _compute(self, node: Node) -> bool:
        self.rebuilt[node.kind] += 1
        reader = Reader(self.snapshot)
        try:
            value = node.compute(reader)
        except Exception as error:
            # One object that cannot be translated must not take the others with it: the last good value stays.
            self.failed[node] = f"{type(error).__name__}: {error}"
            self._reindex(node, node.facts | reader.facts)
            return False
        self.failed.pop(node, None)
        self._reindex(node, frozenset(reader.facts))
        old, node.value = node.value, value
        if old is value or old == value:
            return False
        node.view.settled(node, old, value)
        return True

    def _reindex(self, node: Node, facts: frozenset[Fact]) -> None:
        if facts == node.facts:
            return
        for fact in node.facts - facts:
            self._unindex(fact, node)
        for fact in facts - node.facts:
            nodes = self.index.get(fact)
            if nodes is None:
                nodes = self.index[fact] = set()
            nodes.add(node)
        node.facts = facts

    def _unindex(self, fact: Fact, node: Node) -> None:
        nodes = self.index[fact]
        nodes.discard(node)
        if not nodes:
            del self.index[fact]

    def forget(self, node: Node) -> None:
        for fact in node.facts:
            self._unindex(fact, node)
        node.facts = frozenset()
        self.failed.pop(node, None)
        self._dirty[node.phase].pop(node, None)
