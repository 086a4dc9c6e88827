"""Proving who one is: a bearer token, else a client certificate, else the Unix user at the other end of a Unix socket.

Rule: what is given must be right: a wrong token is refused, whatever certificate comes with it. Which of the two was
wrong, or only too old, is told to nobody.
"""

from __future__ import annotations

import pwd
import time
from collections.abc import Callable, Mapping

from starlette.requests import Request

from argosy.apiserver.access.client_authority import ClientCertificates
from argosy.apiserver.access.follower import AccessFollower
from argosy.apiserver.access.rbac import MASTERS
from argosy.apiserver.access.users import with_authenticated
from argosy.apiserver.auth import TokenTable, User, bearer_token
from argosy.apiserver.peer import PEER, Peer

ADMIN = User("admin", with_authenticated((MASTERS,)))
"""Who holds the server's own token, or is its Unix user: whoever may read the state directory could do everything."""


class Authenticator:
    """All the ways there are; called with each request."""

    def __init__(
        self,
        access: AccessFollower,
        *,
        tokens: Mapping[str, User],
        certificates: ClientCertificates | None = None,
        own_uid: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`tokens`: of users who are no objects. `own_uid`: the Unix user that is ADMIN on the Unix socket."""
        self._access = access
        self._tokens = TokenTable(
            {
                token: User(user.name, with_authenticated(user.groups), user.uid)
                for token, user in tokens.items()
            }
        )
        self._certificates = certificates
        self._own_uid = own_uid
        self._clock = clock

    async def __call__(self, request: Request) -> User | None:
        user = self.find(request)
        if user is None and await self._access.caught_up():
            user = self.find(request)
        return user

    def find(self, request: Request) -> User | None:
        """As known now."""
        peer: Peer | None = request.scope.get(PEER)
        token = bearer_token(request)
        if token is not None:
            user = (self._tokens.find(token) or self._access.users.by_token(token)) if token else None
        elif peer is not None and peer.certificate is not None:
            user = self._by_certificate(peer.certificate)
        elif peer is not None and peer.uid is not None:
            user = self._by_unix_user(peer.uid)
        else:
            return None
        return user if user and (not user.expires or self._clock() < user.expires) else None

    def _by_certificate(self, der: bytes) -> User | None:
        read = self._certificates.read(der) if self._certificates else None
        if read is None or not read.begins <= self._clock():
            return None
        if read.foreign:
            return User(read.name, with_authenticated(read.groups), "", read.ends)
        return self._access.users.by_certificate(read.name, read.uid, read.ends)

    def _by_unix_user(self, uid: int) -> User | None:
        if uid == self._own_uid:
            return ADMIN
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            return None
        return self._access.users.by_unix_user(name)
