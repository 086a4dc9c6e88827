"""discoverySelectors: what stands in a namespace that is not seen is as if it were not there."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from argosy.model import ir
from argosy.model.discovery import Discovery, seen
from argosy.resources.kinds import decode
from argosy.resources.selector import LabelSelector, LabelSelectorRequirement
from argosy.server.reconcile import Loop, Reconciler
from argosy.store.base import Event, EventType, Key, Listing, Stored
from argosy.store.memory import MemoryStore

SETTINGS = Key("/configmaps", "istio-system", "istio")
SELECTING = "discoverySelectors: [{matchLabels: {mesh: seen}}]"


def settings(text: str) -> dict[str, Any]:
    metadata = {"name": "istio", "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}}


def namespace(name: str, **labels: str) -> tuple[Key, dict[str, Any]]:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    return Key("/namespaces", "", name), body


def service(namespace: str) -> tuple[Key, dict[str, Any]]:
    spec = {"ports": [{"name": "http", "port": 80}], "selector": {"app": "a"}}
    metadata = {"name": "a", "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    return Key("/services", namespace, "a"), body


def rule(namespace: str) -> tuple[Key, dict[str, Any]]:
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "a", "namespace": namespace},
        "spec": {"host": "a"},
    }
    return Key("networking.istio.io/destinationrules", namespace, "a"), body


class Mesh:
    """A reconciler, and the store that it would list again."""

    def __init__(self) -> None:
        self.reconciler = Reconciler(ir.Mesh())
        self.stored: dict[Key, Stored] = {}
        self.revision = 0
        self.read_again = 0

    def put(self, *objects: tuple[Key, dict[str, Any]]) -> None:
        events = []
        for key, body in objects:
            self.revision += 1
            stored = Stored(key, self.revision, msgspec.json.encode(body))
            self.stored[key] = stored
            events.append(Event(EventType.MODIFIED, stored))
        self._apply(events)

    def delete(self, key: Key) -> None:
        self.revision += 1
        del self.stored[key]
        self._apply([Event(EventType.DELETED, Stored(key, self.revision, b""))])

    def _apply(self, events: list[Event]) -> None:
        self.reconciler.apply(events)
        if self.reconciler.unread:
            self.read_again += 1
            self.reconciler.replace(Listing(tuple(self.stored.values()), self.revision))
            assert not self.reconciler.unread

    @property
    def seen(self) -> set[str]:
        """Namespaces whose Service and DestinationRule are in the model."""
        snapshot = self.reconciler.snapshot
        services = {one.namespace for one in snapshot.services.values()}
        assert services == {namespace for namespace, _ in snapshot.destination_rules.rules}
        return services


@pytest.fixture
def mesh() -> Mesh:
    made = Mesh()
    made.put(namespace("one", mesh="seen"), namespace("two"))
    made.put(*(make(name) for name in ("one", "two", "istio-system") for make in (service, rule)))
    assert made.seen == {"one", "two", "istio-system"}
    return made


def test_namespaces_come_and_go_with_selectors_and_labels(mesh: Mesh) -> None:
    mesh.put((SETTINGS, settings(SELECTING)))
    assert (mesh.seen, mesh.read_again) == ({"one", "istio-system"}, 0)
    mesh.put(namespace("two", mesh="seen"))
    assert (mesh.seen, mesh.read_again) == ({"one", "two", "istio-system"}, 1)
    mesh.put(namespace("one", mesh="other"))
    assert mesh.seen == {"two", "istio-system"}
    mesh.put((SETTINGS, settings("{}")))
    assert (mesh.seen, mesh.read_again) == ({"one", "two", "istio-system"}, 2)
    mesh.put((SETTINGS, settings(SELECTING)))
    mesh.delete(SETTINGS)
    assert mesh.seen == {"one", "two", "istio-system"}
    mesh.put((SETTINGS, settings(SELECTING)))
    mesh.delete(namespace("two")[0])
    assert mesh.seen == {"istio-system"}


def test_what_is_written_where_nobody_looks_is_not_seen_and_says_so(mesh: Mesh) -> None:
    mesh.put((SETTINGS, settings(SELECTING)))
    key, body = service("two")
    mesh.put((key, {**body, "spec": {"ports": [{"name": "http", "port": 81}]}}))
    assert mesh.seen == {"one", "istio-system"}
    assert "discoverySelectors" in mesh.reconciler.unusable(key)
    assert mesh.reconciler.unusable(service("one")[0]) == ""
    mesh.put(namespace("two", mesh="seen"))  # as it is now, not as it was when it was last seen
    assert mesh.reconciler.snapshot.services["a.two.svc.cluster.local"].port(81)


def test_all_at_once_is_the_same_in_every_order() -> None:
    objects = [
        *(make(name) for name in ("one", "two") for make in (service, rule)),
        (SETTINGS, settings(SELECTING)),
        namespace("one", mesh="seen"),
        namespace("two"),
    ]
    for order in (objects, objects[::-1]):
        made = Mesh()
        made.put(*order)
        assert (made.seen, made.read_again) == ({"one"}, 0)
        restarted = Reconciler(ir.Mesh())
        restarted.replace(Listing(tuple(made.stored.values()), made.revision))
        assert set(restarted.snapshot.services) == {"a.one.svc.cluster.local"}


async def test_the_loop_lists_again_for_what_it_has_not_read() -> None:
    store = MemoryStore()
    for key, body in (
        namespace("one"),
        service("one"),
        (SETTINGS, settings(SELECTING)),
    ):
        await store.create(key, msgspec.json.encode(body))
    reconciler = Reconciler(ir.Mesh())
    loop = Loop(store, reconciler)
    running = asyncio.create_task(loop.run())
    try:
        await loop.synced.wait()
        assert not reconciler.snapshot.services
        changed = asyncio.Event()
        reconciler.on_reconciled.append(changed.set)
        key, body = namespace("one", mesh="seen")
        stored = await store.get(key)
        assert stored is not None
        await store.update(key, msgspec.json.encode(body), stored.revision)
        async with asyncio.timeout(20):
            while not reconciler.snapshot.services:
                changed.clear()
                await changed.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_one_selector_that_fits_is_enough() -> None:
    selectors = (
        LabelSelector(match_labels={"mesh": "seen"}),
        LabelSelector(
            match_expressions=(
                LabelSelectorRequirement(key="kubernetes.io/metadata.name", operator="In", values=("two",)),
            )
        ),
    )
    discovery = Discovery(ir.Mesh(discovery=selectors))
    discovery.namespace("one", {"mesh": "seen"})
    discovery.namespace("two", {})
    discovery.namespace("three", {})
    asked = ("one", "two", "three", "four", "istio-system", "")
    assert [discovery.sees(name) for name in asked] == [True, True, False, False, True, True]


def test_commands_without_a_server_see_the_same() -> None:
    found = [decode(body) for _, body in (service("one"), service("two"), namespace("one", mesh="seen"))]
    mesh = ir.Mesh(discovery=(LabelSelector(match_labels={"mesh": "seen"}),))
    assert [one.metadata.namespace for one in seen(found, mesh)] == ["one", ""]
