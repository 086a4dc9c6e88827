"""PeerAuthentication to `PeerAuthenticationRule`.

Facts (Istio): UNSET inherits, from the workload's policy to the namespace's to the root namespace's to PERMISSIVE;
`portLevelMtls` names workload ports and counts only beside a selector.
"""

from __future__ import annotations

from argosy.model import ir
from argosy.model.lower_http import pairs
from argosy.model.rules import PeerAuthenticationRule
from argosy.resources.security import MutualTls, MutualTlsMode, PeerAuthentication


def _mode(written: MutualTls | None) -> ir.MtlsMode | None:
    if written is None or written.mode is MutualTlsMode.UNSET:
        return None
    return ir.MtlsMode(written.mode)


def lower(obj: PeerAuthentication) -> PeerAuthenticationRule:
    meta, spec = obj.metadata, obj.spec
    labels = pairs(spec.selector.match_labels) if spec.selector is not None else ()
    ports = {number: _mode(written) for number, written in (spec.port_level_mtls or {}).items()}
    return PeerAuthenticationRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        labels=labels or None,
        mode=_mode(spec.mtls),
        ports=tuple(sorted(ports.items())) if labels else (),
    )
