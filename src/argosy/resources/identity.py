"""Kinds of `identity.argosy.dev`, our own: which Unix user may obtain which service account's certificate."""

from __future__ import annotations

from msgspec import Struct

from argosy.resources.kind import AGE, Column, Kind
from argosy.resources.meta import Object, Status


class IdentityMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Exactly one is set."""

    unix_user: str | None = None
    unix_uid: int | None = None


class IdentityRegistrationSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    match: IdentityMatch
    service_accounts: tuple[str, ...]  # `namespace/name`; `*` stands for any text within one of the two


class IdentityRegistration(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    spec: IdentityRegistrationSpec
    status: Status = Status()


KINDS = (
    Kind(
        group="identity.argosy.dev",
        versions=("v1",),
        kind="IdentityRegistration",
        plural="identityregistrations",
        singular="identityregistration",
        short_names=("idr",),
        columns=(
            Column("Service Accounts", ".spec.serviceAccounts", description="Whose certificates may be had."),
            AGE,
        ),
        struct=IdentityRegistration,
    ),
)
