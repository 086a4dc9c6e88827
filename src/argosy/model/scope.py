"""Scope: the class of proxies that see the same configuration, as the result of selection.

Rule: selectors decide, never raw labels. A proxy's labels are looked up once among the selectors that configuration
really uses (`sourceLabels`, a DestinationRule's `workloadSelector`, a Gateway's `selector`); what comes out is the set
of selectors that matched, and two proxies with the same set share their views. Facts (Istio): a workloadSelector
holds in its own namespace only, the others everywhere. Of Sidecars one is in force, and that one is part of the scope.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from argosy.model.ir import Pairs

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
    SIDECAR = "sidecar"  # Sidecar workloadSelector


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
    sidecar: str = ""  # namespace/name of the Sidecar in force; "": none


def scope_of(
    reader: Reader,
    *,
    type: ProxyType | str = ProxyType.SIDECAR,
    interception: Interception | str = Interception.EXPLICIT,
    namespace: str,
    labels: Pairs = (),
) -> Scope:
    """The scope of a proxy; it stays valid until the fact SELECTORS (recorded by the reader) changes."""
    kind = ProxyType(type)
    selectors = reader.selectors(namespace, labels)
    matched = (
        selector.id
        for selector in selectors
        if selector.use is not SelectorUse.SIDECAR
        and (selector.use is not SelectorUse.GATEWAY or kind is ProxyType.ROUTER)
    )
    return Scope(
        type=kind,
        interception=Interception(interception),
        namespace=namespace,
        matched=tuple(sorted(matched)),
        sidecar=reader.chosen_sidecar(namespace, selectors) if kind is ProxyType.SIDECAR else "",
    )
