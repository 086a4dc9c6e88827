"""Kinds of `security.istio.io`: who may talk to whom, and how both sides prove who they are.

# Istio: security/v1beta1/{peer_authentication,authorization_policy,request_authentication}.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from argosy.resources.kind import AGE, Column, Kind
from argosy.resources.meta import Object, Status
from argosy.resources.networking.columns import PROGRAMMED
from argosy.resources.selector import PolicyTargetReference, WorkloadSelector

Text = Annotated[str, Meta(min_length=1)]
TargetRefs = Annotated[tuple[PolicyTargetReference, ...], Meta(max_length=16)]
ServiceAccounts = Annotated[tuple[Annotated[str, Meta(max_length=320)], ...], Meta(max_length=16)]


class MutualTlsMode(StrEnum):
    UNSET = "UNSET"  # inherit
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class MutualTls(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whether connections to a workload must be mutual TLS."""

    mode: MutualTlsMode = MutualTlsMode.UNSET
    """STRICT takes mutual TLS alone, PERMISSIVE plain text too, DISABLE plain text alone; UNSET inherits."""


class PeerAuthenticationSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which workloads, and what they demand."""

    selector: WorkloadSelector | None = None
    """The workloads of the namespace that it is for; left out: all; in the root namespace: the whole mesh."""
    mtls: MutualTls | None = None
    """What holds for every port that portLevelMtls does not name."""
    port_level_mtls: dict[int, MutualTls] | None = None
    """What holds for single ports, by the number of the workload's port; needs a selector."""


class PeerAuthentication(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whether workloads demand mutual TLS of those who connect to them."""

    spec: PeerAuthenticationSpec = PeerAuthenticationSpec()
    """What is demanded, and of whom."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""


class Source(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where a request comes from: ALL fields that are set must hold, each by ANY of its values.

    A value may begin or end with *, which stands for any text, or be *, which is anything that is there.
    """

    principals: tuple[str, ...] = ()
    """Identities proven by mutual TLS, as in cluster.local/ns/shop/sa/frontend."""
    not_principals: tuple[str, ...] = ()
    """Identities proven by mutual TLS that do not match."""
    request_principals: tuple[str, ...] = ()
    """Identities proven by a token (JWT), as ISSUER/SUBJECT."""
    not_request_principals: tuple[str, ...] = ()
    """Identities proven by a token that do not match."""
    namespaces: tuple[str, ...] = ()
    """Namespaces of the peer's identity, proven by mutual TLS."""
    not_namespaces: tuple[str, ...] = ()
    """Namespaces of the peer that do not match."""
    service_accounts: ServiceAccounts = ()
    """Service accounts of the peer, as NAMESPACE/NAME, or NAME in the policy's namespace; without wildcards."""
    not_service_accounts: ServiceAccounts = ()
    """Service accounts of the peer that do not match."""
    ip_blocks: tuple[str, ...] = ()
    """Addresses or CIDR blocks that the connection comes from."""
    not_ip_blocks: tuple[str, ...] = ()
    """Addresses or CIDR blocks of the connection that do not match."""
    remote_ip_blocks: tuple[str, ...] = ()
    """Addresses or CIDR blocks of the original client, as by X-Forwarded-For or the PROXY protocol."""
    not_remote_ip_blocks: tuple[str, ...] = ()
    """Addresses or CIDR blocks of the original client that do not match."""
    trust_domains: tuple[str, ...] = ()
    """Trust domains of the peer's identity, proven by mutual TLS."""
    not_trust_domains: tuple[str, ...] = ()
    """Trust domains of the peer that do not match."""


class Operation(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a request does: ALL fields that are set must hold, each by ANY of its values.

    A value may begin or end with *, which stands for any text, or be *, which is anything that is there.
    """

    hosts: tuple[str, ...] = ()
    """Hosts of the request, in any case. Only HTTP."""
    not_hosts: tuple[str, ...] = ()
    """Hosts that do not match. Only HTTP."""
    ports: tuple[str, ...] = ()
    """Ports of the workload, as text."""
    not_ports: tuple[str, ...] = ()
    """Ports of the workload that do not match."""
    methods: tuple[str, ...] = ()
    """HTTP methods; gRPC is always POST. Only HTTP."""
    not_methods: tuple[str, ...] = ()
    """HTTP methods that do not match. Only HTTP."""
    paths: tuple[str, ...] = ()
    """Paths without query; {*} stands for one segment, {**} for any number; gRPC is /PACKAGE.SERVICE/METHOD."""
    not_paths: tuple[str, ...] = ()
    """Paths that do not match. Only HTTP."""


class From(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One source of a rule."""

    source: Source | None = None
    """Where the request comes from."""


class To(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One operation of a rule."""

    operation: Operation | None = None
    """What the request does."""


class AuthorizationCondition(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A further condition on one attribute of a request."""

    key: str
    """The attribute: request.headers[NAME], source.ip, destination.port, request.auth.claims[NAME] and others."""
    values: tuple[str, ...] = ()
    """ANY of these must match."""
    not_values: tuple[str, ...] = ()
    """NONE of these may match."""


class Rule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Matches a request where ANY of `from`, ANY of `to` and ALL of `when` match; one without all three matches all."""

    from_: Annotated[tuple[From, ...], Meta(max_length=512)] | None = field(default=None, name="from")
    """Where requests come from; left out: from anywhere."""
    to: tuple[To, ...] | None = None
    """What requests do; left out: anything."""
    when: tuple[AuthorizationCondition, ...] = ()
    """Further conditions."""


class AuthorizationAction(StrEnum):
    ALLOW = "ALLOW"
    DENY = "DENY"
    AUDIT = "AUDIT"
    CUSTOM = "CUSTOM"


class AuthorizationProvider(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who decides for a policy whose action is CUSTOM."""

    name: str = ""
    """The name of an extension provider of the mesh's settings."""


class AuthorizationPolicySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which workloads, and what may be done with them."""

    selector: WorkloadSelector | None = None
    """The workloads of the namespace that it is for; left out: all; in the root namespace: the whole mesh."""
    target_ref: PolicyTargetReference | None = None
    """The object that it is attached to, in place of a selector; targetRefs is the newer form."""
    target_refs: TargetRefs = ()
    """What it is attached to, in place of a selector: Gateways, GatewayClasses, Services, ServiceEntries."""
    rules: Annotated[tuple[Rule, ...], Meta(max_length=512)] | None = None
    """What matches; ANY of the rules is enough. None with ALLOW: nothing matches, so everything is denied."""
    action: AuthorizationAction = AuthorizationAction.ALLOW
    """What becomes of a request that matches: ALLOW, DENY, AUDIT (it is logged), CUSTOM (the provider decides)."""
    provider: AuthorizationProvider | None = None
    """Who decides, where the action is CUSTOM; for other actions it must be left out."""


class AuthorizationPolicy(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who may do what with workloads. CUSTOM is asked first, then DENY, then ALLOW: where one ALLOW policy is for a
    workload, whatever no such policy allows is denied."""

    spec: AuthorizationPolicySpec = AuthorizationPolicySpec()
    """Which workloads, and what may be done with them."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""


class JWTHeader(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A header in which a token is looked for."""

    name: Text
    """The name of the header."""
    prefix: str = ""
    """What stands before the token, as in "Bearer "; the space belongs to it."""


class ClaimToHeader(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A claim of a valid token that the application gets as a header."""

    header: Annotated[str, Meta(min_length=1, pattern="^[-_A-Za-z0-9]+$")]
    """The name of the header; one of that name that the client sent is replaced."""
    claim: Text
    """The claim; a dot leads into a nested one. Lists and objects are JSON in base64."""


class JWTPresence(StrEnum):
    OPTIONAL = "OPTIONAL"
    REQUIRED = "REQUIRED"


class JWTRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One issuer of tokens (JWT), and where its tokens are looked for."""

    issuer: Text | None = None
    """The issuer: the claim `iss` of its tokens. May be left out where jwksUri is given: then any issuer."""
    audiences: tuple[Text, ...] = ()
    """The claim `aud` must hold ANY of these; none: every audience."""
    jwks_uri: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    """Where the issuer's public keys are, http:// or https://; left out: found by the issuer's OpenID configuration."""
    jwks: str = ""
    """The public keys themselves, a JSON Web Key Set, in place of jwksUri."""
    from_headers: tuple[JWTHeader, ...] = ()
    """Headers in which the token is looked for; none here, in fromParams and in fromCookies: Authorization: Bearer."""
    from_params: tuple[Text, ...] = ()
    """Query parameters in which the token is looked for."""
    from_cookies: tuple[Text, ...] = ()
    """Cookies in which the token is looked for."""
    output_payload_to_header: str = ""
    """A header in which the application gets the payload of a valid token, in base64url."""
    forward_original_token: bool = False
    """Whether the token stays in the request that the application gets."""
    output_claim_to_headers: tuple[ClaimToHeader, ...] = ()
    """Claims of a valid token that the application gets as headers."""
    timeout: str | None = None
    """How long fetching the keys may take, as in 5s, which is the default."""
    space_delimited_claims: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    """Claims that are lists written with spaces, besides `scope` and `permission`."""
    presence: JWTPresence = JWTPresence.OPTIONAL
    """REQUIRED refuses requests without a valid token of this rule; OPTIONAL, the default, only invalid tokens."""


class RequestAuthenticationSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which workloads, and whose tokens they take."""

    selector: WorkloadSelector | None = None
    """The workloads of the namespace that it is for; left out: all; in the root namespace: the whole mesh."""
    target_ref: PolicyTargetReference | None = None
    """The object that it is attached to, in place of a selector; targetRefs is the newer form."""
    target_refs: TargetRefs = ()
    """What it is attached to, in place of a selector: Gateways, GatewayClasses, Services, ServiceEntries."""
    jwt_rules: Annotated[tuple[JWTRule, ...], Meta(max_length=4096)] = ()
    """The issuers whose tokens are taken."""


class RequestAuthentication(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whose tokens (JWT) workloads take. A request with an invalid token is refused; one without any passes, without
    an identity: demand one by an AuthorizationPolicy."""

    spec: RequestAuthenticationSpec = RequestAuthenticationSpec()
    """Which workloads, and whose tokens they take."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""


def _kind(struct: type[Object], plural: str, short_name: str, *columns: Column) -> Kind:
    return Kind(
        group="security.istio.io",
        versions=("v1", "v1beta1"),
        kind=struct.__name__,
        plural=plural,
        singular=struct.__name__.lower(),
        short_names=(short_name,),
        categories=("istio-io", "security-istio-io"),
        columns=(*columns, AGE),
        struct=struct,
    )


KINDS = (
    _kind(
        PeerAuthentication,
        "peerauthentications",
        "pa",
        Column("Mode", ".spec.mtls.mode", description="Which connections it takes: STRICT, PERMISSIVE…"),
        PROGRAMMED,
    ),
    _kind(
        AuthorizationPolicy,
        "authorizationpolicies",
        "ap",
        Column("Action", ".spec.action", description="What becomes of a request that matches."),
    ),
    _kind(
        RequestAuthentication,
        "requestauthentications",
        "ra",
        Column(
            "Keys",
            '.status.conditions[?(@.type=="ResolvedRefs")].status',
            description="Whether the keys that are fetched are there and fresh; empty where none are fetched.",
        ),
        PROGRAMMED,
    ),
)
