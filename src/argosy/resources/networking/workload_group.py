"""WorkloadGroup: what the WorkloadEntries of workloads that register themselves are made from.

# Istio: networking/v1alpha3/workload_group.proto
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from argosy.resources.meta import Object, Status
from argosy.resources.networking.service_entry import WorkloadEntrySpec

Seconds = Annotated[int, Meta(ge=0, le=2147483647)]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]
Strings = Annotated[dict[str, str], Meta(max_length=256)]


class WorkloadGroupMetadata(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the metadata of the WorkloadEntries of a group begins with."""

    labels: Strings = {}
    """The labels of each entry."""
    annotations: Strings = {}
    """The annotations of each entry."""


class HTTPHeader(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A header of a probe's request."""

    name: Annotated[str, Meta(pattern="^[-_A-Za-z0-9]+$")]
    """The name of the header."""
    value: str = ""
    """The value of the header."""


class HTTPHealthCheckConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A request that succeeds with a status from 200 to 399."""

    port: PortNumber
    """The port that the request goes to."""
    path: str = ""
    """The path of the request; left out: /."""
    host: str = ""
    """The host that the request goes to; left out: the workload."""
    scheme: str = ""
    """HTTP, the default, or HTTPS."""
    http_headers: tuple[HTTPHeader, ...] = ()
    """Headers of the request; a name may be there more than once."""


class TCPHealthCheckConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A connection that can be made."""

    port: PortNumber
    """The port that is connected to."""
    host: str = ""
    """The host that is connected to; left out: the workload."""


class ExecHealthCheckConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A command that ends with exit status 0."""

    command: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
    """The program and its arguments; no shell is involved."""


class GrpcHealthCheckConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A call of gRPC's own health service."""

    port: PortNumber
    """The port that is called."""
    service: str = ""
    """The service whose health is asked for; left out: the server's."""


class ReadinessProbe(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How it is found out whether a workload is healthy: by exactly one of httpGet, tcpSocket, exec and grpc."""

    initial_delay_seconds: Seconds = 0
    """How long after its start the workload is asked first."""
    timeout_seconds: Seconds = 0
    """How long an answer may take; 0 is the default, 1 second."""
    period_seconds: Seconds = 0
    """How often the workload is asked; 0 is the default, every 10 seconds."""
    success_threshold: Seconds = 0
    """After how many successes in a row it is healthy; 0 is the default, 1."""
    failure_threshold: Seconds = 0
    """After how many failures in a row it is not; 0 is the default, 3."""
    http_get: HTTPHealthCheckConfig | None = None
    """Healthy where an HTTP request succeeds."""
    tcp_socket: TCPHealthCheckConfig | None = None
    """Healthy where a connection can be made."""
    exec: ExecHealthCheckConfig | None = None
    """Healthy where a command succeeds."""
    grpc: GrpcHealthCheckConfig | None = None
    """Healthy where gRPC's health service says so."""


class WorkloadGroupSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the WorkloadEntries of the group are made from, and how their health is found out."""

    template: WorkloadEntrySpec
    """What each entry begins with. Its address and labels are left out: the workload brings the one, `metadata` the
    others."""
    metadata: WorkloadGroupMetadata | None = None
    """Labels and annotations of each entry."""
    probe: ReadinessProbe | None = None
    """How the health of each workload is found out; left out: it counts as healthy."""


class WorkloadGroup(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Workloads outside of Kubernetes that are alike, as a Deployment is for pods: each that joins gets a WorkloadEntry
    made from the template."""

    spec: WorkloadGroupSpec
    """What the WorkloadEntries of the group are made from."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""
