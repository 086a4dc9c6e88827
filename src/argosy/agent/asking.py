"""One question to an application on this host, asked past its sidecar: what it answers to a GET, and of its health by
gRPC. What an answer means is the probe's (`probe.py`, `group_probe.py`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

import grpc
import h11
from google.protobuf.wrappers_pb2 import StringValue

LOOPBACK = "127.0.0.1"
NOT_SERVING = "its health service does not say SERVING"
_SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}
_HEAD = 1 << 16  # bytes of an answer's head


class NoAnswer(Exception):
    """It answers, and not as HTTP does; the message says how."""


async def http_status(
    port: int,
    host: str = LOOPBACK,
    *,
    named: str = "",
    path: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    tls: ssl.SSLContext | None = None,
) -> int:
    """The status that `GET path` is answered with. `named`: the Host header, unless `headers` (names in small letters)
    say another. Raises OSError, NoAnswer."""
    given = list(headers)
    names = {name for name, _ in given}
    own = [("host", named or f"{host}:{port}"), ("user-agent", "argosy-probe/1"), ("connection", "close")]
    sent = [*(pair for pair in own if pair[0] not in names), *given]
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
        for event in (h11.Request(method="GET", target=path, headers=sent), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        while True:
            happened = connection.next_event()
            if happened is h11.NEED_DATA:
                connection.receive_data(await reader.read(_HEAD))
            elif isinstance(happened, h11.Response):
                return happened.status_code
            elif isinstance(happened, h11.ConnectionClosed | h11.EndOfMessage):
                raise NoAnswer("closed without an answer")
    except (h11.RemoteProtocolError, h11.LocalProtocolError) as error:
        raise NoAnswer(f"not HTTP: {error}") from error
    finally:
        writer.close()


async def connects(port: int, host: str = LOOPBACK) -> None:
    """Raises OSError."""
    _, writer = await asyncio.open_connection(host, port)
    writer.close()


async def grpc_serves(port: int, service: str = "") -> bool:
    """Whether `grpc.health.v1.Health/Check` says SERVING. Raises grpc.aio.AioRpcError."""
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}", options=options) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=None, response_deserializer=None
        )
        request = StringValue(value=service)  # as HealthCheckRequest: field 1, a string
        answer: bytes = await check(request.SerializeToString())
    return answer == _SERVING
