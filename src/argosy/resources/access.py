"""Kinds of `access.argosy.dev`, our own: people and programs that use the API, and certificates for them.

A User proves itself with a token of which the object holds the hash, with a certificate that the servers of the mesh
signed for it, or on the API's Unix socket with its Unix user. What it may do is for roles and their bindings to say.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from argosy.resources.kind import AGE, Column, Kind
from argosy.resources.meta import Object

GROUP = "access.argosy.dev"
_ATOMIC = Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})
_BY_HASH = Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["sha256"]})


class UserToken(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A bearer token, by its hash: the token itself is known to its user alone."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """The SHA-256 of the token, in lower-case hexadecimal."""
    expires: str = ""
    """Until when it counts, as in 2027-01-31T00:00:00Z; left out: until it is removed."""


class UserSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who the user is, and how that is proven."""

    groups: Annotated[tuple[str, ...], _ATOMIC] = ()
    """The groups that the user belongs to, for bindings to name; system:authenticated comes by itself."""
    tokens: Annotated[tuple[UserToken, ...], _BY_HASH] = ()
    """The tokens that are the user's."""
    unix_users: Annotated[tuple[str, ...], _ATOMIC] = ()
    """Unix users of the server's host, by name, that are this user on the API's Unix socket."""


class User(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A person or program that uses the API. It is gone, with all that proved it, when the object is deleted."""

    spec: UserSpec = UserSpec()
    """Who the user is, and how that is proven."""


class ClientCertificateSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is to be certified, and for whom."""

    user: str
    """The name of a User that is there."""
    request: str
    """A certificate signing request in PEM; of it only the public key is used, ECDSA P-256, P-384 or P-521."""
    expiration_seconds: Annotated[int, Meta(ge=60)] = 30 * 24 * 3600
    """How long the certificate is to count, in seconds; at least 60, by default 30 days."""


class ClientCertificateStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The answer."""

    certificate: str = ""
    """The certificate in PEM, with those that lead to the authority of the API's clients."""
    expires: str = ""
    """Until when it counts."""


class ClientCertificate(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Asks for a certificate with which a User proves itself to the API. It is answered, and never stored."""

    spec: ClientCertificateSpec
    """What is to be certified, and for whom."""
    status: ClientCertificateStatus = field(default=ClientCertificateStatus())
    """The answer."""


KINDS = (
    Kind(
        group=GROUP,
        versions=("v1",),
        kind="User",
        plural="users",
        singular="user",
        namespaced=False,
        columns=(Column("Groups", ".spec.groups", description="The groups that the user belongs to."), AGE),
        struct=User,
    ),
    Kind(
        group=GROUP,
        versions=("v1",),
        kind="ClientCertificate",
        plural="clientcertificates",
        singular="clientcertificate",
        namespaced=False,
        virtual=True,
        struct=ClientCertificate,
    ),
)
