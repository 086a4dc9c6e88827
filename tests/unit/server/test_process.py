"""The whole server in this process, on free ports: a workload proves itself, gets its certificate, registers, and sees
over mutual TLS what is applied through the API. And who is not let in."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import msgspec
import pytest

from argosy.apiserver.kubeconfig import load as connection
from argosy.identity.client import Refused, attest, channel
from argosy.server.advertise import own_address
from argosy.server.process import ControlPlane
from argosy.server.settings import Address
from argosy.translate.resource import ENDPOINT, ROUTE
from argosy.xds.registration import (
    ATTEND,
    Announce,
    Announced,
    Leave,
    Left,
    Registered,
    Withdraw,
    Withdrawn,
)
from tests.unit.server.whole_server import (
    OPERATIONS,
    REVIEWS,
    VIRTUAL_SERVICES,
    Attendance,
    FakeEnvoy,
    api,
    identity,
    register,
    serving,
    settings,
    until,
    virtual_service,
)
from tests.unit.server.whole_server import plane as plane  # the fixture

DESTINATION_RULES = "/apis/networking.istio.io/v1/namespaces/default/destinationrules"


async def test_from_a_proof_of_identity_to_a_steered_proxy(plane: ControlPlane) -> None:
    reviews = await identity(plane, "reviews-v1")
    client = await identity(plane, "client")
    envoy = FakeEnvoy(plane.info.xds, client)
    await until(lambda: envoy.has(ROUTE, "http_proxy"), "the client has its first configuration")
    attendance = Attendance(plane.info.xds, reviews)
    registered = await attendance.ask(register("reviews-v1", "reviews"))
    assert isinstance(registered, Registered)
    assert registered == Registered(
        entry="default/reviews-v1",
        created_service="default/reviews",
        xds_addresses=(plane.info.xds,),
        labels=registered.labels,
    )
    await until(lambda: envoy.has(ENDPOINT, REVIEWS), "the client knows the service")
    announced = await attendance.ask(Announce())
    assert isinstance(announced, Announced)
    # reviews-v1 has no sidecar here; it is not waited for by itself
    assert (announced.acknowledged, announced.missing) == (1, ())
    assert envoy.has(ENDPOINT, REVIEWS, b"reviews-v1"), "when the answer comes, the proxies have the endpoint"

    async with api(plane) as web:
        made = await web.post(VIRTUAL_SERVICES, json=virtual_service("7s"))
        assert made.status_code == 201, made.text
        revision = made.json()["metadata"]["resourceVersion"]
        verdict = await web.get(
            f"{OPERATIONS}/delivery",
            params={"object": "VirtualService/default/reviews", "revision": revision},
        )
        assert verdict.json() == {
            "state": "live",
            "proxies": ["client.default"],
            "pending": [],
            "disconnected": ["reviews-v1.default"],
            "rejected": [],
            "reason": "",
        }
        programmed = ""
        while programmed != "1 of 1 affected proxies run it":
            shown = (await web.get(f"{VIRTUAL_SERVICES}/reviews")).json()
            conditions = {one["type"]: one for one in shown.get("status", {}).get("conditions", ())}
            programmed = conditions.get("Programmed", {}).get("message", "")
            await asyncio.sleep(0.01)
        proxies = (await web.get(f"{OPERATIONS}/proxies")).json()
        assert [(one["name"], one["connected"]) for one in proxies] == [
            ("client.default", True),
            ("reviews-v1.default", False),
        ]
        assert proxies[0]["synced"]
        assert proxies[0]["certificate_expires_at"] == client.not_after
        # Without a revision: the conditions that the server writes meanwhile are no conflict.
        warned = await web.put(f"{VIRTUAL_SERVICES}/reviews", json=virtual_service("7s", "v9"))
        assert "v9" in warned.headers["warning"]
        subset = {"host": "reviews", "subsets": [{"name": "v3", "labels": {"version": "v3"}}]}
        kind = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "s"}}
        for version in (
            "v3",
            "v4",
        ):  # what was written a moment before counts, whether the views hold it yet or not
            subset["subsets"] = [{"name": version, "labels": {"version": version}}]
            kind["metadata"] = {"name": version}
            assert (await web.post(DESTINATION_RULES, json=kind | {"spec": subset})).status_code == 201
            fits = await web.put(f"{VIRTUAL_SERVICES}/reviews", json=virtual_service("7s", version))
            assert (fits.status_code, fits.headers.get("warning")) == (200, None)
        rule = {"host": "reviews", "trafficPolicy": {"tls": {"mode": "SIMPLE", "credentialName": "c"}}}
        kind = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "r"}}
        limited = await web.post(DESTINATION_RULES, json=kind | {"spec": rule})
        assert limited.status_code == 201, limited.text
        assert "spec.trafficPolicy.tls.credentialName: c: is given to gateways" in limited.headers["warning"]
        assert (await web.get(f"{OPERATIONS}/delivery", params={"object": "Nonsense/a/b"})).status_code == 400
        assert (await web.get(f"{OPERATIONS}/proxies", headers={"authorization": ""})).status_code == 401

    assert isinstance(await attendance.ask(Withdraw("leaving")), Withdrawn)
    assert not envoy.has(ENDPOINT, REVIEWS, b"reviews-v1")
    assert await attendance.ask(Leave()) == Left()
    await attendance.close()
    await envoy.close()


@pytest.mark.parametrize("advertise", ["127.0.0.2", ""])
async def test_a_server_on_all_addresses_tells_one_that_leads_to_it(tmp_path: Path, advertise: str) -> None:
    """In its record, to agents, in the kubeconfig; and its certificate has that name."""
    everywhere = Address("0.0.0.0", 0)
    chosen = settings(
        tmp_path / "state",
        api=everywhere,
        xds=everywhere,
        ca=everywhere,
        status=everywhere,
        advertise=advertise,
    )
    told = advertise or own_address("0.0.0.0") or "127.0.0.1"
    async with serving(chosen) as plane:
        proof = await attest(plane.info.attest_socket)
        held = connection(plane.settings.state / "kubeconfig")
        record = plane.fleet.own
        addresses = [record.xds, record.ca, proof.ca_address, proof.xds_address, *proof.xds_addresses]
        hosts = {address.rpartition(":")[0] for address in (*addresses, *plane.fleet.xds_addresses())}
        assert hosts == {told}
        assert {urlsplit(url).hostname for url in (record.api, plane.info.api, held.server)} == {told}
        assert urlsplit(plane.info.status).hostname == "127.0.0.1"
        async with api(plane) as client:
            assert (await client.get("/version")).status_code == 200
        identified = await identity(plane, "reviews-1")
        attending = Attendance(proof.xds_address, identified)
        registered = await attending.ask(register("reviews-1", "reviews"))
        assert isinstance(registered, Registered)
        assert registered.xds_addresses == (record.xds,)
        await attending.close()


async def test_metrics_and_readiness(plane: ControlPlane) -> None:
    envoy = FakeEnvoy(plane.info.xds, await identity(plane, "client"))
    await until(lambda: envoy.has(ROUTE, "http_proxy"), "the client has its first configuration")
    async with httpx.AsyncClient(base_url=plane.info.status, trust_env=False) as web:
        assert (await web.get("/healthz")).text == "ok"
        assert (await web.get("/readyz")).status_code == 200
        text = (await web.get("/metrics")).text
    values = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }
    assert values["argosy_proxies_connected"] == 1
    assert (values["argosy_servers"], values["argosy_server_leads"]) == (1, 1)
    assert values["argosy_certificates_issued_total"] == 1
    assert values['argosy_xds_resources_sent_total{type="RouteConfiguration"}'] == 1
    await envoy.close()


async def test_after_a_restart_nothing_that_is_the_same_is_sent_again(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "state")
    async with serving(chosen) as plane:
        reviews, client = await identity(plane, "reviews-v1"), await identity(plane, "client")
        attendance = Attendance(plane.info.xds, reviews)
        await attendance.ask(register("reviews-v1", "reviews"))
        await attendance.ask(Announce())
        envoy = FakeEnvoy(plane.info.xds, client)
        await until(lambda: envoy.has(ENDPOINT, REVIEWS, b"reviews-v1"), "the client knows the endpoint")
        await attendance.close()
        bundle = plane.authority.bundle
        port = int(plane.info.xds.rpartition(":")[2])
    assert not (tmp_path / "state" / "server.json").exists()
    before = envoy.received
    async with serving(msgspec.structs.replace(chosen, xds=Address("127.0.0.1", port))) as plane:
        assert plane.authority.bundle == bundle
        await until(lambda: plane.reconciler.proxies.sessions, "the proxy is connected again")
        (session,) = plane.reconciler.proxies.sessions
        await until(lambda: len(session.stream.types()) == 4 and session.stream.settled(), "all is settled")
        assert envoy.received == before
        assert sum(plane.metrics.resources_sent.values.values()) == 0
        assert envoy.has(ENDPOINT, REVIEWS, b"reviews-v1")
        assert {key.name for key in plane.attendance.losses.since} == {"reviews-v1"}, "its grace runs"
        await envoy.close()


async def test_a_certificate_is_for_nobody_but_the_proven_user(plane: ControlPlane) -> None:
    async with api(plane) as web:
        path = "/apis/identity.argosy.dev/v1/namespaces/istio-system/identityregistrations/server-user"
        found = (await web.get(path)).json()
        found["spec"]["serviceAccounts"] = ["default/reviews"]
        assert (await web.put(path, json=found)).status_code == 200
        await until(
            lambda: plane.identity.registrations.current()[0].service_accounts == ("default/reviews",),
            "the mapping counts",
        )
        assert (await identity(plane, "reviews-v1")).peer().identity.service_account == "reviews"
        with pytest.raises(Refused, match="ratings"):
            await identity(plane, "ratings-v1")
        assert (await web.delete(path)).status_code == 200
        await until(lambda: not plane.identity.registrations.current(), "the mapping is gone")
        with pytest.raises(Refused):
            await identity(plane, "reviews-v1")


async def test_no_plaintext_and_no_foreigner_gets_configuration(plane: ControlPlane) -> None:
    held = await identity(plane, "client")
    for opened in (
        channel(plane.info.xds, held.bundle),  # no certificate
        grpc.aio.insecure_channel(plane.info.xds),
    ):
        method: Any = opened.stream_stream
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asyncio.wait_for(method(ATTEND)(timeout=3).read(), 10)
        assert refused.value.code() is not grpc.StatusCode.OK
        await opened.close(None)
    assert not plane.reconciler.proxies.sessions


async def test_proxies_never_take_the_last_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4 files their port takes 3: a fourth proxy is closed until one leaves, and the API answers all the time."""
    monkeypatch.setattr("argosy.server.ports.open_files", lambda: 4)
    async with serving(settings(tmp_path / "state")) as plane:
        held = [await identity(plane, f"client-{number}") for number in range(4)]
        envoys = [FakeEnvoy(plane.info.xds, one) for one in held[:3]]
        sessions = plane.reconciler.proxies.sessions
        await until(lambda: len(sessions) == 3, "three are connected")
        envoys.append(FakeEnvoy(plane.info.xds, held[3]))
        await until(lambda: envoys[3].connection.attempts >= 2, "the fourth is turned away")
        assert len(sessions) == 3
        async with api(plane) as client:
            assert (await client.get("/version")).status_code == 200
        await envoys[0].close()
        del envoys[0].task  # its exception holds the call, and the call the connection
        gc.collect()
        await until(lambda: envoys[3].connection.connected, "there is room for the fourth")
        for envoy in envoys[1:]:
            await envoy.close()


async def test_when_many_have_left_their_memory_is_given_back_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.server.process.HOUSEKEEPING_EVERY", 0.01)
    monkeypatch.setattr("argosy.server.process.MANY_DEPARTED", 2)
    given: list[int] = []
    async with serving(settings(tmp_path / "state")) as plane:
        proxies = plane.reconciler.proxies
        monkeypatch.setattr("argosy.server.process.give_back", lambda: given.append(proxies.departed))
        held = await identity(plane, "client")
        for turn in range(5):
            envoy = FakeEnvoy(plane.info.xds, held)
            await until(lambda: proxies.sessions, "it is connected")
            await envoy.close()
            await until(lambda count=turn + 1: proxies.departed == count, "it has left")  # type: ignore[misc]
            await until(lambda count=turn + 1: len(given) == count // 2, "given back")  # type: ignore[misc]
    assert given == [2, 4]


async def test_a_stream_ends_with_its_certificate(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await identity(plane, "client")
    monkeypatch.setattr("argosy.server.peers.time_left", lambda *_: 0.2)
    envoy = FakeEnvoy(plane.info.xds, held)
    await until(lambda: "certificate" in envoy.connection.error, "the stream was ended")
    assert "UNAUTHENTICATED" in envoy.connection.error
    await envoy.close()


async def test_a_server_that_is_cut_off_from_the_store_sends_its_agents_to_the_others(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await identity(plane, "reviews-v1")
    envoy = FakeEnvoy(plane.info.xds, held)
    attendance = Attendance(plane.info.xds, held)
    await attendance.ask(register("reviews-v1", "reviews"))
    await until(lambda: envoy.has(ROUTE, "http_proxy"), "the workload has its first configuration")
    monkeypatch.setattr(type(plane.fleet), "cut_off", True)
    await until(lambda: not plane.reconciler.proxies.sessions, "its configuration comes from here no more")
    await until(
        lambda: "turn to another" in envoy.connection.error, "it is told why, and on the next attempt too"
    )
    assert await attendance.ended() is grpc.StatusCode.UNAVAILABLE
    await until(lambda: plane.attendance.losses.since, "its grace runs, as of any that is lost")
    monkeypatch.setattr(type(plane.fleet), "cut_off", False)
    await until(lambda: envoy.connection.connected, "it is served again", 20)
    await envoy.close()
    await attendance.close()


async def test_a_host_that_nobody_knows_or_that_a_policy_denies_asks_for_nothing(plane: ControlPlane) -> None:
    assert "names the host vm-1" in plane.identity._host_problem("vm-1")
    async with api(plane) as web:
        objects = "/apis/identity.argosy.dev/v1/namespaces/istio-system"
        registration = {
            "apiVersion": "identity.argosy.dev/v1",
            "kind": "IdentityRegistration",
            "metadata": {"name": "host-vm-1"},
            "spec": {"match": {"selectors": ["host:name=vm-1"]}, "serviceAccounts": ["shop/*"]},
        }
        answer = await web.post(f"{objects}/identityregistrations", json=registration)
        assert answer.status_code == 201, answer.text
        await until(lambda: not plane.identity._host_problem("vm-1"), "the host is known")
        policy = {
            "apiVersion": "identity.argosy.dev/v1",
            "kind": "IssuingPolicy",
            "metadata": {"name": "stolen"},
            "spec": {"deny": ["argosy-hosts/vm-1"]},
        }
        answer = await web.post("/apis/identity.argosy.dev/v1/issuingpolicies", json=policy)
        assert answer.status_code == 201, answer.text
        await until(lambda: "stolen" in plane.identity._host_problem("vm-1"), "the host is denied")
