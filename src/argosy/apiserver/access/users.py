"""The User objects of the store, by everything that may prove one of them."""

from __future__ import annotations

from argosy.apiserver.auth import AUTHENTICATED, TokenTable, User
from argosy.resources import access
from argosy.resources.semantics.user import moment


class Users:
    """As they stand; `put` and `remove` keep it so."""

    def __init__(self) -> None:
        self._objects: dict[str, access.User] = {}
        self._tokens = TokenTable()
        self._unix: dict[str, str] = {}

    def put(self, obj: access.User) -> None:
        name = obj.metadata.name
        self.remove(name)
        self._objects[name] = obj
        for token in obj.spec.tokens:
            until = moment(token.expires) if token.expires else 0.0
            if until is not None:  # what cannot be read proves nothing
                self._tokens.put(bytes.fromhex(token.sha256), user_of(obj, until))
        for unix_user in obj.spec.unix_users:
            self._unix.setdefault(unix_user, name)

    def remove(self, name: str) -> None:
        obj = self._objects.pop(name, None)
        if obj is None:
            return
        for token in obj.spec.tokens:
            self._tokens.remove(bytes.fromhex(token.sha256), name)
        for unix_user in obj.spec.unix_users:
            if self._unix.get(unix_user) == name:
                del self._unix[unix_user]

    def get(self, name: str) -> access.User | None:
        return self._objects.get(name)

    def by_token(self, token: str) -> User | None:
        return self._tokens.find(token)

    def by_unix_user(self, name: str) -> User | None:
        obj = self._objects.get(self._unix.get(name, ""))
        return user_of(obj) if obj else None

    def by_certificate(self, name: str, uid: str, until: float) -> User | None:
        """`uid`: of the object that the certificate was made for; an object of the same name made later is another."""
        obj = self._objects.get(name)
        return user_of(obj, until) if obj and uid and obj.metadata.uid == uid else None


def user_of(obj: access.User, expires: float = 0.0) -> User:
    return User(obj.metadata.name, with_authenticated(obj.spec.groups), obj.metadata.uid, expires)


def with_authenticated(groups: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*groups, AUTHENTICATED)))
