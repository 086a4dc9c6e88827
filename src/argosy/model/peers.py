"""Which connections a workload takes: the mode that PeerAuthentications give it.

Facts (Istio): the policy of the workload (by selector) goes before its namespace's, that before the root namespace's,
and without any it is PERMISSIVE; of several on one level the oldest counts; UNSET inherits; a port's mode counts only
in a policy with a selector, where UNSET takes the policy's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from argosy.model import ir
from argosy.model.rules import PeerAuthenticationRule


def mode(
    *,
    mesh_wide: Sequence[PeerAuthenticationRule],
    own: Sequence[PeerAuthenticationRule],
    labels: frozenset[tuple[str, str]],
    port: int,
) -> ir.MtlsMode:
    """`mesh_wide`: the policies of the root namespace; `own`: of the workload's. Both the oldest first."""
    return deciding(mesh_wide=mesh_wide, own=own, labels=labels, port=port)[0]


def deciding(
    *,
    mesh_wide: Sequence[PeerAuthenticationRule],
    own: Sequence[PeerAuthenticationRule],
    labels: frozenset[tuple[str, str]],
    port: int,
) -> tuple[ir.MtlsMode, PeerAuthenticationRule | None]:
    """`mode`, and the policy that says so; None: it is what holds without any."""
    found, by = ir.MtlsMode.PERMISSIVE, None
    selecting = _selecting(own, labels)
    for rule in (_whole(mesh_wide), _whole(own), selecting):
        if rule is not None and rule.mode is not None:
            found, by = rule.mode, rule
    by_port = dict(selecting.ports).get(port) if selecting is not None else None
    return (by_port, selecting) if by_port is not None else (found, by)


def ports(own: Iterable[PeerAuthenticationRule], labels: frozenset[tuple[str, str]]) -> tuple[int, ...]:
    """The ports that have a mode of their own, sorted. `own`: as in `mode`."""
    selecting = _selecting(own, labels)
    return tuple(sorted(port for port, said in selecting.ports if said)) if selecting is not None else ()


def _whole(rules: Iterable[PeerAuthenticationRule]) -> PeerAuthenticationRule | None:
    return next((rule for rule in rules if rule.labels is None), None)


def _selecting(
    rules: Iterable[PeerAuthenticationRule], labels: frozenset[tuple[str, str]]
) -> PeerAuthenticationRule | None:
    return next((rule for rule in rules if rule.labels is not None and labels.issuperset(rule.labels)), None)
