"""The IdentityRegistrations of this moment, for the certificate authority: who may have which service account."""

from __future__ import annotations

from argosy.identity.proofs import Registration
from argosy.resources.identity import IdentityRegistration
from argosy.resources.meta import Object
from argosy.server.defaults import ROOT_NAMESPACE
from argosy.server.following import Following
from argosy.store.base import Key, Store

RESOURCE = "identity.argosy.dev/identityregistrations"


class Registrations(Following):
    resource = RESOURCE

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._by_key: dict[Key, Registration] = {}

    def current(self) -> tuple[Registration, ...]:
        return tuple(self._by_key.values())

    def put(self, key: Key, obj: Object) -> None:
        self._by_key.pop(key, None)
        if isinstance(obj, IdentityRegistration):
            match = obj.spec.match
            self._by_key[key] = Registration(
                name=f"{key.namespace}/{key.name}",
                unix_user=match.unix_user or "",
                unix_uid=match.unix_uid,
                selectors=match.selectors,
                service_accounts=obj.spec.service_accounts,
                # Whoever may write into one namespace must not give away the identities of another.
                only="" if key.namespace == ROOT_NAMESPACE else key.namespace,
            )

    def drop(self, key: Key) -> None:
        self._by_key.pop(key, None)
