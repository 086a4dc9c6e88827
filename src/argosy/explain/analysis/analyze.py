"""All the analyzers over one World: one visible list, and what becomes of their findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from argosy.explain.analysis import (
    annotated,
    destination_rules,
    envoy_filters,
    gateways,
    objects,
    pods,
    selectors,
    services,
    settings,
    virtual_services,
    webhooks,
)
from argosy.explain.analysis.message import Analyzer, Finding, suppressed
from argosy.explain.analysis.world import Item, World

ALL: tuple[Analyzer, ...] = (
    *objects.ANALYZERS,
    *annotated.ANALYZERS,
    *virtual_services.ANALYZERS,
    *destination_rules.ANALYZERS,
    *gateways.ANALYZERS,
    *services.ANALYZERS,
    *selectors.ANALYZERS,
    *envoy_filters.ANALYZERS,
    *settings.ANALYZERS,
    *pods.ANALYZERS,
    *webhooks.ANALYZERS,
)


class Suppression(Struct, frozen=True):
    """Findings that are not told: of a code, of objects called so. # istioctl analyze --suppress"""

    code: str
    called: str  # `Kind name.namespace`; `*` and `?` stand for whatever

    def holds(self, finding: Finding) -> bool:
        return finding.type.code == self.code and fnmatchcase(_friendly(finding.item), self.called)


def suppression(text: str) -> Suppression:
    """Of `IST0102=Namespace frod`. Raises ValueError, which says how it is written."""
    code, equals, called = text.partition("=")
    if not (code and equals and called):
        raise ValueError("write CODE=Kind name.namespace, as in 'IST0102=Namespace frod'")
    return Suppression(code.strip(), called.strip())


def _friendly(item: Item) -> str:
    name = f"{item.name}.{item.namespace}" if item.namespace else item.name
    return f"{item.kind.partition('.')[0]} {name}"


def analyze(
    world: World,
    *,
    namespace: str = "",
    suppressions: Sequence[Suppression] = (),
    analyzers: Iterable[Analyzer] = ALL,
) -> list[Finding]:
    """What is found, the worst first, each once. `namespace`: of its objects alone, and of those that have none.

    Of a complete mesh (one without Kubernetes) nothing is asked about pods and webhooks.
    """
    seen: dict[tuple[str, str, str, str], Finding] = {}
    for analyzer in analyzers:
        if analyzer.kubernetes and world.complete:
            continue
        for finding in analyzer.findings(world):
            if namespace and finding.item.namespace not in ("", namespace):
                continue
            if not (suppressed(finding) or any(each.holds(finding) for each in suppressions)):
                item = finding.item
                key = (finding.type.code, f"{item.kind} {item.owner}", finding.field, finding.text)
                seen.setdefault(key, finding)
    return sorted(seen.values(), key=lambda each: (-each.type.level, each.type.code))
