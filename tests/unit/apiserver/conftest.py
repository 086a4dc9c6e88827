"""An API server over a memory store: called in memory (`api`), or served on a port (`served`)."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette

from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User, bearer_tokens
from argosy.apiserver.serving import Serving, serve
from argosy.store.base import Key, Store
from argosy.store.memory import MemoryStore

TOKEN = "correct-horse-battery"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
Json = dict[str, Any]


class Authority(NamedTuple):
    """A certificate for 127.0.0.1, signed by itself, and its key."""

    cert: Path
    key: Path

    @property
    def pem(self) -> str:
        return self.cert.read_text()


def make_authority(folder: Path, name: str, *, dns: str = "") -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [
        x509.DNSName(dns) if dns else x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    ]
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Authority(folder / f"{name}.crt", folder / f"{name}.key")
    files.cert.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path, "server")


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    opened = MemoryStore()
    for name in ("default", "istio-system", "shop"):
        body = b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"%b"}}' % name.encode()
        await opened.create(Key("/namespaces", "", name), body)
    yield opened
    await opened.close()


@pytest.fixture
def app(store: Store) -> Starlette:
    return create_app(
        store,
        authenticate=bearer_tokens({TOKEN: User("ada", ("operators",))}),
        now=lambda: NOW,
        bookmark_seconds=0.05,
    )


@pytest.fixture
async def api(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://api",
        headers={"Authorization": f"Bearer {TOKEN}"},
    ) as client:
        yield client


@pytest.fixture
async def served(app: Starlette) -> AsyncIterator[Serving]:
    serving = await serve(app)
    yield serving
    await serving.stop()


def client_of(served: Serving, **more: Any) -> httpx.AsyncClient:
    """`more`: of httpx."""
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{served.port}",
        headers={"Authorization": f"Bearer {TOKEN}"},
        trust_env=False,
        timeout=20,
        **more,
    )


@pytest.fixture
async def over_http(served: Serving) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(served) as client:
        yield client


def virtual_service(name: str = "reviews", namespace: str = "shop", **metadata: Any) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]},
    }


ROUTES = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
ALL_ROUTES = "/apis/networking.istio.io/v1/virtualservices"
REVIEWS = f"{ROUTES}/reviews"
