"""The answers to questions about access: may I, may they, what may I, who am I; and certificates for users.

# Kubernetes: pkg/registry/authorization, pkg/registry/authentication
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from argosy.apiserver.access.attributes import Attributes
from argosy.apiserver.access.client_authority import ClientAuthority
from argosy.apiserver.access.escalation import EVERYTHING
from argosy.apiserver.access.follower import AccessFollower
from argosy.apiserver.access.granting import Granting
from argosy.apiserver.access.rbac import MASTERS
from argosy.apiserver.api import Answer
from argosy.apiserver.auth import User
from argosy.apiserver.status import Refusal, bad_request
from argosy.resources import access, reviews
from argosy.resources.kinds import settled
from argosy.resources.meta import Object
from argosy.runtime.certificates import BadRequest

Json = dict[str, Any]
Asked = TypeVar("Asked", bound=Object)


def answers(follower: AccessFollower, granting: Granting, authority: ClientAuthority) -> Mapping[str, Answer]:
    """Who answers for each kind, by its resource."""
    asked = Reviews(follower, granting, authority)
    return {
        f"{reviews.AUTHENTICATION}/selfsubjectreviews": asked.who_am_i,
        f"{reviews.AUTHORIZATION}/selfsubjectaccessreviews": asked.may_i,
        f"{reviews.AUTHORIZATION}/selfsubjectrulesreviews": asked.what_may_i,
        f"{reviews.AUTHORIZATION}/subjectaccessreviews": asked.may_they,
        f"{access.GROUP}/clientcertificates": asked.certify,
    }


class Reviews:
    def __init__(self, follower: AccessFollower, granting: Granting, authority: ClientAuthority) -> None:
        self._access = follower
        self._granting = granting
        self._authority = authority

    async def who_am_i(self, request: Request, obj: Json) -> Json:
        user: User = request.scope["user"]
        found = reviews.UserInfo(username=user.name, uid=user.uid, groups=user.groups)
        return _answered(obj, reviews.SelfSubjectReviewStatus(user_info=found))

    async def may_i(self, request: Request, obj: Json) -> Json:
        asked = _typed(obj, reviews.SelfSubjectAccessReview)
        return _answered(obj, await self._decided(request.scope["user"], asked.spec))

    async def may_they(self, _: Request, obj: Json) -> Json:
        asked = _typed(obj, reviews.SubjectAccessReview)
        return _answered(obj, await self._decided(User(asked.spec.user, asked.spec.groups), asked.spec))

    async def what_may_i(self, request: Request, obj: Json) -> Json:
        asked = _typed(obj, reviews.SelfSubjectRulesReview)
        user: User = request.scope["user"]
        missing: list[str] = []
        rules = [one.rule for one in self._access.policy.granted(user, asked.spec.namespace, missing)]
        if MASTERS in user.groups:
            rules += EVERYTHING
        found = reviews.SubjectRulesReviewStatus(
            resource_rules=tuple(
                reviews.ResourceRule(
                    verbs=rule.verbs,
                    api_groups=rule.api_groups,
                    resources=rule.resources,
                    resource_names=rule.resource_names,
                )
                for rule in rules
                if rule.resources
            ),
            non_resource_rules=tuple(
                reviews.NonResourceRule(verbs=rule.verbs, non_resource_urls=rule.non_resource_urls)
                for rule in rules
                if rule.non_resource_urls
            ),
            incomplete=bool(missing),
            evaluation_error=", ".join(missing),
        )
        return _answered(obj, found)

    async def certify(self, _: Request, obj: Json) -> Json:
        """A certificate is all that its user may do: who has one made must have that, as who makes the user."""
        asked = _typed(obj, access.ClientCertificate)
        name = asked.spec.user
        user = self._access.users.get(name)
        if user is None and await self._access.caught_up():
            user = self._access.users.get(name)
        if user is None:
            details = {"name": name, "group": access.GROUP, "kind": "users"}
            raise Refusal(404, f'users.{access.GROUP} "{name}" not found', details=details)
        await self._granting.check_user(user)
        if not self._authority.signs:
            raise Refusal(
                503, "this server does not hold the key of the clients' authority: ask the one that does"
            )
        try:
            certificate, ends = self._authority.sign(
                asked.spec.request, name, user.spec.groups, user.metadata.uid, asked.spec.expiration_seconds
            )
        except BadRequest as error:
            raise bad_request(f"spec.request: {error}") from None
        until = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return _answered(obj, access.ClientCertificateStatus(certificate=certificate, expires=until))

    async def _decided(
        self, user: User, spec: reviews.SelfSubjectAccessReviewSpec
    ) -> reviews.SubjectAccessReviewStatus:
        decision = await self._access.decide(user, _attributes(spec))
        return reviews.SubjectAccessReviewStatus(allowed=decision.allowed, reason=decision.reason)


def _attributes(spec: reviews.SelfSubjectAccessReviewSpec) -> Attributes:
    if spec.resource_attributes is not None:
        asked = spec.resource_attributes
        return Attributes(
            verb=asked.verb,
            group=asked.group,
            resource=asked.resource or "*",
            subresource=asked.subresource,
            namespace=asked.namespace,
            name=asked.name,
        )
    path = spec.non_resource_attributes or reviews.NonResourceAttributes()
    return Attributes(verb=path.verb, path=path.path)


def _typed(obj: Json, struct: type[Asked]) -> Asked:
    """Of what has been validated."""
    return msgspec.convert(settled(obj), struct, str_keys=True)


def _answered(obj: Json, status: msgspec.Struct) -> Json:
    found: Json = msgspec.to_builtins(status)
    return obj | {"status": {field: value for field, value in found.items() if value != ""}}
