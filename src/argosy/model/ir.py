"""The intermediate representation: what the mesh's configuration means, in frozen structs.

Front ends (Istio's kinds today, Gateway API's later) lower to these; back ends (the Envoy translator, the evaluator)
read nothing else. No Envoy type and no YAML appears here. Durations are integers of milliseconds, percentages are
floats 0..100, `None` is "not set". Where an object came from lies beside (see `Snapshot.origin`), never in these
structs: they are used as memo keys, so they hold only what changes the result.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.model.locality import LocalityBalancing, TrafficDistribution
from argosy.model.providers import Provider
from argosy.model.proxy_settings import ProxySettings

Pairs = tuple[tuple[str, str], ...]
"""A string map, sorted by key: hashable and deterministic."""


class Protocol(StrEnum):
    """The protocol of a service port, as Istio names them (port name prefix or appProtocol)."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-WEB"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    MONGO = "Mongo"
    REDIS = "Redis"
    MYSQL = "MySQL"
    UDP = "UDP"
    UNSUPPORTED = "UnsupportedProtocol"  # not declared: to be detected

    @property
    def is_http(self) -> bool:
        return self in (Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB)

    @property
    def is_http2(self) -> bool:
        return self in (Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB)

    @property
    def is_tls(self) -> bool:
        return self in (Protocol.HTTPS, Protocol.TLS)


class Resolution(StrEnum):
    """How the endpoints of a service are found (ServiceEntry.resolution; a v1 Service is STATIC)."""

    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"  # the name that each request or TLS hello has, of a wildcard
    NONE = "NONE"


class ServicePort(Struct, frozen=True, gc=False, kw_only=True):
    name: str
    number: int
    protocol: Protocol
    target_port: int | None = None  # the workload port; None: the same number


class Service(Struct, frozen=True, kw_only=True):
    """One host of the mesh. `hostname` is the full name (`reviews.default.svc.cluster.local`) or a ServiceEntry's."""

    hostname: str
    name: str
    namespace: str
    ports: tuple[ServicePort, ...]
    resolution: Resolution = Resolution.STATIC
    external: bool = False  # MESH_EXTERNAL: no mutual TLS expected
    addresses: tuple[str, ...] = ()  # virtual addresses (ClusterIP, ServiceEntry.addresses)
    headless: bool = False
    export_to: tuple[str, ...] = ()  # namespaces, "." resolved; "*" all; "~" none; (): as the mesh says
    subject_alt_names: tuple[str, ...] = ()  # identities it may run as, as URIs; () = derive from endpoints
    labels: Pairs = ()
    created: str = ""  # RFC 3339; the older object wins a conflict
    kubernetes: bool = True  # a v1 Service (short names resolve), not a ServiceEntry
    distribution: TrafficDistribution = TrafficDistribution.ANY
    alias_of: str = ""  # another name of that host, and nothing else

    def port(self, number: int) -> ServicePort | None:
        return next((p for p in self.ports if p.number == number), None)


class Endpoint(Struct, frozen=True, gc=False, kw_only=True):
    """One address that serves one port of a service. `port` is where to connect to: the *bind* port of a sidecar."""

    address: str  # IP, or DNS name where the service resolves by DNS, or `unix://path`
    port: int
    port_name: str  # of the service port it serves
    healthy: bool = True
    weight: int = 1
    workload: str = ""  # WorkloadEntry / workload name
    namespace: str = ""
    service_account: str = ""
    app: str = ""
    version: str = ""
    labels: Pairs = ()
    locality: str = ""  # region/zone/subzone
    network: str = ""
    mtls: bool = False  # it has a sidecar that takes mesh mutual TLS


class WorkloadPort(Struct, frozen=True, gc=False, kw_only=True):
    """The four numbers of a workload's port (service numbers may be several) and its protocol."""

    name: str
    workload: int  # what policies and metrics speak of
    bind: int  # what its sidecar listens on
    application: int  # what the application listens on; 0 for a Unix socket
    application_address: str = "127.0.0.1"  # where it does: an IP, or `unix://path`
    protocol: Protocol
    service_hosts: tuple[str, ...] = ()  # hostnames of services that reach this port, sorted
    service_ports: tuple[int, ...] = ()  # their port numbers, in the order of service_hosts


class Workload(Struct, frozen=True, kw_only=True):
    """One instance in the mesh: what a WorkloadEntry says of it."""

    name: str
    namespace: str
    service_account: str = "default"
    address: str = ""
    labels: Pairs = ()
    ports: tuple[WorkloadPort, ...] = ()
    network: str = ""
    locality: str = ""
    # Beside those of `ports`, through which services it is reached: (hostname, service port, workload port). A gateway
    # has no ports of its own: what it listens on, its Gateways say.
    reached: tuple[tuple[str, int, int], ...] = ()


# --- matching -------------------------------------------------------------------------------------------------------


class MatchKind(StrEnum):
    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"  # RE2, the whole value
    PRESENT = "present"
    PATH_PREFIX = "path-prefix"  # whole path segments (Gateway API)


class StringMatch(Struct, frozen=True, gc=False):
    kind: MatchKind
    value: str = ""
    ignore_case: bool = False


class NamedMatch(Struct, frozen=True, gc=False):
    """A header or query parameter and what its value must be; `invert`: must not."""

    name: str
    match: StringMatch
    invert: bool = False


class RouteMatch(Struct, frozen=True, kw_only=True):
    """ALL of what is set must hold. What depends on the calling proxy (labels, gateways, port) is resolved before."""

    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: tuple[NamedMatch, ...] = ()  # ALL; `invert` carries withoutHeaders
    query: tuple[NamedMatch, ...] = ()  # ALL


# --- actions --------------------------------------------------------------------------------------------------------


class HeaderOps(Struct, frozen=True, kw_only=True):
    request_set: Pairs = ()
    request_add: Pairs = ()
    request_remove: tuple[str, ...] = ()
    response_set: Pairs = ()
    response_add: Pairs = ()
    response_remove: tuple[str, ...] = ()


class Destination(Struct, frozen=True, gc=False):
    """A cluster by what it means. `port` is the service port, always resolved."""

    host: str
    port: int
    subset: str = ""


class WeightedDestination(Struct, frozen=True):
    destination: Destination
    weight: int = 1
    headers: HeaderOps | None = None


class RetryPolicy(Struct, frozen=True, kw_only=True):
    attempts: int = 2
    per_try_timeout: int | None = None
    retry_on: tuple[str, ...] = ()  # Envoy's names; numbers in it are retriable status codes
    backoff: int | None = None
    remote_localities: bool = False
    ignore_previous_hosts: bool = True


BUILT_IN_RETRY = RetryPolicy(
    attempts=2,
    retry_on=(
        "connect-failure",
        "refused-stream",
        "unavailable",
        "cancelled",
        "retriable-status-codes",
        "503",
    ),
)
"""What a route retries that says nothing of retries (Istio's)."""


INBOUND_RETRY = RetryPolicy(attempts=2, retry_on=("reset-before-request",), ignore_previous_hosts=False)
"""What a sidecar tries again at its own application (Istio's): what that has not seen."""


class Mirror(Struct, frozen=True):
    destination: Destination
    percent: float = 100.0


class HashPolicy(Struct, frozen=True, kw_only=True):
    header: str | None = None
    cookie_name: str | None = None
    cookie_path: str = ""
    cookie_ttl: int | None = None
    cookie_attributes: Pairs = ()  # in the order written
    source_ip: bool = False
    query: str | None = None


class Rewrite(Struct, frozen=True, kw_only=True):
    uri: str | None = None
    authority: str | None = None
    regex: str | None = None
    regex_substitution: str = ""


class Forward(Struct, frozen=True, kw_only=True, tag="forward"):
    destinations: tuple[WeightedDestination, ...]
    timeout: int | None = None  # None or 0: none
    retry: RetryPolicy | None = None
    rewrite: Rewrite | None = None
    mirrors: tuple[Mirror, ...] = ()
    hash: tuple[HashPolicy, ...] = ()


class Redirect(Struct, frozen=True, kw_only=True, tag="redirect"):
    uri: str | None = None
    prefix_rewrite: str | None = None
    authority: str | None = None
    scheme: str | None = None
    port: int | None = None
    derive_port: str | None = None  # FROM_PROTOCOL_DEFAULT | FROM_REQUEST_PORT
    code: int = 301


class DirectResponse(Struct, frozen=True, kw_only=True, tag="direct"):
    status: int
    body: bytes = b""


class Delay(Struct, frozen=True):
    duration: int
    percent: float = 100.0


class Abort(Struct, frozen=True, kw_only=True):
    http_status: int | None = None
    grpc_status: int | None = None
    percent: float = 100.0


class Fault(Struct, frozen=True, kw_only=True):
    delay: Delay | None = None
    abort: Abort | None = None


class Cors(Struct, frozen=True, kw_only=True):
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: str = ""


class Route(Struct, frozen=True, kw_only=True):
    """One (match, action). The first route of the list that matches decides."""

    match: RouteMatch
    action: Forward | Redirect | DirectResponse
    name: str = ""
    fault: Fault | None = None
    headers: HeaderOps | None = None
    cors: Cors | None = None
    stat_prefix: str = ""  # under which the proxy counts the route's requests; "": not by itself


class RouteTable(Struct, frozen=True):
    """The ordered routes of one host and port, as seen by one class of proxies."""

    routes: tuple[Route, ...]


class TlsRoute(Struct, frozen=True):
    """Where connections go by the name in their TLS hello (exact or `*.suffix`; ANY); the first match decides."""

    sni_hosts: tuple[str, ...]
    destinations: tuple[WeightedDestination, ...]
    subnets: tuple[str, ...] = ()  # destination networks, ANY; none: every address


class TcpRoute(Struct, frozen=True):
    """Where connections go by the address that they are for."""

    subnets: tuple[str, ...]  # destination networks, ANY; none: every address
    destinations: tuple[WeightedDestination, ...]


# --- destinations ---------------------------------------------------------------------------------------------------


class LoadBalancer(StrEnum):
    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    RING_HASH = "RING_HASH"
    MAGLEV = "MAGLEV"


class TlsMode(StrEnum):
    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTls(Struct, frozen=True, kw_only=True):
    mode: TlsMode
    sni: str = ""
    subject_alt_names: tuple[str, ...] = ()
    credential_name: str = ""
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    insecure_skip_verify: bool = False
    for_sidecars: bool = False  # whether sidecars get the Secret, too: those that the rule selects


class KeepAlive(Struct, frozen=True, kw_only=True):
    probes: int | None = None
    time: int | None = None
    interval: int | None = None


class Http2KeepAlive(Struct, frozen=True, kw_only=True):
    """Pings on an HTTP/2 connection."""

    interval: int
    timeout: int | None = None


class ConnectionPool(Struct, frozen=True, kw_only=True):
    max_connections: int | None = None
    connect_timeout: int | None = None
    keepalive: KeepAlive | None = None
    max_connection_duration: int | None = None
    tcp_idle_timeout: int | None = None
    http1_max_pending_requests: int | None = None
    http2_max_requests: int | None = None
    max_requests_per_connection: int | None = None
    max_retries: int | None = None
    idle_timeout: int | None = None
    h2_upgrade_policy: str = "DEFAULT"  # DEFAULT | DO_NOT_UPGRADE | UPGRADE
    use_client_protocol: bool = False
    max_concurrent_streams: int | None = None
    http2_keepalive: Http2KeepAlive | None = None


class OutlierDetection(Struct, frozen=True, kw_only=True):
    consecutive_5xx: int | None = None
    consecutive_gateway: int | None = None
    consecutive_local_origin: int | None = None
    split_external_local_origin: bool = False
    interval: int | None = None
    base_ejection_time: int | None = None
    max_ejection_percent: int | None = None
    min_health_percent: int = 0
    http_codes: tuple[int, ...] = ()  # what counts as an error in place of the 5xx; sorted


class Warmup(Struct, frozen=True, kw_only=True):
    """A new endpoint gets its full share of the traffic only after `window`."""

    window: int
    minimum_percent: float | None = None
    aggression: float | None = None


class RetryBudget(Struct, frozen=True, kw_only=True):
    """Limits concurrent retries by the requests that are active, in place of a fixed number."""

    percent: float | None = None
    minimum: int | None = None
    interval: int | None = None


class TrafficPolicy(Struct, frozen=True, kw_only=True):
    load_balancer: LoadBalancer = LoadBalancer.LEAST_REQUEST
    hash: HashPolicy | None = None
    minimum_ring_size: int | None = None
    maglev_table_size: int | None = None
    warmup: Warmup | None = None
    locality: LocalityBalancing | None = None  # None: as the service or the mesh says
    connection_pool: ConnectionPool = ConnectionPool()
    outlier: OutlierDetection | None = None
    tls: ClientTls | None = None  # None: automatic mutual TLS
    proxy_protocol: str = ""  # V1 | V2: said before the first byte of a connection
    retry_budget: RetryBudget | None = None


class Subset(Struct, frozen=True, kw_only=True):
    name: str
    labels: Pairs = ()


class DestinationPolicy(Struct, frozen=True, kw_only=True):
    """What a DestinationRule says of one host, with all inheritance resolved by `for_port`."""

    host: str
    subsets: tuple[Subset, ...] = ()
    # (subset name or "", service port number or 0 for every other port) -> policy; sorted; the most specific wins:
    # (subset, port) > (subset, 0) > ("", port) > ("", 0)
    policies: tuple[tuple[str, int, TrafficPolicy], ...] = ()

    def policy(self, subset: str, port: int) -> TrafficPolicy:
        found = {(s, p): policy for s, p, policy in self.policies}
        for key in ((subset, port), (subset, 0), ("", port), ("", 0)):
            if key in found:
                return found[key]
        return TrafficPolicy()


# --- edge -----------------------------------------------------------------------------------------------------------


class ServerTlsMode(StrEnum):
    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"

    @property
    def passes(self) -> bool:
        """Whether TLS goes on to the service as it came."""
        return self in (ServerTlsMode.PASSTHROUGH, ServerTlsMode.AUTO_PASSTHROUGH)

    @property
    def verifies(self) -> bool:
        """Whether a client's certificate is looked at, by authorities that the server names."""
        return self in (ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL)


class GatewayTls(Struct, frozen=True, kw_only=True):
    """Secrets are of the namespace of the proxy that serves them; files are the proxy's."""

    mode: ServerTlsMode = ServerTlsMode.PASSTHROUGH
    https_redirect: bool = False
    credentials: tuple[str, ...] = ()  # Secrets with certificate and key
    ca_credential: str = ""  # the Secret with the authorities: NAME-cacert, else NAME
    certificates: tuple[tuple[str, str], ...] = ()  # files with certificate and key
    ca_certificates: str = ""  # file
    ca_crl: str = ""  # file, beside ca_certificates
    subject_alt_names: tuple[str, ...] = ()  # ANY; none: every name
    certificate_spki: tuple[str, ...] = ()  # base64
    certificate_hash: tuple[str, ...] = ()  # hexadecimal
    min_version: str = ""  # TLSV1_0 … TLSV1_3; "": TLSV1_2
    max_version: str = ""  # "": TLSV1_3
    cipher_suites: tuple[str, ...] = ()
    insecure_skip_verify: bool = False


class ListenerKind(StrEnum):
    """What shares a port of a gateway: plain HTTP by host, TLS by server name, or all that comes."""

    HTTP = "HTTP"
    TLS = "TLS"
    TCP = "TCP"


class GatewayServer(Struct, frozen=True, kw_only=True, cache_hash=True):
    """One server of a Gateway. `hosts` are `namespace/host` with namespace `*` or a name ('.' resolved)."""

    gateway: str  # namespace/name
    name: str
    port: int  # as the Gateway says
    protocol: Protocol
    hosts: tuple[str, ...]
    bind: str = ""
    tls: GatewayTls | None = None
    port_name: str = ""
    binding: str = ""  # what VirtualServices name to be served here; "": the Gateway

    @property
    def bound_by(self) -> str:
        return self.binding or self.gateway

    @property
    def kind(self) -> ListenerKind:
        if self.protocol.is_http:
            return ListenerKind.HTTP
        return ListenerKind.TLS if self.tls is not None else ListenerKind.TCP

    @property
    def passes(self) -> bool:
        return self.kind is ListenerKind.TLS and self.tls is not None and self.tls.mode.passes

    @property
    def routes_http(self) -> bool:
        """Plain HTTP, or what is inside the TLS that ends here."""
        return self.protocol.is_http or (
            self.protocol is Protocol.HTTPS and self.tls is not None and not self.passes
        )

    @property
    def server_names(self) -> tuple[str, ...]:
        """Its hosts as a TLS hello may name them."""
        return tuple(dict.fromkeys(host.rpartition("/")[2] for host in self.hosts))


class GatewayListener(Struct, frozen=True, kw_only=True, cache_hash=True):
    """One address and port of a gateway proxy, and the servers that share it, the oldest Gateway's first."""

    bind: str  # "": wherever the proxy binds; an address, or `unix://path`
    port: int  # the workload port; 0 of a Unix socket
    kind: ListenerKind
    servers: tuple[GatewayServer, ...]


class GatewayHost(Struct, frozen=True):
    """The routes of one host name at a gateway port."""

    host: str  # as in the domain list: exact, `*.suffix` or `*`
    table: RouteTable


# --- policy ---------------------------------------------------------------------------------------------------------


class MtlsMode(StrEnum):
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class Paths(StrEnum):
    """How the path of a request is written before anything looks at it."""

    NONE = "NONE"  # as it came
    BASE = "BASE"  # RFC 3986
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


class TlsParameters(Struct, frozen=True, kw_only=True):
    min_version: str = ""  # TLSV1_2 | TLSV1_3; "": as the place has it
    cipher_suites: tuple[str, ...] = ()  # of TLS 1.2
    ecdh_curves: tuple[str, ...] = ()


class Mesh(Struct, frozen=True, kw_only=True):
    """The parts of MeshConfig that shape configuration; defaults are Istio's."""

    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()  # other domains whose identities count as the mesh's own
    root_namespace: str = "istio-system"
    domain_suffix: str = "cluster.local"
    outbound_allow_any: bool = True
    h2_upgrade: bool = False
    connect_timeout: int = 10_000
    dns_refresh_rate: int = 60_000  # where an answer has no time to live
    keepalive: KeepAlive | None = None  # of connections whose destination says nothing of it
    connection_pool: ConnectionPool | None = None  # of destinations that have none
    outlier: OutlierDetection | None = None  # of destinations that have none
    auto_mtls: bool = True
    access_log_file: str = ""
    access_log_json: bool = False
    access_log_format: str = ""  # operators of Envoy's, in a line or (json) an object; "": Istio's fields
    detection_timeout: int | None = None  # for the first bytes of a connection; 0: none
    paths: Paths = Paths.BASE
    inbound_passthrough: bool = False  # captured connections go on to the address that they were for
    inbound_retry: RetryPolicy | None = INBOUND_RETRY  # by a sidecar, of requests to its application
    mesh_tls: TlsParameters = TlsParameters()  # between proxies
    tls_defaults: TlsParameters = TlsParameters()  # of all other TLS
    outbound_statistics: str = (
        ""  # what clusters are counted as, with parts such as %SERVICE%; "": by their names
    )
    default_retry: RetryPolicy | None = BUILT_IN_RETRY
    locality: LocalityBalancing = LocalityBalancing()  # of destinations that say nothing of it
    # Who sees what does not say it itself: namespaces, "." the object's own
    service_export: tuple[str, ...] = ("*",)
    virtual_service_export: tuple[str, ...] = ("*",)
    destination_rule_export: tuple[str, ...] = ("*",)
    # Where log lines and spans may go, by name, and where they go if nobody says so
    providers: tuple[tuple[str, Provider], ...] = ()
    log_providers: tuple[str, ...] = ()  # (): access_log_file
    tracing_providers: tuple[str, ...] = ()
    trace_sampling: float = 1.0  # percent
    trace_tag_length: int | None = None
    proxy: ProxySettings = ProxySettings()
    ingress_gateway: str = "ingressgateway"  # the label `istio` of the gateways that serve Ingresses
