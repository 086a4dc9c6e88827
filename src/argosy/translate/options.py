"""What MeshConfig says of every listener, wherever it leads: its log, the paths of requests, how long it looks."""

from __future__ import annotations

from envoy.config.listener.v3 import listener_pb2
from msgspec import Struct
from msgspec.structs import replace

from argosy.model.ir import Mesh, Paths
from argosy.translate import wire
from argosy.translate.filters import access_log

FIRST_BYTES = 100
"""Milliseconds for the first bytes where no protocol is declared and nothing else is said. Istio waits for ever: with a
server that speaks first nobody would."""


class Options(Struct, frozen=True, kw_only=True):
    log: access_log.AccessLog = access_log.OFF
    paths: Paths = Paths.BASE
    detection: int | None = (
        None  # milliseconds until the first bytes; 0: for ever; None: as the listener likes
    )


NONE = Options()


def of_mesh(mesh: Mesh) -> Options:
    return Options(log=access_log.of_mesh(mesh), paths=mesh.paths, detection=mesh.detection_timeout)


def of_proxy(mesh: Mesh, logs: bool) -> Options:
    """`logs`: whether the proxy was asked to log by itself."""
    return replace(of_mesh(mesh), log=access_log.of_proxy(mesh, logs))


def wait(options: Options, out: listener_pb2.Listener, default: int | None = None) -> None:
    """How long the listener looks at the first bytes of a connection; then it is what it is without them."""
    limit = default if options.detection is None else options.detection
    if limit is not None:
        out.listener_filters_timeout.CopyFrom(wire.milliseconds(limit))
        out.continue_on_listener_filters_timeout = True
