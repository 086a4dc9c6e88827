"""VirtualService to `VirtualServiceRule`.

Facts (Istio): without `gateways` it is for the sidecars (`mesh`); without `exportTo` everyone sees it; without hosts
it is a delegate, used only by the VirtualServices that name it.
"""

from __future__ import annotations

from argosy.model.errors import LoweringError
from argosy.model.hostnames import MESH_GATEWAY, written_export
from argosy.model.lower_http import Names, http_rule, source, weighted
from argosy.model.rules import L4Match, L4Rule, VirtualServiceRule
from argosy.resources.networking import (
    L4MatchAttributes,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualService,
)


def _l4_match(written: L4MatchAttributes | TLSMatchAttributes, names: Names) -> L4Match:
    return L4Match(
        source=source(written, names),
        subnets=written.destination_subnets,
        sni_hosts=written.sni_hosts if isinstance(written, TLSMatchAttributes) else (),
    )


def _l4_rule(written: TCPRoute | TLSRoute, names: Names, field: str) -> L4Rule:
    if not written.route:
        raise LoweringError(f"{field}.route", "is empty; name at least one destination")
    return L4Rule(
        matches=tuple(_l4_match(match, names) for match in written.match),
        targets=weighted(written.route, names, f"{field}.route"),
    )


def lower(obj: VirtualService, domain_suffix: str) -> VirtualServiceRule:
    """Raises LoweringError with the field."""
    meta, spec = obj.metadata, obj.spec
    names = Names(meta.namespace, domain_suffix)
    return VirtualServiceRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        hosts=tuple(dict.fromkeys(names.host(host) for host in spec.hosts)),
        gateways=tuple(dict.fromkeys(names.gateway(gateway) for gateway in spec.gateways)) or (MESH_GATEWAY,),
        export_to=written_export(spec.export_to, meta.namespace),
        http=tuple(http_rule(rule, names, f"spec.http[{i}]") for i, rule in enumerate(spec.http)),
        tcp=tuple(_l4_rule(rule, names, f"spec.tcp[{i}]") for i, rule in enumerate(spec.tcp)),
        tls=tuple(_l4_rule(rule, names, f"spec.tls[{i}]") for i, rule in enumerate(spec.tls)),
    )
