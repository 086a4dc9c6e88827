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
from argosy.model.ir import Paths
from argosy.model.metrics import AS_USUAL, Metrics
from argosy.model.providers import Collector, FileLog
from argosy.model.proxy_settings import Connections, ProxySettings
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.model.telemetry import Side
from argosy.translate import names, wire
from argosy.translate.filters.access_log import ASKED, Log
from argosy.translate.filters.tracing import CANONICAL, REVISION, Origin, Tracing
from argosy.translate.proxy import Proxy

FIRST_BYTES = 100
"""Milliseconds for the first bytes where no protocol is declared and nothing else is said. Istio waits for ever: with a
server that speaks first nobody would."""


class Options(Struct, frozen=True, kw_only=True):
    logs: tuple[Log, ...] = ()
    tracing: Tracing | None = None
    metrics: Metrics = AS_USUAL
    paths: Paths = Paths.BASE
    proxy: ProxySettings = ProxySettings()
    detection: int | None = None  # how long the first bytes are waited for: see `wait`


NONE = Options()


def of_scope(reader: Reader, scope: Scope, side: Side = Side.CLIENT) -> Options:
    """What all proxies of a scope share; spans are of the namespace."""
    return _options(reader, scope, side, scope.namespace, Origin(namespace=scope.namespace, mesh=""))


def of_proxy(reader: Reader, proxy: Proxy, side: Side = Side.CLIENT) -> Options:
    """The same of one proxy, which knows what its spans are of, and may have been asked to log."""
    workload = reader.workload(proxy.namespace, proxy.name)
    labels = dict(workload.labels if workload else proxy.labels)
    name = _first(labels, CANONICAL, proxy.name)
    revision = _first(labels, REVISION, "latest")
    origin = Origin(service=name, revision=revision, namespace=proxy.namespace, mesh="")
    # Istio: spans are of the application and its namespace.
    out = _options(reader, proxy.scope, side, f"{name}.{proxy.namespace}", origin)
    return replace(out, logs=(ASKED,)) if proxy.access_log else out


def _first(labels: dict[str, str], names: tuple[str, ...], otherwise: str) -> str:
    return next((labels[label] for label in names if label in labels), otherwise)


def _options(reader: Reader, scope: Scope, side: Side, service: str, origin: Origin) -> Options:
    mesh, said = reader.mesh(), reader.telemetry(scope, side)
    logs = []
    for log in said.logs:
        if isinstance(log.to, FileLog):
            logs.append(Log(log.to, "", log.expression))
        elif cluster := _cluster(reader, scope, log.to.to):
            logs.append(Log(log.to, cluster, log.expression))
    return Options(
        logs=tuple(logs),
        tracing=_tracing(
            reader, scope, said.tracing, service, replace(origin, mesh=mesh.mesh_id or mesh.trust_domain)
        ),
        metrics=said.metrics,
        paths=mesh.paths,
        proxy=mesh.proxy,
        detection=mesh.detection_timeout,
    )


def _tracing(
    reader: Reader, scope: Scope, said: telemetry.Tracing | None, service: str, origin: Origin
) -> Tracing | None:
    if said is None or not (cluster := _cluster(reader, scope, said.to.to)):
        return None
    sampler = said.to.sampler
    asked = _cluster(reader, scope, sampler.to) if sampler is not None else ""
    if sampler is not None and not asked:
        return None
    return Tracing(
        said=said,
        cluster=cluster,
        service=service,
        sampler_cluster=asked,
        origin=origin if said.own_tags else None,
    )


def _cluster(reader: Reader, scope: Scope, to: Collector) -> str:
    """ "" where the proxy has none. The host may be written without the mesh's domain."""
    for host in (to.host, f"{to.host}.svc.{reader.mesh().domain_suffix}"):
        service = reader.service(host)
        if service is not None and service.port(to.port) is not None and reader.visible(scope, host):
            return names.outbound(host, to.port)
    return ""


def buffer(said: Connections, out: listener_pb2.Listener) -> None:
    """How many bytes of one connection are held."""
    if said.listener_buffer is not None:
        out.per_connection_buffer_limit_bytes.value = said.listener_buffer


def wait(options: Options, out: listener_pb2.Listener, default: int | None = None) -> None:
    """How long (milliseconds; 0: for ever; None: as Envoy does) the listener looks at the first bytes of a connection;
    then it is what it is without them."""
    limit = default if options.detection is None else options.detection
    if limit is not None:
        out.listener_filters_timeout.CopyFrom(wire.milliseconds(limit))
        out.continue_on_listener_filters_timeout = True
