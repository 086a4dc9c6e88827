"""Kinds of `identity.argosy.dev`, our own: which Unix user may obtain which service account's certificate."""

from __future__ import annotations

from msgspec import Struct

from argosy.resources.kind import AGE, Column, Kind
from argosy.resources.meta import Object, Status


class IdentityMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A user of the host: exactly one of the fields is set."""

    unix_user: str | None = None
    """The name of the user."""
    unix_uid: int | None = None
    """The number of the user."""


class IdentityRegistrationSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which user may have which identities."""

    match: IdentityMatch
    """The user, as the kernel tells it of whoever asks."""
    service_accounts: tuple[str, ...]
    """The service accounts whose certificates the user may have, as NAMESPACE/NAME; * stands for any text in either."""


class IdentityRegistration(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Lets a user of the host obtain certificates of service accounts for the workloads that the user runs."""

    spec: IdentityRegistrationSpec
    """Which user may have which identities."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""


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
