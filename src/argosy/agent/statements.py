"""What a workload says of itself: to who holds it, to `argosy ps` and the metrics, and what keeps it from being ready.

Rule: it only looks, at the record and at the sidecar as they are.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from argosy.agent.protocol import Health, Ready, Started, WorkloadStatus
from argosy.agent.sidecar import Sidecar
from argosy.agent.traffic import Totals
from argosy.agent.workload_api import SOCKET


def started(sidecar: Sidecar) -> Started:
    """Who it is and where it is reached: its ports are chosen, its identity is proven."""
    record, folder = sidecar.owner.record, sidecar.folder
    return Started(
        name=record.name,
        token=record.token,
        identity=record.identity,
        outbound_proxy_port=record.outbound_proxy_port,
        ports=record.ports,
        upstreams=record.upstreams,
        port_map=record.spec.port_map,
        admin_socket=sidecar.envoy.admin.socket,
        metrics_url=_metrics_url(sidecar),
        envoy_log=str(folder.envoy_log),
        app_log=str(folder.app_log),
        bind_address=record.spec.bind_address,
        workload_socket=str(sidecar.place.runtime / SOCKET),
    )


def ready(sidecar: Sidecar) -> Ready:
    """That its sidecar serves; and whether what it serves is of now."""
    delivery = sidecar.delivery
    return Ready(stale=delivery is not None and delivery.relay.stale)


def status(sidecar: Sidecar, health: Health, seen: Totals) -> WorkloadStatus:
    """All that is known of it. `seen`: what its Envoy has counted."""
    record, folder = sidecar.owner.record, sidecar.folder
    delivery, certificate, attending = sidecar.delivery, sidecar.certificate, sidecar.registration
    connected = delivery is not None and delivery.connection.connected
    return WorkloadStatus(
        name=record.name,
        namespace=record.spec.namespace,
        service=record.spec.service,
        service_account=record.spec.service_account,
        identity=record.identity,
        type=record.spec.type,
        labels=record.spec.labels,
        state=record.state,
        command=record.spec.command,
        started_at=record.started_at,
        client_pid=record.client.pid,
        app_pid=record.app.pid if record.app else 0,
        envoy_pid=sidecar.envoy.pid,
        restarts=record.restarts,
        ports=record.ports,
        upstreams=record.upstreams,
        port_map=record.spec.port_map,
        outbound_proxy_port=record.outbound_proxy_port,
        connected=connected,
        server=sidecar.link.address if sidecar.link else "",
        synced_at=time.time() if connected else delivery.heard_at if delivery else 0.0,
        rejected=delivery.refused() if delivery else (),
        registered=attending is not None and attending.registered.is_set(),
        announced=health.announced,
        healthy=health.healthy,
        health=health.detail,
        certificate_expires_at=certificate.svid.not_after if certificate else 0.0,
        certificate_problem=certificate.problem if certificate else "",
        inbound=seen.inbound,
        outbound=seen.outbound,
        plaintext=seen.plaintext,
        admin_socket=sidecar.envoy.admin.socket,
        metrics_url=_metrics_url(sidecar),
        envoy_log=str(folder.envoy_log),
        app_log=str(folder.app_log),
    )


def obstacle(sidecar: Sidecar, refusals: Collection[str]) -> str:
    """What keeps it from being ready. `refusals`: what the server has said against its registration."""
    delivery, attending = sidecar.delivery, sidecar.registration
    if attending is None:
        return "it has no certificate"
    if delivery is None or not attending.registered.is_set():
        why = f" ({attending.problem})" if attending.problem else ""
        return "; ".join(sorted(refusals)) or f"the control plane has not registered it{why}"
    if not delivery.connection.connected:
        return f"no connection to the control plane ({delivery.connection.error or 'no answer'})"
    if refused := delivery.refused():
        return "; ".join(refused)
    return "its configuration has not arrived"


def _metrics_url(sidecar: Sidecar) -> str:
    return f"{sidecar.place.metrics_address}/workloads/{sidecar.owner.record.name}/metrics"
