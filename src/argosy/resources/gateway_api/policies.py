"""BackendTLSPolicy and ReferenceGrant: TLS towards backends, and who may refer to what.

# Gateway API: apis/v1/{backendtlspolicy,referencegrant,policy}_types.go
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from argosy.resources.gateway_api.references import (
    ATOMIC,
    Conditions,
    Group,
    Hostname,
    KindName,
    LocalObjectReference,
    Namespace,
    ObjectName,
    Options,
    ParentReference,
    PreciseHostname,
    SectionName,
)
from argosy.resources.meta import Object


class TargetReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a policy is for, in the policy's own namespace."""

    group: Group
    """The API group of the target; "" is the core group, of Services."""
    kind: KindName
    """The kind of the target: Service."""
    name: ObjectName
    """The name of the target."""
    section_name: SectionName | None = None
    """A part of the target: a port of a Service, by name; left out: all of it."""


class SubjectAltName(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A name that a certificate may have."""

    type: Literal["Hostname", "URI"]
    """Which of the fields is set."""
    hostname: Hostname | None = None
    """A DNS name."""
    uri: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=253,
                pattern=r"^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?",
            ),
        ]
        | None
    ) = None
    """A URI, as spiffe://cluster.local/ns/shop/sa/reviews."""


class BackendTLSPolicyValidation(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the certificate of a backend is verified."""

    hostname: PreciseHostname
    """The host that is asked for (SNI), and that the certificate must be for, unless subjectAltNames are given."""
    ca_certificate_refs: Annotated[tuple[LocalObjectReference, ...], Meta(max_length=8), ATOMIC] = ()
    """ConfigMaps whose key ca.crt holds the authorities that are trusted."""
    well_known_ca_certificates: Literal["System"] | None = field(default=None, name="wellKnownCACertificates")
    """System trusts the authorities of the operating system, in place of caCertificateRefs."""
    subject_alt_names: Annotated[tuple[SubjectAltName, ...], Meta(max_length=5), ATOMIC] = ()
    """Names of which the certificate must have ANY, in place of the hostname."""


class BackendTLSPolicySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """For which backends, and how they are verified."""

    target_refs: Annotated[tuple[TargetReference, ...], Meta(min_length=1, max_length=16), ATOMIC]
    """The Services, or ports of them."""
    validation: BackendTLSPolicyValidation
    """How their certificates are verified."""
    options: Options = {}
    """Further settings of the controller, by name."""


class PolicyAncestorStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a policy stands with one of those that it matters to."""

    ancestor_ref: ParentReference
    """The Gateway that uses its target."""
    controller_name: str = ""
    """The controller that says so."""
    conditions: Conditions = ()
    """Accepted: the policy is in force. ResolvedRefs: what it refers to is there."""


class PolicyStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a policy stands. Programs write it; people read it."""

    ancestors: Annotated[tuple[PolicyAncestorStatus, ...], Meta(max_length=16), ATOMIC] = ()
    """How it stands with each Gateway that it matters to."""


class BackendTLSPolicy(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """TLS from Gateways to backends, and how the backends are verified."""

    spec: BackendTLSPolicySpec
    """For which backends, and how they are verified."""
    status: PolicyStatus = PolicyStatus()
    """How the policy stands. Programs write it; people read it."""


class ReferenceGrantFrom(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who may refer."""

    group: Group
    """The API group of the objects that refer."""
    kind: KindName
    """The kind of the objects that refer, as HTTPRoute or Gateway."""
    namespace: Namespace
    """Their namespace."""


class ReferenceGrantTo(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What may be referred to."""

    group: Group
    """The API group of the objects; "" is the core group."""
    kind: KindName
    """The kind of the objects, as Service or Secret."""
    name: ObjectName | None = None
    """The name of the object; left out: all of that kind in the namespace."""


class ReferenceGrantSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who may refer to what: ANY of `from` to ANY of `to`."""

    from_: Annotated[tuple[ReferenceGrantFrom, ...], Meta(min_length=1, max_length=16), ATOMIC] = field(
        name="from"
    )
    """Who may refer."""
    to: Annotated[tuple[ReferenceGrantTo, ...], Meta(min_length=1, max_length=16), ATOMIC]
    """What may be referred to, in the namespace of the grant."""


class ReferenceGrant(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Lets objects of other namespaces refer to objects of this one; without one they may not."""

    spec: ReferenceGrantSpec | None = None
    """Who may refer to what."""
