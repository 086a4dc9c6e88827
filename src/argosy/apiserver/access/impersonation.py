"""Doing something as somebody else: the headers Impersonate-User, Impersonate-Group and Impersonate-Uid (kubectl --as).

Rules: each of them must be allowed to who asks, by the verb `impersonate`; then the request is that user's alone, with
the groups that were named and no others, and the audit log has both. A header that begins so and means nothing here is
refused, never ignored. Stricter than Kubernetes: only a member of `system:masters` acts as one.
# Kubernetes: "User impersonation"; apiserver/pkg/endpoints/filters/impersonation.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from argosy.apiserver.access.attributes import Attributes, Decision, forbidden, refused
from argosy.apiserver.access.rbac import MASTERS
from argosy.apiserver.auth import AUTHENTICATED, User
from argosy.apiserver.status import bad_request

IMPERSONATOR = "argosy.impersonator"
"""Key of the ASGI scope: the User who has proven who they are, where `user` is another."""
USER, GROUP, UID = "impersonate-user", "impersonate-group", "impersonate-uid"
MOST_GROUPS, LONGEST = 64, 512
_PREFIX = "impersonate-"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_ANONYMOUS, _UNAUTHENTICATED = "system:anonymous", "system:unauthenticated"


class Judge(Protocol):
    async def decide(self, user: User, wanted: Attributes) -> Decision: ...


class Impersonation:
    def __init__(self, app: ASGIApp, judge: Judge | None) -> None:
        """`judge` None: nobody decides, so nobody may."""
        self.app = app
        self._judge = judge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user: User | None = scope.get("user")
        wanted = None if user is None else asked_for(Headers(scope=scope))
        if user is not None and wanted is not None:
            if self._judge is None:
                raise bad_request("Impersonate-User: nobody may be impersonated here: remove the header")
            if above(user, wanted):
                raise refused("", "groups", MASTERS, f"only a member of {MASTERS} acts as one")
            for right in rights(wanted):
                decision = await self._judge.decide(user, right)
                if not decision.allowed:
                    raise forbidden(user, right, decision.reason)
            scope[IMPERSONATOR] = user
            scope["user"] = became(user, wanted)
        await self.app(scope, receive, send)


def proven(scope: Scope) -> User:
    """Who asks, whoever they act as."""
    user: User = scope.get(IMPERSONATOR) or scope["user"]
    return user


def asked_for(headers: Headers) -> User | None:
    """Whom a request wants to be; its groups are those that are named. Raises Refusal (400)."""
    given = sorted({name for name in headers if name.startswith(_PREFIX)})
    if not given:
        return None
    for name in given:
        if name not in (USER, GROUP, UID):
            raise bad_request(f"{name[:80]}: is not supported: remove the header")
    users, groups, uids = (_values(headers, name) for name in (USER, GROUP, UID))
    if len(users) != 1:
        raise bad_request("Impersonate-User: is needed, once, with whatever else is impersonated")
    if len(uids) > 1:
        raise bad_request("Impersonate-Uid: is there more than once: keep one")
    if len(groups) > MOST_GROUPS:
        raise bad_request(f"Impersonate-Group: is there more than {MOST_GROUPS} times")
    return User(users[0], tuple(dict.fromkeys(groups)), uids[0] if uids else "")


def above(user: User, wanted: User) -> bool:
    """Whether nothing allows it."""
    return MASTERS in wanted.groups and MASTERS not in user.groups


def rights(wanted: User) -> Iterator[Attributes]:
    """What one must be allowed to act as that user: ALL of it."""
    if account := _service_account(wanted.name):
        namespace, name = account
        yield Attributes(verb="impersonate", resource="serviceaccounts", namespace=namespace, name=name)
    else:
        yield Attributes(verb="impersonate", resource="users", name=wanted.name)
    for group in wanted.groups:
        yield Attributes(verb="impersonate", resource="groups", name=group)
    if wanted.uid:
        yield Attributes(verb="impersonate", group="authentication.k8s.io", resource="uids", name=wanted.uid)


def became(user: User, wanted: User) -> User:
    """The user that the request is made as; it is that no longer than `user` is who it is."""
    groups = wanted.groups
    if not groups and (account := _service_account(wanted.name)):
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    if wanted.name == _ANONYMOUS:
        groups = tuple(dict.fromkeys((*groups, _UNAUTHENTICATED)))
    elif _UNAUTHENTICATED not in groups:
        groups = tuple(dict.fromkeys((*groups, AUTHENTICATED)))
    return User(wanted.name, groups, wanted.uid, user.expires)


def _values(headers: Headers, name: str) -> list[str]:
    """Raises Refusal (400) where one is empty, too long or no text."""
    found = []
    for value in headers.getlist(name):
        try:
            text = value.encode("latin-1").decode()  # Go writes UTF-8, and Starlette reads Latin-1
        except UnicodeDecodeError:
            raise bad_request(f"{name}: is not UTF-8") from None
        if not text or len(text) > LONGEST or not text.isprintable():
            raise bad_request(f"{name}: is empty, or not a name of at most {LONGEST} printable characters")
        found.append(text)
    return found


def _service_account(name: str) -> tuple[str, str] | None:
    """(namespace, name)."""
    namespace, found, account = name.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if not name.startswith(_SERVICE_ACCOUNT) or not found or not namespace or not account:
        return None
    return namespace, account
