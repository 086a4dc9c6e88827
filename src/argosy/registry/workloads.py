"""WorkloadEntry (and the inline endpoints of a ServiceEntry, which have its form) as this room keeps them.

Facts (Istio): labels are those of the metadata and of the spec, the spec's win; an entry whose annotation
`proxy.istio.io/health-checks-enabled` is "true" is healthy only while its condition `Healthy` is True. Ours: the
annotation `sidecar.argosy.dev/ports` says that it has a sidecar, and which ports that binds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache

import msgspec
from msgspec import Struct

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.protocols import parse_protocol
from argosy.resources.networking import WorkloadEntry, WorkloadEntrySpec

PORTS_ANNOTATION = "sidecar.argosy.dev/ports"
HEALTH_CHECKS_ANNOTATION = "proxy.istio.io/health-checks-enabled"
HEALTHY_CONDITION = "Healthy"
WITHDRAWN = "Withdrawn"
"""The reason of that condition once a workload leaves."""
TLS_MODE_LABEL = "security.istio.io/tlsMode"
APP_LABELS = ("app", "app.kubernetes.io/name", "service.istio.io/canonical-name")
VERSION_LABELS = ("version", "app.kubernetes.io/version", "service.istio.io/canonical-revision")


class SidecarPort(Struct, frozen=True, gc=False):
    """One item of the annotation: the workload, bind and application port, and the protocol."""

    workload: int
    bind: int
    application: int
    protocol: str = ""


class Entry(Struct, frozen=True, kw_only=True):
    """One workload, before it is known which services select it."""

    namespace: str
    name: str
    address: str
    labels: ir.Pairs = ()
    ports: tuple[tuple[str, int], ...] = ()  # port name -> workload port
    sidecar: tuple[SidecarPort, ...] | None = None  # None: no sidecar
    healthy: bool = True
    leaving: bool = False  # it takes no more, ready or not
    mtls: bool = False
    weight: int = 1
    service_account: str = ""
    locality: str = ""
    network: str = ""
    app: str = ""
    version: str = ""

    def bind_port(self, workload_port: int) -> int | None:
        """Where to connect to for a workload port; None where the sidecar does not serve it."""
        if self.sidecar is None:
            return workload_port
        return next((port.bind for port in self.sidecar if port.workload == workload_port), None)


def interned(labels: Mapping[str, str]) -> ir.Pairs:
    """Sorted pairs. Equal sets are mostly one object: there are as many as endpoints, and few that differ."""
    return _one_set(tuple(_one_pair(key, value) for key, value in sorted(labels.items())))


@lru_cache(maxsize=65536)
def _one_pair(key: str, value: str) -> tuple[str, str]:
    return sys.intern(key), sys.intern(value)


@lru_cache(maxsize=65536)
def _one_set(labels: ir.Pairs) -> ir.Pairs:
    return labels


def lower_entry(obj: WorkloadEntry) -> Entry:
    """Raises LoweringError with the field."""
    meta = obj.metadata
    return _entry(
        obj.spec,
        namespace=meta.namespace,
        name=meta.name,
        labels={**meta.labels, **obj.spec.labels},
        sidecar=_sidecar_ports(meta.annotations.get(PORTS_ANNOTATION)),
        healthy=_healthy(obj),
        leaving=_leaving(obj),
    )


def lower_inline(spec: WorkloadEntrySpec, namespace: str) -> Entry:
    return _entry(spec, namespace=namespace, name="", labels=spec.labels, sidecar=None, healthy=True)


def _entry(
    spec: WorkloadEntrySpec,
    *,
    namespace: str,
    name: str,
    labels: Mapping[str, str],
    sidecar: tuple[SidecarPort, ...] | None,
    healthy: bool,
    leaving: bool = False,
) -> Entry:
    tls_mode = labels.get(TLS_MODE_LABEL)
    return Entry(
        namespace=sys.intern(namespace),
        name=name,
        address=spec.address,
        labels=interned(labels),
        ports=tuple(sorted(spec.ports.items())),
        sidecar=sidecar,
        healthy=healthy,
        leaving=leaving,
        mtls=sidecar is not None if tls_mode is None else tls_mode == "istio",
        weight=spec.weight or 1,
        service_account=sys.intern(spec.service_account),
        locality=sys.intern(spec.locality),
        network=sys.intern(spec.network),
        app=sys.intern(_first(labels, APP_LABELS)),
        version=sys.intern(_first(labels, VERSION_LABELS)),
    )


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _healthy(obj: WorkloadEntry) -> bool:
    if obj.metadata.annotations.get(HEALTH_CHECKS_ANNOTATION) != "true":
        return True
    return any(c.type == HEALTHY_CONDITION and c.status == "True" for c in obj.status.conditions)


def _leaving(obj: WorkloadEntry) -> bool:
    conditions = obj.status.conditions
    return any(c.type == HEALTHY_CONDITION and c.reason == WITHDRAWN for c in conditions)


def _sidecar_ports(text: str | None) -> tuple[SidecarPort, ...] | None:
    if text is None:
        return None
    field = f"metadata.annotations[{PORTS_ANNOTATION}]"
    try:
        ports = msgspec.json.decode(text, type=tuple[SidecarPort, ...])
    except msgspec.MsgspecError as error:
        raise LoweringError(
            field, f"{error}; it is a JSON list of objects with workload, bind, application, protocol"
        ) from error
    for port in ports:
        if port.protocol and parse_protocol(port.protocol) is ir.Protocol.UNSUPPORTED:
            raise LoweringError(
                field, f"protocol {port.protocol!r} is not one of http, http2, grpc, tcp, tls"
            )
    return tuple(sorted(ports, key=lambda port: port.workload))
