"""The analysis of a running mesh: what it keeps is what a new look finds, and a change costs what depends on it."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.explain.analysis import applied, objects
from argosy.explain.analysis.analyze import ALL
from argosy.explain.analysis.live import Live
from argosy.explain.analysis.world import World, item
from tests.unit.explain.analysis.written import obj

OVER_ALL = {
    "schema.ValidationAnalyzer",  # what is applied is valid, and warned of as it is validated
    "schema.SettingsAnalyzer",  # of files
    "conditions.ConditionAnalyzer",  # what the mesh writes itself
    "k8sgateway.CRDVersionAnalyzer",  # definitions are not applied
    "multicluster.MeshNetworksAnalyzer",  # settings, warned of as they are validated
    "authn.BlockedCIDRsAnalyzer",  # of the Deployment of another control plane
}
MESH = """
ConfigMap istio-system/istio | data: {mesh: "extensionProviders: [{name: zipkin}]"}
ConfigMap istio-system/istio | data: {mesh: "defaultServiceExportTo: ['.']"}
Namespace shop |
Namespace team |
Service shop/reviews | {selector: {app: reviews}, ports: [{name: http, port: 80}]}
Service shop/reviews | {selector: {app: ratings}, ports: [{name: http, port: 80}, {name: tcp, port: 90}]}
Service team/reviews | {selector: {app: reviews}, ports: [{name: http, port: 80}]}
ServiceEntry shop/out | {hosts: [a.com], ports: [{number: 80, name: http, protocol: HTTP}]}
ServiceEntry team/out | {hosts: [a.com, "*.b.com"], ports: [{number: 80, name: tcp, protocol: TCP}], exportTo: ["*"]}
WorkloadEntry shop/one | {address: 1.1.1.1, labels: {app: reviews, version: v1}}
WorkloadEntry shop/two | {address: 1.1.1.2, labels: {app: reviews, istio: edge}}
WorkloadEntry team/one | {address: 1.1.1.3, labels: {istio: edge}}
DestinationRule shop/reviews | {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
DestinationRule shop/reviews | {host: reviews, subsets: [{name: v2, labels: {version: v2}}]}
DestinationRule team/all | {host: "*.com", trafficPolicy: {tls: {mode: SIMPLE, credentialName: ca}}}
DestinationRule team/mine | {host: a.com, workloadSelector: {}, trafficPolicy: {tls: {mode: MUTUAL, credentialName: c}}}
VirtualService shop/v | {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}}]}]}
VirtualService shop/w | {hosts: [reviews], http: [{route: [{destination: {host: x.b.com}}]}]}
VirtualService shop/w | {hosts: [w.com], http: [{delegate: {name: d, namespace: team}}]}
VirtualService team/d | {http: [{route: [{destination: {host: reviews}}]}]}
VirtualService team/g | {hosts: [g.com], gateways: [shop/edge], http: [{route: [{destination: {host: reviews}}]}]}
Gateway shop/edge | {selector: {istio: edge}, servers: [{port: {number: 80}, hosts: [g.com]}]}
Gateway team/edge | {selector: {istio: edge}, servers: [{port: {number: 80}, hosts: [g.com]}]}
Gateway team/edge | {servers: [{port: {number: 1}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: c}}]}
Sidecar shop/s | {workloadSelector: {labels: {app: reviews}}, egress: [{hosts: ["*/a.com"]}]}
Sidecar shop/t | {workloadSelector: {labels: {version: v1}}, egress: [{hosts: ["team/*.b.com"]}]}
Sidecar shop/t | {egress: [{hosts: ["./reviews.shop.svc.cluster.local"]}]}
Sidecar shop/u | {egress: [{hosts: ["./*"]}]}
Telemetry shop/t | {selector: {matchLabels: {app: reviews}}, tracing: [{providers: [{name: zipkin}]}]}
Telemetry shop/u | {selector: {matchLabels: {version: v1}}}
Telemetry shop/u | {accessLogging: [{disabled: false}]}
Telemetry shop/w | {}
AuthorizationPolicy shop/p | {selector: {matchLabels: {app: x}}, rules: [{from: [{source: {namespaces: [team]}}]}]}
AuthorizationPolicy shop/p | {rules: [{from: [{source: {namespaces: ["te*"]}}]}]}
EnvoyFilter shop/f | {configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {name: x}}}]}
EnvoyFilter team/f | {configPatches: [{applyTo: CLUSTER, match: {proxy: {proxyVersion: x}}, patch: {value: {name: x}}}]}
Secret team/c | data: {}
Secret team/ca | data: {ca.crt: bm90aGluZw==}
"""
OBJECTS = [
    obj(called.strip(), text)
    for called, _, text in (line.partition("|") for line in MESH.strip().splitlines())
]
NOW = "2026-01-01T00:00:00+00:00"


def ref(body: dict[str, Any]) -> tuple[str, str, str]:
    metadata = body["metadata"]
    return body["kind"], metadata.get("namespace", ""), metadata["name"]


def anew(bodies: list[dict[str, Any]]) -> dict[tuple[str, str, str], list[str]]:
    """What is found by a World that was never another."""
    world = World((made for each in bodies if (made := item(each))), complete=True, now=NOW)
    found = {ref: applied.findings(world, about, (objects.warned_of,)) for ref, about in world.items.items()}
    return {ref: sorted(map(str, said(each))) for ref, each in found.items()}


def said(found: Any) -> list[tuple[str, str, str]]:
    """Without the order in which several others are named."""
    return [(each.type.code, each.field, "".join(sorted(each.text))) for each in found]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(range(len(OBJECTS))), st.booleans()), max_size=60))
def test_what_is_kept_is_what_a_new_look_finds(changes: list[tuple[int, bool]]) -> None:
    live, held = Live("cluster.local"), {}
    for index, there in changes:
        body = json.loads(json.dumps(OBJECTS[index]))
        if there:
            held[ref(body)] = body
            live.put(body)
        else:
            held.pop(ref(body), None)
            live.remove(ref(body))
        now = {each: sorted(map(str, said(live.findings(each, NOW)))) for each in held}
        assert now == anew(list(held.values()))


def test_the_pool_has_something_of_every_rule() -> None:
    """Or the comparison would prove little."""
    codes = set()
    for upto in range(len(OBJECTS)):
        for first in (OBJECTS[: upto + 1], OBJECTS[upto:]):
            world = World((made for each in first if (made := item(each))), complete=True, now=NOW)
            codes |= {one.type.code for each in world.items.values() for one in applied.findings(world, each)}
    assert codes >= {
        f"IST0{n}" for n in (101, 109, 110, 111, 112, 127, 134, 145, 151, 155, 157, 159, 160, 161)
    }
    assert codes >= {"IST0173", "IST0174", "IST0177"}


def test_all_that_is_found_about_an_object_is_found_at_apply() -> None:
    """Each analyzer asks objects one by one, or stands here with the reason."""
    assert {each.name for each in ALL if not (each.rules or each.kubernetes)} <= OVER_ALL
    asked = {kind for each in ALL if not each.kubernetes for kind in each.kinds}
    assert asked >= {"VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "EnvoyFilter"}
    assert asked >= {
        "AuthorizationPolicy",
        "RequestAuthentication",
        "Telemetry",
        "WasmPlugin",
        "Service",
        "Namespace",
    }
    assert set(applied.RULES) == asked


def mesh_of(services: int) -> Live:
    live = Live("cluster.local")
    for n in range(services):
        app = {"app": f"s{n}"}
        for called, spec in (
            (f"Service shop/s{n}", {"selector": app, "ports": [{"name": "http", "port": 80}]}),
            (f"WorkloadEntry shop/s{n}-v1", {"labels": app | {"version": "v1"}}),
            (
                f"DestinationRule shop/s{n}",
                {"host": f"s{n}", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
            ),
            (
                f"VirtualService shop/s{n}",
                {"hosts": [f"s{n}"], "http": [{"route": [{"destination": {"host": f"s{n}"}}]}]},
            ),
            (f"Sidecar shop/s{n}", {"workloadSelector": {"labels": app}}),
        ):
            live.put(obj(called) | {"spec": spec})
    for each in tuple(live.world.items):
        live.findings(each, NOW)
    return live


@pytest.mark.parametrize(
    ("changed", "concerned"),
    [
        (
            "Service shop/s7 | {ports: [{name: http, port: 81}]}",
            {"Service", "DestinationRule", "VirtualService"},
        ),
        (
            "WorkloadEntry shop/s7-v2 | {labels: {app: s7, version: v2}}",
            {"WorkloadEntry", "DestinationRule", "Sidecar"},
        ),
        ("VirtualService shop/s7 | {hosts: [s7, s8]}", {"VirtualService"}),
        ("Sidecar shop/new | {workloadSelector: {labels: {app: s7}}}", {"Sidecar"}),
    ],
)
@pytest.mark.parametrize("services", [50, 1000])
def test_a_change_concerns_what_depends_on_it(services: int, changed: str, concerned: set[str]) -> None:
    live = mesh_of(services)
    called, _, text = changed.partition("|")
    outdated = live.put(obj(called.strip(), text))
    assert {kind for kind, _, _ in outdated} == concerned
    assert len(outdated) <= 4
    before = live.computed
    for each in tuple(live.world.items):
        live.findings(each, NOW)
    assert live.computed - before == len(outdated), "nothing else is looked at again"


def test_the_same_again_and_what_only_machines_write_concern_nobody() -> None:
    live = mesh_of(1)
    same = obj("Service shop/s0", "{selector: {app: s0}, ports: [{name: http, port: 80}]}")
    assert live.put(same | {"status": {"conditions": [{"type": "x"}]}}) == set()
    same["metadata"] |= {"resourceVersion": "7", "managedFields": [{}]}
    assert live.put(same) == set()
    beside = obj("WorkloadEntry shop/s0-v1", "{address: 9.9.9.9, labels: {app: s0, version: v1}}")
    assert live.put(beside | {"status": {}}) == set(), "an endpoint moves, and no label does"


def workload(service: int, replica: int) -> dict[str, Any]:
    labels = {"app": f"s{service}", "version": f"v{replica % 2}"}
    body = obj(f"WorkloadEntry shop/s{service}-{replica}")
    body["metadata"] |= {"labels": dict(labels), "annotations": {"note": f"{service} {replica}"}}
    return body | {"spec": {"address": f"10.0.{service}.{replica}", "labels": dict(labels)}}


def test_what_is_kept_of_a_workload_is_little() -> None:
    """Replicas share what they have in common; a mesh has ten times as many workloads as services."""
    live = mesh_of(100)
    gc.collect()
    tracemalloc.start()
    try:
        for service in range(100):
            for replica in range(20):
                live.put(workload(service, replica))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / 2000 < 900, "bytes"


def test_workloads_that_share_labels_part_again() -> None:
    live = mesh_of(1)
    for replica in range(6):
        live.put(workload(0, replica))
    changed = workload(0, 2)
    changed["spec"]["labels"]["version"] = changed["metadata"]["labels"]["version"] = "v9"
    live.put(changed)
    found = {each.name: each.labels["version"] for each in live.world.selected({"app": "s0"}, "shop")}
    assert found == {
        "s0-v1": "v1",
        **{f"s0-{replica}": "v9" if replica == 2 else f"v{replica % 2}" for replica in range(6)},
    }


def test_nothing_of_a_secret_is_kept_but_what_is_public() -> None:
    live = Live("cluster.local")
    live.put(obj("Secret shop/c", "data: {tls.crt: aGVsbG8=, tls.key: c2VjcmV0, password: c2VjcmV0}"))
    assert "c2VjcmV0" not in repr(live.world.items)


def test_certificates_run_out_without_a_change() -> None:
    """Of objects that name Secrets alone: the rest is as it was."""
    live = mesh_of(3)
    for name in ("one", "two"):
        tls = "tls: {mode: SIMPLE, credentialName: c}"
        text = f"{{selector: {{app: s0}}, servers: [{{port: {{number: 443}}, hosts: [{name}.com], {tls}}}]}}"
        live.put(obj(f"Gateway shop/{name}", text))
    for each in tuple(live.world.items):
        live.findings(each, NOW)
    assert live.aged() == {("Gateway", "shop", "one"), ("Gateway", "shop", "two")}
    assert live.aged() == set()
