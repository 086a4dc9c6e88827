"""What a write would give to others: nobody makes a role, a binding or a user that may do more than the writer.

Rule: this stands where objects are admitted, so that no verb passes it by; a dry run is judged alike. Exempt are
`system:masters`, and who has the verb `escalate` on roles, `bind` on the bound role, `impersonate` on users.
# Kubernetes: pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from argosy.apiserver.access import escalation
from argosy.apiserver.access.attributes import Attributes, refused
from argosy.apiserver.access.escalation import EVERYTHING
from argosy.apiserver.access.follower import AccessFollower
from argosy.apiserver.access.gate import asking
from argosy.apiserver.access.rbac import MASTERS
from argosy.apiserver.access.users import user_of
from argosy.apiserver.auth import User
from argosy.apiserver.status import Refusal
from argosy.apiserver.writing import Admission
from argosy.resources import access, rbac
from argosy.resources.kinds import Kind, decode_as
from argosy.resources.problem import Problem
from argosy.resources.rbac import PolicyRule
from argosy.store.base import Key, Store

Json = dict[str, Any]


class Granting:
    """Judges writes of roles, bindings and users."""

    def __init__(self, access: AccessFollower, store: Store) -> None:
        self._access = access
        self._store = store

    def before(self, admission: Admission) -> Admission:
        """An Admission that refuses what must not be given away, and is `admission` otherwise."""

        async def admit(kind: Kind, obj: Json) -> Sequence[Problem]:
            if kind.group in (rbac.GROUP, access.GROUP) and not kind.virtual:
                await self.check(kind, obj)
            return await admission(kind, obj)

        return admit

    async def check(self, kind: Kind, obj: Json) -> None:
        """Raises Refusal (403; 404 where a role that is to be bound is not there)."""
        user = asking()
        if user is None or MASTERS in user.groups:
            return
        new, old = decode_as(kind, obj), await self._old(kind, obj)
        match new:
            case rbac.Role() | rbac.ClusterRole():
                await self._check_role(user, kind, new, old)
            case rbac.RoleBinding() | rbac.ClusterRoleBinding():
                await self._check_binding(user, kind, new, old)
            case access.User():
                if not isinstance(old, access.User) or old.spec != new.spec:
                    await self.check_user(new)

    async def _check_role(
        self, user: User, kind: Kind, new: rbac.Role | rbac.ClusterRole, old: object
    ) -> None:
        # By its labels other roles may be put together from it: who changes those gives its rules away, too.
        same = (
            isinstance(old, type(new))
            and old.rules == new.rules
            and old.metadata.labels == new.metadata.labels
        )
        rules, aggregates = new.rules, isinstance(new, rbac.ClusterRole) and new.aggregation_rule
        if aggregates:
            # What it will be put together from is for others to say later: only who has everything may allow that.
            same = same and isinstance(old, rbac.ClusterRole) and old.aggregation_rule == aggregates
            rules = (*rules, *EVERYTHING)
        namespace, name = new.metadata.namespace, new.metadata.name
        if same or await self._may(user, "escalate", kind.plural, namespace, name):
            return
        await self._require(user, namespace, lambda: rules, (kind.group, kind.plural, name))

    async def _check_binding(
        self, user: User, kind: Kind, new: rbac.RoleBinding | rbac.ClusterRoleBinding, old: object
    ) -> None:
        if isinstance(old, type(new)) and (old.role_ref, old.subjects) == (new.role_ref, new.subjects):
            return
        role, namespace = new.role_ref, new.metadata.namespace
        plural = "roles" if role.kind == "Role" else "clusterroles"
        if await self._may(user, "bind", plural, namespace, role.name):
            return
        if self._access.policy.rules_of(role, namespace) is None:
            await self._access.caught_up()
        if self._access.policy.rules_of(role, namespace) is None:
            details = {"name": role.name, "group": rbac.GROUP, "kind": plural}
            raise Refusal(404, f'{plural}.{rbac.GROUP} "{role.name}" not found', details=details)
        await self._require(
            user,
            namespace,
            lambda: self._access.policy.rules_of(role, namespace) or EVERYTHING,
            (kind.group, kind.plural, new.metadata.name),
        )

    async def check_user(self, new: access.User) -> None:
        """Who makes a user can be that user: all that it may do, in every namespace, must be the maker's.

        Raises Refusal (403).
        """
        user = asking()
        if user is None or MASTERS in user.groups:
            return
        made, name = user_of(new), new.metadata.name
        subject = (access.GROUP, "users", name)
        if MASTERS in made.groups:
            raise refused(*subject, f"only a member of {MASTERS} makes another")
        if await self._may(user, "impersonate", "users", "", name, access.GROUP):
            return
        for namespace in sorted({"", *self._access.policy.namespaces_of(made)}):

            def rules(namespace: str = namespace) -> Iterable[PolicyRule]:
                return [granted.rule for granted in self._access.policy.granted(made, namespace)]

            await self._require(user, namespace, rules, subject)

    async def _require(
        self,
        user: User,
        namespace: str,
        rules: Callable[[], Iterable[PolicyRule]],
        subject: tuple[str, str, str],
    ) -> None:
        lacking = self._lacking(user, namespace, rules())
        if lacking and await self._access.caught_up():
            lacking = self._lacking(user, namespace, rules())
        if lacking:
            raise refused(*subject, escalation.told(user, lacking))

    def _lacking(self, user: User, namespace: str, rules: Iterable[PolicyRule]) -> Sequence[PolicyRule]:
        held = [granted.rule for granted in self._access.policy.granted(user, namespace)]
        return escalation.missing(held, rules)

    async def _may(
        self, user: User, verb: str, resource: str, namespace: str, name: str, group: str = rbac.GROUP
    ) -> bool:
        wanted = Attributes(verb=verb, group=group, resource=resource, namespace=namespace, name=name)
        return (await self._access.decide(user, wanted)).allowed

    async def _old(self, kind: Kind, obj: Json) -> object:
        """What the object replaces. It is read after the verb has read it, and the verb writes only if it is still
        that: so what is compared here is what is replaced."""
        metadata = obj["metadata"]
        found = await self._store.get(
            Key(kind.resource, metadata.get("namespace") or "", metadata.get("name") or "")
        )
        if found is None:
            return None
        try:
            return decode_as(kind, msgspec.json.decode(found.body))
        except (ValueError, msgspec.MsgspecError):
            return None
