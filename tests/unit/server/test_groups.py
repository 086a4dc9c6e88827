"""Workloads that join a WorkloadGroup: what their entries are made from, and what a group cannot give."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from argosy.model.proxy_start import start_of
from argosy.model.snapshot import Snapshot
from argosy.server import entries
from argosy.store.base import Key
from argosy.xds.registration import Announce, Announced, Refused, Registered
from argosy.xds.start import HttpProbe, Probe
from tests.unit.server.test_registration import Mesh, Talk, mesh, register

__all__ = ["mesh"]

Json = dict[str, Any]
GROUP: Json = {
    "metadata": {
        "labels": {"app": "reviews", "tier": "back", "version": "v0"},
        "annotations": {"owner": "somebody", "proxy.istio.io/config": "{concurrency: 3, meshId: far}"},
    },
    "template": {
        "labels": {"kind": "vm", "tier": "template"},
        "ports": {"http": 9080},
        "network": "east",
        "locality": "eu/a",
        "weight": 5,
        "serviceAccount": "reviews",
    },
    "probe": {"httpGet": {"port": 9080, "path": "/healthy"}},
}


async def with_group(mesh: Mesh, **changes: Any) -> None:
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": "vms", "namespace": "default"},
        "spec": {**GROUP, **changes},
    }
    mesh.registrar.starts = lambda *given: start_of(Snapshot(), *given)
    await mesh.store.create(Key(entries.WORKLOAD_GROUPS, "default", "vms"), msgspec.json.encode(body))


async def joined(mesh: Mesh, **changes: Any) -> Registered:
    answer = await Talk(mesh).ask(register(service="", group="vms", **changes))
    assert isinstance(answer, Registered), answer
    return answer


async def test_an_entry_is_made_from_the_group_and_its_own_word_has_precedence(mesh: Mesh) -> None:
    await with_group(mesh)
    answer = await joined(mesh)
    body = await mesh.body()
    labels = {"app": "reviews", "tier": "back", "version": "v1", "kind": "vm"}
    assert body["spec"] == {
        "address": "127.0.0.1",
        "labels": labels,
        "serviceAccount": "reviews",
        "network": "east",
        "locality": "eu/a",
        "weight": 5,
        "ports": {"http": 9080},
    }
    assert body["metadata"]["labels"] == labels == answer.labels
    assert answer.locality == "eu/a"
    annotations = body["metadata"]["annotations"]
    assert annotations["owner"] == "somebody"
    assert annotations["istio.io/autoRegistrationGroup"] == "vms"
    assert entries.PORTS in annotations
    assert not await mesh.healthy(), "it is announced when its probe succeeds"
    assert answer.start.probe == Probe(http=HttpProbe(port=9080, path="/healthy"))
    assert (answer.start.concurrency, answer.start.mesh_id) == (3, "far")


async def test_what_the_workload_says_itself_has_precedence(mesh: Mesh) -> None:
    await with_group(mesh)
    answer = await joined(mesh, locality="us/b", network="west", proxy_config="concurrency: 7")
    spec = (await mesh.body())["spec"]
    assert (spec["locality"], spec["network"]) == ("us/b", "west")
    assert (answer.start.concurrency, answer.start.mesh_id) == (7, "far")


async def test_a_group_gives_no_identity_that_is_not_proven(mesh: Mesh) -> None:
    await with_group(mesh, template={"serviceAccount": "admin"})
    answer = await Talk(mesh).ask(register(service="", group="vms"))
    assert isinstance(answer, Refused)
    assert answer.field == "service_account"
    assert "use --service-account admin" in answer.message
    assert await mesh.present() == set()


async def test_a_group_without_a_service_account_takes_the_proven_one(mesh: Mesh) -> None:
    await with_group(mesh, template={})
    await joined(mesh)
    assert (await mesh.body())["spec"]["serviceAccount"] == "reviews"


async def test_a_group_cannot_write_what_the_agent_says_of_itself(mesh: Mesh) -> None:
    forged = {entries.PORTS: "[]", entries.HEALTH_CHECKED: "false", entries.CONTROLLER: "other"}
    await with_group(mesh, metadata={"annotations": forged})
    await joined(mesh)
    annotations = (await mesh.body())["metadata"]["annotations"]
    assert annotations.items().isdisjoint(forged.items())


async def test_a_group_that_is_not_there_is_waited_for_by_name(mesh: Mesh) -> None:
    answer = await Talk(mesh).ask(register(group="none"))
    assert isinstance(answer, Refused)
    assert (answer.field, answer.message) == (
        "group",
        "there is no WorkloadGroup default/none: create it first",
    )


async def test_who_has_joined_stays_as_it_is_when_the_group_is_gone_and_nobody_else_joins(mesh: Mesh) -> None:
    """As a server that starts has all its workloads register again."""
    await with_group(mesh)
    talk = Talk(mesh)
    before = await talk.ask(register(service="", group="vms"))
    assert isinstance(before, Registered)
    assert isinstance(await talk.ask(Announce()), Announced)
    entry = await mesh.body()
    assert "ownerReferences" not in entry["metadata"], "who deletes a group deletes no workload that runs"
    await mesh.store.delete(Key(entries.WORKLOAD_GROUPS, "default", "vms"))
    again = await joined(mesh)
    (remark,) = again.remarks
    assert remark == "WorkloadGroup default/vms is gone: what it gave to the entry stays, but for its probe"
    assert msgspec.structs.replace(again, remarks=(), start=before.start) == before
    assert msgspec.structs.replace(again.start, probe=before.start.probe) == before.start
    assert await mesh.body() == entry
    assert await mesh.healthy(), "it is announced all the time"
    await mesh.store.delete(entries.entry_key("default", "reviews-v1"))
    newcomer = await Talk(mesh).ask(register(service="", group="vms"))
    assert isinstance(newcomer, Refused)
    assert newcomer.message == "there is no WorkloadGroup default/vms: create it first"


async def test_an_annotation_of_the_group_that_is_none_is_left_out_and_told(mesh: Mesh) -> None:
    await with_group(mesh, metadata={"annotations": {"proxy.istio.io/config": "concurrency: many"}})
    answer = await joined(mesh, proxy_config="meshId: a")
    assert answer.start.mesh_id == "a"
    (remark,) = answer.remarks
    assert "the annotation proxy.istio.io/config is left out" in remark
    assert "concurrency" in remark


async def test_what_of_an_annotation_is_the_meshs_alone_is_told_to_its_workload_and_logged(
    mesh: Mesh, capsys: pytest.CaptureFixture[str]
) -> None:
    await with_group(mesh, metadata={"annotations": {"proxy.istio.io/config": "tracing: {sampling: 5}"}})
    answer = await joined(mesh, proxy_config="{meshId: a, connectionSettings: {httpMergeSlashes: true}}")
    assert answer.start.mesh_id == "a"
    told = [remark.partition(" is not in force")[0] for remark in answer.remarks]
    assert told == [
        "the annotation proxy.istio.io/config: tracing",
        "the annotation proxy.istio.io/config: connectionSettings.httpMergeSlashes",
    ]
    logged = capsys.readouterr()
    assert all(remark in logged.out + logged.err for remark in answer.remarks)


async def test_what_somebody_wrote_to_the_entry_holds_from_the_next_registration(mesh: Mesh) -> None:
    mesh.registrar.starts = lambda *given: start_of(Snapshot(), *given)
    talk = Talk(mesh)
    await talk.ask(register())
    assert await talk.ask(Announce()) == Announced(acknowledged=1)
    stored = await mesh.store.get(entries.entry_key("default", "reviews-v1"))
    assert stored is not None
    body = msgspec.json.decode(stored.body)
    body["metadata"]["annotations"]["proxy.istio.io/config"] = "concurrency: 5"
    await mesh.store.update(stored.key, msgspec.json.encode(body), stored.revision)
    again = await Talk(mesh).ask(register())
    assert isinstance(again, Registered)
    assert again.start.concurrency == 5
    assert await mesh.healthy(), "nothing moved"


@pytest.mark.parametrize("text", ["concurrency: many", "[]", "{"])
async def test_a_proxy_config_that_is_none_is_refused_before_anything_is_written(
    mesh: Mesh, text: str
) -> None:
    answer = await Talk(mesh).ask(register(proxy_config=text, service=""))
    assert isinstance(answer, Refused)
    assert answer.field == "proxy_config"
    assert await mesh.present() == set()
