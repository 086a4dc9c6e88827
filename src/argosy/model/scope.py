"""Scope: the class of proxies that see the same configuration, as the result of selection.

Rule: selectors decide, never raw labels. A proxy's labels are looked up once among the selectors that configuration
really uses (`sourceLabels`, a DestinationRule's `workloadSelector`, a Gateway's `selector`); what comes out is the set
of selectors that matched, and two proxies with the same set share their views. Facts (Istio): a workloadSelector
holds in its own namespace only, the others everywhere.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from argosy.model.ir import Pairs, Workload

if TYPE_CHECKING:
    from argosy.model.reader import Reader


class ProxyType(StrEnum):
    SIDECAR = "sidecar"
    ROUTER = "router"


class Interception(StrEnum):
    EXPLICIT = "explicit"
    REDIRECT = "redirect"


class SelectorUse(StrEnum):
    SOURCE = "source"  # VirtualService match.sourceLabels
    DESTINATION = "destination"  # DestinationRule workloadSelector
    GATEWAY = "gateway"  # Gateway selector


class Selector(Struct, frozen=True):
    """`namespace` "" holds in every namespace."""

    use: SelectorUse
    labels: Pairs
    namespace: str = ""

    @property
    def id(self) -> str:
        pairs = ",".join(f"{key}={value}" for key, value in self.labels)
        return f"{self.use}:{self.namespace}:{pairs}"

    def matches(self, namespace: str, labels: frozenset[tuple[str, str]]) -> bool:
        return self.namespace in ("", namespace) and labels.issuperset(self.labels)


class Scope(Struct, frozen=True, kw_only=True):
    type: ProxyType = ProxyType.SIDECAR
    interception: Interception = Interception.EXPLICIT
    namespace: str = "default"
    matched: tuple[str, ...] = ()  # ids of the selectors that match, sorted
    # Router: the services that it is an instance of: (hostname, service port, workload port), sorted.
    targets: tuple[tuple[str, int, int], ...] = ()


def scope_of(
    reader: Reader,
    *,
    type: ProxyType | str = ProxyType.SIDECAR,
    interception: Interception | str = Interception.EXPLICIT,
    namespace: str,
    labels: Pairs = (),
    workload: Workload | None = None,
) -> Scope:
    """The scope of a proxy; it stays valid until the fact SELECTORS (recorded by the reader) changes, or `workload`."""
    kind = ProxyType(type)
    matched = (
        selector.id
        for selector in reader.selectors(namespace, labels)
        if selector.use is not SelectorUse.GATEWAY or kind is ProxyType.ROUTER
    )
    return Scope(
        type=kind,
        interception=Interception(interception),
        namespace=namespace,
        matched=tuple(sorted(matched)),
        targets=_targets(workload) if workload is not None and kind is ProxyType.ROUTER else (),
    )


def _targets(workload: Workload) -> tuple[tuple[str, int, int], ...]:
    listed = (
        (host, number, port.workload)
        for port in workload.ports
        for host, number in zip(port.service_hosts, port.service_ports, strict=True)
    )
    return tuple(sorted({*listed, *workload.reached}))
