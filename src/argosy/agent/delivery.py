"""A workload's configuration: from the server, through the cache, to its Envoy; and what Envoy confirmed, on disk.

One Unix socket serves every Envoy of the agent: which cache a stream gets is decided by its node. All of them run as
one user, who could read each other's files anyway (docs/security.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format

from argosy.agent.link import Link
from argosy.agent.secrets import secrets
from argosy.identity.client import Svid
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.runtime.paths import write_private
from argosy.xds.connection import Connection
from argosy.xds.relay import Relay, StateError
from argosy.xds.server import AdsService, Peer, Refused, Session, server_options
from argosy.xds.types import SECRET, short
from argosy.xds.view import View
from argosy.xds.wire import Node, Received, Request

SAVE_AFTER = 0.5  # seconds; changes come in bursts

log = logger("agent")


class Delivery:
    """`refused` is told whenever what Envoy refuses has changed, `held` of each certificate and bundle that Envoy has
    acknowledged."""

    def __init__(
        self,
        node: dict[str, Any],
        cache: Path,
        link: Link,
        svid: Svid,
        refused: Callable[[], None],
        held: Callable[[Svid], None] = lambda _: None,
    ) -> None:
        self._cache = cache
        self._svid = svid
        self._on_held = held
        self.held: Svid | None = None
        """What Envoy has acknowledged last; None: not known yet."""
        self._local = View()
        self._local.update(SECRET, secrets(svid))
        self._touched = asyncio.Event()
        self._refusals: tuple[str, ...] = ()
        self._on_refused = refused
        message = json_format.ParseDict(node, Node())
        self.relay = Relay(message, self._local, on_status=self._status)
        self.connection = Connection(_Dated(self), link.open, log.bind(workload=node["metadata"]["NAME"]))
        self.heard_at = 0.0
        """Unix time of the server's last word; 0: never."""
        self._restore()

    def _restore(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            try:
                self.relay.restore(self._cache.read_bytes())
                self.heard_at = self._cache.stat().st_mtime
            except StateError as error:
                log.warning("last good configuration not usable", file=str(self._cache), reason=str(error))

    def _status(self) -> None:
        self._touched.set()
        if self.held is not self._svid and self.relay.has_local():
            self.held = self._svid
            self._on_held(self._svid)
        now = self.refused()
        if now != self._refusals:
            self._refusals = now
            self._on_refused()

    def refused(self) -> tuple[str, ...]:
        """What Envoy refuses, in its words."""
        return tuple(
            f"{short(type_url)} {name}: {message}"
            for (type_url, name), (_, message) in sorted(self.relay.refused().items())
        )

    def present(self, svid: Svid) -> None:
        """A new certificate: for Envoy at once, for our own connection by a new one."""
        self.trust(svid)
        self.connection.renew()

    def trust(self, svid: Svid) -> None:
        """Other roots: for Envoy at once; our own connection stays."""
        self._svid = svid
        self._local.update(SECRET, secrets(svid))

    async def run(self) -> None:
        """Fetches and saves for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.connection.run())
            tasks.create_task(self._save_changes())

    async def _save_changes(self) -> None:
        while True:
            await self._touched.wait()
            await asyncio.sleep(SAVE_AFTER)
            self._touched.clear()
            await self.save()

    async def save(self) -> None:
        if not self.relay.dirty:
            return
        data = self.relay.acknowledged_state()
        try:
            await asyncio.to_thread(write_private, self._cache, data)
        except OSError as error:
            self.relay.dirty = True
            log.error("last good configuration not saved", file=str(self._cache), reason=str(error))


class _Dated:
    """The relay as an Exchange, noting when the server spoke."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def upstream_connected(self, wake: Callable[[], None]) -> None:
        self._delivery.relay.upstream_connected(wake)

    def upstream_disconnected(self) -> None:
        if self._delivery.connection.connected:
            self._delivery.heard_at = time.time()
        self._delivery.relay.upstream_disconnected()

    def next_request(self) -> Request | None:
        return self._delivery.relay.next_request()

    def on_response(self, received: Received, now: float) -> None:
        self._delivery.heard_at = time.time()
        self._delivery.relay.on_response(received, now)


class Outlet:
    """The Unix socket that every Envoy of this agent fetches its configuration from."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._deliveries: dict[str, Delivery] = {}
        self._arrived = asyncio.Event()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Raises Failure where the socket cannot be bound."""
        self.socket.unlink(missing_ok=True)
        server = grpc.aio.server(options=server_options(pending_requests=1000))
        server.add_generic_rpc_handlers((AdsService(self._resolve, log).handler(),))
        try:
            server.add_insecure_port(f"unix:{self.socket}")
        except RuntimeError as error:
            raise Failure(
                f"cannot listen on {self.socket}: {error}", "set XDG_RUNTIME_DIR to a short path"
            ) from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
        self.socket.unlink(missing_ok=True)

    def add(self, node_id: str, delivery: Delivery) -> None:
        self._deliveries[node_id] = delivery
        self._arrived.set()
        self._arrived = asyncio.Event()

    def remove(self, node_id: str) -> None:
        self._deliveries.pop(node_id, None)

    async def _resolve(self, node: Node, peer: Peer) -> Session:
        """Envoy starts while its certificate is still asked for: it waits here for its configuration."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while node.id not in self._deliveries:
                    await self._arrived.wait()
        delivery = self._deliveries.get(node.id)
        if delivery is None:
            raise Refused(f"no workload here has the node id {node.id!r}")
        return delivery.relay.session()
