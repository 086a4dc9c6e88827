from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import grpc
import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2

from argosy.agent import certificates
from argosy.agent.certificates import Certificate, Subject, wait_before_renewal, wait_before_retry
from argosy.agent.link import Link
from argosy.agent.secrets import secrets
from argosy.identity import client as identity
from argosy.identity import issuer as issuers
from argosy.identity.authority import open_authority
from argosy.identity.client import Refused, Svid, Unreachable
from argosy.identity.names import Identity
from argosy.identity.protocol import AttestResponse, SignRequest, SignResponse
from argosy.runtime.certificates import pem
from argosy.runtime.errors import Failure
from argosy.xds.types import SECRET

SUBJECT = Subject(namespace="n", service_account="s", workload="w", app="a", version="v")


def svid(not_after: float = 100.0, renew_after: float = 25.0) -> Svid:
    return Svid(chain="C", key="K", bundle="B", not_before=0, not_after=not_after, renew_after=renew_after)


@pytest.mark.parametrize(
    ("now", "chance", "wait"),
    [(0, 0.0, 25.0), (0, 0.999, 25.0 + 7.5), (20, 0.0, 5.0), (30, 0.0, 0.0), (500, 0.5, 0.0)],
)
def test_renewals_are_spread_over_a_tenth_of_what_is_left(now: float, chance: float, wait: float) -> None:
    assert wait_before_renewal(svid(), now, chance) == pytest.approx(wait, rel=1e-2)


def test_retries_double_but_at_least_ten_fit_into_what_is_left() -> None:
    day = svid(not_after=86_400)
    waits = [wait_before_retry(attempt, day, 0, 1.0) for attempt in range(1, 12)]
    assert waits == sorted(waits)
    assert waits[0] == 1.0
    assert waits[-1] == 300.0
    assert wait_before_retry(50, svid(not_after=60), 0, 1.0) == 6.0
    assert wait_before_retry(50, svid(not_after=60), 100, 1.0) == 1.0  # it has ended: often


def test_secrets_are_envoys_and_their_versions_give_nothing_away() -> None:
    own, roots = secrets(svid())
    assert (own.name, roots.name) == ("default", "ROOTCA")
    parsed = [discovery_pb2.Resource.FromString(one.frame) for one in (own, roots)]
    assert [p.resource.type_url for p in parsed] == [SECRET, SECRET]
    key = secret_pb2.Secret.FromString(parsed[0].resource.value)
    assert key.tls_certificate.private_key.inline_string == "K"
    assert key.tls_certificate.certificate_chain.inline_string == "C"
    trust = secret_pb2.Secret.FromString(parsed[1].resource.value)
    assert trust.validation_context.trusted_ca.inline_string == "B"
    other_key = secrets(Svid(chain="C", key="K2", bundle="B", not_before=0, not_after=1, renew_after=0))
    assert other_key[0].version == own.version
    assert (
        secrets(Svid(chain="C2", key="K", bundle="B", not_before=0, not_after=1, renew_after=0))[0].version
        != own.version
    )


class NoLink:
    @asynccontextmanager
    async def open(self) -> AsyncIterator[grpc.aio.Channel]:
        yield cast(grpc.aio.Channel, None)


class World:
    """Answers to renewals, one after another: a Failure or a lifetime."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *answers: Failure | int) -> None:
        self.authority = open_authority(tmp_path / "ca", "td", default_ttl=3600)
        self.answers = iter(answers)
        self.renewed: list[Svid] = []
        self.warned: list[str] = []
        self.proofs = 0
        monkeypatch.setattr(identity, "sign", self.sign)
        monkeypatch.setattr(certificates, "prove", self.prove)
        monkeypatch.setattr(certificates, "FIRST_RETRY", 0.001)
        monkeypatch.setattr(certificates, "LONGEST_RETRY", 0.001)
        due = svid(not_after=time.time() + 1000, renew_after=time.time() - 200)
        self.certificate = Certificate(
            tmp_path, SUBJECT, due, cast(Link, NoLink()), self.on_renewed, self.on_warned
        )

    async def sign(self, _: object, request: SignRequest) -> SignResponse:
        answer = next(self.answers)
        if isinstance(answer, Failure):
            raise answer
        who = Identity(
            trust_domain="td",
            namespace=request.namespace,
            service_account=request.service_account,
            workload=request.workload,
            app=request.app,
            version=request.version,
        )
        return self.authority.sign(request.csr, who)

    async def prove(self, _: Path) -> None:
        self.proofs += 1
        raise Unreachable("no server answers", "start one")

    async def on_renewed(self, svid: Svid) -> None:
        self.renewed.append(svid)

    async def on_warned(self, what: str, remedy: str) -> None:
        self.warned.append(f"{what} / {remedy}")

    async def run(self) -> None:
        task = asyncio.create_task(self.certificate.run())
        async with asyncio.timeout(10):
            while not self.renewed:
                await asyncio.sleep(0.005)
        task.cancel()


async def test_a_renewal_makes_a_new_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, 3600)
    await world.run()
    (one,) = world.renewed
    assert one.key != "K"
    assert one.peer().identity.workload == "w"
    assert world.certificate.svid is one
    assert world.warned == []
    assert world.proofs == 0


async def test_a_failing_renewal_is_tried_again_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, *[Unreachable("off")] * 4, 3600)
    await world.run()
    assert len(world.warned) == 1
    assert (
        "the certificate ends in 16 min and cannot be renewed: no server answers / start one"
        in world.warned[0]
    )
    assert world.certificate.problem == ""


async def test_one_failure_is_nothing_to_talk_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, Unreachable("off"), 3600)
    await world.run()
    assert world.warned == []


async def test_where_the_certificate_is_refused_the_user_is_proven_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, Refused("another root"), 3600)
    await world.run()
    assert world.proofs == 1


async def test_without_a_control_plane_the_first_certificate_fails_with_a_remedy(tmp_path: Path) -> None:
    said: list[str] = []

    async def progress(what: str) -> None:
        said.append(what)

    with pytest.raises(Failure, match="no server answers") as failure:
        await certificates.first(tmp_path, SUBJECT, progress, 0.3)
    assert "argosy server" in failure.value.remedy
    assert len(said) == 1


# --- the roots of the mesh, and clocks ---


def rotated(world: World) -> tuple[str, str]:
    """(bundle of both roots, fingerprint of the new one): the authority issues below the new one from now on."""
    authority = world.authority
    root, key = issuers.new_root("td", time.time())
    new = issuers.below(root, key, time.time())
    authority.adopt((authority.base.root, root), new, 2)
    return authority.bundle, new.fingerprint


class Told(World):
    """With a certificate that is not due, of which the mesh tells something."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *answers: Failure | int) -> None:
        super().__init__(tmp_path, monkeypatch, *answers)
        key, csr = identity.new_key_and_csr()
        who = Identity(trust_domain="td", namespace="n", service_account="s", workload="w")
        self.trusted: list[Svid] = []
        self.certificate = Certificate(
            tmp_path,
            SUBJECT,
            identity.svid(self.authority.sign(csr, who), key),
            cast(Link, NoLink()),
            self.on_renewed,
            self.on_warned,
            trusted=self.on_trusted,
        )

    async def on_trusted(self, svid: Svid) -> None:
        self.trusted.append(svid)


async def test_other_roots_are_taken_without_another_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Told(tmp_path, monkeypatch)
    before = world.certificate.svid
    bundle, _ = rotated(world)
    await world.certificate.trust(bundle, 1, before.root, 0.0)
    (told,) = world.trusted
    assert (told.bundle, told.chain, told.trust_version) == (bundle, before.chain, 1)
    await world.certificate.trust(before.bundle, 0, before.root, 0.0)
    assert world.certificate.svid.bundle == bundle, "an older version says nothing"
    await world.certificate.trust("", 2, before.root, 0.0)
    assert world.certificate.svid.bundle == bundle, "no bundle would cut it off"


async def test_a_certificate_of_the_old_root_is_renewed_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Told(tmp_path, monkeypatch, 3600)
    running = asyncio.create_task(world.run())
    await asyncio.sleep(0)
    bundle, new = rotated(world)
    await world.certificate.trust(bundle, 2, new, 0.05)
    await running
    (renewed,) = world.renewed
    assert renewed.root == new
    assert world.proofs == 0


async def test_a_renewal_at_a_server_that_has_not_heard_yet_keeps_the_newer_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Told(tmp_path, monkeypatch, 3600)
    bundle, _ = rotated(world)
    authority = world.authority
    await world.certificate.trust(bundle, 2, "", 0.0)
    authority.trust_version = 0
    authority.adopt((authority.base.root,), authority.base)
    world.certificate.renew_within(0.0)
    await world.run()
    (renewed,) = world.renewed
    assert (renewed.bundle, renewed.trust_version) == (bundle, 2)


async def test_a_server_of_this_host_that_has_other_roots_makes_it_prove_itself_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Told(tmp_path, monkeypatch, 3600)
    elsewhere, _ = issuers.new_root("td", time.time())
    answer = AttestResponse(
        token="", expires_at=0, trust_domain="td", bundle=pem(elsewhere), ca_address="", xds_address=""
    )
    world.certificate.proven(answer)
    await world.run()
    assert len(world.renewed) == 1


async def test_what_ended_while_the_host_slept_is_renewed_at_once_when_it_wakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timers stand still meanwhile; only the clock of the day goes on."""
    world = Told(tmp_path, monkeypatch, 3600)
    monkeypatch.setattr(certificates, "LOOK_EVERY", 0.01)
    task = asyncio.create_task(world.certificate.run())
    await asyncio.sleep(0.05)
    assert world.renewed == []
    slept, now = 60 * 3600, time.time
    monkeypatch.setattr(time, "time", lambda: now() + slept)
    async with asyncio.timeout(10):
        while not world.proofs:
            await asyncio.sleep(0.005)
    assert world.renewed == [], "the old one proves nothing any more: it is proven anew"
    task.cancel()


@pytest.mark.parametrize(("ahead", "says"), [(86400, "ahead of"), (-86400, "behind")])
async def test_a_clock_that_is_a_day_off_is_told_with_the_remedy_and_renewals_keep_their_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int, says: str
) -> None:
    world = Told(tmp_path, monkeypatch, *[3600] * 50)
    real = time.time
    world.authority.clock = lambda: real() - ahead
    world.certificate.renew_within(0.0)
    task = asyncio.create_task(world.certificate.run())
    async with asyncio.timeout(10):
        while not world.warned:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    assert len(world.renewed) == 1
    assert len(world.warned) == 1
    assert re.match(rf"the clock of this host is 2[34] h \d+ min {says} the control plane's", world.warned[0])
    assert "timedatectl" in world.warned[0]
    assert says in world.certificate.problem
    assert not task.done()
    task.cancel()


async def test_tls_that_fails_for_the_time_names_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "CERTIFICATE_VERIFY_FAILED: certificate is not yet valid"
    world = World(tmp_path, monkeypatch, *[Unreachable(words)] * 4, 3600)

    async def prove(_: Path) -> None:
        raise Unreachable(words)

    monkeypatch.setattr(certificates, "prove", prove)
    await world.run()
    (warned,) = world.warned
    assert "do the clocks agree?" in warned
    assert "timedatectl" in warned
