"""What a workload's record means to each of those who need it: pure functions, and the allocation of its ports."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Collection

import msgspec

from argosy.agent.bootstrap import Bootstrap
from argosy.agent.certificates import Subject
from argosy.agent.metrics import Own
from argosy.agent.ports import Ports
from argosy.agent.processes import ProcessId
from argosy.agent.protocol import BoundPort, BoundUpstream, Start
from argosy.agent.workload import Record
from argosy.runtime.errors import Failure
from argosy.xds import registration
from argosy.xds.node import ProxyNode, Upstream
from argosy.xds.start import ProxyStart

ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104
LOOPBACK = "127.0.0.1"
PROTOCOLS = ("http", "http2", "grpc", "tcp", "tls")
TYPES = ("sidecar", "router")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


# --- from a request to a record -------------------------------------------------------------------------------------


def check(start: Start) -> None:
    """Raises Failure for what cannot be run."""
    for field, value in (("name", start.name), ("namespace", start.namespace)):
        if not _LABEL.fullmatch(value):
            raise Failure(
                f"{field}: {value!r} is not a name", "use lower-case letters, digits and '-', 63 at the most"
            )
    if start.type not in TYPES:
        raise Failure(f"type: {start.type!r} is not known", f"use one of {', '.join(TYPES)}")
    if start.interception != "explicit":
        raise Failure(f"interception: {start.interception!r} needs a network namespace", "use explicit")
    seen: set[int] = set()
    for port in start.ports:
        if port.protocol not in PROTOCOLS:
            raise Failure(
                f"port {port.workload}: protocol {port.protocol!r} is not known",
                f"use one of {', '.join(PROTOCOLS)}",
            )
        if port.workload in seen:
            raise Failure(f"port {port.workload} is given twice", "give each port once")
        seen.add(port.workload)
    for number in (
        *seen,
        *(port.application for port in start.ports),
        *(upstream.bind for upstream in start.upstreams),
        *(upstream.port for upstream in start.upstreams),
        *start.port_map,
        *start.port_map.values(),
    ):
        if not 0 <= number <= 65535:
            raise Failure(f"port {number} is not between 0 and 65535", "choose another")


def reachable(start: Start, address: str) -> Start:
    """On a host that joined: other hosts reach its ports where nothing else was said."""
    if start.bind_address != LOOPBACK or not address:
        return start
    return msgspec.structs.replace(start, bind_address=address)


def free_name(hint: str, taken: Collection[str]) -> str:
    """`reviews-v1`, `reviews-v1-2`, …; a DNS label."""
    if hint not in taken:
        return hint
    number = 2
    while (name := f"{hint[: 62 - len(str(number))]}-{number}") in taken:
        number += 1
    return name


def new_record(
    start: Start, name: str, client: ProcessId, ports: Ports, address: Callable[[], str]
) -> Record:
    """A record with its ports allocated. Raises Failure where one is taken; then it holds none.

    `address()` is this host's address towards others, for a sidecar that binds to all.
    """
    try:
        bound = tuple(
            BoundPort(
                workload=port.workload,
                bind=ports.allocate(f"{name}/bind/{port.workload}"),
                application=_given(ports, f"{name}/application/{port.workload}", port.application),
                protocol=port.protocol,
            )
            for port in start.ports
        )
        upstreams = tuple(
            BoundUpstream(
                host=upstream.host,
                port=upstream.port,
                bind=_given(ports, f"{name}/upstream/{upstream.host}:{upstream.port}", upstream.bind),
            )
            for upstream in start.upstreams
        )
        for port, really in start.port_map.items():
            ports.claim(f"{name}/gateway/{port}", really)
        outbound = ports.allocate(f"{name}/outbound") if start.type == "sidecar" else 0
    except Failure:
        ports.release(name)
        raise
    return Record(
        name=name,
        token=secrets.token_urlsafe(24),
        spec=start,
        started_at=time.time(),
        address=address() if start.bind_address in ANY_ADDRESS else start.bind_address,
        ports=bound,
        upstreams=upstreams,
        outbound_proxy_port=outbound,
        client=client,
    )


def _given(ports: Ports, key: str, port: int) -> int:
    return ports.claim(key, port) if port else ports.allocate(key)


def resume_ports(record: Record, ports: Ports) -> None:
    """An adopted workload holds its ports already."""
    for port in record.ports:
        ports.resume(f"{record.name}/bind/{port.workload}", port.bind)
        ports.resume(f"{record.name}/application/{port.workload}", port.application)
    for upstream in record.upstreams:
        ports.resume(f"{record.name}/upstream/{upstream.host}:{upstream.port}", upstream.bind)
    for port_number, really in record.spec.port_map.items():
        ports.resume(f"{record.name}/gateway/{port_number}", really)
    if record.outbound_proxy_port:
        ports.resume(f"{record.name}/outbound", record.outbound_proxy_port)


def moved(record: Record, taken: int, ports: Ports) -> Record | None:
    """The record with another port in place of one that somebody else took; None where it is none of ours to choose."""
    name = record.name
    for index, port in enumerate(record.ports):
        if port.bind == taken:
            other = ports.replace(f"{name}/bind/{port.workload}", taken)
            changed = (
                *record.ports[:index],
                msgspec.structs.replace(port, bind=other),
                *record.ports[index + 1 :],
            )
            return msgspec.structs.replace(record, ports=changed)
    if record.outbound_proxy_port == taken:
        return msgspec.structs.replace(record, outbound_proxy_port=ports.replace(f"{name}/outbound", taken))
    for index, upstream in enumerate(record.upstreams):
        asked = record.spec.upstreams[index].bind
        if upstream.bind == taken and not asked:
            other = ports.replace(f"{name}/upstream/{upstream.host}:{upstream.port}", taken)
            told = msgspec.structs.replace(upstream, bind=other)
            return msgspec.structs.replace(
                record, upstreams=(*record.upstreams[:index], told, *record.upstreams[index + 1 :])
            )
    return None


# --- from a record to its users -------------------------------------------------------------------------------------


def app_and_version(record: Record) -> tuple[str, str]:
    labels = labels_of(record)
    return labels.get("app") or record.spec.service or record.name, labels.get("version", "")


def labels_of(record: Record) -> dict[str, str]:
    """Its own, and those that it has as a member of a WorkloadGroup."""
    return record.labels or record.spec.labels


def subject(record: Record) -> Subject:
    app, version = app_and_version(record)
    return Subject(
        namespace=record.spec.namespace,
        service_account=record.spec.service_account,
        workload=record.name,
        app=app,
        version=version,
    )


def own(record: Record) -> Own:
    """Facts: https://istio.io/latest/docs/ops/deployment/app-requirements/ (canonical service labels)."""
    app, version = app_and_version(record)
    labels = labels_of(record)
    return Own(
        workload=record.name,
        namespace=record.spec.namespace,
        principal=record.identity,
        app=app,
        version=version,
        canonical_service=labels.get("service.istio.io/canonical-name")
        or labels.get("app.kubernetes.io/name")
        or app,
        canonical_revision=labels.get("service.istio.io/canonical-revision")
        or labels.get("app.kubernetes.io/version")
        or version,
    )


def bootstrap_of(record: Record, admin_socket: str, xds_socket: str, max_connections: int) -> Bootstrap:
    return Bootstrap(
        name=record.name,
        namespace=record.spec.namespace,
        service=record.spec.service,
        service_account=record.spec.service_account,
        address=record.address,
        labels=labels_of(record),
        locality=record.locality or record.spec.locality,
        start=record.start or ProxyStart(),
        proxy=ProxyNode(
            type=record.spec.type,
            interception=record.spec.interception,
            outbound_port=record.outbound_proxy_port,
            upstreams=tuple(Upstream(host=u.host, port=u.port, bind=u.bind) for u in record.upstreams),
            bind_address=record.spec.bind_address,
            port_map=record.spec.port_map,
            access_log=record.spec.access_log,
            parted=record.start.parted if record.start is not None else (),
        ),
        admin_socket=admin_socket,
        xds_socket=xds_socket,
        max_connections=max_connections,
    )


def register_of(record: Record) -> registration.Register:
    return registration.Register(
        workload=record.name,
        namespace=record.spec.namespace,
        service_account=record.spec.service_account,
        service=record.spec.service,
        address=record.address,
        labels=record.spec.labels,
        ports=tuple(
            registration.Port(
                workload=port.workload, bind=port.bind, application=port.application, protocol=port.protocol
            )
            for port in record.ports
        ),
        create_service=record.spec.create_service,
        locality=record.spec.locality,
        group=record.spec.group,
        proxy_config=record.spec.proxy_config,
        proxy_type=record.spec.type,
    )


def listening_ports(record: Record) -> frozenset[int]:
    """Where its Envoy must listen before it is ready. A gateway's ports come with its Gateway resources."""
    own = {port.bind for port in record.ports} | {upstream.bind for upstream in record.upstreams}
    return frozenset(own | ({record.outbound_proxy_port} - {0}))


def socket_folder(name: str) -> str:
    """A short name for the folder of its sockets: a Unix socket path holds 108 bytes."""
    return name if len(name) <= 24 else f"{name[:15]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
