"""What would fail if the certificates of some workloads were good no more: a root, or an issuing certificate, expired.

A call between two sidecars is mutual TLS where the destination has a sidecar and its PeerAuthentication does not
disable it (also where it is PERMISSIVE: the caller's sidecar offers its certificate, and an expired one is refused).
Such a call fails at the next connection if either side's certificate is below what expired; open connections go on.
What leaves the mesh, and what has no sidecar, goes on too.
"""

from __future__ import annotations

from collections.abc import Set

from msgspec import Struct

from argosy.model.ir import Endpoint, MtlsMode
from argosy.model.reader import Reader
from argosy.model.snapshot import Snapshot

Holder = tuple[str, str]
"""Of a certificate: namespace and name of a workload."""


class ServiceLoss(Struct, frozen=True, kw_only=True):
    """How one service would stand: its endpoints that speak mutual TLS, and those of them that fail every caller."""

    host: str
    endpoints: int
    encrypted: int
    failing: int

    @property
    def verdict(self) -> str:
        """`fails`: for every caller. `degraded`: some endpoints fail. `by caller`: only callers who are concerned fail.
        `goes on`: nobody needs a certificate for it."""
        if self.failing and self.failing == self.endpoints:
            return "fails"
        if self.failing:
            return "degraded"
        return "by caller" if self.encrypted else "goes on"


class Rehearsal(Struct, frozen=True, kw_only=True):
    services: tuple[ServiceLoss, ...]
    callers: tuple[str, ...]  # workload.namespace of those whose certificates are concerned


def rehearse(snapshot: Snapshot, concerned: Set[Holder]) -> Rehearsal:
    """`concerned`: who holds a certificate that is good no more."""
    reader = Reader(snapshot)
    losses = []
    for host in sorted(snapshot.services):
        encrypted = [one for one in reader.endpoints(host) if _is_encrypted(reader, one)]
        losses.append(
            ServiceLoss(
                host=host,
                endpoints=len(reader.endpoints(host)),
                encrypted=len(encrypted),
                failing=sum((one.namespace, one.workload) in concerned for one in encrypted),
            )
        )
    callers = sorted(f"{workload}.{namespace}" for namespace, workload in concerned)
    return Rehearsal(services=tuple(one for one in losses if one.endpoints), callers=tuple(callers))


def _is_encrypted(reader: Reader, endpoint: Endpoint) -> bool:
    if not endpoint.mtls:
        return False
    workload = reader.workload(endpoint.namespace, endpoint.workload)
    ports = workload.ports if workload is not None else ()
    port = next((one.workload for one in ports if one.bind == endpoint.port), endpoint.port)
    return reader.peer_mtls(endpoint.namespace, endpoint.labels, port) is not MtlsMode.DISABLE
