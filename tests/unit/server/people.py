"""People and programs that use the API of a whole server, in which there is the namespace `shop`."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from argosy.identity.client import new_key_and_csr
from argosy.server.process import ControlPlane
from argosy.server.settings import Settings
from tests.unit.server.whole_server import serving, settings

Json = dict[str, Any]
SHOP = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
USERS = "/apis/access.argosy.dev/v1/users"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SECRETS = "/api/v1/namespaces/shop/secrets"


@contextlib.asynccontextmanager
async def with_shop(chosen: Settings) -> AsyncIterator[ControlPlane]:
    async with serving(chosen) as running:
        async with admin(running) as web:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
            assert (await web.post("/api/v1/namespaces", json=body)).status_code == 201
        yield running


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with with_shop(settings(tmp_path / "state")) as running:
        yield running


def web_of(plane: ControlPlane, token: str = "", files: tuple[Path, Path] | None = None) -> httpx.AsyncClient:
    context = ssl.create_default_context(cadata=plane.authority.bundle)
    if files:
        context.load_cert_chain(*files)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(
        base_url=plane.info.api, verify=context, headers=headers, trust_env=False, timeout=20
    )


def admin(plane: ControlPlane) -> httpx.AsyncClient:
    return web_of(plane, (plane.settings.state / "token").read_text().strip())


def user(name: str, token: str = "", *, groups: tuple[str, ...] = (), expires: str = "", **spec: Any) -> Json:
    tokens = [
        {"sha256": hashlib.sha256(token.encode()).hexdigest()} | ({"expires": expires} if expires else {})
    ]
    return {
        "apiVersion": "access.argosy.dev/v1",
        "kind": "User",
        "metadata": {"name": name},
        "spec": {"groups": list(groups), **({"tokens": tokens} if token else {}), **spec},
    }


def binding(role: str, name: str, namespace: str = "", *, kind: str = "User") -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": f"{name}-{role.replace(':', '-')}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}],
    }


async def made(plane: ControlPlane, path: str, body: Json) -> Json:
    async with admin(plane) as web:
        answer = await web.post(path, json=body)
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


async def certificate(plane: ControlPlane, name: str, folder: Path, seconds: int = 3600) -> tuple[Path, Path]:
    key, csr = new_key_and_csr()
    request = {
        "apiVersion": "access.argosy.dev/v1",
        "kind": "ClientCertificate",
        "spec": {"user": name, "request": csr, "expirationSeconds": seconds},
    }
    answer = await made(plane, "/apis/access.argosy.dev/v1/clientcertificates", request)
    return written(folder / name, answer["status"]["certificate"], key)


def written(base: Path, chain: str, key: str) -> tuple[Path, Path]:
    files = base.with_suffix(".crt"), base.with_suffix(".key")
    for path, text in zip(files, (chain, key), strict=True):
        path.write_text(text)
    return files


def unauthorized(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["message"]) == (401, "Unauthorized")
