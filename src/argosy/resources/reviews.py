"""Kinds of `authorization.k8s.io` and `authentication.k8s.io`: questions to the API about access, never stored.

# Kubernetes: authorization/v1, authentication/v1 types
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from argosy.resources.kind import Kind
from argosy.resources.meta import Object

AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"

_ATOMIC = Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})
Texts = Annotated[tuple[str, ...], _ATOMIC]


class ResourceAttributes(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is done with a resource."""

    namespace: str = ""
    """The namespace; "" is all of them, and what belongs to none."""
    verb: str = ""
    """What is done: get, list, watch, create, update, patch, delete…; * is everything."""
    group: str = ""
    """The API group of the resource; "" is the core group, * every group."""
    version: str = ""
    """The version of the resource; every version is allowed alike."""
    resource: str = ""
    """The resource by its plural name; * is all."""
    subresource: str = ""
    """A part of the resource, as status."""
    name: str = ""
    """The name of the object; "" is every object."""
    field_selector: dict[str, Any] | None = None
    """Which objects are meant, by field; it decides nothing here."""
    label_selector: dict[str, Any] | None = None
    """Which objects are meant, by label; it decides nothing here."""


class NonResourceAttributes(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is done with a path that is no resource."""

    path: str = ""
    """The path, as in /version."""
    verb: str = ""
    """The method in lower case, as in get."""


class SubjectAccessReviewStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer."""

    allowed: bool = False
    """Whether it is allowed."""
    denied: bool = False
    """Whether it is denied whatever else may allow it; never so here, where rules only add."""
    reason: str = ""
    """Which binding allows it, or why it is not allowed."""
    evaluation_error: str = ""
    """What could not be taken into account."""


class SelfSubjectAccessReviewSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is asked; one of the two is set."""

    resource_attributes: ResourceAttributes | None = None
    """May I do this with a resource?"""
    non_resource_attributes: NonResourceAttributes | None = None
    """May I do this with a path that is no resource?"""


class SelfSubjectAccessReview(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Asks whether the one who asks may do something."""

    spec: SelfSubjectAccessReviewSpec
    """What is asked."""
    status: SubjectAccessReviewStatus = field(default=SubjectAccessReviewStatus())
    """The answer."""


class SubjectAccessReviewSpec(
    SelfSubjectAccessReviewSpec, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """What is asked, and about whom; one of the two kinds of attributes is set."""

    user: str = ""
    """The name of the user; this or groups must be set."""
    groups: Texts = ()
    """The groups that the user belongs to; none is added by itself."""
    uid: str = ""
    """What identifies the user beyond the name; it decides nothing here."""
    extra: dict[str, Texts] = {}
    """What else is known of the user; it decides nothing here."""


class SubjectAccessReview(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Asks whether somebody may do something."""

    spec: SubjectAccessReviewSpec
    """What is asked, and about whom."""
    status: SubjectAccessReviewStatus = field(default=SubjectAccessReviewStatus())
    """The answer."""


class SelfSubjectRulesReviewSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is asked."""

    namespace: str = ""
    """The namespace whose rules are wanted."""


class ResourceRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Verbs that are allowed on resources."""

    verbs: Texts
    """What is allowed; * is every verb."""
    api_groups: Texts = ()
    """The API groups of the resources; * is every group."""
    resources: Texts = ()
    """The resources; * is all."""
    resource_names: Texts = ()
    """The names of the objects; none: every object."""


class NonResourceRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Verbs that are allowed on paths that are no resources."""

    verbs: Texts
    """What is allowed; * is every verb."""
    non_resource_urls: Texts = field(default=(), name="nonResourceURLs")
    """The paths; a * at the end stands for the rest."""


class SubjectRulesReviewStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer."""

    resource_rules: Annotated[tuple[ResourceRule, ...], _ATOMIC] = ()
    """What is allowed with resources, the union of all."""
    non_resource_rules: Annotated[tuple[NonResourceRule, ...], _ATOMIC] = ()
    """What is allowed with paths that are no resources, the union of all."""
    incomplete: bool = False
    """Whether there may be more that is allowed."""
    evaluation_error: str = ""
    """What could not be taken into account."""


class SelfSubjectRulesReview(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Asks for all that the one who asks may do in a namespace."""

    spec: SelfSubjectRulesReviewSpec
    """What is asked."""
    status: SubjectRulesReviewStatus = field(default=SubjectRulesReviewStatus())
    """The answer."""


class UserInfo(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A user, as the API knows it."""

    username: str = ""
    """The name, as bindings have it."""
    uid: str = ""
    """What identifies the user beyond the name."""
    groups: Texts = ()
    """The groups that the user belongs to."""
    extra: dict[str, Texts] = {}
    """What else is known of the user."""


class SelfSubjectReviewStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The answer."""

    user_info: UserInfo = UserInfo()
    """Who asks."""


class SelfSubjectReview(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Asks who the one who asks is, to the API."""

    status: SelfSubjectReviewStatus = field(default=SelfSubjectReviewStatus())
    """The answer."""


def _review(group: str, struct: type[Object]) -> Kind:
    return Kind(
        group=group,
        versions=("v1",),
        kind=struct.__name__,
        plural=f"{struct.__name__.lower()}s",
        singular=struct.__name__.lower(),
        namespaced=False,
        builtin=True,
        virtual=True,
        struct=struct,
    )


KINDS = (
    _review(AUTHENTICATION, SelfSubjectReview),
    _review(AUTHORIZATION, SelfSubjectAccessReview),
    _review(AUTHORIZATION, SelfSubjectRulesReview),
    _review(AUTHORIZATION, SubjectAccessReview),
)
