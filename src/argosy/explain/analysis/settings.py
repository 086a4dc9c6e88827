"""What depends on the settings of the mesh: providers of telemetry, and networks.

# Istio: analyzers/telemetry, multicluster
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.explain.analysis import parts
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.world import Item, World

REGISTRIES = ("Mock", "Kubernetes", "External")
"""Those that Istio has of itself. # Istio: serviceregistry/provider"""
BUILT_IN = ("prometheus", "stackdriver", "envoy")
"""Providers that every mesh has. # Istio: mesh.DefaultMeshConfig"""
REMOTE = "istio/multiCluster"
"""The label of a Secret that leads to another cluster; its keys are what the clusters are called."""


def providers_named(world: World, item: Item) -> Iterator[Finding]:
    if parts.listed(world.mesh, "defaultProviders", "accessLogging"):
        return
    for index, logging in parts.objects(item.spec, "accessLogging"):
        if not parts.listed(logging, "providers") and parts.at(logging, "disabled") is not True:
            yield found("InvalidTelemetryProvider", item, f"spec.accessLogging[{index}]")


def lightstep(world: World, item: Item) -> Iterator[Finding]:
    going = {
        parts.text(provider, "name")
        for _, provider in parts.objects(world.mesh, "extensionProviders")
        if "lightstep" in provider
    }
    for t, tracing in parts.objects(item.spec, "tracing"):
        for p, provider in parts.objects(tracing, "providers"):
            name = parts.text(provider, "name")
            if name in going:
                field = f"spec.tracing[{t}].providers[{p}].name"
                problem = f"{name}: providers of type lightstep are going; use one of type opentelemetry"
                yield found("Deprecated", item, field, problem=problem)


def providers_there(world: World, item: Item) -> Iterator[Finding]:
    """Where the mesh's settings are known: of files they may be elsewhere."""
    if not (world.complete or world.mesh):
        return
    known = [
        *BUILT_IN,
        *(parts.text(one, "name") for _, one in parts.objects(world.mesh, "extensionProviders")),
    ]
    for field, name in _named(item):
        if name and name not in known:
            yield found(
                "ReferencedResourceNotFound",
                item,
                field,
                value=name,
                missing="the mesh has no such provider",
                remedy=f"add it to extensionProviders, or name one of: {parts.joined(known)}",
            )


def _named(item: Item) -> Iterator[tuple[str, str]]:
    if item.kind == "AuthorizationPolicy":
        yield "spec.provider.name", parts.text(item.spec, "provider", "name")
    for part in ("tracing", "metrics", "accessLogging") if item.kind == "Telemetry" else ():
        for index, one in parts.objects(item.spec, part):
            for place, provider in parts.objects(one, "providers"):
                yield f"spec.{part}[{index}].providers[{place}].name", parts.text(provider, "name")


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
        kinds=("Telemetry",),
        rules=(providers_named,),
    ),
    Analyzer(
        name="telemetry.ProviderReferenceAnalyzer",
        description="Providers that Telemetries and AuthorizationPolicies name: that the mesh has them",
        names=("ReferencedResourceNotFound",),
        kinds=("Telemetry", "AuthorizationPolicy"),
        rules=(providers_there,),
    ),
    Analyzer(
        name="telemetry.LightstepAnalyzer",
        description="Telemetries whose provider is of a type that is going",
        names=("Deprecated",),
        kinds=("Telemetry",),
        rules=(lightstep,),
    ),
    Analyzer(
        name="multicluster.MeshNetworksAnalyzer",
        description="MeshNetworks: that the registries they name are known",
        names=("UnknownMeshNetworksServiceRegistry",),
        run=networks,
    ),
)
