"""Every door of a server takes so much and no more, from whoever has proven something as from whoever has not.

The table of doors and their bounds is in docs/security.md. What others test: the API (apiserver/test_abuse.py), serving
(apiserver/test_serving.py), the CA port's budgets (identity/test_attesting.py), proofs (identity/test_attestors.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import pytest

from argosy.identity import attestation
from argosy.identity.attestation import AttestationSocket
from argosy.identity.client import Refused, Svid, attest, channel, new_key_and_csr, sign
from argosy.identity.limits import LONGEST_MESSAGE as LONGEST_AT_CA
from argosy.identity.protocol import ATTEST, SIGN, AttestRequest, AttestResponse, SignRequest
from argosy.server.attend import LONGEST_MESSAGE as LONGEST_OF_AGENT
from argosy.server.pace import A_SECOND, AT_ONCE, MOST_REMEMBERED, Pace
from argosy.server.process import ControlPlane
from argosy.server.proxies import LONGEST_NAME, MOST_NAMES, MOST_STREAMS, MOST_TYPES
from argosy.translate.resource import CLUSTER
from argosy.xds import server as xds
from argosy.xds.registration import ATTEND, ServerMessage, Withdraw
from argosy.xds.registration import Refused as Declined
from argosy.xds.wire import Node, Request
from tests.unit.server.whole_server import Attendance, identity, plane, register, until

__all__ = ["plane"]

Code = grpc.StatusCode
ADS = xds.PATH


async def code_of(call: Any) -> grpc.StatusCode:
    """How the server ended a stream; a status comes behind what was sent before."""
    async with asyncio.timeout(20):
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
                pass
        code: grpc.StatusCode = await call.code()
        return code


async def unary(connection: grpc.aio.Channel, path: str, body: bytes, **more: Any) -> bytes:
    method: Any = connection.unary_unary
    answer: bytes = await method(path)(body, timeout=5, **more)
    return answer


async def refusal(connection: grpc.aio.Channel, path: str, body: bytes, **more: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await unary(connection, path, body, **more)
    return refused.value.code()


def ads(connection: grpc.aio.Channel) -> Any:
    method: Any = connection.stream_stream
    return method(ADS)()


def asking(*names: str, kind: str = CLUSTER, node: str = "") -> bytes:
    request = Request(type_url=kind, resource_names_subscribe=names)
    if node:
        request.node.MergeFrom(Node(id=node))
    return bytes(request.SerializeToString())


@pytest.fixture
async def held(plane: ControlPlane) -> Svid:
    return await identity(plane, "rogue-1")


@contextlib.asynccontextmanager
async def connected(plane: ControlPlane, held: Svid) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(plane.info.xds, held.bundle, held.chain, held.key) as connection:
        yield connection


# --- the xDS port -----------------------------------------------------------------------------------------------------


async def test_without_a_certificate_nobody_comes_in(plane: ControlPlane) -> None:
    async with channel(plane.info.xds, plane.authority.bundle) as connection:
        for path in (ADS, ATTEND):
            method: Any = connection.stream_stream
            call = method(path)(timeout=5)
            with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
                await call.write(asking("*", node="a"))
            assert await code_of(call) in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
        assert await refusal(connection, SIGN, b"{}") in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)


async def test_streams_of_one_workload_are_bounded_and_given_back(plane: ControlPlane, held: Svid) -> None:
    other = await identity(plane, "other-1")
    async with connected(plane, held) as connection, connected(plane, other) as beside:
        calls = []
        for _ in range(MOST_STREAMS):
            calls.append(ads(connection))
            await calls[-1].write(asking("*", node="a"))
        sessions = plane.reconciler.proxies.sessions
        await until(lambda: len(sessions) == MOST_STREAMS, "all are served")
        late = ads(connection)
        await late.write(asking("*", node="a"))
        assert await code_of(late) is Code.PERMISSION_DENIED
        assert "streams open" in (await late.details())
        third = ads(beside)  # nobody else is kept out
        await third.write(asking("*", node="a"))
        await until(lambda: len(sessions) == MOST_STREAMS + 1, "another workload is served")
        calls[0].cancel()
        await until(lambda: len(sessions) == MOST_STREAMS, "one has ended")
        again = ads(connection)
        await again.write(asking("*", node="a"))
        await until(lambda: len(sessions) == MOST_STREAMS + 1, "there is room again")


@pytest.mark.parametrize(
    "requests",
    [
        [asking(*(f"n{n}" for n in range(MOST_NAMES + 1)), node="a")],
        [asking(*(f"{part}-{n}" for n in range(MOST_NAMES // 4 + 1)), node="a") for part in range(4)],
        [asking("a" * (LONGEST_NAME + 1), node="a")],
        [asking("*", kind=f"type.googleapis.com/t{n}", node="a") for n in range(MOST_TYPES + 1)],
        [b"\xff" * 100],
    ],
    ids=["names", "names, bit by bit", "a name", "types", "no request"],
)
async def test_what_a_stream_asks_for_is_bounded(
    plane: ControlPlane, held: Svid, requests: list[bytes]
) -> None:
    async with connected(plane, held) as connection:
        call = ads(connection)
        with contextlib.suppress(asyncio.InvalidStateError):
            for one in requests:
                await call.write(one)
        assert await code_of(call) is Code.INVALID_ARGUMENT


async def test_a_request_that_is_too_long_is_refused(plane: ControlPlane, held: Svid) -> None:
    async with connected(plane, held) as connection:
        call = ads(connection)
        with contextlib.suppress(asyncio.InvalidStateError):
            await call.write(asking("a" * (xds.LONGEST_MESSAGE + 1), node="a"))
        assert await code_of(call) is Code.RESOURCE_EXHAUSTED


async def test_calls_of_one_connection_at_once_are_bounded(plane: ControlPlane, held: Svid) -> None:
    """One more waits until another ends: the server never has more of one connection."""
    async with connected(plane, held) as connection:
        method: Any = connection.stream_stream
        calls = [method(ATTEND)() for _ in range(xds.MOST_STREAMS + 5)]
        await until(lambda: len(plane.attend._open) == xds.MOST_STREAMS, "as many as may be")
        writes = [
            asyncio.ensure_future(call.write(msgspec.json.encode(register("rogue-1", "rogue"))))
            for call in calls
        ]
        answered = [asyncio.ensure_future(call.read()) for call in calls]
        async with asyncio.timeout(20):
            await asyncio.wait(answered[:3], return_when=asyncio.ALL_COMPLETED)
        assert len(plane.attend._open) <= xds.MOST_STREAMS
        for one in (*writes, *answered, *calls):
            one.cancel()


async def test_a_message_of_an_agent_is_bounded(plane: ControlPlane, held: Svid) -> None:
    agent = Attendance(plane.info.xds, held)
    try:
        await agent.call.write(b'{"type": "register", "workload": "' + b"a" * LONGEST_OF_AGENT + b'"}')
        answer = msgspec.json.decode(await asyncio.wait_for(agent.call.read(), 10), type=ServerMessage)
        assert isinstance(answer, Declined)
        assert f"{LONGEST_OF_AGENT} bytes" in answer.message
    finally:
        await agent.close()


async def test_a_workload_that_changes_again_and_again_is_answered_later_and_nobody_else() -> None:
    now, slept = 100.0, []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    pace = Pace(lambda: now, sleep)
    for _ in range(int(AT_ONCE)):
        await pace.wait("default/rogue")
    assert slept == []
    await pace.wait("default/rogue")
    await pace.wait("default/other")
    assert slept == [1 / A_SECOND]
    await pace.wait("default/rogue")
    assert slept == [1 / A_SECOND, 2 / A_SECOND], "the next one waits longer, on another stream, too"
    now += 10.0
    await pace.wait("default/rogue")
    assert len(slept) == 2, "it has room again"
    for n in range(MOST_REMEMBERED + 10):
        await pace.wait(f"default/w-{n}")
    assert len(pace._left) == MOST_REMEMBERED


async def test_every_message_of_an_agent_is_paced(plane: ControlPlane, held: Svid) -> None:
    paced: list[str] = []

    class Noting(Pace):
        async def wait(self, name: str) -> None:
            paced.append(name)

    plane.registrar.pace = Noting()
    agent = Attendance(plane.info.xds, held)
    try:
        await agent.ask(register("rogue-1", "rogue"))
        await agent.ask(Withdraw(reason="a"))
        assert paced == ["default/rogue-1"] * 2
    finally:
        await agent.close()


async def test_a_call_with_much_beside_it_is_refused(plane: ControlPlane, held: Svid) -> None:
    async with connected(plane, held) as connection:
        much = (("x-much", "a" * (2 * xds.LONGEST_METADATA)),)
        assert await refusal(connection, SIGN, b"{}", metadata=much) is Code.RESOURCE_EXHAUSTED


async def test_who_asks_for_certificates_again_and_again_is_turned_away_and_nobody_else(
    plane: ControlPlane, held: Svid
) -> None:
    """By what was proven, so that another workload of the same host is not kept out."""
    other = await identity(plane, "other-1")
    right, wrong = asked(other, "other-1"), msgspec.json.encode(asked(held, "other-1"))
    async with connected(plane, held) as connection, connected(plane, other) as beside:
        tried = [await refusal(connection, SIGN, wrong) for _ in range(100)]
        assert tried[:10] == [Code.PERMISSION_DENIED] * 10
        assert tried[-1] is Code.RESOURCE_EXHAUSTED
        assert (await sign(beside, right)).chain


def asked(held: Svid, workload: str) -> SignRequest:
    identity = held.peer().identity
    _, csr = new_key_and_csr()
    return SignRequest(
        csr=csr,
        namespace="default",
        service_account=identity.service_account,
        workload=workload,
        app="",
        version="",
    )


# --- the CA port ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [SIGN, ATTEST])
async def test_a_message_to_the_authority_is_bounded(plane: ControlPlane, method: str) -> None:
    async with channel(plane.info.ca, plane.authority.bundle) as connection:
        assert await refusal(connection, method, b" " * (LONGEST_AT_CA + 1)) is Code.RESOURCE_EXHAUSTED
        much = (("x", "a" * (2 * xds.LONGEST_METADATA)),)
        assert await refusal(connection, method, b"{}", metadata=much) is Code.RESOURCE_EXHAUSTED


async def test_who_connects_to_a_port_of_grpc_and_speaks_no_tls_is_closed(plane: ControlPlane) -> None:
    """And whoever says nothing, after the time of the option."""
    options = dict(xds.server_options())
    assert options["grpc.server_handshake_timeout_ms"] <= 30_000
    for port in (plane.info.ca, plane.info.xds):
        host, _, number = port.rpartition(":")
        with socket.create_connection((host, int(number)), 10) as plain:
            plain.settimeout(10)
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            said = await asyncio.to_thread(plain.recv, 100)
            assert said == b"" or said.startswith(b"\x15\x03"), "an alert of TLS, or nothing"


# --- the attestation socket -------------------------------------------------------------------------------------------


@pytest.fixture
async def attesting(tmp_path: Path) -> AsyncIterator[AttestationSocket]:
    def answer(uid: int) -> AttestResponse:
        return AttestResponse(
            token=f"of {uid}", expires_at=1, trust_domain="td", bundle="b", ca_address="", xds_address="a"
        )

    made = AttestationSocket(tmp_path / "a.sock", answer)
    await made.start()
    yield made
    await made.stop()


async def test_a_user_who_says_nothing_keeps_itself_out_alone(
    attesting: AttestationSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only for as long as a caller is waited for."""
    monkeypatch.setattr(attestation, "LONGEST_WAIT", 2.0)
    silent = []
    for _ in range(attestation.MOST_OF_ONE_USER):
        silent.append(await asyncio.open_unix_connection(attesting.path))
    await until(lambda: attesting.callers.total() == len(silent), "all wait")
    with pytest.raises(Exception, match="no server answers"):
        await attest(attesting.path, timeout=1)
    monkeypatch.setattr(attestation, "_caller", lambda writer: 4711)  # somebody else
    assert (await attest(attesting.path)).token == "of 4711"
    monkeypatch.undo()
    for reader, writer in silent:
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert (await attest(attesting.path)).token


async def test_a_line_that_is_too_long_is_refused(attesting: AttestationSocket) -> None:
    reader, writer = await asyncio.open_unix_connection(attesting.path)
    writer.write(b"a" * (attestation.LONGEST_LINE + 1))
    answer = msgspec.json.decode(await asyncio.wait_for(reader.readline(), 10), type=AttestResponse)
    assert f"longer than {attestation.LONGEST_LINE}" in answer.error
    assert answer.token == ""
    writer.close()


async def test_what_is_no_request_gets_no_token(attesting: AttestationSocket) -> None:
    for line in (b"\n", b"[]\n", b'{"uid": 0}\n'[:4] + b"\n"):
        reader, writer = await asyncio.open_unix_connection(attesting.path)
        writer.write(line)
        answer = msgspec.json.decode(await asyncio.wait_for(reader.readline(), 10), type=AttestResponse)
        assert answer.token == ""
        writer.close()
    assert msgspec.json.encode(AttestRequest())


# --- the status port --------------------------------------------------------------------------------------------------


async def test_the_status_port_is_on_the_loopback_gives_no_names_and_takes_short_heads_alone(
    plane: ControlPlane, held: Svid
) -> None:
    assert plane.info.status.startswith("http://127.0.0.1:")
    async with httpx.AsyncClient(base_url=plane.info.status, trust_env=False) as client:
        for path in ("/", "/api", "/apis", "/metrics", "/healthz", "/readyz", "/debug"):
            text = (await client.get(path)).text
            assert "rogue" not in text
            assert "BEGIN" not in text
        answer = await client.get("/healthz", headers={"x-much": "a" * (1 << 20)})
        assert 400 <= answer.status_code < 500


# --- both sides -------------------------------------------------------------------------------------------------------


async def test_an_agent_talks_to_the_control_plane_alone(plane: ControlPlane, held: Svid) -> None:
    """Whoever has a certificate of the mesh and stands in the server's place is not taken for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = plane.settings.state / "rogue.pem"
    file.write_text(held.chain + held.key)
    context.load_cert_chain(file)
    context.set_alpn_protocols(["h2"])
    met = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            met.append(await reader.read(65536))
        writer.close()

    async with await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with channel(f"127.0.0.1:{port}", held.bundle, held.chain, held.key) as connection:
            request = asked(held, "rogue-1")
            with pytest.raises(Exception, match="no certificate") as refused:
                await sign(connection, request, token="a secret token", timeout=3)
            assert not isinstance(refused.value, Refused)
    assert b"a secret token" not in b"".join(met)
