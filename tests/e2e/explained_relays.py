"""The gateway of a network, for the evaluator against real Envoy: it passes mesh TLS on by its server name, as one of
AUTO_PASSTHROUGH does, and knows which of the upstreams' connections it made."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from argosy.model import ir
from argosy.model.networks import network_of
from argosy.model.snapshot import Snapshot
from argosy.translate import names


class Relay:
    def __init__(self) -> None:
        self.address = ""
        self.snapshot = Snapshot(ir.Mesh())
        self.network = ""  # that it is the gateway of
        self.made: set[str] = set()  # own ends of its connections to upstreams
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        port = int(server.sockets[0].getsockname()[1])
        self.address = f"127.0.0.1:{port}"
        try:
            yield port
        finally:
            server.close()
            self.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def serve(self, snapshot: Snapshot, network: str) -> None:
        """From now on what this snapshot says. Connections that others made lead where they led."""
        self.snapshot, self.network = snapshot, network
        self.close()

    def close(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    def _keep(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _upstream(self, name: str) -> tuple[str, int] | None:
        if not names.is_sni(name):
            return None
        host, number, subset = names.of_sni(name)
        service = self.snapshot.services.get(host)
        port = service.port(number) if service is not None else None
        if service is None or port is None:
            return None
        networks = self.snapshot.mesh.networks
        for one in self.snapshot.endpoints.get(host, ()):
            within = network_of(networks, one.network, dict(one.labels), one.address) == self.network
            wanted = not subset or dict(one.labels).get("version") == subset
            if within and wanted and one.port_name == port.name and one.mtls and one.healthy:
                return one.address, one.port
        return None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._keep(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.read(65536)
            found = self._upstream(server_name(head))
            if found is not None:
                their_reader, their_writer = await asyncio.open_connection(*found)
                self._open.add(their_writer)
                host, number = their_writer.get_extra_info("sockname")
                own = f"{host}:{number}"
                self.made.add(own)
                their_writer.write(head)
                self._keep(asyncio.create_task(_pump(their_reader, writer)))
                await _pump(reader, their_writer)
                self.made.discard(own)  # the next who has the port is somebody else
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def server_name(hello: bytes) -> str:
    """That a TLS hello asks for; "" for none."""
    found: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def named(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        found.append(name or "")

    context.sni_callback = named
    came = ssl.MemoryBIO()
    came.write(hello)
    with contextlib.suppress(ssl.SSLError):
        context.wrap_bio(came, ssl.MemoryBIO(), server_side=True).do_handshake()
    return found[0] if found else ""
