"""Locality load balancing: `region/zone/subzone` patterns, weights between them, fail-over.

# Istio: ValidateLocalityLbSetting
"""

from __future__ import annotations

from argosy.resources.networking.destination_rule import (
    Failover,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    ZoneAwareLoadBalancerSetting,
)
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
SUBZONE = "topology.istio.io/subzone"


def check_setting(
    path: str, setting: LocalityLoadBalancerSetting, outlier: OutlierDetection | None, findings: Findings
) -> None:
    if setting.distribute and setting.failover:
        findings.error(f"{path}.failover", "excludes distribute; keep one")
        return
    _exclusive(path, setting.failover, setting.failover_priority, (REGION, ZONE, SUBZONE), findings)
    for i, distribute in enumerate(setting.distribute):
        at = f"{path}.distribute[{i}].to"
        for place, weight in distribute.to.items():
            if not 1 <= weight <= 100:
                findings.error(f"{at}[{place!r}]", f"{weight} is not between 1 and 100")
        if sum(distribute.to.values()) != 100:
            findings.error(at, f"the weights add up to {sum(distribute.to.values())}; make it 100")
        findings.error(at, _localities(tuple(distribute.to)))
    findings.error(f"{path}.distribute", _localities(tuple(d.from_ for d in setting.distribute)))
    _failover(path, setting.failover, findings)
    _needs_outlier_detection(path, setting.failover or setting.failover_priority, outlier, findings)


def check_zone_aware(
    path: str, setting: ZoneAwareLoadBalancerSetting, outlier: OutlierDetection | None, findings: Findings
) -> None:
    """Zones are balanced by load, so fail-over speaks of regions, and priorities not of zones."""
    _exclusive(path, setting.failover, setting.failover_priority, (REGION,), findings)
    for i, priority in enumerate(setting.failover_priority):
        if priority.partition("=")[0] in (ZONE, SUBZONE):
            findings.error(
                f"{path}.failoverPriority[{i}]",
                f"{priority!r}: zones are balanced by load; use regions or other labels",
            )
    _failover(path, setting.failover, findings)
    _needs_outlier_detection(path, setting.failover or setting.failover_priority, outlier, findings)


def _exclusive(
    path: str,
    failover: tuple[Failover, ...],
    priorities: tuple[str, ...],
    labels: tuple[str, ...],
    findings: Findings,
) -> None:
    for i, priority in enumerate(priorities if failover else ()):
        if priority in labels:
            findings.error(
                f"{path}.failoverPriority[{i}]", f"{priority!r} contradicts failover; keep one of them"
            )


def _failover(path: str, failover: tuple[Failover, ...], findings: Findings) -> None:
    for i, pair in enumerate(failover):
        at = f"{path}.failover[{i}]"
        if pair.from_ == pair.to:
            findings.error(at, f"from and to are both {names.shown(pair.to)}; name two regions")
        for name, region in (("from", pair.from_), ("to", pair.to)):
            if "/" in region or "*" in region:
                findings.error(f"{at}.{name}", f"{names.shown(region)} is not a region; no '/' and no '*'")


def _needs_outlier_detection(
    path: str, failover: tuple[object, ...], outlier: OutlierDetection | None, findings: Findings
) -> None:
    if failover and outlier is None:
        findings.warn(path, "fail-over has no effect without outlierDetection beside it; add that")


def _localities(localities: tuple[str, ...]) -> str | None:
    """Patterns must be well formed, and none may cover another; but for a wildcard behind what it covers, which takes
    the rest."""
    seen: list[list[str]] = []
    for place in localities:
        if place.count("*") > 1 or ("*" in place and not place.endswith("*")):
            return f"{names.shown(place)}: one '*' is allowed, at the end"
        parts = place.split("/", 2)
        if "" in parts:
            return f"{names.shown(place)} has an empty region, zone or subzone"
        wildcard = parts[-1] == "*"
        own = parts[:-1] if wildcard else parts
        for other in seen:
            if own[: len(other)] == other or (not wildcard and other[: len(own)] == own):
                return f"{names.shown(place)} overlaps {names.shown('/'.join(other) or '*')}"
        seen.append(own)
    return None
