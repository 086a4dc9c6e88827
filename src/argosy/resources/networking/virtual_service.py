"""VirtualService: which request goes where.

# Istio: networking/v1alpha3/virtual_service.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from argosy.resources.meta import Object, Status

UInt32 = Annotated[int, Meta(ge=0, le=4294967295)]
Int32 = Annotated[int, Meta(ge=-2147483648, le=2147483647)]


class StringMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a text is compared. At most one of the fields is set; with none, any text will do, if there is one."""

    exact: str | None = None
    """The value is this text."""
    prefix: str | None = None
    """The value begins with this text."""
    regex: str | None = None
    """The whole value matches this regular expression, as RE2 reads it."""


class PortSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port of a service."""

    number: UInt32 = 0
    """The number of the port."""


class Destination(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A service, or a part of one, that requests are sent to."""

    host: str
    """The service, as the registry knows it. A short name stands for one in the namespace of the
    VirtualService."""
    subset: str = ""
    """A part of the service, by the name that its DestinationRule gives it; none: all of it."""
    port: PortSelector | None = None
    """The port of the service; may be left out where it has only one."""


class Percent(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A share of the requests."""

    value: float = 0.0
    """The share in percent, from 0 to 100; fractions are allowed."""


class HeaderOperations(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is changed in the headers."""

    set: dict[str, str] = {}
    """Headers that get these values, whatever they had."""
    add: dict[str, str] = {}
    """Values that are added to headers."""
    remove: tuple[str, ...] = ()
    """Headers that are taken away."""


class Headers(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is changed in the headers of requests and of responses."""

    request: HeaderOperations | None = None
    """What is changed in requests before they are sent on."""
    response: HeaderOperations | None = None
    """What is changed in responses before the client gets them."""


class Delegate(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Another VirtualService, without hosts, whose HTTP routes stand in for this one."""

    name: str = ""
    """The name of the VirtualService."""
    namespace: str = ""
    """Its namespace; none: that of this one."""


class HTTPMatchRequest(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a request must be like for a route to take it. All that is set must hold."""

    name: str = ""
    """A name for the match, to find it in access logs and metrics."""
    uri: StringMatch | None = None
    """The path of the request."""
    scheme: StringMatch | None = None
    """The scheme of the request, http or https."""
    method: StringMatch | None = None
    """The method of the request, as GET."""
    authority: StringMatch | None = None
    """The host that the request asks for, with its port where it says one."""
    headers: dict[str, StringMatch] = {}
    """Headers that the request must have, in lower case. An empty match: the header is there."""
    port: UInt32 = 0
    """The port of the host that is asked for."""
    source_labels: dict[str, str] = {}
    """Labels that the calling workload must have. Only for sidecars."""
    gateways: tuple[str, ...] = ()
    """The gateways at which the match holds, `mesh` for sidecars; none: those of the VirtualService."""
    query_params: dict[str, StringMatch] = {}
    """Query parameters that the request must have; an empty match: the parameter is there."""
    ignore_uri_case: bool = False
    """Whether the path is compared without regard to case; for exact and prefix alone."""
    without_headers: dict[str, StringMatch] = {}
    """Headers that must not be so: the request does not match where one of them does."""
    source_namespace: str = ""
    """The namespace that the calling workload must be in. Only for sidecars."""
    stat_prefix: str = ""
    """The prefix under which the proxy counts the requests of the route by themselves."""


class HTTPRouteDestination(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One of the destinations of a route, with its share of the requests."""

    destination: Destination
    """Where the requests go."""
    weight: Int32 = 0
    """Its share: its weight of the sum of all weights. One destination alone takes everything; among
    several, one of weight 0 takes nothing."""
    headers: Headers | None = None
    """What is changed in headers for this destination alone."""


class DerivePort(StrEnum):
    FROM_PROTOCOL_DEFAULT = "FROM_PROTOCOL_DEFAULT"
    FROM_REQUEST_PORT = "FROM_REQUEST_PORT"


class HTTPRedirect(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Answers a request with another address, without sending it anywhere."""

    uri: str = ""
    """The path of the new address; none: that of the request."""
    prefix_rewrite: str = ""
    """What takes the place of the prefix that the route matched."""
    authority: str = ""
    """The host of the new address; none: that of the request."""
    port: UInt32 | None = None
    """The port of the new address."""
    derive_port: DerivePort | None = None
    """Where the port comes from, if `port` does not say it."""
    scheme: str = ""
    """The scheme of the new address; none: that of the request."""
    redirect_code: UInt32 = 0
    """The HTTP status of the answer; 0 is 301."""


class HTTPBody(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The body of an answer. At most one of the fields is set."""

    string: str | None = None
    """The body as text."""
    bytes: str | None = None
    """The body in base64."""


class HTTPDirectResponse(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Answers a request from the proxy itself, without sending it anywhere."""

    status: UInt32
    """The HTTP status of the answer."""
    body: HTTPBody | None = None
    """The body of the answer; none: empty."""


class RegexRewrite(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Rewrites the path of a request by a regular expression."""

    match: str = ""
    """The regular expression, as RE2 reads it; what it matches is replaced."""
    rewrite: str = ""
    """What is put there; `\\1` and so on are groups of the match."""


class HTTPRewrite(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is changed in a request before it is sent on."""

    uri: str = ""
    """The new path; where the route matches a prefix, what takes the prefix's place."""
    authority: str = ""
    """The new host."""
    uri_regex_rewrite: RegexRewrite | None = None
    """A rewrite of the path by a regular expression. Excludes `uri`."""


class HTTPRetry(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """When a request that failed is sent again. A route that says nothing of retries has two, on connect-failure,
    refused-stream, unavailable, cancelled and 503."""

    attempts: Int32 = 0
    """How often a request is sent again at most, after the first time. 0 switches retries off."""
    per_try_timeout: str | None = None
    """How long one try may take, as `500ms` or `2s`; none: as long as the route's timeout leaves."""
    retry_on: str = ""
    """What is retried: conditions of Envoy, as `5xx,reset,connect-failure`, and HTTP status codes, with
    commas between them. None: the built-in ones."""
    retry_remote_localities: bool | None = None
    """Whether retries may go to other localities than the first try. Default: false."""
    retry_ignore_previous_hosts: bool | None = None
    """Whether retries prefer endpoints that were not tried yet. Default: true."""
    backoff: str | None = None
    """The pause before the first retry; it grows with each. None: 25 ms."""


class Delay(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Holds requests up before they are sent on, as a slow network would."""

    percent: Int32 = 0
    """The share of requests in whole percent. Deprecated: use `percentage`."""
    fixed_delay: str | None = None
    """How long requests are held up, as `5s`; at least 1 ms."""
    exponential_delay: str | None = None
    """Not supported: refused."""
    percentage: Percent | None = None
    """The share of requests that are held up; none: no request."""


class Abort(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Answers requests with an error in place of the service, as a failing one would."""

    http_status: Int32 | None = None
    """The HTTP status of the answer."""
    grpc_status: str | None = None
    """The gRPC status of the answer, as UNAVAILABLE."""
    http2_error: str | None = None
    """Not supported: refused."""
    percentage: Percent | None = None
    """The share of requests that are answered so; none: no request."""


class HTTPFaultInjection(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Faults that a route makes on purpose, to see how its clients take them."""

    delay: Delay | None = None
    """Holds requests up."""
    abort: Abort | None = None
    """Answers requests with an error."""


class HTTPMirrorPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Sends copies of requests to another destination, whose answers nobody waits for."""

    destination: Destination
    """Where the copies go."""
    percentage: Percent | None = None
    """The share of requests that are copied; none: all."""


class UnmatchedPreflights(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    FORWARD = "FORWARD"
    IGNORE = "IGNORE"


class CorsPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which pages of other origins a browser lets call the service."""

    allow_origin: tuple[str, ...] = ()
    """Origins that may call, word for word. Deprecated: use `allowOrigins`."""
    allow_origins: tuple[StringMatch, ...] = ()
    """Origins that may call; any match is enough."""
    allow_methods: tuple[str, ...] = ()
    """Methods that may be used."""
    allow_headers: tuple[str, ...] = ()
    """Request headers that may be sent."""
    expose_headers: tuple[str, ...] = ()
    """Response headers that the page may read."""
    max_age: str | None = None
    """How long a browser may keep the answer to a preflight request, as `24h`."""
    allow_credentials: bool | None = None
    """Whether the page may send cookies and other credentials."""
    unmatched_preflights: UnmatchedPreflights = UnmatchedPreflights.UNSPECIFIED
    """What becomes of preflight requests from other origins: FORWARD sends them to the service, IGNORE has
    the proxy answer."""


class HTTPRoute(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What becomes of the HTTP requests that match. The first route of the list of which any match holds
    decides; one without a match takes every request. It forwards, redirects, answers or delegates: exactly
    one of them."""

    name: str = ""
    """A name for the route, to find it in access logs and metrics."""
    match: tuple[HTTPMatchRequest, ...] = ()
    """What requests the route takes; any of the matches is enough. None: every request."""
    route: tuple[HTTPRouteDestination, ...] = ()
    """Where requests go, in shares."""
    redirect: HTTPRedirect | None = None
    """Answers with another address."""
    direct_response: HTTPDirectResponse | None = None
    """Answers from the proxy itself."""
    delegate: Delegate | None = None
    """Leaves the requests to the routes of another VirtualService."""
    rewrite: HTTPRewrite | None = None
    """What is changed in path and host before requests are sent on."""
    timeout: str | None = None
    """How long a request may take, retries included, as `10s`; none: no limit."""
    retries: HTTPRetry | None = None
    """How requests that failed are sent again; none: the built-in way."""
    fault: HTTPFaultInjection | None = None
    """Faults that are made on purpose."""
    mirror: Destination | None = None
    """Where copies of requests go. Excludes `mirrors`."""
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    """Where copies of requests go, to several destinations."""
    mirror_percent: UInt32 | None = None
    """The share of requests that `mirror` gets, in whole percent. Deprecated: use `mirrorPercentage`."""
    mirror_percentage: Percent | None = None
    """The share of requests that `mirror` gets; none: all."""
    cors_policy: CorsPolicy | None = None
    """Which pages of other origins may call."""
    headers: Headers | None = None
    """What is changed in headers, whichever destination is taken."""


class RouteDestination(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One of the destinations of a route, with its share of the connections."""

    destination: Destination
    """Where the connections go."""
    weight: Int32 = 0
    """Its share: its weight of the sum of all weights. One destination alone takes everything."""


class TLSMatchAttributes(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a TLS connection must be like for a route to take it. All that is set must hold."""

    sni_hosts: tuple[str, ...]
    """Names of which the client asks for one (SNI); `*.` at the beginning stands for any text. Each must be
    among the hosts of the VirtualService."""
    destination_subnets: tuple[str, ...] = ()
    """Addresses of the destination. Accepted and not looked at."""
    port: UInt32 = 0
    """The port that the connection is for."""
    source_labels: dict[str, str] = {}
    """Labels that the calling workload must have. Only for sidecars."""
    gateways: tuple[str, ...] = ()
    """The gateways at which the match holds, `mesh` for sidecars; none: those of the VirtualService."""
    source_namespace: str = ""
    """The namespace that the calling workload must be in. Only for sidecars."""


class TLSRoute(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where TLS connections go that are passed on as they are, by the name that the client asks for."""

    match: tuple[TLSMatchAttributes, ...]
    """What connections the route takes; any of the matches is enough."""
    route: tuple[RouteDestination, ...] = ()
    """Where they go, in shares."""


class L4MatchAttributes(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a connection must be like for a route to take it. All that is set must hold."""

    destination_subnets: tuple[str, ...] = ()
    """Addresses of the destination, as `10.0.0.0/8`; any is enough."""
    port: UInt32 = 0
    """The port that the connection is for."""
    source_subnet: str = ""
    """Addresses of the client. Accepted and not looked at."""
    source_labels: dict[str, str] = {}
    """Labels that the calling workload must have. Only for sidecars."""
    gateways: tuple[str, ...] = ()
    """The gateways at which the match holds, `mesh` for sidecars; none: those of the VirtualService."""
    source_namespace: str = ""
    """The namespace that the calling workload must be in. Only for sidecars."""


class TCPRoute(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where connections go that are neither HTTP nor TLS."""

    match: tuple[L4MatchAttributes, ...] = ()
    """What connections the route takes; any of the matches is enough. None: every connection."""
    route: tuple[RouteDestination, ...] = ()
    """Where they go, in shares."""


class VirtualServiceSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The routes of some hosts: which request goes where, and what is done to it on the way."""

    hosts: tuple[str, ...] = ()
    """The hosts that the routes are for: services, names from outside, `*.` at the beginning for any text.
    A short name stands for a service of the namespace. None: the VirtualService is a delegate of others."""
    gateways: tuple[str, ...] = ()
    """Where the routes hold: gateways, as `name` or `namespace/name`, and `mesh` for all sidecars. None:
    `mesh`."""
    http: tuple[HTTPRoute, ...] = ()
    """Routes of HTTP requests, in order."""
    tls: tuple[TLSRoute, ...] = ()
    """Routes of TLS connections that are passed on as they are, in order."""
    tcp: tuple[TCPRoute, ...] = ()
    """Routes of other connections, in order."""
    export_to: tuple[str, ...] = ()
    """The namespaces whose workloads see the VirtualService: `.` is its own, `*` all. None: all."""


class VirtualService(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Says which request goes where: by host, path, header and more, in shares, with retries, time limits,
    faults and mirrors. DestinationRules say how the destinations are reached."""

    spec: VirtualServiceSpec = VirtualServiceSpec()
    """The hosts and their routes."""
    status: Status = Status()
    """What the mesh has found about the object."""
