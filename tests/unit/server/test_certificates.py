"""Records of who holds what, the policies of what is issued, and what is written of each certificate."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from argosy.identity.authority import open_authority
from argosy.identity.client import new_key_and_csr
from argosy.identity.issuing import IssuingPolicy, NotPermitted, permitted
from argosy.identity.names import Identity
from argosy.server.certificates import KEPT_AFTER_END, RESOURCE, Certificates
from argosy.server.issuance import FILE, Issuance
from argosy.server.issuing_policies import RESOURCE as POLICIES
from argosy.server.issuing_policies import IssuingPolicies
from argosy.store.base import Key, Stored, Unavailable
from argosy.store.memory import MemoryStore
from tests.unit.server.whole_server import until

WHO = Identity(trust_domain="td", namespace="shop", service_account="reviews", workload="reviews-v1")


class Broken(MemoryStore):
    """A store that is away until it is back."""

    away = True

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        if self.away:
            raise Unavailable("the store is away")
        return await super().update(key, body, expected)


def issuance(tmp_path: Path, certificates: Certificates) -> Issuance:
    return Issuance(tmp_path, open_authority(tmp_path / "ca", "td"), certificates, "server-1")


def sign(made: Issuance, who: Identity = WHO) -> str:
    response = made.authority.sign(new_key_and_csr()[1], who)
    made.issued(who, response, "unix:uid=7")
    return response.serial


async def test_the_last_certificate_of_each_workload_is_recorded_and_goes_when_it_leaves(
    tmp_path: Path,
) -> None:
    certificates = Certificates(MemoryStore())
    running = asyncio.create_task(certificates.run())
    made = issuance(tmp_path, certificates)
    sign(made)
    last = sign(made)
    other = sign(made, msgspec.structs.replace(WHO, workload="reviews-v2"))
    while len(await certificates.all()) < 2:
        await asyncio.sleep(0.001)
    found = await certificates.all()
    assert [(one.name, one.serial) for one in found] == [
        ("reviews-v1.shop", last),
        ("reviews-v2.shop", other),
    ]
    assert found[0].root == made.authority.base.fingerprint
    assert (found[0].proof, found[0].server) == ("unix:uid=7", "server-1")
    certificates.forget("shop", "reviews-v1")
    while len(await certificates.all()) > 1:
        await asyncio.sleep(0.001)
    certificates.clock = lambda: found[1].not_after + KEPT_AFTER_END - 1
    await certificates.sweep()
    assert len(await certificates.all()) == 1
    certificates.clock = lambda: found[1].not_after + KEPT_AFTER_END + 1
    await certificates.sweep()
    assert await certificates.all() == []
    running.cancel()
    made.log.close()


async def test_a_store_that_is_away_holds_nobody_up_and_gets_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.server.certificates.RETRY_AFTER", 0.01)
    store = Broken()
    certificates = Certificates(store)
    running = asyncio.create_task(certificates.run())
    made = issuance(tmp_path, certificates)
    serials = [sign(made) for _ in range(50)]
    await asyncio.sleep(0.05)
    assert len(certificates._waiting) <= 1, "only the last one of a workload waits"
    store.away = False
    while not await certificates.all():
        await asyncio.sleep(0.001)
    assert [one.serial for one in await certificates.all()] == [serials[-1]]
    running.cancel()
    made.log.close()


def test_each_certificate_is_a_line_of_the_log_which_others_may_not_read(tmp_path: Path) -> None:
    made = issuance(tmp_path, Certificates(MemoryStore()))
    serials = [sign(made) for _ in range(3)]
    made.log.close()
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [line["serial"] for line in lines] == serials
    assert lines[0]["identity"] == "spiffe://td/ns/shop/sa/reviews"
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in (tmp_path / FILE).read_text()


# --- what is issued at all ---


@pytest.mark.parametrize(
    ("policies", "ttl"),
    [
        ((), 3600),
        ((IssuingPolicy(name="a", maximum_ttl=600),), 600),
        ((IssuingPolicy(name="a", maximum_ttl=600), IssuingPolicy(name="b", maximum_ttl=300)), 300),
        ((IssuingPolicy(name="a", maximum_ttl=7200),), 3600),
        ((IssuingPolicy(name="a", allow=("shop/*",), deny=("shop/till", "other/*")),), 3600),
    ],
)
def test_what_all_policies_permit_is_issued(policies: tuple[IssuingPolicy, ...], ttl: int) -> None:
    assert permitted(WHO, 3600, policies) == ttl


@pytest.mark.parametrize(
    "policies",
    [
        (IssuingPolicy(name="no", deny=("shop/reviews",)),),
        (IssuingPolicy(name="no", deny=("*/*",)),),
        (IssuingPolicy(name="no", allow=("default/*",)),),
        (IssuingPolicy(name="yes", allow=("shop/*",)), IssuingPolicy(name="no", deny=("*/reviews",))),
        (IssuingPolicy(name="yes", allow=("*/*",)), IssuingPolicy(name="no", allow=("shop/reviews2",))),
    ],
)
def test_any_policy_takes_it_away_and_the_caller_does_not_hear_which(
    policies: tuple[IssuingPolicy, ...],
) -> None:
    with pytest.raises(NotPermitted, match="IssuingPolicy no does not permit") as refusal:
        permitted(WHO, 3600, policies)
    assert refusal.value.answer == "the mesh issues no certificate for the service account shop/reviews"


def policy(**spec: Any) -> bytes:
    return json.dumps(
        {
            "apiVersion": "identity.argosy.dev/v1",
            "kind": "IssuingPolicy",
            "metadata": {"name": "p"},
            "spec": spec,
        }
    ).encode()


async def test_policies_follow_the_store_and_one_that_cannot_be_read_permits_nothing() -> None:
    store, heard = MemoryStore(), []
    await store.create(Key(POLICIES, "", "first"), policy(maxLifetime="10m"))
    policies = IssuingPolicies(store)
    policies.on_changed.append(lambda: heard.append(len(policies.current())))
    following = asyncio.create_task(policies.follow(await policies.load()))
    assert [one.maximum_ttl for one in policies.current()] == [600]
    assert not policies.denies(WHO)
    await store.create(Key(POLICIES, "", "second"), policy(deny=["shop/*"]))
    await until(lambda: policies.denies(WHO), "it is denied")
    await store.delete(Key(POLICIES, "", "second"))
    await until(lambda: not policies.denies(WHO), "it is not any more")
    await store.create(Key(POLICIES, "", "third"), b"{}")
    await until(lambda: policies.denies(WHO), "nothing is permitted")
    assert heard == [1, 2, 1, 2]
    following.cancel()


def test_records_are_the_servers_own() -> None:
    assert RESOURCE.startswith("/internal/")
