"""The World of a running mesh, kept as it changes, and what is found about each of its objects.

* What is found is kept, and thrown away when something changed under a topic that was asked for (`index`): so a change
  costs the objects that depend on it, and a look at one that nothing happened to costs nothing.
* Nothing is looked at before somebody asks. What validation warned of as the object was applied is found again.
* What lives long is small: of workloads their labels are kept, of Secrets the judgement of their certificates, of
  nothing who manages its fields and what its conditions say.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable

from msgspec.structs import replace

from argosy.explain.analysis import applied, credentials, objects, parts
from argosy.explain.analysis.index import OBJECT, Ref, Topic
from argosy.explain.analysis.message import Finding
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import Item, World, item

SECRET = (OBJECT, "Secret")
REPLICAS = 4
"""How many workloads are looked at for one with the same labels: a service has few versions at a time."""
MACHINES = frozenset(("managedFields", "uid", "resourceVersion", "generation", "selfLink"))


class Live:
    def __init__(self, domain_suffix: str) -> None:
        self.world = World((), complete=True, domain_suffix=domain_suffix)
        self._found: dict[Ref, tuple[Finding, ...]] = {}
        self._asked: dict[Ref, tuple[Topic, ...]] = {}
        self._askers: dict[Topic, Ref | set[Ref]] = {}  # most topics are asked for by one
        self.computed = 0
        """How many objects have been looked at."""

    def put(self, body: Json) -> set[Ref]:
        """The objects about which something else may be found now."""
        held = self._workload(body) if body.get("kind") == "WorkloadEntry" else item(_kept(body))
        if held is None:
            return set()
        ref = (held.kind, held.namespace, held.name)
        return self._outdated(self.world.put(held), ref)

    def remove(self, ref: Ref) -> set[Ref]:
        self._forget(ref)
        return self._outdated(self.world.remove(ref), ref) - {ref}

    def aged(self) -> set[Ref]:
        """The objects that name Secrets, whose certificates may have run out."""
        outdated = {ref for topic in self._askers if topic[:2] == SECRET for ref in self._who_asked(topic)}
        for ref in outdated:
            self._forget(ref)
        return outdated

    def findings(self, ref: Ref, now: str) -> tuple[Finding, ...]:
        """Of an object; () of one that is not there. `now`: RFC 3339; what is found holds until `aged`."""
        if ref in self._found:
            return self._found[ref]
        about = self.world.items.get(ref)
        if about is None:
            return ()
        self.computed += 1
        self.world.now = now
        with self.world.index.noting() as asked:
            found = tuple(applied.findings(self.world, about, (objects.warned_of,)))
        if asked:
            self._asked[ref] = tuple(asked)
        for topic in asked:
            before = self._askers.setdefault(topic, ref)
            if isinstance(before, set):
                before.add(ref)
            elif before != ref:
                self._askers[topic] = {before, ref}
        self._found[ref] = found
        return found

    def _workload(self, body: Json) -> Item | None:
        """Labels are all that is asked of a workload. Replicas have the same, and are kept with the same."""
        about = item(body)
        if about is None:
            return None
        own, of_endpoint = about.labels, parts.labels(about.spec, "labels")
        namespace = sys.intern(about.namespace)
        topics = [("labelled", *label, namespace) for label in own.items()]
        index = self.world.index
        for other in (
            index.latest(REPLICAS, *min(topics, key=lambda topic: index.size(*topic))) if topics else ()
        ):
            if other.labels == own and parts.labels(other.spec, "labels") == of_endpoint:
                return replace(about, namespace=namespace, body=other.body, named_namespace="")
        shared = of_endpoint if of_endpoint != own else own
        kept = {"metadata": {"labels": own}, "spec": {"labels": shared}}
        return replace(about, namespace=namespace, body=kept, named_namespace="")

    def _outdated(self, topics: Iterable[Topic], changed: Ref) -> set[Ref]:
        if not topics:
            return set()
        outdated = {ref for topic in topics for ref in self._who_asked(topic)} | {changed}
        for ref in outdated:
            self._forget(ref)
        return outdated

    def _forget(self, ref: Ref) -> None:
        self._found.pop(ref, None)
        for topic in self._asked.pop(ref, ()):
            askers = self._askers[topic]
            if isinstance(askers, set):
                askers.discard(ref)
            if not isinstance(askers, set) or not askers:
                del self._askers[topic]

    def _who_asked(self, topic: Topic) -> Collection[Ref]:
        askers = self._askers.get(topic)
        if askers is None:
            return ()
        return askers if isinstance(askers, set) else (askers,)


def _kept(body: Json) -> Json:
    """What the rules can ask of an object."""
    metadata = {key: value for key, value in parts.mapping(body, "metadata").items() if key not in MACHINES}
    named = {"apiVersion": body.get("apiVersion"), "kind": body.get("kind"), "metadata": metadata}
    match body.get("kind"):
        case "Secret":
            return named | {credentials.JUDGED: credentials.judged(body)}
        case "ConfigMap":
            return named | {"data": parts.labels(body, "data")}
    kept = named | {"spec": parts.mapping(body, "spec")}
    addresses = parts.listed(body, "status", "addresses")
    return kept | {"status": {"addresses": addresses}} if addresses else kept
