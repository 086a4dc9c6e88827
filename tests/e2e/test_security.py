"""Who is talking: plaintext and foreign certificates are refused, rogue servers too, keys rotate unseen."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.mesh import Connection, Load, Mesh, running_mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

URL = "http://reviews:9080/"


def inbound(mesh: Mesh, service: str) -> int:
    """The bind port of a service's sidecar."""
    entry = next(w for w in mesh.ps() if w["service"] == service)
    return int(entry["ports"][0]["bind"])


def plaintext(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: reviews\r\n\r\n")
        try:
            return connection.recv(1000)
        except ConnectionResetError:
            return b""


def peer_authentication(mode: str) -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: default}}
spec: {{mtls: {{mode: {mode}}}}}
"""


def foreign_certificate(folder: Path, uri: str) -> tuple[Path, Path]:
    """A certificate that names a mesh identity, signed by a root that the mesh does not know."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "elsewhere")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "cert.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, secret


def test_plaintext_and_foreign_certificates_are_refused(mesh: Mesh, tmp_path: Path) -> None:
    mesh.echo("reviews")
    client = mesh.client()
    mesh.announced("reviews")
    until(lambda: client.request(URL).status == 200, "the mesh's own client is served")
    port = inbound(mesh, "reviews")
    assert b"200 OK" not in plaintext(port)
    chain, key = foreign_certificate(tmp_path, "spiffe://cluster.local/ns/default/sa/client")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["istio", "http/1.1"])
    context.load_cert_chain(chain, key)

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", port), 10) as raw, context.wrap_socket(raw) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: reviews\r\n\r\n")
            return connection.recv(1000)

    with contextlib.suppress(ssl.SSLError, ConnectionError):
        assert ask() == b"", "a foreign certificate got an answer"


def test_a_rogue_server_with_another_identity_is_refused_by_the_client(mesh: Mesh) -> None:
    mesh.echo("reviews")
    client = mesh.client()
    mesh.announced("reviews")
    until(lambda: client.request(URL).status == 200, "the true service answers")
    # Somebody with an identity of their own gets an endpoint into the registry: it selects as reviews does.
    mesh.echo("rogue", flags=("--label=app=reviews",))
    mesh.announced("rogue")
    seen = [client.request(URL) for _ in range(60)]
    assert all(a.headers.get("x-served-by") != "rogue-v1" for a in seen)
    assert any(a.headers.get("x-served-by") == "reviews-v1" for a in seen)


def test_a_policy_change_applies_to_a_connection_that_is_already_open(mesh: Mesh) -> None:
    mesh.echo("reviews")
    mesh.announced("reviews")
    mesh.apply(peer_authentication("PERMISSIVE"))
    port = inbound(mesh, "reviews")

    async def story() -> tuple[int, int | str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = b"GET / HTTP/1.1\r\nHost: reviews:9080\r\n\r\n"

        async def ask() -> int | str:
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                return int(head.split()[1])
            except (OSError, asyncio.IncompleteReadError):
                return "closed"

        before = await ask()
        assert isinstance(before, int)
        await asyncio.to_thread(mesh.apply, peer_authentication("STRICT"))
        return before, await ask()

    before, after = asyncio.run(story())
    assert before == 200
    assert after in (403, "closed")


def test_certificates_rotate_under_load_without_a_failed_request(tmp_path: Path) -> None:
    with running_mesh(tmp_path / "state", "--cert-ttl=60s") as mesh:
        mesh.echo("reviews")
        client = mesh.client()
        mesh.announced("reviews")
        mesh.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}], retries: {attempts: 0}}]
""")
        first = {w["name"]: w["certificate_expires_at"] for w in mesh.ps()}

        def rotated() -> bool:
            now = {w["name"]: w["certificate_expires_at"] for w in mesh.ps()}
            return all(now[name] >= first[name] + 30 for name in first)

        with Load(client.port, URL) as load:
            until(rotated, "both certificates were renewed at least twice", 90)
            load.at_least(200)
        assert load.failures == []
        assert load.total >= 1000
        assert client.request(URL).status == 200


def test_identities_are_what_was_proven(mesh: Mesh) -> None:
    mesh.echo("reviews")
    client = mesh.client()
    mesh.announced("reviews")
    answer = until(
        lambda: client.request(URL, headers={"x-forwarded-client-cert": "URI=spiffe://forged"}), "answered"
    )
    seen = json.dumps(answer.json()["headers"])
    assert "spiffe://cluster.local/ns/default/sa/client" in seen
    assert "forged" not in seen


def test_a_connection_survives_a_rotation(tmp_path: Path) -> None:
    with running_mesh(tmp_path / "state", "--cert-ttl=60s") as mesh:
        mesh.echo("reviews")
        client = mesh.client()
        mesh.announced("reviews")
        first = {w["name"]: w["certificate_expires_at"] for w in mesh.ps()}

        async def story() -> set[int]:
            connection = Connection(client.port)
            pids = {(await connection.request(URL)).status}
            await asyncio.to_thread(
                until,
                lambda: all(w["certificate_expires_at"] > first[w["name"]] for w in mesh.ps()),
                "both were renewed",
                60,
            )
            assert connection.writer is not None
            pids.add((await connection.request(URL)).status)
            connection.close()
            return pids

        assert asyncio.run(story()) == {200}
