"""Probes that configuration asks for: how each asks, and when the verdict turns."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue  # field 1, a string: as HealthCheckRequest

from argosy.agent import asking
from argosy.agent.group_probe import ask, at_application, described, watch
from argosy.agent.probe import Verdict
from argosy.xds.start import GrpcProbe, HttpProbe, Probe, TcpProbe
from tests.unit.pki import Authority

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self.handler, self.tls = handler, tls

    async def __aenter__(self) -> int:
        self.server = await asyncio.start_server(self.handler, "127.0.0.1", 0, ssl=self.tls)
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self.server.close()


def answering(status: int, seen: list[bytes] | None = None) -> Handler:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(request)
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
        writer.close()

    return answer


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("status", "said"), [(200, ""), (204, ""), (302, ""), (399, ""), (400, "status 400"), (503, "status 503")]
)
async def test_http_succeeds_from_200_to_399(status: int, said: str) -> None:
    async with Server(answering(status)) as port:
        assert await ask(Probe(http=HttpProbe(port=port))) == said


async def test_http_asks_as_it_is_told() -> None:
    seen: list[bytes] = []
    async with Server(answering(200, seen)) as port:
        headers = (("X-Who", "probe"), ("Host", "web.example"))
        assert await ask(Probe(http=HttpProbe(port=port, path="healthy?a=1", headers=headers))) == ""
    lines = seen[0].decode().lower().splitlines()
    assert lines[0] == "get /healthy?a=1 http/1.1"
    assert "x-who: probe" in lines
    assert [line for line in lines if line.startswith("host:")] == ["host: web.example"]


async def test_https_does_not_verify_the_certificate(tmp_path: Path) -> None:
    pair, file = Authority().issue("elsewhere.example"), tmp_path / "pair.pem"
    file.write_bytes(pair.certificate + pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    async with Server(answering(200), context) as port:
        assert await ask(Probe(http=HttpProbe(port=port, tls=True))) == ""
        assert await ask(Probe(http=HttpProbe(port=port))) != ""


async def test_tcp_succeeds_where_a_connection_is_taken() -> None:
    async with Server(silent) as port:
        assert await ask(Probe(tcp=TcpProbe(port=port))) == ""
    assert await ask(Probe(tcp=TcpProbe(port=port, host="127.0.0.1"))) == "connection refused"


async def test_who_does_not_answer_in_time_fails() -> None:
    async with Server(silent) as port:
        assert await ask(Probe(http=HttpProbe(port=port), timeout=1)) == "no answer within 1 s"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("pass", ""),
        (
            "import sys; print('first'); print('it is broken'); sys.exit(3)",
            "stopped with code 3: it is broken",
        ),
        ("print('x' * 300000)", ""),
        ("import sys; sys.exit(1)", "stopped with code 1"),
        ("import time; time.sleep(60)", "no answer within 2 s"),
        ("import subprocess; subprocess.Popen(['sleep', '60'])", ""),
    ],
)
async def test_a_command_succeeds_with_exit_status_0(script: str, said: str) -> None:
    assert await ask(Probe(command=(sys.executable, "-c", script), timeout=2)) == said


async def test_a_command_that_is_not_there_fails() -> None:
    assert await ask(Probe(command=("/no/such/command",))) == "no such file or directory"


@pytest.mark.parametrize(
    ("service", "answer", "said"),
    [
        ("", b"\x08\x01", ""),
        ("shop.Reviews", b"\x08\x01", ""),
        ("s" * 200, b"\x08\x01", ""),
        ("", b"\x08\x02", "its health service does not say SERVING"),
    ],
)
async def test_grpc_asks_the_health_service(service: str, answer: bytes, said: str) -> None:
    asked: list[str] = []

    async def check(request: bytes, _: object) -> bytes:
        asked.append(StringValue.FromString(request).value)
        return answer

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert await ask(Probe(grpc=GrpcProbe(port=port, service=service))) == said
    finally:
        await server.stop(None)
    assert asked == [service]


def test_a_port_of_the_workload_is_asked_where_the_application_listens() -> None:
    ports = {9080: 40001}
    assert at_application(Probe(http=HttpProbe(port=9080)), ports).http == HttpProbe(port=40001)
    assert at_application(Probe(tcp=TcpProbe(port=9080)), ports).tcp == TcpProbe(port=40001)
    assert at_application(Probe(grpc=GrpcProbe(port=9080)), ports).grpc == GrpcProbe(port=40001)
    assert at_application(Probe(http=HttpProbe(port=8000)), ports).http == HttpProbe(port=8000)
    assert at_application(Probe(command=("a",)), ports) == Probe(command=("a",))


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (Probe(http=HttpProbe(port=80, path="a")), "GET http://127.0.0.1:80/a"),
        (Probe(http=HttpProbe(port=80, host="b", tls=True)), "GET https://b:80/"),
        (Probe(tcp=TcpProbe(port=80)), "tcp on 127.0.0.1:80"),
        (Probe(grpc=GrpcProbe(port=80)), "grpc on 127.0.0.1:80"),
        (Probe(command=("test", "-e", "/up")), "test -e /up"),
    ],
)
def test_it_says_what_it_asks(probe: Probe, words: str) -> None:
    assert described(probe) == words


# --- the verdict ----------------------------------------------------------------------------------------------------


async def told(probe: Probe, answers: str) -> tuple[list[tuple[int, bool]], list[float]]:
    """(after which answer each verdict came, the verdict), and the pauses. `answers`: + a success, - a failure."""
    verdicts: list[tuple[int, bool]] = []
    pauses: list[float] = []
    asked = 0

    async def answer(_: Probe) -> str:
        nonlocal asked
        if asked == len(answers):
            raise asyncio.CancelledError
        asked += 1
        return "" if answers[asked - 1] == "+" else "broken"

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def tell(verdict: Verdict) -> None:
        verdicts.append((asked, verdict.healthy))
        assert verdict.healthy or verdict.detail == f"{described(probe)}: broken"

    with pytest.raises(asyncio.CancelledError):
        await watch(probe, tell, ask=answer, sleep=sleep)
    return verdicts, pauses


@pytest.mark.parametrize(
    ("successes", "failures", "answers", "verdicts"),
    [
        (1, 3, "+", [(1, True)]),
        (1, 3, "+--+---+", [(1, True), (7, False), (8, True)]),
        (3, 1, "++-+++", [(3, False), (6, True)]),
        (2, 2, "+-+-+-", []),
        (1, 3, "----", [(3, False)]),
    ],
)
async def test_a_verdict_turns_after_as_many_in_a_row(
    successes: int, failures: int, answers: str, verdicts: list[tuple[int, bool]]
) -> None:
    probe = Probe(tcp=TcpProbe(port=1), successes=successes, failures=failures)
    assert (await told(probe, answers))[0] == verdicts


async def test_it_waits_before_the_first_and_between() -> None:
    probe = Probe(tcp=TcpProbe(port=1), initial_delay=7, period=4)
    assert (await told(probe, "+-"))[1] == [7, 4, 4]


def test_defaults_are_kubernetes() -> None:
    probe = Probe()
    assert (probe.initial_delay, probe.timeout, probe.period) == (0, 1, 10)
    assert (probe.successes, probe.failures) == (1, 3)
    assert asking.LOOPBACK == "127.0.0.1"
