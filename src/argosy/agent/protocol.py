"""The control protocol: what `argosy run`, `ps`, `logs`, `down`, `gateway` and the agent say to each other.

Newline-delimited JSON over the Unix stream socket `R/agent.sock` (`runtime.paths.runtime_dir`). A connection
opens with one request that carries `protocol`; every line is at most `LINE_LIMIT` bytes. Two kinds:

*Questions* (`List`, `Stats`, `Down`, `Shutdown`): one request, its answer (`Down` and `Shutdown` send `Progress`
before it), the end. A failure is answered by `Failed`.

*Leases* (`Start`, `Attach`): the connection is the lease of one workload; the process at its other end holds the
application.

    Start ─> Progress* ─> Started ─> Progress* ─> Ready ─> (the client starts the application)
    AppStarted ─> Health* (the agent probes; announced, unhealthy, …), EnvoyRestarted*, Warned*, Registered*
    Leave ─> Progress* ─> StopApp ─> (the client stops the application) AppStopped ─> Progress* ─> Gone, the end
    at any time before the end: Failed, the end; the workload is gone

* An application that exits by itself: `AppStopped`, then `Leave`; no `StopApp` follows.
* `Down` from elsewhere, or an agent that is told to stop: `StopApp` comes unasked; answer as above.
* `Leave(patience=0)` while leaving: what is still waited for is skipped.
* The agent dies (end of file without `Gone` or `Failed`): the application goes on; call `ensure_agent` and send
  `Attach` with the name and token of `Started`, within `REATTACH_SECONDS` of the new agent's start. `Started` (and
  `Ready`) come again.
* The client dies: the agent kills the application's process group and takes the workload out of the mesh. If the
  client's process still lives, it has `REATTACH_SECONDS` to attach again.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

PROTOCOL = 1
LINE_LIMIT = 4 << 20
REATTACH_SECONDS = 10.0
SOCKET = "agent.sock"


class Message(Struct, frozen=True, tag_field="message"):
    """One line; its field `message` says which."""


# --- requests -------------------------------------------------------------------------------------------------------


class PortRequest(Struct, frozen=True, kw_only=True):
    workload: int  # what services, policies and metrics speak of
    application: int = (
        0  # where the application listens on 127.0.0.1; 0: the agent chooses (`Started.ports` tells)
    )
    protocol: str = "http"  # http | http2 | grpc | tcp | tls


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    host: str
    port: int
    bind: int = 0  # local port on 127.0.0.1; 0: the agent chooses (`Started.upstreams` tells)


class Start(Message, frozen=True, kw_only=True, tag="start"):
    """Opens a lease for a new workload. `name` is a hint (a DNS label): where it is in use a number is appended."""

    protocol: int = PROTOCOL
    name: str
    namespace: str = "default"
    service: str = ""  # "" for none (a gateway)
    service_account: str = "default"
    labels: dict[str, str] = {}
    ports: tuple[PortRequest, ...] = ()
    upstreams: tuple[UpstreamRequest, ...] = ()
    type: str = "sidecar"  # sidecar | router
    interception: str = "explicit"  # explicit | redirect
    port_map: dict[int, int] = {}  # router: Gateway port -> port really bound (80 -> 8080)
    bind_address: str = "127.0.0.1"  # what inbound (sidecar) or server (router) listeners bind to
    create_service: bool = True
    access_log: bool = False
    locality: str = ""  # region/zone/subzone, or less
    group: str = ""  # the WorkloadGroup that it joins
    proxy_config: str = ""  # ProxyConfig in YAML, as the annotation proxy.istio.io/config
    command: tuple[str, ...] = ()  # for people: what runs


class Attach(Message, frozen=True, kw_only=True, tag="attach"):
    """Opens the lease of a workload that lives already, after the agent restarted."""

    protocol: int = PROTOCOL
    name: str
    token: str
    app: AppStarted | None = None  # as sent before; None if it was not started yet, or has stopped


class AppStarted(Message, frozen=True, kw_only=True, tag="app-started"):
    """`start_time` is field 22 of `/proc/PID/stat` (see `client.start_time`): a reused pid is not mistaken for it."""

    pid: int
    pgid: int
    start_time: int


class AppStopped(Message, frozen=True, kw_only=True, tag="app-stopped"):
    code: int  # exit code; negative: the signal that ended it


class Leave(Message, frozen=True, kw_only=True, tag="leave"):
    """`patience`: how long active requests may take to finish, in seconds."""

    patience: float = 30.0
    reason: str = "leaving"


class List(Message, frozen=True, kw_only=True, tag="list"):
    """Counting asks the Envoy, so a workload that looks after itself has only its own requests counted."""

    protocol: int = PROTOCOL
    counted: str = ""  # the workload whose requests are counted; "": every workload


class Stats(Message, frozen=True, kw_only=True, tag="stats"):
    protocol: int = PROTOCOL
    name: str = ""  # "": every workload


class Down(Message, frozen=True, kw_only=True, tag="down"):
    protocol: int = PROTOCOL
    name: str = ""  # "": every workload
    patience: float = 30.0


class Shutdown(Message, frozen=True, kw_only=True, tag="shutdown"):
    """Takes every workload down, then ends the agent."""

    protocol: int = PROTOCOL
    patience: float = 30.0


Request = Start | Attach | AppStarted | AppStopped | Leave | List | Stats | Down | Shutdown

# --- events and answers ---------------------------------------------------------------------------------------------


class BoundPort(Struct, frozen=True, kw_only=True):
    workload: int
    bind: int  # where the sidecar listens
    application: int
    protocol: str


class BoundUpstream(Struct, frozen=True, kw_only=True):
    host: str
    port: int
    bind: int  # 127.0.0.1:bind leads to host:port


class Progress(Message, frozen=True, tag="progress"):
    """What the agent does now, for people: `waiting for the certificate`."""

    what: str


class Started(Message, frozen=True, kw_only=True, tag="started"):
    """The workload has its identity and its ports; its sidecar is starting."""

    name: str
    token: str
    identity: str  # spiffe://…
    outbound_proxy_port: int  # explicit interception: the HTTP proxy on 127.0.0.1; 0 for a router
    ports: tuple[BoundPort, ...]
    upstreams: tuple[BoundUpstream, ...]
    port_map: dict[int, int]
    admin_socket: str  # Envoy's admin interface (Unix socket)
    metrics_url: str
    envoy_log: str
    app_log: str  # where the client may write what the application writes (`argosy logs`)
    bind_address: str = "127.0.0.1"  # where the sidecar listens
    workload_socket: str = ""  # the SPIFFE Workload API, a Unix socket


class Registered(Message, frozen=True, kw_only=True, tag="registered"):
    entry: str  # namespace/name of the WorkloadEntry
    created_service: str = ""  # namespace/name where one was created just now


class Ready(Message, frozen=True, kw_only=True, tag="ready"):
    """The sidecar serves: the application may start. `stale`: from the last good configuration, the server is away."""

    stale: bool = False


class Health(Message, frozen=True, kw_only=True, tag="health"):
    """The application's probe, and whether the mesh may send to it."""

    healthy: bool
    announced: bool
    detail: str = ""  # `GET / on 127.0.0.1:9080: connection refused`


class EnvoyRestarted(Message, frozen=True, kw_only=True, tag="envoy-restarted"):
    restarts: int
    reason: str  # `killed by SIGSEGV`
    pid: int


class Warned(Message, frozen=True, kw_only=True, tag="warned"):
    """Something a person should know; the workload goes on (a certificate not renewed, a rejected resource)."""

    what: str
    remedy: str = ""


class StopApp(Message, frozen=True, tag="stop-app"):
    """No request reaches the application any more: stop it now and answer `AppStopped`. Outbound still works."""

    reason: str = ""


class Gone(Message, frozen=True, tag="gone"):
    """The workload left the mesh and its sidecar stopped. The end of a lease."""


class Failed(Message, frozen=True, kw_only=True, tag="failed"):
    """As `runtime.errors.Failure`. The end of the connection."""

    what: str
    remedy: str = ""


class WorkloadStatus(Struct, frozen=True, kw_only=True):
    name: str
    namespace: str
    service: str
    service_account: str
    identity: str
    type: str
    labels: dict[str, str]
    state: str  # starting | ready | running | leaving | …: see `workload.State`
    command: tuple[str, ...] = ()
    started_at: float = 0.0  # Unix time
    client_pid: int = 0  # `argosy run`
    app_pid: int = 0
    envoy_pid: int = 0
    restarts: int = 0  # of Envoy, not asked for
    ports: tuple[BoundPort, ...] = ()
    upstreams: tuple[BoundUpstream, ...] = ()
    port_map: dict[int, int] = {}
    outbound_proxy_port: int = 0
    connected: bool = False  # to the xDS server
    server: str = ""  # host:port of the one that it turned to last
    synced_at: float = 0.0  # Unix time of the last word of the xDS server; 0: never
    rejected: tuple[str, ...] = ()  # resources that Envoy refused, with its reason
    registered: bool = False
    announced: bool = False
    healthy: bool = False
    health: str = ""
    certificate_expires_at: float = 0.0
    certificate_problem: str = ""
    inbound: int = 0  # requests and TCP connections that came in
    outbound: int = 0
    plaintext: int = 0  # of inbound: without mutual TLS
    admin_socket: str = ""
    metrics_url: str = ""
    envoy_log: str = ""
    app_log: str = ""


class AgentStatus(Struct, frozen=True, kw_only=True):
    pid: int
    version: str
    protocol: int
    started_at: float
    state_dir: str
    metrics_address: str  # http://127.0.0.1:port
    log: str


class Listed(Message, frozen=True, kw_only=True, tag="listed"):
    agent: AgentStatus
    workloads: tuple[WorkloadStatus, ...]


BEYOND = 1e300
"""Stands for infinity, which JSON does not have."""
Buckets = tuple[tuple[float, int], ...]
"""Cumulative histogram: (upper bound in ms, requests up to it); the last bound is `BEYOND`. Bounds are Istio's."""


class Traffic(Struct, frozen=True, kw_only=True):
    """What one sidecar saw of one kind of request. Counters since the sidecar started (a new Envoy starts at zero)."""

    reporter: str  # source | destination
    source_workload: str
    source_app: str
    source_version: str
    destination_service: str
    destination_workload: str
    destination_app: str
    destination_version: str
    protocol: str  # http | grpc | tcp
    security: str  # mutual_tls | none | unknown (a source cannot say)
    requests: int  # for tcp: connections opened
    failures: int  # 5xx, no answer, or a gRPC status other than 0
    codes: dict[str, int] = {}  # by response code
    durations: Buckets = ()


class WorkloadStats(Struct, frozen=True, kw_only=True):
    name: str
    namespace: str
    service: str
    version: str
    traffic: tuple[Traffic, ...]


class StatsAnswer(Message, frozen=True, kw_only=True, tag="stats-answer"):
    at: float  # Unix time
    workloads: tuple[WorkloadStats, ...]


class DownAnswer(Message, frozen=True, kw_only=True, tag="down-answer"):
    names: tuple[str, ...]  # what has gone


Event = (
    Progress
    | Started
    | Registered
    | Ready
    | Health
    | EnvoyRestarted
    | Warned
    | StopApp
    | Gone
    | Failed
    | Listed
    | StatsAnswer
    | DownAnswer
)

requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


def line(message: Request | Event) -> bytes:
    """One message as one line."""
    return _encoder.encode(message) + b"\n"


# --- arithmetic on histograms ---------------------------------------------------------------------------------------


def since(before: Buckets, after: Buckets) -> Buckets:
    """What was counted between two readings. A reading that went down (a new Envoy) counts from zero."""
    earlier = dict(before)
    if any(count < earlier.get(bound, 0) for bound, count in after):
        return after
    return tuple((bound, count - earlier.get(bound, 0)) for bound, count in after)


def together(several: Iterable[Buckets]) -> Buckets:
    """The sum of histograms (of the same bounds)."""
    total: dict[float, int] = {}
    for buckets in several:
        for bound, count in buckets:
            total[bound] = total.get(bound, 0) + count
    return tuple(sorted(total.items()))


def quantile(buckets: Buckets, q: float) -> float | None:
    """The q-quantile in ms, linear within its bucket as Prometheus' histogram_quantile; None of nothing."""
    if not buckets or buckets[-1][1] <= 0:
        return None
    rank = q * buckets[-1][1]
    lower, below = 0.0, 0
    for bound, count in buckets:
        if count >= rank and count > below:
            if bound >= BEYOND:
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower
