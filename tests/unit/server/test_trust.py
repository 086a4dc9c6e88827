"""The root of a running mesh: rotated through the API, kept elsewhere, and what refuses to leave somebody behind."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.cli import offline
from argosy.identity import issuer as issuers
from argosy.identity.trust import Trust, fingerprint
from argosy.runtime.certificates import pem, request_key
from argosy.runtime.errors import Failure
from argosy.server.membership import MESH
from argosy.server.process import ControlPlane
from tests.unit.server.test_joining import second, token
from tests.unit.server.whole_server import (
    OPERATIONS,
    Attendance,
    FakeEnvoy,
    api,
    identity,
    register,
    serving,
    settings,
    until,
)

TRUST = f"{OPERATIONS}/trust"


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    store = f"sqlite://{tmp_path / 'mesh.db'}"
    async with serving(settings(tmp_path / "first", store=store)) as running:
        yield running


async def step(web: httpx.AsyncClient, name: str, **more: Any) -> dict[str, Any]:
    answer = await web.post(f"{TRUST}/rotation", json={"step": name, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(web: httpx.AsyncClient, name: str, says: str, **more: Any) -> None:
    answer = await web.post(f"{TRUST}/rotation", json={"step": name, **more})
    assert answer.status_code in (400, 409), answer.text
    assert says in answer.json()["message"]


async def overview(plane: ControlPlane) -> dict[str, Any]:
    async with api(plane) as web:
        answer = await web.get(TRUST)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


async def test_a_mesh_of_one_server_is_rotated_and_comes_back(plane: ControlPlane) -> None:
    before = plane.authority.base.fingerprint
    async with api(plane) as web:
        begun = await step(web, "begin")
        assert (begun["phase"], begun["old"], begun["servers_behind"]) == ("trust", before, [])
    assert len(plane.authority.trusted) == 2
    kubeconfig = (plane.settings.state / "kubeconfig").read_text()
    async with api(plane) as web:
        await refused(web, "begin", "under way already")
        await refused(web, "drop", "phase trust")
        await refused(web, "up", "is not begin, issue, drop or abort")
        await step(web, "issue")
    assert plane.authority.issuer.fingerprint == begun["new"]
    assert (plane.settings.state / "kubeconfig").read_text() == kubeconfig, "which trusts both"
    async with api(plane) as web:  # its own certificate is below the new root by now
        done = await step(web, "drop")
        assert (done["phase"], done["root"]) == ("", begun["new"])
    assert (plane.settings.state / "kubeconfig").read_text() != kubeconfig
    roots = (await overview(plane))["roots"]
    assert [one["state"] for one in roots] == ["in force"]
    state = plane.settings.state
    assert not (state / "ca" / "next").exists()
    assert {path.stat().st_mode & 0o777 for path in (state / "ca").iterdir()} == {0o600}


async def test_it_goes_on_after_a_restart_in_every_phase(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "state")
    for name in ("begin", "issue", "drop"):
        async with serving(chosen) as plane, api(plane) as web:
            await step(web, name)
    async with serving(chosen) as plane:
        found = await overview(plane)
        assert found["rotation"]["phase"] == ""
        assert found["servers"][0]["issues"] == found["roots"][0]["fingerprint"]
        assert found["servers"][0]["holds_root"]


async def test_a_server_that_joined_gets_what_it_issues_with_and_a_new_one_joins_meanwhile(
    plane: ControlPlane,
) -> None:
    async with serving(second(plane, await token(plane))) as other:
        async with api(plane) as web:
            await step(web, "begin")
        await until(lambda: len(other.authority.trusted) == 2, "the other trusts both")
        await until(lambda: other.authority.following is not None, "and is ready")
        assert other.authority.following is not None
        assert other.authority.following.root_key is None
        async with api(other) as web:  # the other goes on with it
            found = await step(web, "issue")
            assert found["phase"] == "issue"
        await until(lambda: plane.authority.issuer is plane.authority.following, "the first follows")
        third = second(plane, await token(plane), state=plane.settings.state.parent / "third")
        async with serving(third) as late:
            assert late.authority.issuer.fingerprint == found["new"]
            async with api(plane) as web:
                answer = await web.get(TRUST)
                assert not answer.json()["rotation"]["servers_behind"]
                await step(web, "drop")
            for one in (plane, other, late):
                await until(partial(_trusts_alone, one, found["new"]), "one root")


def _trusts_alone(plane: ControlPlane, root: str) -> bool:
    return (
        [fingerprint(one) for one in plane.authority.trusted] == [root] == [plane.authority.base.fingerprint]
    )


async def test_a_server_that_was_away_for_all_of_it_is_told_what_to_do(plane: ControlPlane) -> None:
    chosen = second(plane, await token(plane))
    async with serving(chosen):
        pass
    await until(lambda: not plane.fleet.others, "it is known to be away", 30)
    async with api(plane) as web:
        await step(web, "begin")
        await step(web, "issue")
    async with api(plane) as web:
        await step(web, "drop")
    with pytest.raises(Failure, match="rotated while this server was away") as failure:
        await ControlPlane(msgspec.structs.replace(chosen, join=None)).start()
    assert "--join" in failure.value.remedy


async def test_whoever_holds_the_old_root_is_named_and_not_left_behind_unless_told(
    plane: ControlPlane,
) -> None:
    held = await identity(plane, "reviews-v1")
    envoy, attendance = FakeEnvoy(plane.info.xds, held), Attendance(plane.info.xds, held)
    await attendance.ask(register("reviews-v1", "reviews"))
    await until(lambda: plane.reconciler.proxies.sessions, "it is connected")
    async with api(plane) as web:
        begun = await step(web, "begin")
        assert [one["name"] for one in begun["behind"]] == ["reviews-v1.default"]
        assert "does not trust the new root" in begun["behind"][0]["why"]
        await refused(web, "issue", "1 would be left behind")
        forced = await step(web, "issue", force=True)
        assert forced["phase"] == "issue"
    async with api(plane) as web:
        await refused(web, "abort", "phase issue")
        await refused(web, "drop", "1 would be left behind")
        report = (await web.get(TRUST)).json()["rotation"]
        assert "holds a certificate of the old root" in report["behind"][0]["why"]
        assert report["behind"][0]["until"] == held.not_after
    # What it was given last counts for one whose agent says nothing.
    renewed = await identity(plane, "reviews-v1")
    assert renewed.root == begun["new"]

    async def through() -> bool:
        async with api(plane) as web:
            return not (await web.get(TRUST)).json()["rotation"]["behind"]

    for _ in range(200):
        if await through():
            break
    assert await through()
    async with api(plane) as web:
        await step(web, "drop")
    await envoy.close()
    await attendance.close()


async def test_what_an_agent_says_of_its_envoy_counts_more_than_what_it_was_given(
    plane: ControlPlane,
) -> None:
    from argosy.xds.registration import Credentials

    held = await identity(plane, "reviews-v1")
    envoy, attendance = FakeEnvoy(plane.info.xds, held), Attendance(plane.info.xds, held)
    await attendance.ask(register("reviews-v1", "reviews"))
    await until(lambda: plane.reconciler.proxies.sessions, "it is connected")
    async with api(plane) as web:
        begun = await step(web, "begin")

        async def says(root: str, *trusted: str, problem: str = "") -> list[dict[str, Any]]:
            said = Credentials(
                serial="1", root=root, trusts=trusted, not_before=0.0, not_after=2e10, problem=problem
            )
            await attendance.call.write(msgspec.json.encode(said))
            await until(
                lambda: (
                    (one := plane.attend.credentials().get("reviews-v1.default")) is not None
                    and (one.root, one.trusts, one.problem) == (root, trusted, problem)
                ),
                "it has said so",
            )
            behind: list[dict[str, Any]] = (await web.get(TRUST)).json()["rotation"]["behind"]
            return behind

        assert await says(begun["old"], begun["old"])
        assert await says(begun["old"], begun["old"], begun["new"]) == []
        await step(web, "issue")
    async with api(plane) as web:
        (behind,) = await says(begun["old"], begun["old"], begun["new"], problem="the CA is away")
        assert behind["why"] == "it holds a certificate of the old root: the CA is away"
        (row,) = (await web.get(f"{OPERATIONS}/certificates")).json()
        assert (row["problem"], row["connected"], row["proof"][:4]) == ("the CA is away", True, "unix")
        assert await says(begun["new"], begun["old"], begun["new"]) == []
    await envoy.close()
    await attendance.close()


async def test_agents_are_told_of_the_roots_without_asking(plane: ControlPlane) -> None:
    held = await identity(plane, "reviews-v1")
    attendance = Attendance(plane.info.xds, held)
    await attendance.ask(register("reviews-v1", "reviews"))
    async with api(plane) as web:
        begun = await step(web, "begin")
    await attendance.ask(register("reviews-v1", "reviews"))
    assert attendance.trust is not None
    assert (attendance.trust.version, attendance.trust.issues) == (1, begun["old"])
    assert len(x509.load_pem_x509_certificates(attendance.trust.bundle.encode())) == 2
    await attendance.close()


# --- a root that is kept elsewhere ---


class Elsewhere:
    """A root whose key no server ever sees."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.root, self.key = issuers.new_root("cluster.local", now)

    def sign(self, csr: str) -> str:
        return pem(issuers.issuing_certificate(self.root, self.key, request_key(csr), self.now))


async def csr_of(web: httpx.AsyncClient) -> str:
    answer = await web.post(f"{TRUST}/csr", json={})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["csr"])


async def test_a_mesh_turns_to_a_root_that_is_kept_elsewhere(plane: ControlPlane) -> None:
    elsewhere = Elsewhere(plane.authority.clock())
    async with api(plane) as web:
        begun = await step(web, "begin", root=pem(elsewhere.root))
        assert begun["new"] == fingerprint(elsewhere.root)
        assert [one["why"] for one in begun["servers_behind"]] == [
            "it has no issuing certificate below the new root"
        ]
        await refused(web, "issue", "1 would be left behind")
        csr = await csr_of(web)
        assert await csr_of(web) == csr or request_key(await csr_of(web)) == request_key(csr), "the same key"
        stranger = Elsewhere(plane.authority.clock())
        answer = await web.post(f"{TRUST}/issuing", json={"chain": stranger.sign(csr)})
        assert (answer.status_code, "not signed" in answer.json()["message"]) == (400, True)
        own = issuers.csr_of(ec.generate_private_key(ec.SECP256R1()))
        answer = await web.post(f"{TRUST}/issuing", json={"chain": elsewhere.sign(own)})
        assert (answer.status_code, "another key" in answer.json()["message"]) == (400, True)
        answer = await web.post(f"{TRUST}/issuing", json={"chain": elsewhere.sign(csr)})
        assert answer.status_code == 200, answer.text
        await step(web, "issue")
    async with api(plane) as web:
        await step(web, "drop")
    assert not plane.authority.holds_root
    assert not (plane.settings.state / "ca" / "root.key").exists()
    held = await identity(plane, "reviews-v1")
    assert held.root == fingerprint(elsewhere.root)
    # Its issuing certificate is replaced by another of the same root.
    async with api(plane) as web:
        answer = await web.post(f"{TRUST}/issuing", json={"chain": elsewhere.sign(await csr_of(web))})
        assert answer.status_code == 200, answer.text
    chosen = plane.settings
    await plane.stop()
    async with serving(chosen) as again:
        assert again.authority.issuing == plane.authority.issuing
        assert not again.authority.holds_root


async def test_a_mesh_begins_with_a_root_that_is_kept_elsewhere(tmp_path: Path) -> None:
    state, elsewhere = str(tmp_path / "state"), Elsewhere(time.time())
    csr = offline.new_csr(state)
    other = issuers.csr_of(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(Failure, match="another key"):
        offline.new_authority(state, "cluster.local", pem(elsewhere.root), elsewhere.sign(other))
    offline.new_authority(state, "cluster.local", pem(elsewhere.root), elsewhere.sign(csr))
    async with serving(settings(tmp_path / "state")) as plane:
        assert plane.authority.root == elsewhere.root
        assert not plane.authority.holds_root
        stored = await plane.store.get(MESH)
        assert stored is not None
        assert msgspec.json.decode(stored.body, type=Trust).root == fingerprint(elsewhere.root)
        async with api(plane) as web:
            await refused(web, "begin", "does not hold the root of the mesh")
            begun = await step(web, "begin", here=True)
            assert begun["servers_behind"] == []
            await step(web, "abort")
        assert not plane.authority.holds_root


async def test_the_key_of_the_root_is_taken_out_of_a_server_that_has_stopped(tmp_path: Path) -> None:
    state, target = tmp_path / "state", tmp_path / "root.key"
    async with serving(settings(state)) as plane:
        key = (state / "ca" / "root.key").read_bytes()
        with pytest.raises(Failure, match="a server runs on"):
            offline.take_root(str(state), target)
        assert plane.authority.holds_root
    offline.take_root(str(state), target)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (key, 0o600)
    with pytest.raises(Failure, match="is not in"):
        offline.take_root(str(state), target)
    async with serving(settings(state)) as plane:
        assert not plane.authority.holds_root
        assert (await identity(plane, "reviews-v1")).root == plane.authority.base.fingerprint
    # It comes back by putting the key into its place.
    (state / "ca" / "root.key").write_bytes(key)
    (state / "ca" / "root.key").chmod(0o600)
    async with serving(settings(state)) as plane:
        assert plane.authority.holds_root


async def test_another_process_of_the_same_server_issues_with_what_was_installed(tmp_path: Path) -> None:
    from argosy.server.settings import Role

    elsewhere = Elsewhere(time.time())
    state = tmp_path / "state"
    csr = offline.new_csr(str(state))
    offline.new_authority(str(state), "cluster.local", pem(elsewhere.root), elsewhere.sign(csr))
    runtime = settings(state, roles=frozenset((Role.XDS, Role.CA)))
    async with serving(runtime) as plane, serving(settings(state, roles=frozenset((Role.API,)))) as own:
        async with api(own) as web:
            answer = await web.post(f"{TRUST}/issuing", json={"chain": elsewhere.sign(await csr_of(web))})
            assert answer.status_code == 200, answer.text
        await until(lambda: plane.authority.issuing == own.authority.issuing, "it has read it again")
        assert (await identity(plane, "reviews-v1")).root == fingerprint(elsewhere.root)


async def test_the_processes_of_one_server_rotate_together(tmp_path: Path) -> None:
    from argosy.server.settings import Role

    state = tmp_path / "state"
    runtime = settings(state, roles=frozenset((Role.XDS, Role.CA)))
    async with serving(runtime) as plane, serving(settings(state, roles=frozenset((Role.API,)))) as own:
        await until(lambda: len(own.fleet.servers) == len(plane.fleet.servers) == 2, "they see each other")
        async with api(own) as web:
            new = (await step(web, "begin"))["new"]
        await until(lambda: plane.authority.following is not None, "the other is ready")
        await until(partial(_is_told, own, plane), "and has said so")
        async with api(own) as web:
            await step(web, "issue")
        await until(lambda: plane.authority.issuer.fingerprint == new, "both issue below the new root")
        assert (await identity(plane, "reviews-v1")).root == new
        assert plane.own.current.chain.endswith(pem(plane.authority.issuing))
        await until(partial(_is_told, own, plane), "and has said so")
        async with api(own) as web:
            await step(web, "drop")
        await until(partial(_trusts_alone, plane, new), "one root")
    async with serving(settings(state)) as again:
        assert again.authority.base.fingerprint == new


def _is_told(own: ControlPlane, other: ControlPlane) -> bool:
    """Whether what the other is by now stands in the store."""
    return other.trust._told == other.trust.standing()
