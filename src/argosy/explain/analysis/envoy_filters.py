"""EnvoyFilters whose patches are ignored, or depend on the order in which EnvoyFilters come.

# Istio: analyzers/envoyfilter; reference/config/networking/envoy-filter (Patch.Operation)
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.explain.analysis import parts
from argosy.explain.analysis.index import patch_name
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.world import Item, World

RELATIVE = ("INSERT_BEFORE", "INSERT_AFTER", "MERGE", "REPLACE", "REMOVE")
REPLACEABLE = ("HTTP_FILTER", "NETWORK_FILTER")
WHOLE_ROUTES = ("ROUTE_CONFIGURATION", "HTTP_ROUTE")


def patches(world: World, item: Item) -> Iterator[Finding]:
    versioned = set()  # the names in patches so far that hold for one version of the proxy
    for index, each in parts.objects(item.spec, "configPatches"):
        patch, target = parts.mapping(each, "patch"), parts.text(each, "applyTo")
        operation, name = parts.text(patch, "operation"), patch_name(each)
        field = f"spec.configPatches[{index}].patch.operation"
        wrong = _ignored(operation, target)
        if wrong:
            yield found(wrong, item, field, target=target)
        elif operation in RELATIVE and not parts.number(item.spec, "priority"):
            relative = "EnvoyFilterUsesRelativeOperation"
            if name and (name in versioned or _of_another(world, item, name)):
                relative = "EnvoyFilterUsesRelativeOperationWithProxyVersion"
            yield found(relative, item, field, operation=operation)
        if parts.text(each, "match", "proxy", "proxyVersion"):
            versioned.add(name)


def _of_another(world: World, item: Item, name: str) -> bool:
    """Whether another EnvoyFilter's patch of this name holds for one version of the proxy."""
    return any(other.owner != item.owner for other in world.index.under("versioned", name))


def _ignored(operation: str, target: str) -> str:
    if operation == "REPLACE" and target not in REPLACEABLE:
        return "EnvoyFilterUsesReplaceOperationIncorrectly"
    if operation == "ADD" and target in WHOLE_ROUTES:
        return "EnvoyFilterUsesAddOperationIncorrectly"
    if operation == "REMOVE" and target in WHOLE_ROUTES:
        return "EnvoyFilterUsesRemoveOperationIncorrectly"
    return ""


ANALYZERS = (
    Analyzer(
        name="envoyfilter.EnvoyPatchAnalyzer",
        description="Patches of EnvoyFilters that are ignored, or depend on the order of EnvoyFilters",
        names=(
            "EnvoyFilterUsesRelativeOperation",
            "EnvoyFilterUsesRelativeOperationWithProxyVersion",
            "EnvoyFilterUsesReplaceOperationIncorrectly",
            "EnvoyFilterUsesAddOperationIncorrectly",
            "EnvoyFilterUsesRemoveOperationIncorrectly",
        ),
        kinds=("EnvoyFilter",),
        rules=(patches,),
    ),
)
