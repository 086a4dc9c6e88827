"""The whole server in this process, on free ports, and what talks to it: a sidecar, an agent, a client of its API."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import pytest
from google.protobuf.struct_pb2 import Struct as PbStruct

from argosy.identity.client import Svid, attest, channel, new_key_and_csr, sign, svid
from argosy.identity.protocol import SignRequest
from argosy.runtime.log import logger
from argosy.server.process import ControlPlane
from argosy.server.settings import Address, Settings
from argosy.translate.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from argosy.xds.client import Client
from argosy.xds.connection import Connection
from argosy.xds.node import METADATA_KEY, ProxyNode
from argosy.xds.registration import (
    ATTEND,
    AgentMessage,
    Port,
    Register,
    ServerMessage,
    Trust,
)
from argosy.xds.wire import Node, Received, Request

ANY = Address("127.0.0.1", 0)
REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"
VIRTUAL_SERVICES = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
OPERATIONS = "/apis/operations.argosy.dev/v1"


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
        self.trust: Trust | None = None
        self.call = method(ATTEND)()

    async def ask(self, message: AgentMessage) -> ServerMessage:
        await self.call.write(msgspec.json.encode(message))
        while True:
            answer = await asyncio.wait_for(self.call.read(), 10)
            decoded: ServerMessage = msgspec.json.decode(answer, type=ServerMessage)
            if isinstance(decoded, Trust):  # unasked
                self.trust = decoded
                continue
            return decoded

    async def ended(self) -> grpc.StatusCode:
        """How the server ended it; a status comes behind what it says unasked."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await self.call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
                pass
        code: grpc.StatusCode = await self.call.code()
        return code

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
