"""HTTPRoute: which HTTP request goes where, and what is done to it on the way.

# Gateway API: apis/v1/httproute_types.go
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from argosy.resources.gateway_api.references import (
    ATOMIC,
    BY_NAME,
    SET,
    BackendObjectReference,
    BackendRef,
    Count,
    Duration,
    Fraction,
    HeaderName,
    Hostnames,
    LocalObjectReference,
    PortNumber,
    PreciseHostname,
    RouteSpec,
    RouteStatus,
    SectionName,
    SessionPersistence,
)
from argosy.resources.meta import Object

Path = Annotated[str, Meta(max_length=1024)]
HeaderValue = Annotated[str, Meta(min_length=1, max_length=4096)]
HeaderNames = Annotated[tuple[str, ...], Meta(max_length=64), SET]


class PathMatchType(StrEnum):
    EXACT = "Exact"
    PATH_PREFIX = "PathPrefix"
    REGULAR_EXPRESSION = "RegularExpression"


class MatchType(StrEnum):
    EXACT = "Exact"
    REGULAR_EXPRESSION = "RegularExpression"


class HTTPMethod(StrEnum):
    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"
    CONNECT = "CONNECT"
    OPTIONS = "OPTIONS"
    TRACE = "TRACE"
    PATCH = "PATCH"


class HTTPPathMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which paths are meant."""

    type: PathMatchType = PathMatchType.PATH_PREFIX
    """PathPrefix, which is the default, goes by whole segments; Exact; RegularExpression (RE2, of the whole path)."""
    value: Path = "/"
    """The path or its beginning; / is the default."""


class HTTPHeaderMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which value a header must have."""

    name: HeaderName
    """The name of the header, in any case."""
    value: HeaderValue
    """The value."""
    type: MatchType = MatchType.EXACT
    """Exact, which is the default, or RegularExpression (RE2, of the whole value)."""


class HTTPQueryParamMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which value a query parameter must have."""

    name: HeaderName
    """The name of the parameter."""
    value: Annotated[str, Meta(min_length=1, max_length=1024)]
    """The value."""
    type: MatchType = MatchType.EXACT
    """Exact, which is the default, or RegularExpression (RE2, of the whole value)."""


class HTTPRouteMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which requests are meant: ALL of what is set must hold."""

    path: HTTPPathMatch = HTTPPathMatch()
    """The path; left out: every path."""
    headers: Annotated[tuple[HTTPHeaderMatch, ...], Meta(max_length=16), BY_NAME] = ()
    """Headers, ALL of them."""
    query_params: Annotated[tuple[HTTPQueryParamMatch, ...], Meta(max_length=16), BY_NAME] = ()
    """Query parameters, ALL of them."""
    method: HTTPMethod | None = None
    """The method; left out: every method."""


class HTTPHeader(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A header and its value."""

    name: HeaderName
    """The name of the header."""
    value: HeaderValue
    """The value."""


class HTTPHeaderFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What becomes of headers; each header stands in one of the lists."""

    set: Annotated[tuple[HTTPHeader, ...], Meta(max_length=16), BY_NAME] = ()
    """Headers that get this value in place of any that they have."""
    add: Annotated[tuple[HTTPHeader, ...], Meta(max_length=16), BY_NAME] = ()
    """Headers that get this value beside those that they have."""
    remove: Annotated[tuple[str, ...], Meta(max_length=16), SET] = ()
    """Headers that are taken away."""


class HTTPPathModifier(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What becomes of the path."""

    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    """ReplaceFullPath, or ReplacePrefixMatch: only what the match of type PathPrefix has matched."""
    replace_full_path: Path | None = None
    """The new path, where the type is ReplaceFullPath."""
    replace_prefix_match: Path | None = None
    """What stands in place of the prefix, where the type is ReplacePrefixMatch."""


class HTTPRequestMirrorFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Sends copies of requests elsewhere; what comes back is thrown away."""

    backend_ref: BackendObjectReference
    """Where the copies go."""
    percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    """How many of the requests are copied, in percent; left out: all."""
    fraction: Fraction | None = None
    """How many of the requests are copied, in place of `percent`."""


class HTTPRequestRedirectFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Answers that what is asked for is elsewhere."""

    scheme: Literal["http", "https"] | None = None
    """The scheme of the new location; left out: the request's."""
    hostname: PreciseHostname | None = None
    """The host of the new location; left out: the request's."""
    path: HTTPPathModifier | None = None
    """The path of the new location; left out: the request's."""
    port: PortNumber | None = None
    """The port of the new location; left out: the scheme's, or else the listener's."""
    status_code: Literal[301, 302, 303, 307, 308] = 302
    """The status code of the answer; 302 is the default."""


class HTTPURLRewriteFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Changes host and path of a request before it goes on."""

    hostname: PreciseHostname | None = None
    """The new host; left out: it stays."""
    path: HTTPPathModifier | None = None
    """The new path; left out: it stays."""


class HTTPCORSFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which pages of other origins may use what is served (CORS)."""

    allow_origins: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...], Meta(max_length=64), SET
    ] = ()
    """Origins, as https://example.com, with * for any beginning of the host; * alone is every origin."""
    allow_credentials: bool | None = None
    """Whether requests may have credentials."""
    allow_methods: Annotated[tuple[str, ...], Meta(max_length=9), SET] = ()
    """Methods that are allowed; * alone is every method."""
    allow_headers: Annotated[tuple[HeaderName, ...], Meta(max_length=64), SET] = ()
    """Headers that requests may have; * alone is every header."""
    expose_headers: Annotated[tuple[HeaderName, ...], Meta(max_length=64), SET] = ()
    """Headers of answers that pages may read."""
    max_age: Annotated[int, Meta(ge=1, le=2147483647)] = 5
    """How long the answer may be kept, in seconds; 5 is the default."""


class GRPCAuthConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What an authorization server that speaks gRPC gets."""

    allowed_headers: HeaderNames = ()
    """Headers of the request that it gets; none: all."""


class HTTPAuthConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What an authorization server that speaks HTTP gets, and may add."""

    path: Path = ""
    """What stands before the path of the request."""
    allowed_headers: HeaderNames = ()
    """Headers of the request that it gets, beside Host, Method, Path, Content-Length and Authorization."""
    allowed_response_headers: HeaderNames = ()
    """Headers of its answer that the request gets; none: all but Host."""


class ForwardBodyConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How much of the body an authorization server gets."""

    max_size: Count = 0
    """At most so many bytes; 0, which is the default, is nothing."""


class HTTPExternalAuthFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Asks an authorization server about each request. Experimental."""

    protocol: Literal["HTTP", "GRPC"]
    """What the server speaks: HTTP, or GRPC: Envoy's ext_authz."""
    backend_ref: BackendObjectReference
    """The server."""
    grpc: GRPCAuthConfig | None = None
    """What it gets, where the protocol is GRPC."""
    http: HTTPAuthConfig | None = None
    """What it gets, where the protocol is HTTP."""
    forward_body: ForwardBodyConfig | None = None
    """How much of the body it gets; left out: nothing."""


class HTTPFilterType(StrEnum):
    REQUEST_HEADER_MODIFIER = "RequestHeaderModifier"
    RESPONSE_HEADER_MODIFIER = "ResponseHeaderModifier"
    REQUEST_MIRROR = "RequestMirror"
    REQUEST_REDIRECT = "RequestRedirect"
    URL_REWRITE = "URLRewrite"
    EXTENSION_REF = "ExtensionRef"
    CORS = "CORS"
    EXTERNAL_AUTH = "ExternalAuth"


class HTTPRouteFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is done to requests or answers: the one field that `type` names is set."""

    type: HTTPFilterType
    """Which of the fields is set."""
    request_header_modifier: HTTPHeaderFilter | None = None
    """Changes headers of requests."""
    response_header_modifier: HTTPHeaderFilter | None = None
    """Changes headers of answers."""
    request_mirror: HTTPRequestMirrorFilter | None = None
    """Sends copies of requests elsewhere."""
    request_redirect: HTTPRequestRedirectFilter | None = None
    """Answers that what is asked for is elsewhere."""
    url_rewrite: HTTPURLRewriteFilter | None = None
    """Changes host and path of requests."""
    cors: HTTPCORSFilter | None = None
    """Says which pages of other origins may use what is served."""
    external_auth: HTTPExternalAuthFilter | None = None
    """Asks an authorization server. Experimental."""
    extension_ref: LocalObjectReference | None = None
    """An object of the controller's own that says what is done."""


HTTPFilters = Annotated[tuple[HTTPRouteFilter, ...], Meta(max_length=16), ATOMIC]


class HTTPBackendRef(BackendRef, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where a share of the requests goes, and what is done to them."""

    filters: HTTPFilters = ()
    """What is done to the requests of this backend alone."""


class HTTPRouteTimeouts(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How long requests may take."""

    request: Duration | None = None
    """How long a request may take with all its tries, as 10s; 0s is without end."""
    backend_request: Duration | None = None
    """How long a single try may take; at most as long as `request`."""


class HTTPRouteRetry(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """When a request is tried again."""

    codes: Annotated[tuple[Annotated[int, Meta(ge=400, le=599)], ...], SET] = ()
    """Status codes after which it is."""
    attempts: Count | None = None
    """How often at most, after the first try; 0 is never."""
    backoff: Duration | None = None
    """How long is waited between tries, at least."""


class HTTPRouteRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What becomes of requests that match."""

    name: SectionName | None = None
    """The name of the rule, once in each route."""
    matches: Annotated[tuple[HTTPRouteMatch, ...], Meta(max_length=64), ATOMIC] = (HTTPRouteMatch(),)
    """Which requests are meant, ANY of them; left out: all. Of all routes the most specific match wins."""
    filters: HTTPFilters = ()
    """What is done to requests and answers."""
    backend_refs: Annotated[tuple[HTTPBackendRef, ...], Meta(max_length=16), ATOMIC] = ()
    """Where requests go, each backend with its share; none: they are answered with 500, or by a redirect."""
    timeouts: HTTPRouteTimeouts | None = None
    """How long requests may take."""
    retry: HTTPRouteRetry | None = None
    """When a request is tried again."""
    session_persistence: SessionPersistence | None = None
    """Requests of one session go to one endpoint. Experimental."""


class HTTPRouteSpec(RouteSpec, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """For which hosts, and what becomes of their requests."""

    hostnames: Hostnames = ()
    """The hosts, perhaps with *. before them; none: those of the listener."""
    rules: Annotated[tuple[HTTPRouteRule, ...], Meta(min_length=1, max_length=16), ATOMIC] = (
        HTTPRouteRule(),
    )
    """What becomes of requests."""


class HTTPRoute(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which HTTP request goes where, and what is done to it on the way."""

    spec: HTTPRouteSpec = HTTPRouteSpec()
    """For which hosts, and what becomes of their requests."""
    status: RouteStatus = RouteStatus()
    """How the route stands with its parents. Programs write it; people read it."""
