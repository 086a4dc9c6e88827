"""The gRPC shells over real sockets: server, connection and relay joined, lost, renewed and refused."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from argosy.xds import wire
from argosy.xds.client import Client
from argosy.xds.connection import Backoff, Connection, channel_options
from argosy.xds.relay import Relay
from argosy.xds.server import AdsService, Peer, Refused, Session, StreamSession, server_options
from argosy.xds.stream import Standing, Stream
from argosy.xds.types import CLUSTER, LISTENER, CachedResource
from argosy.xds.view import View
from tests.unit.xds.fake_envoy import make

LOG = structlog.get_logger()
SOON = Backoff(first=0.01, most=0.05)


def open_call(channel: grpc.aio.Channel) -> Any:
    """A raw delta ADS call: bytes in, bytes out."""
    method: Any = channel.stream_stream
    return method("/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources")()


class Taker:
    """An Exchange that acknowledges all and keeps it."""

    def __init__(self, node: str = "taker") -> None:
        self.have: dict[str, CachedResource] = {}
        self.client = Client(
            wire.Node(id=node), lambda _: {name: one.version for name, one in self.have.items()}
        )
        self.client.subscribe(CLUSTER, ["*"])
        self.streams = 0
        self.resources = 0

    def upstream_connected(self, wake: Callable[[], None]) -> None:
        self.streams += 1
        self.client.connected()

    def upstream_disconnected(self) -> None:
        self.client.disconnected()

    def next_request(self) -> wire.Request | None:
        return self.client.next_request()

    def on_response(self, received: wire.Received, now: float) -> None:
        self.client.on_response(received)
        self.resources += len(received.resources)
        self.have.update({one.name: one for one in received.resources})
        for name in received.removed:
            self.have.pop(name, None)
        self.client.ack(received.type_url, received.nonce)


class Serving:
    """An ADS server over one view on a Unix socket; `sessions` as they came."""

    def __init__(self, socket: Path, connections: int | None = None) -> None:
        self.socket = socket
        self.connections = connections
        self.view = View()
        self.streams: list[Stream] = []
        self.ended = 0
        self.statuses: list[str] = []
        self.refusal = ""
        self._server: grpc.aio.Server | None = None

    async def resolve(self, node: wire.Node, peer: Peer) -> Session:
        if self.refusal:
            raise Refused(self.refusal)
        assert peer.uris == ()
        self.streams.append(Stream([self.view]))
        return StreamSession(self.streams[-1], on_disconnected=self._end, on_status=self.statuses.append)

    def _end(self) -> None:
        self.ended += 1

    async def start(self) -> None:
        self._server = grpc.aio.server(options=server_options(connections=self.connections))
        self._server.add_generic_rpc_handlers((AdsService(self.resolve, LOG).handler(),))
        self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def open_channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"unix:{self.socket}", options=channel_options())


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    one = Serving(tmp_path / "ads.sock")
    await one.start()
    yield one
    await one.stop()


@asynccontextmanager
async def running(connection: Connection) -> AsyncIterator[None]:
    task = asyncio.create_task(connection.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what}: not within 10 s")


async def test_updates_arrive_and_are_acknowledged(serving: Serving) -> None:
    taker = Taker()
    serving.view.update(CLUSTER, [make(CLUSTER, "a", n=1)])
    async with running(Connection(taker, serving.open_channel, LOG, backoff=SOON)):
        await until(lambda: "a" in taker.have, "a arrives")
        position = serving.view.update(CLUSTER, [make(CLUSTER, "b", n=1)], ["a"])
        await until(lambda: set(taker.have) == {"b"}, "b takes its place")
        await until(
            lambda: serving.streams[0].standing(CLUSTER, "b", position) is Standing.ACKNOWLEDGED, "the ACK"
        )
        assert CLUSTER in serving.statuses
    await until(lambda: serving.ended == 1, "the session hears of the end")


async def test_a_lost_server_is_found_again_and_resends_nothing(serving: Serving) -> None:
    taker = Taker()
    serving.view.update(CLUSTER, [make(CLUSTER, f"c{i}", n=i) for i in range(20)])
    connection = Connection(taker, serving.open_channel, LOG, backoff=SOON)
    async with running(connection):
        await until(lambda: len(taker.have) == 20, "all arrive")
        await serving.stop()
        await until(lambda: not connection.connected, "the loss is noticed")
        assert connection.error
        serving.view.update(CLUSTER, [make(CLUSTER, "c3", n=33)])
        await serving.start()
        await until(lambda: taker.resources == 21, "what changed arrives")
        await until(lambda: serving.streams[-1].settled(), "it is acknowledged")
    assert serving.streams[-1].sent_resources == 1
    assert serving.streams[-1].resumed == 19


async def test_a_renewal_opens_a_new_stream_without_delay(serving: Serving) -> None:
    taker = Taker()
    opened = 0

    def open_channel() -> grpc.aio.Channel:
        nonlocal opened
        opened += 1
        return serving.open_channel()

    connection = Connection(taker, open_channel, LOG, backoff=Backoff(first=3600, most=3600))
    async with running(connection):
        await until(lambda: connection.connected, "connected")
        connection.renew()
        await until(lambda: taker.streams == 2 and connection.connected, "a second stream")
    assert opened == 2


async def test_a_refused_session_says_why_and_is_tried_again(serving: Serving) -> None:
    taker = Taker()
    serving.refusal = "workload shop/web: no certificate; ask the operator for one"
    connection = Connection(taker, serving.open_channel, LOG, backoff=SOON)
    async with running(connection):
        await until(lambda: serving.refusal in connection.error, "the reason arrives")
        assert "PERMISSION_DENIED" in connection.error
        serving.refusal = ""
        await until(lambda: connection.connected, "accepted at last")
        assert connection.error == ""


@pytest.mark.parametrize("server", ["is not there", "refuses"])
async def test_a_server_that_accepts_no_stream_never_counts_as_connected(
    serving: Serving, tmp_path: Path, server: str
) -> None:
    """Else the wait between attempts would never grow, and each would be reported anew."""
    serving.refusal = "no certificate"
    if server == "is not there":
        serving.socket = tmp_path / "nobody.sock"
    with capture_logs() as lines:
        connection = Connection(Taker(), serving.open_channel, structlog.get_logger(), backoff=SOON)
        async with running(connection):
            await until(lambda: connection.attempts >= 3, "the third attempt")
    assert not connection.connected
    events = [one["event"] for one in lines if one["event"].startswith("control plane")]
    assert events == ["control plane unreachable"]


async def test_a_stream_that_ends_while_it_is_written_to_is_tried_again(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC then refuses the write as an invalid state, which is no error of the call."""
    serving.refusal = "no certificate"
    async with serving.open_channel() as channel:
        made = type(open_call(channel))
    write = made.write
    late = 0

    async def written_late(call: Any, message: bytes) -> None:
        nonlocal late
        await write(call, message)
        if late < 3:
            late += 1
            await call.code()
            await write(call, message)

    monkeypatch.setattr(made, "write", written_late)
    connection = Connection(Taker(), serving.open_channel, LOG, backoff=SOON)
    async with running(connection):
        await until(lambda: late == 3 and connection.attempts >= 3, "three that were late")
        await until(lambda: serving.refusal in connection.error, "and the next is not")


async def test_a_connection_that_never_succeeds_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    """Cancelled at any moment of an attempt, it stops: nothing on the way swallows the cancellation."""

    def open_channel() -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"unix:{tmp_path}/nobody.sock", options=channel_options())

    for delay in range(30):
        connection = Connection(Taker(), open_channel, LOG, backoff=Backoff(first=0.001, most=0.001))
        task = asyncio.create_task(connection.run())
        await asyncio.sleep(delay / 1000)
        task.cancel()
        done, _ = await asyncio.wait((task,), timeout=5)
        assert done


async def test_garbage_ends_only_its_own_stream(serving: Serving) -> None:
    async with serving.open_channel() as channel:
        call = open_call(channel)
        await call.write(b"\xff\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    taker = Taker()
    connection = Connection(taker, serving.open_channel, LOG, backoff=SOON)
    async with running(connection):
        await until(lambda: connection.connected, "others are served")


async def test_a_session_that_raises_ends_its_stream_and_is_told(serving: Serving) -> None:
    """Also while the client is silent, and others are served."""
    serving.view.update(CLUSTER, [make(CLUSTER, "a", n=1)])
    async with serving.open_channel() as channel:
        call = open_call(channel)
        await call.write(wire.request(CLUSTER, subscribe=["*"]).SerializeToString())
        await call.read()
        [stream] = serving.streams

        def broken(now: float) -> wire.Response | None:
            raise RuntimeError("broken")

        stream.next_response = broken  # type: ignore[method-assign]
        serving.view.update(CLUSTER, [make(CLUSTER, "a", n=2)])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call.read(), 10)
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
    await until(lambda: serving.ended == 1, "the session is told")
    taker = Taker()
    async with running(Connection(taker, serving.open_channel, LOG, backoff=SOON)):
        await until(lambda: "a" in taker.have, "others are served")


async def test_an_acknowledgement_wakes_nobody_where_nothing_is_owed(serving: Serving) -> None:
    taker = Taker()

    async def taken(n: int) -> Stream:
        """The client has said that it has this version."""
        serving.view.update(CLUSTER, [wanted := make(CLUSTER, "a", n=n)])
        await until(lambda: taker.have.get("a") == wanted, "it arrives")
        await until(serving.streams[-1].settled, "it is acknowledged")
        return serving.streams[-1]

    async with running(Connection(taker, serving.open_channel, LOG, backoff=SOON)):
        stream, asked = await taken(0), 0
        next_response = stream.next_response

        def counted(now: float) -> wire.Response | None:
            nonlocal asked
            asked += 1
            return next_response(now)

        stream.next_response = counted  # type: ignore[method-assign]
        for n in range(1, 11):
            await taken(n)
    assert asked == 10, "for each change a response"


async def test_a_wait_that_ends_by_itself_is_noticed_on_a_silent_stream(tmp_path: Path) -> None:
    """A listener waits for endpoints that never come, and nobody says a word."""
    view, sessions = View(), []

    async def resolve(node: wire.Node, peer: Peer) -> Session:
        sessions.append(StreamSession(Stream([view], hold=0.2)))
        return sessions[-1]

    server = grpc.aio.server(options=server_options())
    server.add_generic_rpc_handlers((AdsService(resolve, LOG).handler(),))
    server.add_insecure_port(f"unix:{tmp_path}/ads.sock")
    await server.start()
    view.update(CLUSTER, [make(CLUSTER, "a", follow="a")])
    view.update(LISTENER, [make(LISTENER, "l")])
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/ads.sock", options=channel_options()) as channel:
        call = open_call(channel)
        for kind in (CLUSTER, LISTENER):
            await call.write(wire.request(kind, subscribe=["*"]).SerializeToString())
        first = wire.decode_response(await call.read())
        await call.write(wire.request(CLUSTER, nonce=first.nonce).SerializeToString())
        second = wire.decode_response(await asyncio.wait_for(call.read(), 10))
        assert (first.type_url, second.type_url) == (CLUSTER, LISTENER)
    await server.stop(None)


async def test_a_crowd_at_a_server_that_takes_fewer_at_once_is_served_in_parts(tmp_path: Path) -> None:
    """Three hundred come at the same time, sixty are taken. Who is closed comes again as agents do, and gets in once
    others have left; nobody is left out, and the bound holds at every moment."""
    crowd, taken = 300, 60
    serving = Serving(tmp_path / "ads.sock", connections=taken)
    serving.view.update(CLUSTER, [make(CLUSTER, "a", n=1)])
    await serving.start()
    opened = most = 0

    def open_channel() -> grpc.aio.Channel:
        nonlocal opened
        opened += 1
        return serving.open_channel()

    async def one() -> None:
        nonlocal most
        taker = Taker()
        async with running(Connection(taker, open_channel, LOG, backoff=Backoff(first=0.05, most=0.5))):
            while "a" not in taker.have:
                await asyncio.sleep(0.02)
                most = max(most, len(serving.streams) - serving.ended)

    async with asyncio.timeout(60):
        await asyncio.gather(*(one() for _ in range(crowd)))
    await until(lambda: serving.ended == len(serving.streams), "all have left")
    assert len(serving.streams) == crowd, "each had one stream"
    assert opened > crowd, "some were turned away"
    assert 0 < most <= taken
    await serving.stop()


async def test_a_relay_between_two_shells(serving: Serving, tmp_path: Path) -> None:
    relay = Relay(wire.Node(id="relay"), View())
    lower = grpc.aio.server(options=server_options())

    async def resolve(node: wire.Node, peer: Peer) -> Session:
        return relay.session()

    lower.add_generic_rpc_handlers((AdsService(resolve, LOG).handler(),))
    lower.add_insecure_port(f"unix:{tmp_path}/envoy.sock")
    await lower.start()
    taker = Taker()
    serving.view.update(CLUSTER, [make(CLUSTER, "a", n=1)])

    def towards_relay() -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"unix:{tmp_path}/envoy.sock", options=channel_options())

    upper = Connection(relay, serving.open_channel, LOG, backoff=SOON)
    async with running(upper), running(Connection(taker, towards_relay, LOG, backoff=SOON)):
        await until(lambda: "a" in taker.have, "a passes through")
        await until(lambda: serving.streams[-1].is_current(CLUSTER, ["a"]), "the ACK passes back")
        assert relay.dirty
        await serving.stop()
        await until(lambda: not upper.connected, "the server is lost")
        assert relay.connected
        serving.view.update(CLUSTER, [make(CLUSTER, "b", n=1)])
        await serving.start()
        await until(lambda: "b" in taker.have, "b passes through")
    await lower.stop(None)


async def test_ten_streams_of_a_stalled_client_hold_one_response_each(serving: Serving) -> None:
    """A client that reads but never acknowledges gets one response, however often the view changes."""
    async with serving.open_channel() as channel:
        call = open_call(channel)
        await call.write(wire.request(CLUSTER, subscribe=["*"]).SerializeToString())
        await call.read()
        for i in range(50):
            serving.view.update(CLUSTER, [make(CLUSTER, "a", n=i)])
            await asyncio.sleep(0)
        stream = serving.streams[0]
        assert stream.next_response(0) is None
        await call.write(wire.request(CLUSTER, nonce="1").SerializeToString())
        last = wire.decode_response(await call.read())
        assert [one.version for one in last.resources] == [make(CLUSTER, "a", n=49).version]
        assert stream.sent_resources == 1
        call.cancel()


def key_and_cert(
    uri: str, dns: str, issuer: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None = None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri), x509.DNSName(dns)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer[1].subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(issuer[0] if issuer else key, hashes.SHA256())
    )
    return key, certificate


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


async def test_the_peer_is_who_its_certificate_says() -> None:
    root = key_and_cert("spiffe://td", "root")
    root_pem = root[1].public_bytes(serialization.Encoding.PEM)
    server_key, server_cert = key_and_cert("spiffe://td/ns/istio-system/sa/server", "argosy-server", root)
    client_key, client_cert = key_and_cert(
        "spiffe://td/ns/shop/sa/web", "v1.web.web-1.shop.workload.mesh", root
    )
    peers: list[Peer] = []

    async def resolve(node: wire.Node, peer: Peer) -> Session:
        peers.append(peer)
        return StreamSession(Stream([View()]))

    server = grpc.aio.server(options=server_options())
    server.add_generic_rpc_handlers((AdsService(resolve, LOG).handler(),))
    chain = server_cert.public_bytes(serialization.Encoding.PEM)
    credentials = grpc.ssl_server_credentials([(pem(server_key), chain)], root_pem, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()

    def open_channel() -> grpc.aio.Channel:
        mine = client_cert.public_bytes(serialization.Encoding.PEM)
        options = [*channel_options(), ("grpc.ssl_target_name_override", "argosy-server")]
        return grpc.aio.secure_channel(
            f"127.0.0.1:{port}",
            grpc.ssl_channel_credentials(root_pem, pem(client_key), mine),
            options=options,
        )

    connection = Connection(Taker(), open_channel, LOG, backoff=SOON)
    async with running(connection):
        await until(lambda: connection.connected, "connected")
    await server.stop(None)
    assert peers[0].uris == ("spiffe://td/ns/shop/sa/web",)
    assert peers[0].dns == ("v1.web.web-1.shop.workload.mesh",)


def test_back_off_doubles_to_its_bound_with_jitter() -> None:
    backoff = Backoff(first=0.2, most=10.0)
    waits = [backoff.wait(attempt, 0.999999) for attempt in (1, 2, 3, 10, 1000)]
    assert waits == pytest.approx([0.2, 0.4, 0.8, 10.0, 10.0], rel=1e-3)
    assert backoff.wait(3, 0.0) == pytest.approx(0.4)


def test_a_node_says_who_it_is_only_once() -> None:
    client = Client(wire.Node(id="me"))
    client.subscribe(CLUSTER, ["*"])
    client.subscribe(LISTENER, ["*"])
    client.connected()
    first, second = client.next_request(), client.next_request()
    assert first is not None
    assert second is not None
    assert first.node.id == "me"
    assert not second.HasField("node")
