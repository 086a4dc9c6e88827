"""Whatever raises on the way from an object to the proxies is told on that object, and stops nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from argosy.explain.analysis import applied
from argosy.registry import objects
from argosy.store.base import Key
from argosy.translate import outbound
from tests.unit.server.test_reporting import Mesh, mesh
from tests.unit.server.world import VS, FakeEnvoy, node, virtual_service

__all__ = ["mesh"]

Json = dict[str, Any]
BAD = "bad.default.svc.cluster.local"
RULE = Key("networking.istio.io/destinationrules", "default", "bad")
ENTRY = Key("networking.istio.io/serviceentries", "default", "bad")


def rule() -> Json:
    metadata = {"name": "bad", "namespace": "default"}
    api = "networking.istio.io/v1"
    return {"apiVersion": api, "kind": "DestinationRule", "metadata": metadata, "spec": {"host": "bad"}}


def entry() -> Json:
    metadata = {"name": "bad", "namespace": "default"}
    spec = {
        "hosts": [BAD],
        "resolution": "DNS",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
    }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": metadata,
        "spec": spec,
    }


def raising(where: Any, name: str, concerns: Callable[..., bool]) -> Callable[[pytest.MonkeyPatch], None]:
    working = getattr(where, name)

    def broken(*arguments: Any, **more: Any) -> Any:
        if concerns(*arguments):
            raise KeyError("a defect of ours")
        return working(*arguments, **more)

    return lambda patch: patch.setattr(where, name, broken)


@pytest.mark.parametrize(
    ("defect", "body", "key"),
    [
        (raising(outbound, "cluster", lambda _r, _s, host, *_: host == BAD), rule(), RULE),
        (raising(objects, "lower_service_entry", lambda obj: obj.metadata.name == "bad"), entry(), ENTRY),
    ],
    ids=["a generator", "a lowering"],
)
async def test_a_translation_that_raises_is_told_on_its_object_and_the_others_arrive(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, defect: Any, body: Json, key: Key
) -> None:
    await mesh.workload("reviews-v1")
    await mesh.put(entry(), ENTRY)
    await mesh.seen()
    envoy = FakeEnvoy(mesh.reconciler, "client-1", node())
    envoy.exchange()
    defect(monkeypatch)
    changed = {**body, "spec": {**body["spec"], "exportTo": ["*"]}}
    await mesh.put(changed, key)
    found = await mesh.becomes("Invalid", key, "Accepted")
    assert (found["status"], "a defect of ours" in found["message"]) == ("False", True)
    assert (await mesh.condition(key))["reason"] == "NotAccepted"
    await mesh.put(virtual_service(), VS)
    await mesh.seen()
    envoy.exchange()
    assert (await mesh.becomes("Programmed"))["message"] == "1 of 1 affected proxies run it"
    monkeypatch.undo()
    await mesh.put({**body, "spec": {**body["spec"], "exportTo": ["."]}}, key)
    await mesh.becomes("Accepted", key, "Accepted")


async def test_a_lowering_of_configuration_that_raises_is_contained(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **_more: Any) -> Any:
        raise KeyError("a defect of ours")

    monkeypatch.setattr(mesh.reconciler.snapshot.destination_rules, "put", broken)
    await mesh.put(rule(), RULE)
    assert "a defect of ours" in (await mesh.becomes("Invalid", RULE, "Accepted"))["message"]
    await mesh.put(virtual_service(), VS)
    await mesh.becomes("NoSubscribers")


async def test_an_analyzer_that_raises_says_so_and_hides_nothing_else(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Iterator[Any]:
        raise KeyError("a defect of ours")

    rules = dict(applied.RULES)
    rules["VirtualService"] = (broken, *rules["VirtualService"])
    monkeypatch.setattr(applied, "RULES", rules)
    await mesh.put(virtual_service(), VS)
    found = await mesh.becomes("InternalError", kind="Warned")
    assert "a defect of ours" in found["message"]
    assert (await mesh.condition(kind="ResolvedRefs"))["reason"] == "ReferencedResourceNotFound"
    assert (await mesh.condition(kind="Accepted"))["status"] == "True"
