"""The whole server in this process, on free ports: a workload proves itself, gets its certificate, registers, and sees
over mutual TLS what is applied through the API. And what does not start, or is not let in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import msgspec
import pytest
from google.protobuf.struct_pb2 import Struct as PbStruct

from argosy.apiserver.kubeconfig import load as connection
from argosy.identity.client import Refused, Svid, attest, channel, new_key_and_csr, sign, svid
from argosy.identity.protocol import SignRequest
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.runtime.paths import ServerInfo
from argosy.server.advertise import own_address
from argosy.server.process import ControlPlane
from argosy.server.settings import Address, Role, Settings
from argosy.translate.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from argosy.xds.client import Client
from argosy.xds.connection import Connection
from argosy.xds.node import METADATA_KEY, ProxyNode
from argosy.xds.registration import (
    ATTEND,
    AgentMessage,
    Announce,
    Announced,
    Leave,
    Left,
    Port,
    Register,
    Registered,
    ServerMessage,
    Withdraw,
    Withdrawn,
)
from argosy.xds.wire import Node, Received, Request

ANY = Address("127.0.0.1", 0)
REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"


def settings(state: Path, **changes: Any) -> Settings:
    chosen = Settings(state=state, api=ANY, xds=ANY, ca=ANY, status=ANY, attest_socket=state / "a.sock")
    return msgspec.structs.replace(chosen, **changes)


async def until(condition: Callable[[], object], what: str, timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def serving(chosen: Settings) -> AsyncIterator[ControlPlane]:
    plane = ControlPlane(chosen)
    await plane.start()
    try:
        yield plane
    finally:
        await plane.stop()


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with serving(settings(tmp_path / "state")) as running:
        yield running


async def identity(plane: ControlPlane, workload: str, service_account: str = "") -> Svid:
    proof = await attest(plane.info.attest_socket)
    key, csr = new_key_and_csr()
    request = SignRequest(
        csr=csr,
        namespace="default",
        service_account=service_account or workload.partition("-")[0],
        workload=workload,
        app=workload.partition("-")[0],
        version="v1",
    )
    async with channel(proof.ca_address, proof.bundle) as connection:
        return svid(await sign(connection, request, proof.token), key)


class FakeEnvoy:
    """A sidecar's side of ADS over the real connection; acknowledges what it gets."""

    def __init__(self, address: str, held: Svid) -> None:
        metadata = PbStruct()
        metadata.update({METADATA_KEY: msgspec.to_builtins(ProxyNode(outbound_port=15001), str_keys=True)})
        self.resources: dict[str, dict[str, bytes]] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self.received = 0
        self.client = Client(
            Node(id=held.peer().identity.workload, metadata=metadata),
            lambda kind: self.versions.get(kind, {}),
        )
        self.client.subscribe(CLUSTER, {"*"})
        self.client.subscribe(LISTENER, {"*"})
        self.client.subscribe(ROUTE, {"http_proxy"})
        self.address = address
        self.connection = Connection(
            self, lambda: channel(self.address, held.bundle, held.chain, held.key), logger("test")
        )
        self.wake: Callable[[], None] = lambda: None
        self.task = asyncio.create_task(self.connection.run())

    def upstream_connected(self, wake: Callable[[], None]) -> None:
        self.client.connected()

    def upstream_disconnected(self) -> None:
        self.client.disconnected()

    def next_request(self) -> Request | None:
        return self.client.next_request()

    def on_response(self, received: Received, now: float) -> None:
        self.client.on_response(received)
        self.received += len(received.resources) + len(received.removed)
        table = self.resources.setdefault(received.type_url, {})
        versions = self.versions.setdefault(received.type_url, {})
        for one in received.resources:
            table[one.name], versions[one.name] = one.frame, one.version
        for name in received.removed:
            table.pop(name, None)
            versions.pop(name, None)
        if received.type_url == CLUSTER:
            self.client.subscribe(ENDPOINT, {name for name in table if name.startswith("outbound|")})
            self.client.unsubscribe(ENDPOINT, received.removed)
        self.client.ack(received.type_url, received.nonce)

    def has(self, kind: str, name: str, content: bytes = b"") -> bool:
        return content in self.resources.get(kind, {}).get(name, b"") and name in self.resources.get(kind, {})

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Attendance:
    """An agent's side of ATTEND for one workload."""

    def __init__(self, address: str, held: Svid) -> None:
        self.channel = channel(address, held.bundle, held.chain, held.key)
        method: Any = self.channel.stream_stream
        self.call = method(ATTEND)()

    async def ask(self, message: AgentMessage) -> ServerMessage:
        await self.call.write(msgspec.json.encode(message))
        answer = await asyncio.wait_for(self.call.read(), 10)
        decoded: ServerMessage = msgspec.json.decode(answer, type=ServerMessage)
        return decoded

    async def close(self) -> None:
        self.call.cancel()
        await self.channel.close(None)


def register(workload: str, service: str, bind: int = 21001) -> Register:
    return Register(
        workload=workload,
        namespace="default",
        service_account=service,
        service=service,
        address="127.0.0.1",
        ports=(Port(workload=9080, bind=bind, application=40001),) if bind else (),
    )


def api(plane: ControlPlane) -> httpx.AsyncClient:
    context = ssl.create_default_context(cadata=plane.authority.bundle)
    token = (plane.settings.state / "token").read_text().strip()
    return httpx.AsyncClient(
        base_url=plane.info.api, verify=context, headers={"authorization": f"Bearer {token}"}, trust_env=False
    )


def virtual_service(timeout: str, subset: str = "") -> dict[str, Any]:
    destination = {"host": "reviews", **({"subset": subset} if subset else {})}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {
            "hosts": ["reviews"],
            "http": [{"route": [{"destination": destination}], "timeout": timeout}],
        },
    }


VIRTUAL_SERVICES = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
DESTINATION_RULES = "/apis/networking.istio.io/v1/namespaces/default/destinationrules"
OPERATIONS = "/apis/operations.argosy.dev/v1"


async def test_from_a_proof_of_identity_to_a_steered_proxy(plane: ControlPlane) -> None:
    reviews = await identity(plane, "reviews-v1")
    client = await identity(plane, "client")
    envoy = FakeEnvoy(plane.info.xds, client)
    await until(lambda: envoy.has(ROUTE, "http_proxy"), "the client has its first configuration")
    attendance = Attendance(plane.info.xds, reviews)
    registered = await attendance.ask(register("reviews-v1", "reviews"))
    assert registered == Registered(
        entry="default/reviews-v1", created_service="default/reviews", xds_addresses=(plane.info.xds,)
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
        rule = {"host": "reviews", "trafficPolicy": {"tunnel": {"targetHost": "a.example", "targetPort": 1}}}
        kind = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "r"}}
        limited = await web.post(DESTINATION_RULES, json=kind | {"spec": rule})
        assert limited.status_code == 201, limited.text
        assert "spec.trafficPolicy.tunnel: is not in force" in limited.headers["warning"]
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
            lambda: plane.registrations.current()[0].service_accounts == ("default/reviews",),
            "the mapping counts",
        )
        assert (await identity(plane, "reviews-v1")).peer().identity.service_account == "reviews"
        with pytest.raises(Refused, match="ratings"):
            await identity(plane, "ratings-v1")
        assert (await web.delete(path)).status_code == 200
        await until(lambda: not plane.registrations.current(), "the mapping is gone")
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


async def test_a_stream_ends_with_its_certificate(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await identity(plane, "client")
    monkeypatch.setattr("argosy.server.peers.time_left", lambda *_: 0.2)
    envoy = FakeEnvoy(plane.info.xds, held)
    await until(lambda: "certificate" in envoy.connection.error, "the stream was ended")
    assert "UNAUTHENTICATED" in envoy.connection.error
    await envoy.close()


async def test_a_second_server_on_the_same_state_is_refused(plane: ControlPlane) -> None:
    with pytest.raises(Failure, match=rf"another server runs on .* \(pid {os.getpid()}\)"):
        await ControlPlane(settings(plane.settings.state)).start()
    async with httpx.AsyncClient(trust_env=False) as web:
        assert (await web.get(f"{plane.info.status}/readyz")).status_code == 200


@pytest.mark.parametrize("role", ["api", "xds", "ca", "status"])
async def test_a_port_that_is_taken_is_named_with_its_option(tmp_path: Path, role: str) -> None:
    state = tmp_path / "state"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Failure, match=f"port {port} on 127.0.0.1 is taken") as failure:
            await ControlPlane(settings(state, **{role: Address("127.0.0.1", port)})).start()
    assert f"--{role}-address" in failure.value.remedy
    async with serving(settings(state)):
        pass  # what had started was stopped again, so the next start finds all free


@pytest.mark.parametrize("roles", [{"api"}, {"ca"}, {"xds"}, {"api", "ca"}, {"xds", "ca"}])
async def test_each_role_starts_alone(tmp_path: Path, roles: set[str]) -> None:
    chosen = settings(tmp_path / "state", roles=frozenset(Role(role) for role in roles))
    async with serving(chosen) as plane:
        info = msgspec.json.decode((tmp_path / "state" / "server.json").read_bytes(), type=ServerInfo)
        assert info == plane.info
        assert set(info.roles) == roles
        assert bool(info.api) == ("api" in roles)
        assert bool(info.xds) == ("xds" in roles)
        assert bool(info.ca) == bool(info.attest_socket) == ("ca" in roles)


async def test_what_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "state")
    path = "/apis/security.istio.io/v1/namespaces/istio-system/peerauthentications/default"
    async with serving(chosen) as plane, api(plane) as web:
        found = await web.get(path)
        assert found.json()["spec"] == {"mtls": {"mode": "STRICT"}}
        assert (await web.delete(path)).status_code == 200
    async with serving(chosen) as plane, api(plane) as web:
        assert (await web.get(path)).status_code == 404
        assert (await web.get("/api/v1/namespaces/default")).status_code == 200


@pytest.mark.parametrize("broken", ["argosy.db", "ca/root.key", "token"])
async def test_a_broken_file_is_named(tmp_path: Path, broken: str) -> None:
    state = tmp_path / "state"
    async with serving(settings(state)):
        pass
    (state / broken).write_bytes(b"garbage" * 100 if broken != "token" else b"")
    with pytest.raises(Failure, match=broken.rpartition("/")[2]):
        await ControlPlane(settings(state)).start()


async def test_a_first_start_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    from argosy.server.defaults import first_objects, write_first_objects
    from argosy.store.base import Unavailable
    from argosy.store.memory import MemoryStore

    class Dying(MemoryStore):
        async def create(self, key: Any, body: bytes, given: Any = None) -> Any:
            if len(self._objects) == 2:
                raise Unavailable("killed")
            return await super().create(key, body, given)

    store: MemoryStore = Dying()
    with pytest.raises(Unavailable):
        await write_first_objects(store, 0)
    store.__class__ = MemoryStore
    assert await write_first_objects(store, 0)
    keys = {item.key for item in (await store.list()).items if not item.key.resource.startswith("/internal/")}
    assert keys == {key for key, _ in first_objects(0, "")}
    assert not await write_first_objects(store, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    state = tmp_path / "state"
    options = [f"--{name}-address=127.0.0.1:0" for name in ("api", "xds", "ca", "status")]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "argosy"),
        "server",
        f"--state-dir={state}",
        *options,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        await until((state / "server.json").exists, "the server is ready", 30)
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err
    lines = [msgspec.json.decode(line) for line in err.splitlines()]
    assert [line["event"] for line in lines][-2:] == ["stopping", "stopped"]
    assert not (state / "server.json").exists()


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
    assert await attendance.call.code() is grpc.StatusCode.UNAVAILABLE
    await until(lambda: plane.attendance.losses.since, "its grace runs, as of any that is lost")
    monkeypatch.setattr(type(plane.fleet), "cut_off", False)
    await until(lambda: envoy.connection.connected, "it is served again", 20)
    await envoy.close()
    await attendance.close()
