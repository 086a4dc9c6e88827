"""What a proxy is started with, as the server decides it and tells the agent with each registration.

The agent writes bootstrap and command line from it, and keeps it: a proxy that is started again while the server is
away starts as before. What is left out is as the agent has it.
"""

from __future__ import annotations

from msgspec import Struct


class HttpProbe(Struct, frozen=True, kw_only=True):
    """Healthy with a status from 200 to 399."""

    port: int
    path: str = "/"
    host: str = ""  # "": the workload
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()


class TcpProbe(Struct, frozen=True, kw_only=True):
    port: int
    host: str = ""


class GrpcProbe(Struct, frozen=True, kw_only=True):
    port: int
    service: str = ""


class Probe(Struct, frozen=True, kw_only=True):
    """How an application is asked: by exactly one of the last four. Times are seconds, counts are in a row."""

    initial_delay: int = 0
    timeout: int = 1
    period: int = 10
    successes: int = 1
    failures: int = 3
    http: HttpProbe | None = None
    tcp: TcpProbe | None = None
    command: tuple[str, ...] = ()
    grpc: GrpcProbe | None = None


class KeepAlive(Struct, frozen=True, kw_only=True):
    probes: int = 0  # 0: as the system has it; so are the others
    time: int = 0  # seconds
    interval: int = 0


class MetricsService(Struct, frozen=True, kw_only=True):
    """An implementation of Envoy's metrics service (gRPC)."""

    host: str
    port: int
    keepalive: KeepAlive | None = None


class Statsd(Struct, frozen=True, kw_only=True):
    address: str  # IP
    port: int


class BootstrapPatch(Struct, frozen=True, kw_only=True):
    """A part of an EnvoyFilter: a serialised envoy.config.bootstrap.v3.Bootstrap that is merged into the agent's."""

    namespace: str
    name: str
    index: int  # in spec.configPatches
    value: bytes


class RefusedPatch(Struct, frozen=True, kw_only=True):
    """One that Envoy does not accept, or that cannot be, and why."""

    namespace: str
    name: str
    index: int
    message: str


class ProxyStart(Struct, frozen=True, kw_only=True):
    concurrency: int | None = None  # worker threads; 0: one a core
    environment: dict[str, str] = {}
    drain_seconds: int | None = None  # how long a listener that is replaced finishes its connections
    leave_seconds: float | None = None  # how long active requests may take when the workload leaves
    service_cluster: str = ""
    mesh_id: str = ""
    runtime: dict[str, str] = {}  # "": what the agent says under that name is unset
    stats_prefixes: tuple[str, ...] = ()  # beside those that there are anyway
    stats_suffixes: tuple[str, ...] = ()
    stats_regexes: tuple[str, ...] = ()
    statsd: Statsd | None = None
    metrics_service: MetricsService | None = None
    log_flush_ms: int | None = None
    log_flush_kb: int | None = None
    max_connections: int | None = None  # from outside, at once
    probe: Probe | None = None  # of the application; None: by the protocols of its ports
    patches: tuple[BootstrapPatch, ...] = ()
    parted: tuple[str, ...] = ()  # RouteConfigurations that come in parts, for as long as the workload lives
