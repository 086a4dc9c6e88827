"""Who may: etcd behind TLS, client certificates, names and passwords."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from aetcd import rpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from argosy.runtime.errors import Failure
from argosy.store.base import Key, Unavailable
from argosy.store.etcd.address import PASSWORD_VARIABLE, parse
from argosy.store.etcd.store import EtcdStore
from tests.servers.etcd import Etcd, etcd

REVIEWS = Key("/services", "shop", "reviews")


class Authority:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(self.sign(self.name, self.key.public_key(), True).public_bytes(PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(self.sign(subject, key.public_key(), False).public_bytes(PEM))
        files[1].write_bytes(
            key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return files

    def sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, ca: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        hosts = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(hosts, critical=False)
            .sign(self.key, hashes.SHA256())
        )


PEM = serialization.Encoding.PEM


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


@pytest.fixture
def secure(tmp_path: Path, authority: Authority) -> Iterator[Etcd]:
    cert, key = authority.issue("server")
    options = [
        f"--cert-file={cert}",
        f"--key-file={key}",
        f"--trusted-ca-file={authority.ca}",
        "--client-cert-auth",
    ]
    with etcd(tmp_path / "etcd", options=[*options, "--unsafe-no-fsync"]) as cluster:
        yield cluster


async def test_with_a_certificate_that_etcd_trusts_the_door_is_open(
    secure: Etcd, authority: Authority
) -> None:
    cert, key = authority.issue("client")
    store = await EtcdStore.open(parse(secure.url(options=f"?ca={authority.ca}&cert={cert}&key={key}")))
    made = await store.create(REVIEWS, b"{}")
    events = store.watch(made.revision - 1)
    assert (await anext(events)).stored == made
    await store.close()


@pytest.mark.parametrize("how", ["no certificate", "another's certificate", "no TLS", "another's server"])
async def test_otherwise_it_is_closed(secure: Etcd, authority: Authority, tmp_path: Path, how: str) -> None:
    other = Authority(tmp_path, "other")
    cert, key = (other if how == "another's certificate" else authority).issue("client")
    options = {
        "no certificate": f"ca={authority.ca}",
        "another's certificate": f"ca={authority.ca}&cert={cert}&key={key}",
        "no TLS": "tls=off",
        "another's server": f"ca={other.ca}&cert={cert}&key={key}",
    }[how]
    with pytest.raises(Failure, match=r"the store cannot be used: .* does not answer"):
        await EtcdStore.open(parse(secure.url(options=f"?{options}&timeout=1s")))


async def test_a_renewed_certificate_is_taken_without_a_restart(secure: Etcd, authority: Authority) -> None:
    cert, key = authority.issue("client")
    url = secure.url(options=f"?ca={authority.ca}&cert={cert}&key={key}&compact=off&timeout=3s")
    store = await EtcdStore.open(parse(url))
    before = store._client._files
    authority.issue("client")
    secure.kill()
    with pytest.raises(Unavailable):
        await store.get(REVIEWS)
    secure.start()
    await store.create(REVIEWS, b"{}")
    assert store._client._files != before
    await store.close()


async def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"cannot read .*nowhere\.pem \(ca of the store's URL\)"):
        await EtcdStore.open(parse(f"etcd://a/?ca={tmp_path}/nowhere.pem"))


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Etcd]:
    """Users root (all) and mesh (the prefix /argosy/), and tokens that last for two seconds."""
    with etcd(tmp_path / "etcd", options=["--unsafe-no-fsync", "--auth-token-ttl=2"]) as cluster:
        async with grpc.aio.insecure_channel(cluster.endpoints[0]) as channel:
            auth = rpc.AuthStub(channel)
            for name, role in (("root", "root"), ("mesh", "mesh"), ("guest", "guest")):
                await auth.UserAdd(
                    rpc.AuthUserAddRequest(name=name, password=f"{name}'s"), wait_for_ready=True
                )
                await auth.RoleAdd(rpc.AuthRoleAddRequest(name=role))
                await auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user=name, role=role))
            everything = rpc.Permission(permType=2, key=b"/argosy/", range_end=b"/argosy0")
            await auth.RoleGrantPermission(rpc.AuthRoleGrantPermissionRequest(name="mesh", perm=everything))
            await auth.AuthEnable(rpc.AuthEnableRequest())
        yield cluster


def url(cluster: Etcd, user: str) -> str:
    return cluster.url(options=f"?user={user}&compact=off&timeout=2s")


async def test_a_name_and_its_password_open_a_prefix_for_longer_than_a_token_lasts(
    guarded: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "mesh's")
    store = await EtcdStore.open(parse(url(guarded, "mesh")))
    made = await store.create(REVIEWS, b"0")
    events = store.watch(made.revision)
    assert store._client._token
    store._client._token = "forgotten.1"  # as etcd forgets them: the next call, and the next stream, meet it
    guarded.kill()
    guarded.start()
    changed = await store.update(REVIEWS, b"1", made.revision)
    assert (await anext(events)).stored == changed
    assert store._client._token != "forgotten.1"
    held = await store.hold(Key("/internal/servers", "", "a"), b"", 3)
    await held.release()
    await store.close()


@pytest.mark.parametrize(
    ("user", "password", "words"),
    [
        ("mesh", "not mesh's", "refuses the user mesh: the name or the password is wrong"),
        ("nobody", "x", "refuses the user nobody: the name or the password is wrong"),
        (
            "guest",
            "guest's",
            "refuses the user guest .* it needs a role with readwrite on the prefix /argosy/",
        ),
        ("", "", "refuses this server, which has named no user"),
    ],
)
async def test_who_may_not_is_told_what_is_missing(
    guarded: Etcd, monkeypatch: pytest.MonkeyPatch, user: str, password: str, words: str
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, password)
    with pytest.raises(Failure, match=words) as error:
        await EtcdStore.open(parse(url(guarded, user)))
    assert not password or password not in str(error.value)
