"""Networks: which workload is in which, and the gateways through which those of another are reached.

Facts (Istio): what a workload says of itself (spec.network, else the label `topology.istio.io/network`) goes before the
blocks and registries of MeshNetworks. Whoever is in no network reaches everybody, and is reached by everybody,
directly; so is a network without gateways. Through a gateway goes mesh mutual TLS alone, for it passes on by server
name: an endpoint that does not take it is not reached from elsewhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from argosy.model.locality import NETWORK

REGISTRY = "Kubernetes"
"""The name of the one registry of this mesh, as Istio calls that of a mesh with one cluster."""

Address = tuple[str, int]


class NetworkGateway(Struct, frozen=True, kw_only=True):
    """An address, or a service whose endpoints are the gateways."""

    address: str = ""
    service: str = ""
    port: int


class Network(Struct, frozen=True, kw_only=True):
    name: str
    gateways: tuple[NetworkGateway, ...] = ()
    blocks: tuple[str, ...] = ()  # CIDR: addresses that are in it
    whole_registry: bool = False  # whether everything else of the registry is in it


Networks = tuple[Network, ...]


def network_of(networks: Networks, said: str, labels: Mapping[str, str], address: str) -> str:
    """Of a workload that says `said` of itself; "": in none."""
    own = said or labels.get(NETWORK, "")
    if own or not networks:
        return own
    for network in networks:
        if network.blocks and _within(network.blocks, address):
            return network.name
    return next((network.name for network in networks if network.whole_registry), "")


@lru_cache(maxsize=65536)
def _within(blocks: tuple[str, ...], address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(block, strict=False) for block in blocks)


def apart(client: str, endpoint: str) -> bool:
    """Whether a client in one network needs a gateway to an endpoint in the other."""
    return bool(client and endpoint) and client != endpoint
