"""The API with all that decides who may, over a memory store: users with tokens, roles, bindings; called in memory."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
from starlette.applications import Starlette

from argosy.apiserver.access import builtin_roles
from argosy.apiserver.access.audit_log import AuditLog
from argosy.apiserver.access.authentication import ADMIN, Authenticator
from argosy.apiserver.access.client_authority import ClientCertificates, open_client_authority
from argosy.apiserver.access.follower import AccessFollower
from argosy.apiserver.access.granting import Granting
from argosy.apiserver.access.reviews import answers
from argosy.apiserver.app import create_app
from argosy.apiserver.writing import admit_all
from argosy.runtime.log import logger
from argosy.store.base import Key, Store
from argosy.store.memory import MemoryStore

Json = dict[str, Any]
ROOT = "the-token-of-the-admin"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
USERS = "/apis/access.argosy.dev/v1/users"
SECRETS = "/api/v1/namespaces/shop/secrets"
SHOP = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"


class Guarded:
    def __init__(self, app: Starlette, store: Store, audit: Path) -> None:
        self.app = app
        self.store = store
        self._audit = audit
        self._log: AuditLog | None = None

    def web(self, token: str = ROOT, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://api",
            headers={"Authorization": f"Bearer {token}"} | headers,
        )

    async def made(self, path: str, body: Json) -> Json:
        async with self.web() as web:
            answer = await web.post(path, json=body)
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()
        return found

    async def user(self, name: str, *rules: Json, namespace: str = "", groups: tuple[str, ...] = ()) -> str:
        """A user who may what the rules say, there; its token."""
        token = f"the-token-of-{name}-alone"
        await self.made(USERS, user(name, token, groups=groups))
        if rules:
            kind, where = ("Role", f"/namespaces/{namespace}") if namespace else ("ClusterRole", "")
            await self.made(f"{RBAC}{where}/{kind.lower()}s", role(kind, name, *rules))
            await self.made(f"{RBAC}{where}/{kind.lower()}bindings", binding(kind, name, name))
        return token

    async def bind(self, role_name: str, name: str, namespace: str = "") -> Json:
        kind, where = ("Role", f"/namespaces/{namespace}") if namespace else ("ClusterRole", "")
        body = binding(kind, role_name, name)
        body["roleRef"]["kind"] = "ClusterRole"
        return await self.made(f"{RBAC}{where}/{kind.lower()}bindings", body)

    async def audited(self) -> list[Json]:
        """What the audit log has, once all is written."""
        assert self._log is not None
        while self._log.waiting:
            await asyncio.sleep(0.001)
        return [msgspec.json.decode(line) for line in self._audit.read_bytes().splitlines()]

    async def watched(self, count: int = 1) -> None:
        """Returns when so many watches have begun."""
        async with asyncio.timeout(10):
            while sum(line.get("stage") == "started" for line in await self.audited()) < count:
                await asyncio.sleep(0.001)


def rule(groups: str, resources: str, verbs: str, names: str = "") -> Json:
    """Lists as words; the group `core` is ""."""
    listed = ["" if group == "core" else group for group in groups.split()]
    found: Json = {"apiGroups": listed, "resources": resources.split(), "verbs": verbs.split()}
    return found | ({"resourceNames": names.split()} if names else {})


def user(name: str, token: str, **spec: Any) -> Json:
    return {
        "apiVersion": "access.argosy.dev/v1",
        "kind": "User",
        "metadata": {"name": name},
        "spec": {"tokens": [{"sha256": hashlib.sha256(token.encode()).hexdigest()}], **spec},
    }


def role(kind: str, name: str, *rules: Json, **metadata: Any) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "rules": list(rules),
    }


def binding(kind: str, role_name: str, name: str) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": f"{kind}Binding",
        "metadata": {"name": f"{name}-{role_name.replace(':', '-')}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role_name},
        "subjects": [{"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}],
    }


def secret(name: str, **metadata: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, **metadata},
        "stringData": {"password": "correct-horse"},
    }


@contextlib.asynccontextmanager
async def guarded(folder: Path, store: Store | None = None) -> AsyncIterator[Guarded]:
    store = store or MemoryStore()
    for name in ("default", "istio-system", "shop", "bank"):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await store.create(Key("/namespaces", "", name), msgspec.json.encode(body))
    for key, obj in builtin_roles.objects():
        await store.create(key, msgspec.json.encode(obj))
    access = AccessFollower(store, logger("test"))
    await access.load()
    following = asyncio.create_task(access.run())
    certificates = ClientCertificates(open_client_authority(folder / "client-ca"))
    authenticator = Authenticator(access, tokens={ROOT: ADMIN}, certificates=certificates)
    granting = Granting(access, store)
    audit = AuditLog(folder / "audit.log", logger("test"))
    app = create_app(
        store,
        authenticate=authenticator,
        authorizer=access,
        recognise=authenticator.find,
        admission=granting.before(admit_all),
        virtual=answers(access, granting, certificates.own),
        audit_log=audit,
        bookmark_seconds=0.05,
    )
    found = Guarded(app, store, folder / "audit.log")
    found._log = audit
    try:
        yield found
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        audit.close()
        await store.close()
