"""Roles, bindings and users as the store has them, for deciding without asking it.

Rules: what was known stays in force while the store is away. A change of access is acknowledged when it is in force
here; and before somebody is refused, what other servers may have stored is waited for (both bounded).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import structlog

from argosy.apiserver.access.attributes import Attributes, Decision
from argosy.apiserver.access.rbac import Policy
from argosy.apiserver.access.users import Users
from argosy.apiserver.auth import User
from argosy.resources import access, rbac
from argosy.resources.kinds import decode
from argosy.store.base import Compacted, EventType, Key, Store, Stored, StoreError

RETRY_AFTER = 1.0
CATCH_UP_WITHIN = 1.0
_STRUCTS: dict[str, type[object]] = {
    f"{rbac.GROUP}/roles": rbac.Role,
    f"{rbac.GROUP}/clusterroles": rbac.ClusterRole,
    f"{rbac.GROUP}/rolebindings": rbac.RoleBinding,
    f"{rbac.GROUP}/clusterrolebindings": rbac.ClusterRoleBinding,
    f"{access.GROUP}/users": access.User,
}


class AccessFollower:
    """`load` once, then `run` for ever beside whatever asks."""

    def __init__(self, store: Store, log: structlog.typing.FilteringBoundLogger) -> None:
        self.policy = Policy()
        self.users = Users()
        self.on_changed: list[Callable[[], None]] = []
        self._store = store
        self._log = log
        self._position = 0
        self._moved = asyncio.Event()

    async def decide(self, user: User, wanted: Attributes) -> Decision:
        decision = self.policy.decide(user, wanted)
        if not decision.allowed and await self.caught_up():
            decision = self.policy.decide(user, wanted)
        return decision

    def permits(self, user: User, wanted: Attributes) -> bool:
        return self.policy.decide(user, wanted).allowed

    async def load(self) -> None:
        """Reads all. Raises StoreError."""
        policy, users = Policy(), Users()
        position: int | None = None
        for resource in _STRUCTS:
            listing = await self._store.list(resource)
            # From the first on: what changed while the others were read comes once more, in order.
            position = listing.revision if position is None else position
            for stored in listing.items:
                self._put(policy, users, stored)
        self.policy, self.users = policy, users
        # Also backwards: where a backup of the store was put back, its revisions begin anew.
        self._position = position or 0
        self._moved.set()
        self._tell()

    async def run(self) -> None:
        """Follows, for ever."""
        while True:
            try:
                async for event in self._store.watch(self._position):
                    if event.stored.key.resource in _STRUCTS:
                        if event.type is EventType.DELETED:
                            self._remove(event.stored.key)
                        else:
                            self._put(self.policy, self.users, event.stored)
                        self._tell()
                    self._reached(event.stored.revision)
            except Compacted:
                await self._load_again()
            except StoreError as error:
                self._log.warning("roles and users not followed: what was known counts", error=str(error))
                await asyncio.sleep(RETRY_AFTER)

    async def caught_up(self) -> bool:
        """Waits for what is stored by now, where that is not known yet; whether anything came."""
        before = self._position
        with contextlib.suppress(StoreError):
            await self._until(await self._store.last_change())
        return self._position != before

    async def settled(self, stored: Stored) -> None:
        """Waits for a write, where it is one of access: who is told that it is done may rely on it."""
        if stored.key.resource in _STRUCTS:
            await self._until(stored.revision)

    async def _until(self, revision: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_WITHIN):
                while self._position < revision:
                    self._moved.clear()
                    await self._moved.wait()

    async def _load_again(self) -> None:
        try:
            await self.load()
        except StoreError as error:
            self._log.warning("roles and users not read: what was known counts", error=str(error))
            await asyncio.sleep(RETRY_AFTER)

    def _put(self, policy: Policy, users: Users, stored: Stored) -> None:
        key = stored.key
        try:
            obj = decode(stored.body)
        except (ValueError, msgspec.MsgspecError) as error:
            self._log.warning("access object not readable: it gives nothing", key=str(key), error=str(error))
            self._remove_from(policy, users, key)
            return
        # The key decides what it is: a store may have been written past our API.
        metadata = msgspec.structs.replace(obj.metadata, name=key.name, namespace=key.namespace)
        obj = msgspec.structs.replace(obj, metadata=metadata)
        if not isinstance(obj, _STRUCTS[key.resource]):
            self._log.warning("access object of another kind: it gives nothing", key=str(key))
            self._remove_from(policy, users, key)
        elif isinstance(obj, access.User):
            users.put(obj)
        elif isinstance(obj, (rbac.Role, rbac.ClusterRole, rbac.RoleBinding, rbac.ClusterRoleBinding)):
            policy.put(obj)

    def _remove(self, key: Key) -> None:
        self._remove_from(self.policy, self.users, key)

    @staticmethod
    def _remove_from(policy: Policy, users: Users, key: Key) -> None:
        struct = _STRUCTS[key.resource]
        if struct is access.User:
            users.remove(key.name)
        else:
            policy.remove(struct, key.namespace, key.name)

    def _reached(self, revision: int) -> None:
        self._position = max(self._position, revision)
        self._moved.set()

    def _tell(self) -> None:
        for tell in self.on_changed:
            tell()
