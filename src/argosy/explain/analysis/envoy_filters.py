"""EnvoyFilters whose patches are ignored, or depend on the order in which EnvoyFilters come.

# Istio: analyzers/envoyfilter; reference/config/networking/envoy-filter (Patch.Operation)
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.explain.analysis import parts
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import Item, World

RELATIVE = ("INSERT_BEFORE", "INSERT_AFTER", "MERGE", "REPLACE", "REMOVE")
REPLACEABLE = ("HTTP_FILTER", "NETWORK_FILTER")
WHOLE_ROUTES = ("ROUTE_CONFIGURATION", "HTTP_ROUTE")


def patches(item: Item, versioned: set[str]) -> Iterator[Finding]:
    """`versioned`: the names in patches so far that hold for one version of the proxy; this one's are added."""
    for index, each in parts.objects(item.spec, "configPatches"):
        patch, target = parts.mapping(each, "patch"), parts.text(each, "applyTo")
        operation, name = parts.text(patch, "operation"), _named(each, patch)
        field = f"spec.configPatches[{index}].patch.operation"
        wrong = _ignored(operation, target)
        if wrong:
            yield found(wrong, item, field, target=target)
        elif operation in RELATIVE and not parts.number(item.spec, "priority"):
            relative = "EnvoyFilterUsesRelativeOperation"
            if name and name in versioned:
                relative = "EnvoyFilterUsesRelativeOperationWithProxyVersion"
            yield found(relative, item, field, operation=operation)
        if parts.text(each, "match", "proxy", "proxyVersion"):
            versioned.add(name)


def _ignored(operation: str, target: str) -> str:
    if operation == "REPLACE" and target not in REPLACEABLE:
        return "EnvoyFilterUsesReplaceOperationIncorrectly"
    if operation == "ADD" and target in WHOLE_ROUTES:
        return "EnvoyFilterUsesAddOperationIncorrectly"
    if operation == "REMOVE" and target in WHOLE_ROUTES:
        return "EnvoyFilterUsesRemoveOperationIncorrectly"
    return ""


def _named(whole: Json, patch: Json) -> str:
    """Of the value that the patch brings, else of the filter it is put beside."""
    value = parts.mapping(patch, "value")
    if not value:
        return ""
    return parts.text(value, "name") or parts.text(
        whole, "match", "listener", "filterChain", "filter", "name"
    )


def all_patches(world: World) -> Iterator[Finding]:
    versioned: set[str] = set()
    for item in world.of("EnvoyFilter"):
        yield from patches(item, versioned)


def own_patches(_facts: object, item: Item) -> Iterator[Finding]:
    yield from patches(item, set())


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
        run=all_patches,
    ),
)
