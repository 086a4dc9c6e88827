"""What a request must be (matches), and what becomes of it (actions); the first route that matches decides."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.model.ir.services import Pairs


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


class ClaimMatch(Struct, frozen=True, gc=False):
    """A claim of the request's verified token, and what its value, or ANY of its values, must be; `invert`: must not. A
    request without a token has no claims."""

    path: tuple[str, ...]  # through objects within the claims
    match: StringMatch
    invert: bool = False

    @property
    def name(self) -> str:
        return "".join(f"[{part}]" for part in self.path)


class RouteMatch(Struct, frozen=True, kw_only=True):
    """ALL of what is set must hold. What depends on the calling proxy (labels, gateways, port) is resolved before."""

    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: tuple[NamedMatch, ...] = ()  # ALL; `invert` carries withoutHeaders
    query: tuple[NamedMatch, ...] = ()  # ALL
    claims: tuple[ClaimMatch, ...] = ()  # ALL


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
    """Where connections go by the address that they are for, and by the one that they come from. ALL must hold."""

    subnets: tuple[str, ...]  # destination networks, ANY; none: every address
    destinations: tuple[WeightedDestination, ...]
    source: str = ""  # network; "": every address

    @property
    def for_all(self) -> bool:
        return not self.subnets and not self.source
