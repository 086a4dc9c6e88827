"""The objects of a server's first start: where ours are stricter or better than Istio's defaults, they are objects that
anyone can read and change.

Written once, into a store that has never held anything: one that was deleted later does not come back.
"""

from __future__ import annotations

import os
import pwd

import msgspec

from argosy.runtime.log import logger
from argosy.server.entries import Json, new_object
from argosy.store.base import AlreadyExists, Key, Store

ROOT_NAMESPACE = "istio-system"

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

    A first start that was killed half-way is finished by the next: the last object marks the end, and nobody can have
    deleted one before (the API starts later).
    """
    listing = await store.list()
    objects = first_objects(os.getuid(), _user_name())
    keys = [key for key, _ in objects]
    present = {stored.key for stored in listing.items}
    # Each write takes one revision: a store that holds nothing but the beginning of the list was left half-way.
    if listing.revision >= len(objects) or present != set(keys[: listing.revision]):
        return False
    for key, body in objects:
        if key not in present:
            try:
                await store.create(key, msgspec.json.encode(new_object(body, now)))
            except AlreadyExists:
                continue  # another replica starts at the same moment
    log.info("first start", objects=len(objects))
    return True


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
