"""Under what the objects of a World are found, and what was asked for: so that a change concerns those alone whose
findings depend on it.

* A **topic** is what can be asked: the object of a name, the services of a host, the workloads with a label. `topics`
  says under which of them an object stands; a rule asks for topics and never walks all there is.
* **What is asked is noted** (`Index.noting`), also where nothing was found: an object that comes later under a topic
  concerns everybody who asked for it. A dependency cannot be forgotten, as there is no other way to ask.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, MutableMapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from argosy.explain.analysis import parts
from argosy.model.hostnames import MESH_GATEWAY, full_name, patterns

if TYPE_CHECKING:
    from argosy.explain.analysis.world import Item

K = TypeVar("K")
Topic = tuple[str, ...]
Ref = tuple[str, str, str]
"""(kind, namespace, name); the namespace is "" of what is the cluster's."""

OBJECT = "object"
SETTINGS: Topic = ("settings",)
WORKLOADS = ("Pod", "WorkloadEntry")
_NOTHING: dict[Ref, Item] = {}
_NOWHERE: dict[str, dict[Ref, Item]] = {}
WIDE = {"workloads": 1, "labelled": 3}
"""Topics of workloads, of which there are many: of such a length for all namespaces, and with one more part for one of
them. They are held by namespace alone."""


class Index:
    def __init__(self) -> None:
        self._held: dict[Topic, dict[Ref, Item] | Item] = {}  # under most topics there is one
        self._by_namespace: dict[Topic, dict[str, dict[Ref, Item]]] = {}
        self._noted: set[Topic] | None = None

    def add(self, ref: Ref, item: Item, topics: Collection[Topic]) -> None:
        for topic in topics:
            if topic[0] == OBJECT:  # the World has it under its name
                continue
            if (wide := WIDE.get(topic[0])) is None:
                held = self._held.setdefault(topic, item)
                if isinstance(held, dict):
                    held[ref] = item
                elif (before := _ref(held)) == ref:
                    self._held[topic] = item
                else:
                    self._held[topic] = {before: held, ref: item}
            elif len(topic) > wide:
                spaces = self._by_namespace.setdefault(topic[:wide], {})
                spaces.setdefault(topic[wide], {})[ref] = item

    def remove(self, ref: Ref, topics: Collection[Topic]) -> None:
        for topic in topics:
            if (wide := WIDE.get(topic[0])) is None:
                held = self._held.get(topic)
                if isinstance(held, dict):
                    _drop(self._held, topic, held, ref)
                elif held is not None and _ref(held) == ref:
                    del self._held[topic]
            elif len(topic) > wide and (spaces := self._by_namespace.get(topic[:wide])):
                _drop(spaces, topic[wide], spaces.get(topic[wide], _NOTHING), ref)
                if not spaces:
                    del self._by_namespace[topic[:wide]]

    def under(self, *topic: str) -> Collection[Item]:
        """In the order in which they came; of workloads of all namespaces: by namespace, and within it."""
        self.note(*topic)
        wide = WIDE.get(topic[0])
        if wide is None:
            held = self._held.get(topic, _NOTHING)
            return held.values() if isinstance(held, dict) else (held,)
        spaces = self._by_namespace.get(topic[:wide], _NOWHERE)
        if len(topic) > wide:
            return spaces.get(topic[wide], _NOTHING).values()
        return [item for space in spaces.values() for item in space.values()]

    def latest(self, number: int, *topic: str) -> Iterator[Item]:
        """Of the workloads of one namespace those that came last; nobody depends on that."""
        spaces = self._by_namespace.get(topic[:-1], _NOWHERE)
        space = spaces.get(topic[-1], _NOTHING)
        return islice(reversed(space.values()), number)

    def note(self, *topic: str) -> None:
        """It is asked for elsewhere."""
        if self._noted is not None:
            self._noted.add(topic)

    def size(self, *topic: str) -> int:
        """How many are under it; nobody depends on that."""
        wide = WIDE.get(topic[0])
        if wide is None:
            held = self._held.get(topic, _NOTHING)
            return len(held) if isinstance(held, dict) else 1
        spaces = self._by_namespace.get(topic[:wide], _NOWHERE)
        if len(topic) > wide:
            return len(spaces.get(topic[wide], _NOTHING))
        return sum(map(len, spaces.values()))

    @contextmanager
    def noting(self) -> Iterator[set[Topic]]:
        """What is asked for while it is open."""
        noted: set[Topic] = set()
        self._noted = noted
        try:
            yield noted
        finally:
            self._noted = None


def _drop(held: MutableMapping[K, Any], key: K, found: dict[Ref, Item], ref: Ref) -> None:
    found.pop(ref, None)
    if not found:
        held.pop(key, None)


def _ref(item: Item) -> Ref:
    return (item.kind, item.namespace, item.name)


def topics(item: Item, domain_suffix: str) -> frozenset[Topic]:
    """Under which an object stands."""
    found: set[Topic] = {
        (OBJECT, item.kind, item.namespace, item.name),
        ("kind", item.kind),
        ("kind", item.kind, item.namespace),
    }
    if item.kind in WORKLOADS:
        found |= _of_workload(item)
    match item.kind:
        case "Service":
            found |= _of_service(f"{item.name}.{item.namespace}.svc.{domain_suffix}")
        case "ServiceEntry":
            for written in parts.texts(item.spec, "hosts"):
                found |= _of_service(full_name(written, item.namespace, domain_suffix))
        case "DestinationRule":
            found.add(("subsets", full_name(parts.text(item.spec, "host"), item.namespace, domain_suffix)))
        case "VirtualService":
            found |= _of_route(item, domain_suffix)
        case "Gateway":
            found |= _of_gateway(item)
        case "Sidecar" | "Telemetry" | "RequestAuthentication" | "PeerAuthentication":
            found.add(_of_selector(item))
        case "EnvoyFilter":
            found |= {("versioned", name) for name in versioned(item)}
    return frozenset(found)


def labels_of(item: Item) -> dict[str, str]:
    """Of a workload: its own, and those of a WorkloadEntry's endpoint, as the mesh takes them."""
    return item.labels | parts.labels(item.spec, "labels") if item.kind == "WorkloadEntry" else item.labels


def selector_of(item: Item) -> dict[str, str]:
    """The labels that the workloads have which an object is for; {} for all of its namespace, or what it names."""
    if item.kind == "Gateway":
        return parts.labels(item.spec, "selector")
    if item.kind == "Sidecar":
        return parts.labels(item.spec, "workloadSelector", "labels")
    return parts.labels(item.spec, "selector", "matchLabels")


def named(item: Item) -> bool:
    """Whether an object names what it is for, instead of selecting it."""
    return bool(parts.at(item.spec, "targetRef") or parts.at(item.spec, "targetRefs"))


def for_sidecars(spec: parts.Json) -> bool:
    gateways = parts.texts(spec, "gateways")
    return not gateways or MESH_GATEWAY in gateways


def certificate(tls: parts.Json) -> Topic:
    """What two servers must have in common to serve with one certificate; () where that cannot be told."""
    name = parts.text(tls, "credentialName")
    if name:
        return ("credential", name)
    certificate, key = parts.text(tls, "serverCertificate"), parts.text(tls, "privateKey")
    return ("files", certificate, key) if certificate and key else ()


def versioned(item: Item) -> set[str]:
    """What the patches of an EnvoyFilter are called that hold for one version of the proxy."""
    return {
        patch_name(each)
        for _, each in parts.objects(item.spec, "configPatches")
        if parts.text(each, "match", "proxy", "proxyVersion")
    }


def patch_name(patch: parts.Json) -> str:
    """Of the value that the patch brings, else of the filter it is put beside."""
    value = parts.mapping(patch, "patch", "value")
    if not value:
        return ""
    return parts.text(value, "name") or parts.text(
        patch, "match", "listener", "filterChain", "filter", "name"
    )


def _of_workload(item: Item) -> set[Topic]:
    found: set[Topic] = {("workloads",), ("workloads", item.namespace)}
    for key, value in labels_of(item).items():
        found |= {("labelled", key, value), ("labelled", key, value, item.namespace)}
    return found


def _of_service(host: str) -> set[Topic]:
    return {("service", host)} | {("under", pattern) for pattern in patterns(host)}


def _of_route(item: Item, domain_suffix: str) -> set[Topic]:
    found: set[Topic] = set()
    hosts = {full_name(host, item.namespace, domain_suffix) for host in parts.texts(item.spec, "hosts")}
    if for_sidecars(item.spec):
        found |= {("routes", host) for host in hosts}
    for _, http in parts.objects(item.spec, "http"):
        for _, route in parts.objects(http, "route"):
            destination = parts.mapping(route, "destination")
            host = full_name(parts.text(destination, "host"), item.namespace, domain_suffix)
            if host in hosts and parts.text(destination, "subset"):
                found.add(("split", host))
    return found


def _of_gateway(item: Item) -> set[Topic]:
    found: set[Topic] = set()
    for _, server in parts.objects(item.spec, "servers"):
        port = str(parts.number(server, "port", "number"))
        found |= {("served", port, host) for host in parts.texts(server, "hosts")}
        if own := certificate(parts.mapping(server, "tls")):
            found.add(("certificate", *own))
    return found


def _of_selector(item: Item) -> Topic:
    """One of its labels is enough: a workload that it selects has that one too."""
    selector = selector_of(item)
    if selector and not named(item):
        return ("selecting", item.kind, item.namespace, *min(selector.items()))
    return ("whole", item.kind, item.namespace)
