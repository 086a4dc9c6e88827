"""A further server becomes one of the mesh: what it gets, and who does not get in. Two servers in this process, on one
store; that they serve proxies together is for the tests with etcd."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.x509 import verification
from starlette.datastructures import QueryParams

from argosy.apiserver.access.attributes import attributes_of
from argosy.apiserver.auth import User
from argosy.identity.authority import Authority, open_authority
from argosy.identity.trust import fingerprint
from argosy.runtime.errors import Failure
from argosy.server import join_tokens
from argosy.server.membership import MESH
from argosy.server.process import ControlPlane
from argosy.server.settings import Address, Role, Settings, address
from tests.unit.server.whole_server import api, serving, settings

TOKENS = "/apis/operations.argosy.dev/v1/jointokens"
API = frozenset((Role.API,))


@pytest.fixture
async def first(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with serving(settings(tmp_path / "first", store=f"sqlite://{tmp_path / 'mesh.db'}")) as plane:
        yield plane


async def token(plane: ControlPlane, seconds: float = 600) -> str:
    async with api(plane) as web:
        answer = await web.post(TOKENS, json={"seconds": seconds})
        assert answer.status_code == 201, answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["servers"] == [plane.info.ca]
        text: str = answer.json()["token"]
        return text


def second(first: ControlPlane, text: str, **changes: Any) -> Settings:
    chosen = settings(
        first.settings.state.parent / "second",
        store=first.settings.store,
        roles=API,
        join=address("--join", first.info.ca),
        join_token=text,
    )

    return msgspec.structs.replace(chosen, **changes)


async def test_a_server_that_joins_is_one_of_the_mesh(first: ControlPlane) -> None:
    text = await token(first)
    async with serving(second(first, text)) as other:
        mine, its = first.authority, other.authority
        assert its.bundle == mine.bundle
        assert (its.holds_root, mine.holds_root) == (False, True)
        assert its.issuing != mine.issuing, "an issuing certificate of its own"
        assert its.issuing.public_key() != mine.issuing.public_key()
        limits = its.issuing.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert (limits.ca, limits.path_length) == (True, 0)
        assert its.trust_domain == "cluster.local"
        assert not (other.settings.state / "ca" / "root.key").exists()
        for path in other.settings.state.rglob("*"):
            if path.is_file() and path.suffix in (".key", ".crt", "") and "lock" not in path.name:
                assert path.stat().st_mode & 0o077 == 0, path
        # The admin of one is the admin of the other, and so is a client certificate.
        async with api(other) as web:
            assert (await web.get("/api/v1/namespaces")).status_code == 200
        assert other.api is not None
        assert first.api is not None
        assert other.api.certificates.own.pem == first.api.certificates.own.pem
        assert other.api.certificates.own.signs
    # It comes back as what it is, with the option still there and the token used up.
    async with serving(second(first, "")) as again:
        assert again.authority.issuing == its.issuing


async def test_what_both_sign_is_good_for_whoever_trusts_the_root(first: ControlPlane) -> None:
    async with serving(second(first, await token(first))) as other:
        root = x509.load_pem_x509_certificate(first.authority.bundle.encode())
        builder = verification.PolicyBuilder().store(verification.Store([root]))
        for authority in (first.authority, other.authority):
            leaf, *rest = x509.load_pem_x509_certificates(authority.server_certificate().chain.encode())
            builder.build_server_verifier(x509.DNSName("localhost")).verify(leaf, rest)


async def test_secrets_are_read_by_both(first: ControlPlane) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hidden"}}
    async with api(first) as web:
        made = await web.post("/api/v1/namespaces/default/secrets", json=secret)
        assert made.status_code == 201, made.text
    async with serving(second(first, await token(first))) as other, api(other) as web:
        found = (await web.get("/api/v1/namespaces/default/secrets/s")).json()
        assert found["data"] == {"a": "aGlkZGVu"}


async def refused(first: ControlPlane, text: str, says: str, **changes: Any) -> Failure:
    chosen = second(first, text, **changes)
    with pytest.raises(Failure, match=says) as failure:
        await ControlPlane(chosen).start()
    assert failure.value.remedy
    assert not (chosen.state / "ca").exists(), "nothing was made"
    assert not (chosen.state / "secrets.key").exists()
    return failure.value


async def test_a_token_lets_in_one_server(first: ControlPlane) -> None:
    text = await token(first)
    async with serving(second(first, text)):
        pass
    await refused(first, text, "join token was used by .*second", state=first.settings.state.parent / "third")


async def test_a_token_of_an_unknown_secret_lets_in_nobody(first: ControlPlane) -> None:
    prefix, id, secret, root = (await token(first)).split(".")
    await refused(first, ".".join((prefix, id, secret[::-1], root)), "token is not known here")


async def test_a_token_that_ended_lets_in_nobody(first: ControlPlane) -> None:
    text = await token(first, 60)
    first.join_tokens.clock = lambda: 4_000_000_000.0
    await refused(first, text, "the join token ended at")


async def test_another_trust_domain_is_refused(first: ControlPlane) -> None:
    await refused(first, await token(first), "is cluster.local", trust_domain="elsewhere")


async def test_who_answers_with_another_root_is_told_nothing(first: ControlPlane, tmp_path: Path) -> None:
    """The token is of this mesh, the address of one that would like to have it."""
    text = await token(first)
    async with serving(settings(tmp_path / "rogue")) as rogue:
        failure = await refused(
            first, text, "is no server of the mesh", join=address("--join", rogue.info.ca)
        )
        assert text.split(".")[2] not in str(failure)
        assert rogue.metrics is not None
    async with serving(second(first, text)):
        pass  # the token is as good as before


async def test_where_nobody_answers_the_token_stays(first: ControlPlane) -> None:
    text = await token(first)
    await refused(first, text, "does not answer", join=Address("127.0.0.1", 1))
    async with serving(second(first, text)):
        pass


async def test_without_joining_a_further_server_makes_no_second_root(first: ControlPlane) -> None:
    failure = await refused(first, "", "the store belongs to a mesh, and .*second is no part", join=None)
    assert "argosy join-token" in failure.remedy


async def test_a_directory_with_a_root_of_its_own_is_refused(first: ControlPlane) -> None:
    chosen = second(first, await token(first))
    open_authority(chosen.state / "ca", "cluster.local")
    with pytest.raises(Failure, match="a mesh with another root than") as failure:
        await ControlPlane(chosen).start()
    assert "--state-dir" in failure.value.remedy


async def test_who_lost_the_authority_makes_another_as_the_message_says(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "state")
    async with serving(chosen) as before:
        pass
    (chosen.state / "ca").rename(tmp_path / "away")
    async with serving(chosen) as after:
        assert after.authority.bundle != before.authority.bundle
        stored = await after.store.get(MESH)
        assert stored is not None
        assert fingerprint(after.authority.root).encode() in stored.body


async def test_the_mesh_keeps_its_trust_domain(tmp_path: Path) -> None:
    async with serving(settings(tmp_path / "state", trust_domain="td.example")):
        pass
    async with serving(settings(tmp_path / "state")) as again:
        assert (again.authority.trust_domain, again.info.trust_domain) == ("td.example", "td.example")
    with pytest.raises(Failure, match=r"--trust-domain other: the mesh of this store is td.example"):
        await ControlPlane(settings(tmp_path / "state", trust_domain="other")).start()


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"seconds": 60}', b"[", b"[1]", b'{"seconds": 1}', b'{"seconds": 1e99}', b'{"x": 1}'],
)
async def test_a_request_for_a_token_is_checked(first: ControlPlane, body: bytes) -> None:
    async with api(first) as web:
        answer = await web.post(TOKENS, content=body)
    assert answer.status_code == (201 if body in (b"", b"{}", b'{"seconds": 60}') else 400), answer.text
    async with api(first) as web:
        assert (await web.post(TOKENS, content=b" " * 2000)).status_code == 400


async def test_only_an_admin_makes_tokens_and_the_audit_log_holds_none(first: ControlPlane) -> None:
    text = await token(first)
    async with httpx.AsyncClient(verify=False, trust_env=False) as web:
        assert (await web.post(f"{first.info.api}{TOKENS}", json={})).status_code == 401
    assert first.api is not None
    wanted = attributes_of("POST", TOKENS, QueryParams())
    for group, may in (("argosy:operators", False), ("argosy:viewers", False), ("argosy:admins", True)):
        assert first.api.access.permits(User("somebody", (group,)), wanted) is may, group
    await first.stop()
    for path in first.settings.state.glob("audit.log*"):
        assert text.split(".")[2] not in path.read_text()


def test_a_token_that_is_none_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(Failure, match="holds no join token"):
        join_tokens.parse("garbage", "the file")


def test_an_authority_that_joined_lets_nobody_in(tmp_path: Path) -> None:
    made = open_authority(tmp_path / "ca", "cluster.local")
    joined = Authority(made.trust_domain, msgspec.structs.replace(made.issuer, root_key=None))
    with pytest.raises(ValueError, match="does not hold the root"):
        joined.sign_issuing("")
