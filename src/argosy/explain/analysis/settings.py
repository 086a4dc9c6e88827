"""What depends on the settings of the mesh: providers of telemetry, and networks.

# Istio: analyzers/telemetry, multicluster
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.explain.analysis import parts
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import Item, World

REGISTRIES = ("Mock", "Kubernetes", "External")
"""Those that Istio has of itself. # Istio: serviceregistry/provider"""
REMOTE = "istio/multiCluster"
"""The label of a Secret that leads to another cluster; its keys are what the clusters are called."""


def providers_named(mesh: Json, item: Item) -> Iterator[Finding]:
    if parts.listed(mesh, "defaultProviders", "accessLogging"):
        return
    for index, logging in parts.objects(item.spec, "accessLogging"):
        if not parts.listed(logging, "providers") and parts.at(logging, "disabled") is not True:
            yield found("InvalidTelemetryProvider", item, f"spec.accessLogging[{index}]")


def telemetry_providers(world: World) -> Iterator[Finding]:
    for item in world.of("Telemetry"):
        yield from providers_named(world.mesh, item)


def lightstep(world: World) -> Iterator[Finding]:
    named = {
        parts.text(provider, "name")
        for _, provider in parts.objects(world.mesh, "extensionProviders")
        if "lightstep" in provider
    }
    for item in world.of("Telemetry"):
        for t, tracing in parts.objects(item.spec, "tracing"):
            for p, provider in parts.objects(tracing, "providers"):
                if parts.text(provider, "name") in named:
                    field = f"spec.tracing[{t}].providers[{p}].name"
                    name = parts.text(provider, "name")
                    problem = f"{name}: providers of type lightstep are going; use one of type opentelemetry"
                    yield found("Deprecated", item, field, problem=problem)


def networks(world: World) -> Iterator[Finding]:
    if world.networks is None:
        return
    known = [*REGISTRIES]
    for secret in world.of("Secret"):
        if secret.labels.get(REMOTE) == "true":
            known += [*parts.mapping(secret.body, "data"), *parts.mapping(secret.body, "stringData")]
    for name, network in parts.mapping(world.networks.body, "networks").items():
        for index, endpoint in parts.objects(network, "endpoints"):
            registry = parts.text(endpoint, "fromRegistry")
            if registry and registry not in known:
                yield found(
                    "UnknownMeshNetworksServiceRegistry",
                    world.networks,
                    f"networks.{name}.endpoints[{index}].fromRegistry",
                    network=name,
                    registry=registry,
                    known=parts.joined(known),
                )


ANALYZERS = (
    Analyzer(
        name="telemetry.ProviderAnalyzer",
        description="Access logging of Telemetries: that it names a provider",
        names=("InvalidTelemetryProvider",),
        run=telemetry_providers,
    ),
    Analyzer(
        name="telemetry.LightstepAnalyzer",
        description="Telemetries whose provider is of a type that is going",
        names=("Deprecated",),
        run=lightstep,
    ),
    Analyzer(
        name="multicluster.MeshNetworksAnalyzer",
        description="MeshNetworks: that the registries they name are known",
        names=("UnknownMeshNetworksServiceRegistry",),
        run=networks,
    ),
)
