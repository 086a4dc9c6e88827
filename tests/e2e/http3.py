"""A client of HTTP/3: one request over a connection of its own."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent


@dataclass
class Answer:
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def status(self) -> int:
        return int(self.headers[":status"])


class _Client(QuicConnectionProtocol):
    http: H3Connection
    answer: Answer
    ended: asyncio.Future[Answer]

    def ask(self, host: str, path: str) -> asyncio.Future[Answer]:
        self.http = H3Connection(self._quic)
        self.answer = Answer()
        self.ended = asyncio.get_running_loop().create_future()
        stream = self._quic.get_next_available_stream_id()
        asked = {":method": "GET", ":scheme": "https", ":authority": host, ":path": path}
        headers = [(name.encode(), value.encode()) for name, value in asked.items()]
        self.http.send_headers(stream, headers, end_stream=True)
        self.transmit()
        return self.ended

    def quic_event_received(self, event: QuicEvent) -> None:
        if not hasattr(self, "http"):
            return
        if isinstance(event, ConnectionTerminated) and not self.ended.done():
            self.ended.set_exception(ConnectionError(event.reason_phrase or str(event.error_code)))
            return
        for one in self.http.handle_event(event):
            self._take(one)

    def _take(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            self.answer.headers |= {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, DataReceived):
            self.answer.body += event.data
        if isinstance(event, HeadersReceived | DataReceived) and event.stream_ended and not self.ended.done():
            self.ended.set_result(self.answer)


def ask(
    port: int, host: str, authorities: bytes, *, path: str = "/", certificate: Path | None = None
) -> Answer:
    """Raises ConnectionError (or ssl.SSLError) where the server does not want to talk."""
    return asyncio.run(_ask(port, host, authorities, path, certificate))


async def _ask(port: int, host: str, authorities: bytes, path: str, certificate: Path | None) -> Answer:
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, server_name=host, verify_mode=ssl.CERT_REQUIRED
    )
    configuration.load_verify_locations(cadata=authorities)
    if certificate is not None:
        configuration.load_cert_chain(certificate)
    async with (
        asyncio.timeout(20),
        connect("127.0.0.1", port, configuration=configuration, create_protocol=_Client) as client,
    ):
        assert isinstance(client, _Client)
        return await client.ask(host, path)
