"""The agent's one loopback HTTP listener, for Prometheus: each sidecar's metrics, and where they are.

    /workloads/NAME/metrics   Istio's metrics of one sidecar, and Envoy's own
    /targets                  every sidecar, as Prometheus' http_sd_config reads it
    /metrics                  the agent: certificates, connections, restarts

Prometheus text format 0.0.4; https://prometheus.io/docs/prometheus/latest/http_sd/.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import h11
import msgspec

from argosy.agent.admin import AdminError
from argosy.agent.metrics import exposition
from argosy.agent.protocol import WorkloadStatus
from argosy.agent.supervisor import Workload
from argosy.runtime.errors import Failure

TEXT = "text/plain; version=0.0.4; charset=utf-8"
IDLE_SECONDS = 120.0
MOST_CONNECTIONS = 64


class Exporter:
    """Serves what `workloads` holds. `port`: the one of last time, or 0."""

    def __init__(self, workloads: Mapping[str, Workload]) -> None:
        self._workloads = workloads
        self._server: asyncio.Server | None = None
        self._connections = 0
        self.port = 0

    async def start(self, port: int) -> None:
        """On the port, or on another where it is taken."""
        for candidate in (port, 0):
            with contextlib.suppress(OSError):
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", candidate)
                self.port = self._server.sockets[0].getsockname()[1]
                return
        raise Failure("no port of 127.0.0.1 can be bound for metrics", "free some ports")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        self._connections += 1
        try:
            while self._connections <= MOST_CONNECTIONS:
                happened = connection.next_event()
                if happened is h11.NEED_DATA:
                    async with asyncio.timeout(IDLE_SECONDS):
                        connection.receive_data(await reader.read(1 << 14))
                elif isinstance(happened, h11.Request):
                    await self._answer(connection, writer, happened)
                elif happened is h11.PAUSED:
                    if connection.our_state is not h11.DONE:
                        return
                    connection.start_next_cycle()
                elif isinstance(happened, h11.ConnectionClosed):
                    return
        except (h11.RemoteProtocolError, h11.LocalProtocolError, OSError, TimeoutError):
            return
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(
        self, connection: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request
    ) -> None:
        status, kind, body = await self._page(request)
        headers = [("content-type", kind), ("content-length", str(len(body)))]
        parts: tuple[h11.Event, ...] = (h11.Response(status_code=status, headers=headers),)
        if request.method != b"HEAD":
            parts = (*parts, h11.Data(data=body))
        for event in (*parts, h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()

    async def _page(self, request: h11.Request) -> tuple[int, str, bytes]:
        if request.method not in (b"GET", b"HEAD"):
            return 405, TEXT, b"only GET\n"
        path = urlsplit(request.target.decode("ascii", "replace")).path
        match path.strip("/").split("/"):
            case ["workloads", name, "metrics"] if name in self._workloads:
                try:
                    return 200, TEXT, exposition(await self._workloads[name].scrape())
                except AdminError as error:
                    return 503, TEXT, f"the sidecar does not answer: {error}\n".encode()
            case ["targets"]:
                return (
                    200,
                    "application/json",
                    msgspec.json.encode([self._target(w) for w in self._workloads.values()]),
                )
            case ["metrics"]:
                statuses = [workload.status() for workload in self._workloads.values()]
                return 200, TEXT, agent_metrics(statuses)
        return 404, TEXT, b"try /workloads/NAME/metrics, /targets or /metrics\n"

    def _target(self, workload: Workload) -> dict[str, object]:
        record = workload.record
        return {
            "targets": [f"127.0.0.1:{self.port}"],
            "labels": {
                "__metrics_path__": f"/workloads/{record.name}/metrics",
                "workload": record.name,
                "namespace": record.spec.namespace,
            },
        }


def agent_metrics(workloads: list[WorkloadStatus]) -> bytes:
    """What the agent knows of its workloads and of itself."""
    values: tuple[tuple[str, Callable[[WorkloadStatus], float]], ...] = (
        ("argosy_workload_certificate_expiry_timestamp_seconds", lambda w: w.certificate_expires_at),
        ("argosy_workload_envoy_restarts_total", lambda w: float(w.restarts)),
        ("argosy_workload_connected", lambda w: float(w.connected)),
        ("argosy_workload_announced", lambda w: float(w.announced)),
        ("argosy_workload_rejected_resources", lambda w: float(len(w.rejected))),
    )
    lines = []
    for name, value in values:
        lines.append(f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}")
        lines += [
            f'{name}{{workload="{w.name}",namespace="{w.namespace}"}} {value(w):.0f}' for w in workloads
        ]
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    lines += ["# TYPE process_resident_memory_bytes gauge", f"process_resident_memory_bytes {resident}", ""]
    return "\n".join(lines).encode()
