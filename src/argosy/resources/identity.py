"""Kinds of `identity.argosy.dev`, our own: whose word counts about who somebody is, and what whoever has proven
something may be.

An Attestor says whom the servers believe (an issuer of tokens, a cluster, an authority); what it finds proven are
*selectors*, `NAME:KEY=VALUE`, with its own name in front, so that no two can speak for each other. An
IdentityRegistration maps selectors, or a user of the server's host, to service accounts.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from argosy.resources.kind import AGE, Column, Kind
from argosy.resources.meta import Object, Status

_ATOMIC = Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})

BUILT_IN = ("jwt", "kubernetes", "x509")
"""The types of attestors that come with Argosy; others are found through Python entry points."""
RESERVED = ("unix", "host", "join-token")
"""What the servers themselves find proven: no Attestor may be called so."""


class IdentityMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What must be proven. All that is set must hold; of unixUser and unixUid one alone may be set."""

    unix_user: str | None = None
    """The name of a user of the server's host, as the kernel tells it of whoever asks."""
    unix_uid: int | None = None
    """The number of a user of the server's host."""
    selectors: Annotated[tuple[str, ...], _ATOMIC] = ()
    """What an attestor found proven, as ATTESTOR:KEY=VALUE: all of them; * stands for any text in the value."""


class IdentityRegistrationSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who may have which identities."""

    match: IdentityMatch
    """What must be proven: a user of the server's host, a host that joined, what a token or a certificate says."""
    service_accounts: tuple[str, ...]
    """The service accounts whose certificates may be had, as NAMESPACE/NAME; * stands for any text in either. Outside
    the root namespace, those of the object's own namespace alone."""


class IdentityRegistration(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Lets whoever has proven something obtain certificates of service accounts for the workloads that they run."""

    spec: IdentityRegistrationSpec
    """Who may have which identities."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""


class ClaimSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A claim of the token that becomes a selector."""

    claim: str
    """The claim: its name, or its path with dots, as in kubernetes.io.namespace."""
    key: str = ""
    """The key of the selector, in lower-case letters, digits, - and _; left out: the claim itself."""


class JwtAttestor(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Tokens (JWT) of one issuer: an OpenID provider, Nomad's workload identities, a cloud's instance identities."""

    issuer: str
    """What the claim iss must be."""
    audiences: Annotated[tuple[str, ...], _ATOMIC]
    """What the claim aud must name, one of them: a token that was made for somebody else proves nothing here."""
    jwks: str = ""
    """The keys of the issuer, a JSON Web Key Set in JSON."""
    jwks_uri: str = ""
    """Where the keys are fetched, https://…; left out, with jwks too: where the issuer's OpenID discovery says."""
    ca_bundle: str = ""
    """Authorities (PEM) of the host that the keys are fetched from; left out: those of the system."""
    claims: Annotated[tuple[ClaimSelector, ...], _ATOMIC] = ()
    """Claims that become selectors beside iss, sub and aud: ATTESTOR:KEY=VALUE; one for each value of a list."""


class KubernetesAttestor(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Service-account tokens of a Kubernetes cluster. They become the selectors ns, sa, and of bound tokens pod,
    pod-uid and node."""

    audiences: Annotated[tuple[str, ...], _ATOMIC]
    """What the token must have been made for, one of them."""
    server: str = ""
    """The API server that is asked about each token (TokenReview), https://HOST:PORT."""
    ca_bundle: str = ""
    """Authorities (PEM) of that server; left out: those of the system."""
    credential_name: str = ""
    """A Secret of the root namespace whose key token is what the API server is asked with."""
    issuer: str = ""
    """Without server: the cluster's issuer, which the claim iss must be."""
    jwks: str = ""
    """Without server: the cluster's keys, as kubectl get --raw /openid/v1/jwks gives them; nobody is asked then."""


class X509Attestor(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Certificates of an authority that is there already. Whoever shows one signs a challenge with its key. They become
    the selectors cn, ou, o, dns, uri, email, serial, sha256 and issuer-cn."""

    roots: str
    """The authorities (PEM) that certificates must come from."""


class AttestorSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whose word counts, and for what: the type, and the settings of that type."""

    type: str
    """jwt, kubernetes, x509, or the name of a plugin (a Python entry point of the group argosy.attestors)."""
    jwt: JwtAttestor | None = None
    """The settings of type jwt."""
    kubernetes: KubernetesAttestor | None = None
    """The settings of type kubernetes."""
    x509: X509Attestor | None = None
    """The settings of type x509."""
    parameters: dict[str, str] = {}
    """The settings of a plugin."""


class Attestor(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Somebody whose word about a workload counts. Only those of the root namespace hold; the object's name is the
    beginning of the selectors that it finds proven."""

    spec: AttestorSpec
    """Whose word counts, and for what."""
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
    Kind(
        group="identity.argosy.dev",
        versions=("v1",),
        kind="Attestor",
        plural="attestors",
        singular="attestor",
        short_names=("att",),
        columns=(
            Column("Type", ".spec.type", description="What it believes."),
            AGE,
        ),
        struct=Attestor,
    ),
)
