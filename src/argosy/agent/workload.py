"""A workload's life: its states as a table, and what is remembered of it on disk.

All transitions live in `TABLE`; what is done in a state lives in `supervisor.py`. A record is written at each change,
so that a new agent, finding the processes of a dead one, goes on where that one stopped: every state's work may be
begun anew.

    starting ─> ready <─> running ─> withdrawing ─> draining ─> stopping ─> closing ─> leaving ─> gone
        └──────────────────────────────────────────────────────────────────────^ (nothing to drain yet)
"""

from __future__ import annotations

import contextlib
import shutil
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from argosy.agent.processes import ProcessId
from argosy.agent.protocol import AppStarted, BoundPort, BoundUpstream, Start
from argosy.runtime.errors import Failure
from argosy.runtime.paths import private_dir, write_private
from argosy.xds.start import ProxyStart

FORMAT = 1


class State(StrEnum):
    STARTING = "starting"  # identity, registration, Envoy
    READY = "ready"  # Envoy serves; the application does not run (yet)
    RUNNING = "running"  # the application runs and is probed
    WITHDRAWING = "withdrawing"  # other proxies are told to send nothing more
    DRAINING = "draining"  # listeners close; active requests finish
    STOPPING = "stopping"  # the application stops; its outbound requests still work
    CLOSING = "closing"  # Envoy stops
    LEAVING = "leaving"  # the entry is deleted
    GONE = "gone"


class Event(StrEnum):
    SERVES = "serves"  # Envoy is ready
    BROKEN = "broken"  # it could not be started
    APP_STARTED = "app started"
    APP_STOPPED = "app stopped"
    LEAVE = "leave"
    ABANDONED = "abandoned"  # whoever held the application is gone for good
    WITHDRAWN = "withdrawn"
    DRAINED = "drained"
    CLOSED = "closed"
    LEFT = "left"


_S, _E = State, Event
TABLE: dict[tuple[State, Event], State] = {
    (_S.STARTING, _E.SERVES): _S.READY,
    (_S.STARTING, _E.BROKEN): _S.CLOSING,
    (_S.STARTING, _E.LEAVE): _S.CLOSING,
    (_S.STARTING, _E.ABANDONED): _S.CLOSING,
    (_S.READY, _E.APP_STARTED): _S.RUNNING,
    (_S.READY, _E.LEAVE): _S.WITHDRAWING,
    (_S.READY, _E.ABANDONED): _S.WITHDRAWING,
    (_S.RUNNING, _E.APP_STOPPED): _S.READY,
    (_S.RUNNING, _E.LEAVE): _S.WITHDRAWING,
    (_S.RUNNING, _E.ABANDONED): _S.WITHDRAWING,
    (_S.WITHDRAWING, _E.WITHDRAWN): _S.DRAINING,
    (_S.DRAINING, _E.DRAINED): _S.STOPPING,
    (_S.STOPPING, _E.APP_STOPPED): _S.CLOSING,
    (_S.CLOSING, _E.CLOSED): _S.LEAVING,
    (_S.LEAVING, _E.LEFT): _S.GONE,
}
"""What is not in it changes nothing."""

COMPLETED: dict[State, Event] = {
    _S.STARTING: _E.BROKEN,
    _S.WITHDRAWING: _E.WITHDRAWN,
    _S.DRAINING: _E.DRAINED,
    _S.STOPPING: _E.APP_STOPPED,
    _S.CLOSING: _E.CLOSED,
    _S.LEAVING: _E.LEFT,
}
"""The event that ends a state's work: also when it failed, so that whatever leaves does leave."""


class Record(Struct, frozen=True, kw_only=True):
    """Everything a new agent needs to take a workload over, but for its key and its configuration (their own files)."""

    format: int = FORMAT
    name: str
    token: str
    spec: Start
    state: State = State.STARTING
    started_at: float = 0.0
    address: str = "127.0.0.1"
    xds_address: str = ""
    identity: str = ""
    ports: tuple[BoundPort, ...] = ()
    upstreams: tuple[BoundUpstream, ...] = ()
    outbound_proxy_port: int = 0
    client: ProcessId = ProcessId(0, 0)  # `argosy run`
    app: AppStarted | None = None
    envoy: ProcessId = ProcessId(0, 0)
    restarts: int = 0
    announced: bool = False  # the mesh was told that it may send
    start: ProxyStart | None = None  # what its Envoy is started with, as the server said last; None: not yet
    labels: dict[str, str] = {}  # of its entry; {}: those of `spec`
    locality: str = ""  # of its entry; "": that of `spec`


class Folder:
    """The files of one workload."""

    def __init__(self, agent: Path, name: str) -> None:
        self.path = agent / "workloads" / name
        self.record = self.path / "workload.json"
        self.svid = self.path / "svid.json"
        self.cache = self.path / "xds.cache"
        self.bootstrap = self.path / "bootstrap.json"
        self.patched_bootstrap = self.path / "bootstrap.pb"  # where EnvoyFilters change it
        self.envoy_log = agent / "logs" / f"{name}.envoy.log"
        self.app_log = agent / "logs" / f"{name}.app.log"

    def create(self) -> None:
        private_dir(self.path.parent)
        private_dir(self.path)
        private_dir(self.envoy_log.parent)

    def save(self, record: Record) -> None:
        """Raises Failure where there is no disk space."""
        try:
            write_private(self.record, msgspec.json.encode(record))
        except OSError as error:
            raise Failure(f"cannot write {self.record}: {error.strerror}", "free some disk space") from error

    def load(self) -> Record | None:
        """The record; None where there is none. Raises Failure where it cannot be used."""
        try:
            data = self.record.read_bytes()
        except FileNotFoundError:
            return None
        try:
            if msgspec.json.decode(data, type=_Format).format > FORMAT:
                raise Failure(
                    f"{self.record} was written by a newer version", "run that version, or remove the file"
                )
            return msgspec.json.decode(data, type=Record)
        except msgspec.MsgspecError as error:
            raise Failure(f"{self.record} is damaged: {error}", "remove it") from error

    def remove(self) -> None:
        """Everything but the logs."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)


class _Format(Struct, frozen=True):
    format: int = 0


def names_on_disk(agent: Path) -> tuple[str, ...]:
    """Workloads that an agent before this one left behind."""
    folder = agent / "workloads"
    return tuple(sorted(entry.name for entry in folder.iterdir())) if folder.is_dir() else ()
