"""Services, ServiceEntries, Deployments; EnvoyFilters; settings of the mesh."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.explain.analysis.world import World
from tests.unit.explain.analysis.written import found, obj, world

PORTS = [
    ("{port: 80}", "", ["IST0118"]),
    ("{port: 80, name: web}", "", ["IST0118"]),
    ("{port: 80, name: http-web}", "", []),
    ("{port: 80, name: web, appProtocol: http}", "", []),
    ("{port: 53, name: dns, protocol: UDP}", "", []),
    ("{port: 3306}", "", []),
    ("{port: 443, name: web}", "type: ExternalName, externalName: x.com, ", ["IST0150"]),
    ("{port: 443, name: tcp}", "type: ExternalName, externalName: x.com, ", ["IST0150"]),
    ("{port: 443, name: https}", "type: ExternalName, externalName: x.com, ", []),
]


@pytest.mark.parametrize(("port", "more", "codes"), PORTS)
def test_names_of_ports(port: str, more: str, codes: list[str]) -> None:
    text = f"{{{more}ports: [{port}]}}"
    assert [code for code, _ in found(obj("Service a/s", text))] == codes
    assert found(obj("Service kube-system/s", text)) == []
    assert found(obj("Service a/s", text, labels={"istio": "pilot"})) == []


ENTRY = "{hosts: [x.com], ports: [{number: 22, name: ssh, protocol: %s}]%s}"
CAPTURE = (
    "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true', ISTIO_META_DNS_AUTO_ALLOCATE: 'true'}}"
)


def test_plain_tcp_is_told_apart_by_addresses() -> None:
    assert found(obj("ServiceEntry a/e", ENTRY % ("TCP", ""))) == [("IST0134", "ServiceEntry a/e")]
    assert found(obj("ServiceEntry a/e", ENTRY % ("tcp", ""))) == [("IST0134", "ServiceEntry a/e")]
    assert found(obj("ServiceEntry a/e", ENTRY % ("TLS", ""))) == []
    assert found(obj("ServiceEntry a/e", ENTRY % ("TCP", ", addresses: [1.1.1.1]"))) == []
    assert found(obj("ServiceEntry a/e", ENTRY % ("TCP", "")), mesh=CAPTURE) == []
    told = "{spec: {hosts: [x.com], ports: [{number: 22, protocol: TCP}]}, status: {addresses: [{value: 240.0.0.1}]}}"
    assert found(obj("ServiceEntry a/e", told)) == []


def entry(name: str, protocol: str, more: str = "") -> dict[str, Any]:
    return obj(
        f"ServiceEntry {name}", f"{{hosts: [x.com], ports: [{{number: 80, protocol: {protocol}}}]{more}}}"
    )


def test_entries_of_one_host_agree_on_protocols() -> None:
    mine, both = (
        entry("a/one", "HTTP"),
        [("IST0177", "ServiceEntry a/one"), ("IST0177", "ServiceEntry b/two")],
    )
    assert found(mine, entry("b/two", "HTTPS")) == both
    assert found(mine, entry("b/two", "http")) == []
    assert found(mine, entry("b/two", "HTTPS", ", exportTo: [.]")) == both
    assert found(entry("a/one", "HTTP", ", exportTo: [.]"), entry("b/two", "HTTPS", ", exportTo: [.]")) == []


DEPLOYMENT = (
    "{template: {metadata: {labels: {app: cart}}, spec: {containers: [{name: istio-proxy, image: p}]}}}"
)


def service(name: str, port: str) -> dict[str, Any]:
    return obj(f"Service {name}", f"{{selector: {{app: cart}}, ports: [{port}]}}")


def test_deployments_behind_several_services() -> None:
    one, deployment = service("a/one", "{name: http, port: 80}"), obj("Deployment a/d", DEPLOYMENT)
    udp, target = "{name: udp, port: 80, protocol: UDP}", "{name: http, port: 81, targetPort: 80}"
    assert found(deployment, one, service("a/two", udp)) == [("IST0116", "Deployment a/d")]
    assert found(deployment, one, service("a/two", target)) == [("IST0137", "Deployment a/d")]
    assert found(deployment, one, service("b/two", udp)) == []
    assert found(deployment, one, service("a/two", "{name: http, port: 81}")) == []
    outside = obj("Deployment a/d", DEPLOYMENT.replace("istio-proxy", "app"))
    assert found(outside, one, service("a/two", udp)) == []


def patch(operation: str, target: str = "HTTP_FILTER", more: str = "", version: str = "") -> dict[str, Any]:
    match = f"match: {{proxy: {{proxyVersion: '{version}'}}}}, " if version else ""
    one = f"{{applyTo: {target}, {match}patch: {{operation: {operation}, value: {{name: lua}}}}}}"
    return obj("EnvoyFilter a/f", f"{{configPatches: [{one}]{more}}}")


@pytest.mark.parametrize(
    ("written", "codes"),
    [
        (patch("INSERT_BEFORE"), ["IST0151"]),
        (patch("MERGE", "CLUSTER"), ["IST0151"]),
        (patch("INSERT_BEFORE", more=", priority: 5"), []),
        (patch("INSERT_FIRST"), []),
        (patch("REPLACE", "CLUSTER"), ["IST0152"]),
        (patch("REPLACE"), ["IST0151"]),
        (patch("ADD", "HTTP_ROUTE"), ["IST0153"]),
        (patch("ADD", "CLUSTER"), []),
        (patch("REMOVE", "ROUTE_CONFIGURATION"), ["IST0154"]),
        (patch("REMOVE", "CLUSTER"), ["IST0151"]),
    ],
)
def test_patches(written: dict[str, Any], codes: list[str]) -> None:
    assert [code for code, _ in found(written)] == codes


def test_a_patch_beside_one_for_a_version_of_the_proxy() -> None:
    versioned = patch("INSERT_FIRST", version="^1\\.11.*")
    versioned["metadata"]["name"] = "versioned"
    assert found(versioned, patch("INSERT_AFTER")) == [("IST0155", "EnvoyFilter a/f")]


LOGGING = "{accessLogging: [%s]}"


def test_access_logging_names_a_provider() -> None:
    silent = obj("Telemetry a/t", LOGGING % "{filter: {expression: 'true'}}")
    assert found(silent) == [("IST0157", "Telemetry a/t")]
    assert found(silent, mesh="defaultProviders: {accessLogging: [envoy]}") == []
    assert found(obj("Telemetry a/t", LOGGING % "{providers: [{name: envoy}]}")) == []
    assert found(obj("Telemetry a/t", LOGGING % "{disabled: true}")) == []


def test_lightstep_is_going() -> None:
    mesh = "extensionProviders: [{name: l, lightstep: {service: s, port: 1}}, {name: z, zipkin: {service: s, port: 1}}]"
    assert found(obj("Telemetry a/t", "{tracing: [{providers: [{name: l}]}]}"), mesh=mesh) == [
        ("IST0002", "Telemetry a/t")
    ]
    assert found(obj("Telemetry a/t", "{tracing: [{providers: [{name: z}]}]}"), mesh=mesh) == []


NETWORKS = "networks: {one: {endpoints: [{fromRegistry: %s}], gateways: [{address: 1.1.1.1, port: 1}]}}"


def networks(registry: str, *objects: dict[str, Any]) -> list[tuple[str, str]]:
    from argosy.explain.analysis.analyze import analyze
    from argosy.explain.analysis.loaded import world as loaded
    from argosy.resources.loading import Document, load_documents

    documents = load_documents(NETWORKS % registry, "networks.yaml")
    documents += [Document("more.yaml", index, 1, each) for index, each in enumerate(objects)]
    return [(each.message.code, each.message.origin) for each in analyze(loaded(documents)[0])]


def test_registries_of_networks() -> None:
    assert networks("nowhere") == [("IST0126", "MeshNetworks istio-system/meshnetworks")]
    assert networks("Kubernetes") == []
    remote = {"apiVersion": "v1", "kind": "Secret", "data": {"east": ""}}
    remote["metadata"] = {"name": "r", "namespace": "istio-system", "labels": {"istio/multiCluster": "true"}}
    assert networks("east", remote) == []


def test_the_settings_of_the_config_map_count() -> None:
    config = obj(
        "ConfigMap istio-system/istio", "{data: {mesh: 'rootNamespace: top', meshNetworks: 'networks: {}'}}"
    )
    made: World = world(config)
    assert made.root_namespace == "top"
    assert world().root_namespace == "istio-system"
