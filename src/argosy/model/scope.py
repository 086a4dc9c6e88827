"""Scope: the class of proxies that see the same configuration, as the result of selection.

Rule: selectors decide, never raw labels. A proxy's labels are looked up once among the selectors that configuration
really uses (`sourceLabels`, a DestinationRule's `workloadSelector`, a Gateway's `selector`); what comes out is the set
of selectors that matched, and two proxies with the same set share their views. Facts (Istio): a workloadSelector, and a
Telemetry's selector, holds in its own namespace only (an EnvoyFilter's in the root namespace: everywhere), the others
everywhere. Of Sidecars one is in force, and that one is part of the scope.
Where a proxy is, and labels as such, enter where locality load balancing asks for them, and nothing else of it; so does
its network, where some network is reached through gateways.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from argosy.model import locality
from argosy.model.ir import Pairs, Workload
from argosy.model.networks import Networks, network_of

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
    ENVOY_FILTER = "envoy-filter"  # EnvoyFilter workloadSelector
    TELEMETRY = "telemetry"  # Telemetry selector
    SUBNET = "subnet"  # VirtualService match.sourceSubnet: in which the workload's address is
    NODE = "node"  # EnvoyFilter match.proxy: what the proxy says of itself
    SECRET = "secret"  # a Secret's service accounts: as whom the proxy has proven to run  # noqa: S105
    TRAIT = "trait"  # locality load balancing: what a proxy has under a name (`locality`), whatever it is


ACCOUNT = "service account"
"""What stands for a label in selectors of SECRET. No label is called so, and none is looked at for them."""
VERSION = "ISTIO_VERSION"
"""Under which name a proxy says its version."""


class Selector(Struct, frozen=True):
    """`namespace` "" holds in every namespace. Of NODE, `labels` are the node's metadata, and `version` is a regular
    expression for its version."""

    use: SelectorUse
    labels: Pairs
    namespace: str = ""
    version: str = ""

    @property
    def id(self) -> str:
        pairs = ",".join(f"{key}={value}" for key, value in self.labels)
        version = f":{self.version}" if self.version else ""
        return f"{self.use}:{self.namespace}:{pairs}{version}"

    def matches(self, namespaces: frozenset[str], has: frozenset[tuple[str, str]]) -> bool:
        """Not of SUBNET. `namespaces`: those whose selectors count for the proxy; `has`: its labels (of NODE: its
        metadata)."""
        if self.namespace and self.namespace not in namespaces:
            return False
        return has.issuperset(self.labels) and (not self.version or _of_version(self.version, has))


def _of_version(expression: str, metadata: frozenset[tuple[str, str]]) -> bool:
    """Facts (Istio): a part of the version is enough; a proxy that says none has none that fits."""
    said = next((value for key, value in metadata if key == VERSION), "")
    return bool(said) and re.search(expression, said) is not None


def is_within(address: str, subnet: str) -> bool:
    """Whether an address is in a network; a name, or a Unix socket, is in none."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(subnet)
    except ValueError:
        return False


def traits(names: frozenset[str]) -> Iterator[Selector]:
    return (Selector(SelectorUse.TRAIT, ((name, ""),)) for name in names)


class Scope(Struct, frozen=True, kw_only=True):
    type: ProxyType = ProxyType.SIDECAR
    interception: Interception = Interception.EXPLICIT
    namespace: str = "default"
    matched: tuple[str, ...] = ()  # ids of the selectors that match, sorted
    sidecar: str = ""  # namespace/name of the Sidecar in force; "": none
    # Router: the services that it is an instance of: (hostname, service port, workload port), sorted.
    targets: tuple[tuple[str, int, int], ...] = ()
    client: Pairs = ()  # its traits that locality load balancing asks for (`locality`), sorted; none: ""
    parted: tuple[str, ...] = ()  # RouteConfigurations that it was started for in parts, sorted


def scope_of(
    reader: Reader,
    *,
    type: ProxyType | str = ProxyType.SIDECAR,
    interception: Interception | str = Interception.EXPLICIT,
    namespace: str,
    labels: Pairs = (),
    metadata: Pairs = (),
    workload: Workload | None = None,
    parted: tuple[str, ...] = (),
    account: str = "",
) -> Scope:
    """The scope of a proxy, of these labels and with this metadata of its node; it stays valid until one of the facts
    SELECTORS and MESH (recorded by the reader) changes, or `workload`. `account`: the service account that it has
    proven."""
    kind, intercepted = ProxyType(type), Interception(interception)
    address = ""
    if kind is ProxyType.SIDECAR and intercepted is Interception.EXPLICIT and workload is not None:
        address = workload.address  # elsewhere connections say by themselves where they come from
    selectors = reader.selectors(namespace, labels, metadata, address, account)
    matched = (
        selector.id
        for selector in selectors
        if selector.use is not SelectorUse.SIDECAR
        and (selector.use is not SelectorUse.GATEWAY or kind is ProxyType.ROUTER)
    )
    return Scope(
        type=kind,
        interception=intercepted,
        namespace=namespace,
        matched=tuple(sorted(matched)),
        sidecar=reader.chosen_sidecar(namespace, selectors) if kind is ProxyType.SIDECAR else "",
        targets=_targets(workload) if workload is not None and kind is ProxyType.ROUTER else (),
        client=_client(reader.traits(), labels, workload, reader.mesh().networks),
        parted=tuple(sorted(parted)),
    )


def _client(asked: frozenset[str], labels: Pairs, workload: Workload | None, networks: Networks) -> Pairs:
    if not asked:
        return ()
    where, said, address = (
        (workload.locality, workload.network, workload.address) if workload is not None else ("", "", "")
    )
    own = dict(labels)
    has = locality.described(own, where, network_of(networks, said, own, address), address)
    return tuple((name, has[name]) for name in sorted(asked) if has.get(name))


def _targets(workload: Workload) -> tuple[tuple[str, int, int], ...]:
    listed = (
        (host, number, port.workload)
        for port in workload.ports
        for host, number in zip(port.service_hosts, port.service_ports, strict=True)
    )
    return tuple(sorted({*listed, *workload.reached}))
