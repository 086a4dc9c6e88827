"""What holds for every listener of a side of a proxy, wherever it leads: what is reported and where to, how paths are
written, how long the first bytes are waited for. From MeshConfig and Telemetry.

Rule: a report whose collector is no service that the proxy sees is none: Envoy refuses a listener that names a cluster
which is not there.
"""

from __future__ import annotations

from envoy.config.listener.v3 import listener_pb2
from msgspec import Struct
from msgspec.structs import replace

from argosy.model import telemetry
from argosy.model.ir import Paths, Workload
from argosy.model.providers import Collector, FileLog
from argosy.model.proxy_settings import ProxySettings
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.model.telemetry import Side
from argosy.translate import names, wire
from argosy.translate.filters.access_log import ASKED, Log
from argosy.translate.filters.tracing import Tracing
from argosy.translate.proxy import Proxy

FIRST_BYTES = 100
"""Milliseconds for the first bytes where no protocol is declared and nothing else is said. Istio waits for ever: with a
server that speaks first nobody would."""

CANONICAL = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")


class Options(Struct, frozen=True, kw_only=True):
    logs: tuple[Log, ...] = ()
    tracing: Tracing | None = None
    silent: tuple[str, ...] = ()  # metrics that are not reported
    paths: Paths = Paths.BASE
    proxy: ProxySettings = ProxySettings()
    detection: int | None = None  # how long the first bytes are waited for: see `wait`


NONE = Options()


def of_scope(reader: Reader, scope: Scope, side: Side = Side.CLIENT) -> Options:
    """What all proxies of a scope share; spans are of the namespace."""
    return _options(reader, scope, side, scope.namespace)


def of_proxy(reader: Reader, proxy: Proxy, side: Side = Side.CLIENT) -> Options:
    """The same of one proxy, which knows what its spans are of, and may have been asked to log."""
    workload = reader.workload(proxy.namespace, proxy.name)
    out = _options(reader, proxy.scope, side, _service(proxy, workload))
    return replace(out, logs=(ASKED,)) if proxy.access_log else out


def _service(proxy: Proxy, workload: Workload | None) -> str:
    """Istio: application and namespace."""
    labels = dict(workload.labels if workload else proxy.labels)
    name = next((labels[label] for label in CANONICAL if label in labels), proxy.name)
    return f"{name}.{proxy.namespace}"


def _options(reader: Reader, scope: Scope, side: Side, service: str) -> Options:
    mesh, said = reader.mesh(), reader.telemetry(scope, side)
    logs = []
    for log in said.logs:
        if isinstance(log.to, FileLog):
            logs.append(Log(log.to, "", log.expression))
        elif cluster := _cluster(reader, scope, log.to.to):
            logs.append(Log(log.to, cluster, log.expression))
    return Options(
        logs=tuple(logs),
        tracing=_tracing(reader, scope, said.tracing, service),
        silent=said.silent,
        paths=mesh.paths,
        proxy=mesh.proxy,
        detection=mesh.detection_timeout,
    )


def _tracing(reader: Reader, scope: Scope, said: telemetry.Tracing | None, service: str) -> Tracing | None:
    cluster = _cluster(reader, scope, said.to.to) if said is not None else ""
    return Tracing(said=said, cluster=cluster, service=service) if said is not None and cluster else None


def _cluster(reader: Reader, scope: Scope, to: Collector) -> str:
    """ "" where the proxy has none."""
    service = reader.service(to.host)
    if service is None or service.port(to.port) is None or not reader.visible(scope, to.host):
        return ""
    return names.outbound(to.host, to.port)


def wait(options: Options, out: listener_pb2.Listener, default: int | None = None) -> None:
    """How long (milliseconds; 0: for ever; None: as Envoy does) the listener looks at the first bytes of a connection;
    then it is what it is without them."""
    limit = default if options.detection is None else options.detection
    if limit is not None:
        out.listener_filters_timeout.CopyFrom(wire.milliseconds(limit))
        out.continue_on_listener_filters_timeout = True
