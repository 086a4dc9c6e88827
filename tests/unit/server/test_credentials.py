"""Who it is that uses the API of a whole server: over real TLS with tokens and certificates, over its Unix socket, and
not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from argosy.runtime.errors import Failure
from argosy.server.process import ControlPlane
from tests.unit.server.people import (
    RBAC,
    SECRETS,
    SHOP,
    USERS,
    admin,
    binding,
    certificate,
    made,
    unauthorized,
    user,
    web_of,
    with_shop,
    written,
)
from tests.unit.server.people import plane as plane  # the fixture
from tests.unit.server.whole_server import identity, serving, settings

# --- who is it ---


async def test_wrong_expired_and_revoked_credentials_are_401_alike(
    plane: ControlPlane, tmp_path: Path
) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    await made(plane, USERS, user("late", "a-token-that-has-ended", expires=past))
    await made(plane, USERS, user("bob", "a-token-of-bob-himself"))
    files = await certificate(plane, "bob", tmp_path)
    async with web_of(plane, files=files) as web, admin(plane) as root:
        for header in (
            "Bearer wrong-token-altogether",
            "Bearer a-token-that-has-ended",
            "Basic YTpi",
            "Bearer",
        ):
            assert unauthorized(await web.get("/version", headers={"authorization": header})), header
        assert (await web.get("/version")).status_code == 200, "by the certificate"
        assert (await root.delete(f"{USERS}/bob")).status_code == 200
        assert unauthorized(await web.get("/version")), "the same connection"
        await made(plane, USERS, user("bob", "another-token-of-bob"))
        assert unauthorized(await web.get("/version")), "another user of that name"
    async with web_of(plane, "a-token-of-bob-himself") as web:
        assert unauthorized(await web.get("/version"))


async def test_a_certificate_ends_when_it_says(plane: ControlPlane, tmp_path: Path) -> None:
    await made(plane, USERS, user("short"))
    assert plane.api is not None
    plane.api.certificates.own._clock = lambda: time.time() - 7200
    files = await certificate(plane, "short", tmp_path)
    async with web_of(plane, files=files) as web:
        assert unauthorized(await web.get("/version"))


async def test_no_certificate_of_the_mesh_is_a_user_of_the_api(plane: ControlPlane, tmp_path: Path) -> None:
    held = await identity(plane, "client")
    files = written(tmp_path / "workload", "".join(held.chain), held.key)
    async with web_of(plane, files=files) as web:
        with pytest.raises(httpx.TransportError):
            await web.get("/version")


async def test_the_authority_of_the_workloads_is_no_authority_for_people(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "state")
    async with serving(chosen) as plane:
        (tmp_path / "mesh.pem").write_text(plane.authority.bundle)
    with pytest.raises(Failure, match="an authority of the mesh's workloads"):
        async with serving(msgspec.structs.replace(chosen, client_ca_file=tmp_path / "mesh.pem")):
            pass


async def test_a_certificate_of_ones_own_authority_is_its_cn_and_os(tmp_path: Path) -> None:
    authority = Foreign(tmp_path)
    chosen = settings(tmp_path / "state", client_ca_file=authority.file)
    async with with_shop(chosen) as plane:
        await made(plane, f"{RBAC}/clusterrolebindings", binding("argosy:viewer", "devs", kind="Group"))
        files = authority.certificate(tmp_path / "carol", "carol", ("devs",))
        async with web_of(plane, files=files) as web:
            assert (await web.get(SHOP)).status_code == 200
            assert (await web.get(f"{SECRETS}/x")).status_code == 403
            who = await web.post(
                "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                json={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
            )
            assert who.json()["status"]["userInfo"] == {
                "username": "carol",
                "groups": ["devs", "system:authenticated"],
            }
        files = authority.certificate(tmp_path / "old", "carol", ("devs",), ended=True)
        async with web_of(plane, files=files) as web:
            with pytest.raises(httpx.TransportError):
                await web.get("/version")


class Foreign:
    """An authority for people, that somebody else runs."""

    def __init__(self, folder: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "people")])
        extension = x509.BasicConstraints(ca=True, path_length=None)
        signed = self._builder(self.name, self.key.public_key(), 3600).add_extension(extension, critical=True)
        self.file = folder / "people.pem"
        self.file.write_bytes(signed.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, ends: int
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=2))
            .not_valid_after(now + timedelta(seconds=ends))
        )

    def certificate(
        self, base: Path, name: str, groups: tuple[str, ...], *, ended: bool = False
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
        signed = self._builder(x509.Name(subject), key.public_key(), -60 if ended else 3600)
        made = signed.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        plain = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return written(base, made.decode(), plain.decode())


async def test_the_users_of_a_token_file_are_known(tmp_path: Path) -> None:
    file = tmp_path / "tokens.csv"
    file.write_text(
        '# people\na-token-of-dora-alone,dora,7,"argosy:viewers,devs"\n\na-token-of-emil-alone,emil,8\n'
    )
    file.chmod(0o600)
    async with with_shop(settings(tmp_path / "state", token_file=file)) as plane:
        async with web_of(plane, "a-token-of-dora-alone") as web:
            assert (await web.get(SHOP)).status_code == 200
        async with web_of(plane, "a-token-of-emil-alone") as web:
            assert (await web.get(SHOP)).status_code == 403


# --- how it is reached ---


def modes(*paths: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in paths]


async def test_the_unix_socket_is_its_users_own(plane: ControlPlane) -> None:
    path = Path(plane.info.api_socket)
    assert modes(path, path.parent) == [0o600, 0o700]
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://api"
    ) as web:
        assert (await web.get(SHOP)).status_code == 200
        assert unauthorized(await web.get(SHOP, headers={"authorization": "Bearer of-nobody-at-all"}))
        who = await web.post(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            json={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
        assert who.json()["status"]["userInfo"]["username"] == "admin"


async def test_another_unix_user_is_whom_a_user_object_maps_it_to(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(plane.info.api_socket)
    assert plane.api is not None
    monkeypatch.setattr(plane.api.authenticator, "_own_uid", os.getuid() + 1)
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as web:
        assert unauthorized(await web.get(SHOP))
        me = pwd.getpwuid(os.getuid()).pw_name
        await made(plane, USERS, user("local", unixUsers=[me], groups=("argosy:viewers",)))
        assert (await web.get(SHOP)).status_code == 200
        assert (await web.delete(SHOP)).status_code == 403


async def test_nothing_is_answered_without_tls(plane: ControlPlane) -> None:
    host, port = plane.info.api.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.settimeout(10)
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            received = await asyncio.to_thread(plain.recv, 4096)
            assert not received.startswith(b"HTTP")
