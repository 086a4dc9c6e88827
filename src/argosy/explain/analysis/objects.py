"""What is to be said of an object by itself: its schema, what is deprecated, the conditions in its status.

# Istio: analyzers/schema, deprecation, conditions, k8sgateway (CRDVersionAnalyzer)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from argosy.explain.analysis import parts
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.world import KUBERNETES_GATEWAY, MESH_CONFIG, Item, World
from argosy.resources import meshconfig
from argosy.resources.kinds import kind_of_group
from argosy.resources.problem import Code, Problem
from argosy.resources.validation import validate

PRECISE = {
    Code.UNREACHABLE_RULE: "VirtualServiceUnreachableRule",
    Code.INEFFECTIVE_MATCH: "VirtualServiceIneffectiveMatch",
    Code.DEPRECATED: "Deprecated",
}


def schemas(world: World) -> Iterator[Finding]:
    """Of kinds that the mesh has; those of a server were judged when they were written."""
    for item in world.items.values():
        known = kind_of_group(parts.text(item.body, "apiVersion"), parts.text(item.body, "kind"))
        if known is not None and (item.source or not world.complete):
            yield from _judged(item)


def warned_of(_world: World, item: Item) -> Iterator[Finding]:
    """What validation warns of in an object that is valid."""
    for problem in validate(item.body).warnings:
        yield _told(PRECISE[problem.code] if problem.code else "SchemaWarning", item, problem)


def _judged(item: Item) -> Iterator[Finding]:
    verdict = validate(item.body)
    for problem in verdict.errors:
        yield _told("SchemaValidationError", item, problem)
    for problem in verdict.warnings:
        name = PRECISE[problem.code] if problem.code else "SchemaWarning"
        yield _told(name, item, problem)


def _told(name: str, item: Item, problem: Problem) -> Finding:
    return found(name, item, problem.field, problem=problem.message)


REMOVED = {
    ("rbac.istio.io", kind)
    for kind in ("ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding")
}


def egress_proxy(_world: World, item: Item) -> Iterator[Finding]:
    if parts.at(item.spec, "outboundTrafficPolicy", "egressProxy") is not None:
        field = "spec.outboundTrafficPolicy.egressProxy"
        yield found("Deprecated", item, field, problem="is ignored; route through an egress gateway")


def gone(world: World) -> Iterator[Finding]:
    """Kinds that are gone, whether defined or used. Other fields are told with the schema."""
    for item in world.items.values():
        field, kind = (
            "kind",
            (
                parts.text(item.body, "apiVersion").rpartition("/")[0],
                parts.text(item.body, "kind"),
            ),
        )
        if item.kind == "CustomResourceDefinition":
            field = "spec.names.kind"
            kind = (parts.text(item.spec, "group"), parts.text(item.spec, "names", "kind"))
        if kind in REMOVED:
            problem = f"kind {kind[1]} of {kind[0]} is gone; write AuthorizationPolicy"
            yield found("Deprecated", item, field, problem=problem)


WAYPOINT = "istio.io/WaypointBound"
OF_GATEWAY_API = ("Accepted", "Programmed", "ResolvedRefs")
NEGATIVE: Mapping[str, tuple[str, ...]] = {
    "Service": (WAYPOINT,),
    "ServiceEntry": (WAYPOINT,),
    "AuthorizationPolicy": ("ZtunnelAccepted", "WaypointAccepted"),
    KUBERNETES_GATEWAY: OF_GATEWAY_API,
    "HTTPRoute.gateway.networking.k8s.io": OF_GATEWAY_API,
    "GRPCRoute.gateway.networking.k8s.io": OF_GATEWAY_API,
}
"""Kind -> the conditions that say something is wrong where they are False."""
PARTIAL = ("WaypointAccepted", "PartiallyInvalid")


def conditions(world: World) -> Iterator[Finding]:
    for kind, types in NEGATIVE.items():
        for item in world.of(kind):
            for field, condition in _conditions(item):
                type_, reason = parts.text(condition, "type"), parts.text(condition, "reason")
                failed = type_ in types and parts.text(condition, "status") == "False"
                if failed or (type_ in types and (type_, reason) == PARTIAL):
                    message = parts.text(condition, "message")
                    yield found(
                        "NegativeConditionStatus", item, field, type=type_, reason=reason, message=message
                    )


def _conditions(item: Item) -> Iterator[tuple[str, parts.Json]]:
    for index, condition in parts.objects(item.body, "status", "conditions"):
        yield f"status.conditions[{index}]", condition
    for p, parent in parts.objects(item.body, "status", "parents"):
        for index, condition in parts.objects(parent, "conditions"):
            yield f"status.parents[{p}].conditions[{index}]", condition


BUNDLE_VERSION = "gateway.networking.k8s.io/bundle-version"
MINIMUM: Mapping[str, tuple[int, int, int]] = {
    "grpcroutes.gateway.networking.k8s.io": (1, 1, 0),
    "backendtlspolicies.gateway.networking.k8s.io": (1, 4, 0),
    "tlsroutes.gateway.networking.k8s.io": (1, 5, 0),
}
"""From which version of the Gateway API the definition has what the mesh reads. # Istio: MinimumCRDVersions"""


def definitions(world: World) -> Iterator[Finding]:
    for item in world.of("CustomResourceDefinition"):
        minimum, written = MINIMUM.get(item.name), item.annotations.get(BUNDLE_VERSION, "")
        version = re.match(r"v?(\d+)\.(\d+)\.(\d+)", written)
        if minimum and version and tuple(map(int, version.groups())) < minimum:
            field = f"metadata.annotations[{BUNDLE_VERSION}]"
            wanted = ".".join(map(str, minimum))
            yield found("GatewayAPICRDVersionBelowMinimum", item, field, version=written, minimum=wanted)


def settings(world: World) -> Iterator[Finding]:
    """MeshConfig and MeshNetworks, where they come in files of their own."""
    for item in world.settings:
        key = meshconfig.KEY if item.kind == MESH_CONFIG else meshconfig.NETWORKS_KEY
        judged = meshconfig.judge_settings(item.body, key)
        for problem in judged.errors:
            yield _told("SchemaValidationError", item, problem)
        for problem in judged.warnings:
            yield _told("SchemaWarning", item, problem)


ANALYZERS = (
    Analyzer(
        name="schema.ValidationAnalyzer",
        description="Fields and values of the mesh's kinds, and rules that can never be used",
        names=(
            "SchemaValidationError",
            "SchemaWarning",
            "VirtualServiceUnreachableRule",
            "VirtualServiceIneffectiveMatch",
            "Deprecated",
        ),
        run=schemas,
    ),
    Analyzer(
        name="schema.SettingsAnalyzer",
        description="Fields and values of MeshConfig and MeshNetworks",
        names=("SchemaValidationError", "SchemaWarning"),
        run=settings,
    ),
    Analyzer(
        name="deprecation.FieldAnalyzer",
        description="Kinds that are gone, and fields that are ignored",
        names=("Deprecated",),
        kinds=("Sidecar",),
        rules=(egress_proxy,),
        run=gone,
    ),
    Analyzer(
        name="conditions.ConditionAnalyzer",
        description="Objects in whose status a controller says that something is wrong",
        names=("NegativeConditionStatus",),
        run=conditions,
    ),
    Analyzer(
        name="k8sgateway.CRDVersionAnalyzer",
        description="Definitions of the Gateway API that are too old",
        names=("GatewayAPICRDVersionBelowMinimum",),
        run=definitions,
    ),
)
