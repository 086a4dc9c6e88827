from __future__ import annotations

import asyncio
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
from argosy.identity.authority import open_authority
from argosy.identity.client import Refused, Svid, Unreachable
from argosy.identity.names import Identity
from argosy.identity.protocol import SignRequest, SignResponse
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
