"""MeshNetworks (key `meshNetworks` of the mesh's ConfigMap) to `Network`.

Facts (Istio): a gateway is an address or a service; of an address that is a name no endpoint can be made.
"""

from __future__ import annotations

from argosy.model.errors import LoweringError
from argosy.model.networks import REGISTRY, Network, NetworkGateway, Networks
from argosy.resources import meshconfig
from argosy.resources.semantics import names

FIELD = f"data.{meshconfig.NETWORKS_KEY}"


def lower(text: str) -> Networks:
    """Sorted by name. Raises LoweringError."""
    try:
        written = meshconfig.load_networks(text)
    except ValueError as error:
        raise LoweringError(FIELD, str(error)) from error
    return tuple(_network(name, one) for name, one in sorted(written.networks.items()))


def _network(name: str, written: meshconfig.Network) -> Network:
    return Network(
        name=name,
        gateways=tuple(
            NetworkGateway(address=one.address or "", service=one.registry_service_name or "", port=one.port)
            for one in written.gateways
            if one.registry_service_name or names.is_ip(one.address or "")
        ),
        blocks=tuple(
            one.from_cidr
            for one in written.endpoints
            if one.from_cidr and names.subnet(one.from_cidr) is None
        ),
        whole_registry=any(one.from_registry == REGISTRY for one in written.endpoints),
    )


def names_gateways(text: str) -> bool:
    """Whether some gateway is a name, of which no endpoint can be made."""
    try:
        networks = meshconfig.load_networks(text).networks.values()
    except ValueError:
        return False
    gateways = (one for network in networks for one in network.gateways)
    return any(one.address is not None and not names.is_ip(one.address) for one in gateways)
