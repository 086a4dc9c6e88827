"""Destinations of routes: host, subset, port; and the weights between them."""

from __future__ import annotations

from argosy.resources.networking.virtual_service import Destination
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings


def check_weights(path: str, weights: tuple[int, ...], findings: Findings) -> None:
    for i, weight in enumerate(weights):
        findings.error(f"{path}[{i}].weight", names.non_negative(weight))
    if len(weights) > 1 and sum(weights) == 0:
        findings.error(path, "the weights add up to 0; give at least one destination a weight")


def check_destination(path: str, destination: Destination, findings: Findings) -> None:
    if destination.host == "*":
        findings.error(f"{path}.host", "'*' is not a destination; name a host")
    else:
        findings.error(f"{path}.host", names.wildcard_host(destination.host))
    if destination.subset:
        findings.error(f"{path}.subset", names.dns_label(destination.subset))
    if destination.port is not None:
        findings.error(f"{path}.port.number", names.port(destination.port.number))
