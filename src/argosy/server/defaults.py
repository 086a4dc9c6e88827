"""The objects of a server's first start: where ours are stricter or better than Istio's defaults, they are objects that
anyone can read and change.

Written once, into a store that has never held anything: one that was deleted later does not come back.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterable

import msgspec

from argosy.apiserver.access import builtin_roles
from argosy.runtime.log import logger
from argosy.server.entries import Json, new_object
from argosy.store.base import INTERNAL, AlreadyExists, Key, Store

ROOT_NAMESPACE = "istio-system"

BEGUN = Key(f"{INTERNAL}first-objects", "", "written")
ACCESS_BEGUN = Key(f"{INTERNAL}first-objects", "", "access")

log = logger("server")


def first_objects(uid: int, user: str) -> tuple[tuple[Key, Json], ...]:
    """What a new mesh begins with. `user` "" where the uid has no name."""
    match: Json = {"unixUser": user} if user else {"unixUid": uid}
    return (
        (Key("/namespaces", "", "default"), _object("v1", "Namespace", "", "default")),
        (Key("/namespaces", "", ROOT_NAMESPACE), _object("v1", "Namespace", "", ROOT_NAMESPACE)),
        (
            Key("/configmaps", ROOT_NAMESPACE, "istio"),
            _object("v1", "ConfigMap", ROOT_NAMESPACE, "istio", data={"mesh": "h2UpgradePolicy: UPGRADE\n"}),
        ),
        (
            Key("security.istio.io/peerauthentications", ROOT_NAMESPACE, "default"),
            _object(
                "security.istio.io/v1",
                "PeerAuthentication",
                ROOT_NAMESPACE,
                "default",
                spec={"mtls": {"mode": "STRICT"}},
            ),
        ),
        (
            Key("identity.argosy.dev/identityregistrations", ROOT_NAMESPACE, "server-user"),
            _object(
                "identity.argosy.dev/v1",
                "IdentityRegistration",
                ROOT_NAMESPACE,
                "server-user",
                spec={"match": match, "serviceAccounts": ["*/*"]},
            ),
        ),
    )


def _object(api_version: str, kind: str, namespace: str, name: str, **rest: Json) -> Json:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


async def write_first_objects(store: Store, now: float) -> bool:
    """Whether this was the first start. Raises StoreError.

    A first start that was killed half-way is finished by the next: BEGUN is written at its end, and nobody can have
    deleted one before (the API starts later). A mesh that is older than BEGUN is known by what else is there.
    """
    if await store.get(BEGUN) is not None:
        return False
    objects = first_objects(os.getuid(), _user_name())
    keys = [key for key, _ in objects]
    present = {one.key for one in (await store.list()).items if not one.key.resource.startswith(INTERNAL)}
    fresh = present == set(keys[: len(present)]) and len(present) < len(keys)
    if fresh:
        await _write(store, objects, present, now)
        log.info("first start")
    with contextlib.suppress(AlreadyExists):
        await store.create(BEGUN, b"{}")
    return fresh


async def write_access_objects(store: Store, now: float) -> None:
    """The roles and bindings of a new mesh, and of one that is older than roles: once. Raises StoreError.

    What was killed half-way is finished by the next start: nobody can have deleted one before ACCESS_BEGUN is written.
    """
    if await store.get(ACCESS_BEGUN) is None:
        await _write(store, builtin_roles.objects(), set(), now)
        with contextlib.suppress(AlreadyExists):
            await store.create(ACCESS_BEGUN, b"{}")
        log.info("roles written", roles=",".join(builtin_roles.ROLES))


async def _write(store: Store, objects: Iterable[tuple[Key, Json]], present: set[Key], now: float) -> None:
    for key, body in objects:
        if key not in present:
            with contextlib.suppress(AlreadyExists):  # another replica starts at the same moment
                await store.create(key, msgspec.json.encode(new_object(body, now)))


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
