"""IssuingPolicy of `identity.argosy.dev`, our own: what the authority of the mesh may issue at all."""

from __future__ import annotations

from msgspec import Struct

from argosy.resources.kind import AGE, Column, Kind
from argosy.resources.meta import Object, Status


class IssuingPolicySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What certificates may be; every policy of the mesh holds, so each takes away and none gives."""

    max_lifetime: str | None = None
    """The longest that a certificate is valid, as a duration of 1m or more; what asks for more gets this."""
    allow: tuple[str, ...] = ()
    """The service accounts for which certificates may be issued, as NAMESPACE/NAME; * stands for any text in either.
    None: all."""
    deny: tuple[str, ...] = ()
    """The service accounts for which none are issued, as NAMESPACE/NAME; * stands for any text in either."""
    reason: str = ""
    """Why, for people."""


class IssuingPolicy(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Bounds what the authority issues, whoever proves what. Cluster-scoped: it holds for the whole mesh."""

    spec: IssuingPolicySpec
    """What certificates may be."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""


KINDS = (
    Kind(
        group="identity.argosy.dev",
        versions=("v1",),
        kind="IssuingPolicy",
        plural="issuingpolicies",
        singular="issuingpolicy",
        short_names=("isp",),
        namespaced=False,
        columns=(
            Column("Max Lifetime", ".spec.maxLifetime", description="Of a certificate, at most."),
            Column("Allow", ".spec.allow", description="For whom certificates may be issued."),
            Column("Deny", ".spec.deny", description="For whom none are."),
            AGE,
        ),
        struct=IssuingPolicy,
    ),
)
