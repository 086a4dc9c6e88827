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
    """At most one is set; none: the value must be there."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None  # RE2, of the whole value


class PortSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    number: UInt32 = 0


class Destination(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    host: str
    subset: str = ""
    port: PortSelector | None = None


class Percent(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    value: float = 0.0


class HeaderOperations(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    set: dict[str, str] = {}
    add: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class Headers(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class Delegate(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    name: str = ""
    namespace: str = ""


class HTTPMatchRequest(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """ALL of what is set must hold."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[str, StringMatch] = {}
    port: UInt32 = 0
    source_labels: dict[str, str] = {}
    gateways: tuple[str, ...] = ()
    query_params: dict[str, StringMatch] = {}
    ignore_uri_case: bool = False
    without_headers: dict[str, StringMatch] = {}
    source_namespace: str = ""
    stat_prefix: str = ""


class HTTPRouteDestination(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    destination: Destination
    weight: Int32 = 0
    headers: Headers | None = None


class DerivePort(StrEnum):
    FROM_PROTOCOL_DEFAULT = "FROM_PROTOCOL_DEFAULT"
    FROM_REQUEST_PORT = "FROM_REQUEST_PORT"


class HTTPRedirect(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    uri: str = ""
    prefix_rewrite: str = ""
    authority: str = ""
    port: UInt32 | None = None
    derive_port: DerivePort | None = None
    scheme: str = ""
    redirect_code: UInt32 = 0  # 0: 301


class HTTPBody(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    string: str | None = None
    bytes: str | None = None  # base64


class HTTPDirectResponse(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    status: UInt32
    body: HTTPBody | None = None


class RegexRewrite(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    match: str = ""
    rewrite: str = ""


class HTTPRewrite(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None


class HTTPRetry(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    attempts: Int32 = 0
    per_try_timeout: str | None = None
    retry_on: str = ""
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: str | None = None


class Delay(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    percent: Int32 = 0  # deprecated
    fixed_delay: str | None = None
    exponential_delay: str | None = None
    percentage: Percent | None = None  # None: 100


class Abort(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    http_status: Int32 | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None  # None: 100


class HTTPFaultInjection(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    delay: Delay | None = None
    abort: Abort | None = None


class HTTPMirrorPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    destination: Destination
    percentage: Percent | None = None  # None: 100


class UnmatchedPreflights(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    FORWARD = "FORWARD"
    IGNORE = "IGNORE"


class CorsPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    allow_origin: tuple[str, ...] = ()  # deprecated: exact
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: str | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: UnmatchedPreflights = UnmatchedPreflights.UNSPECIFIED


class HTTPRoute(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The first route of the list of which ANY match holds decides; no match: every request."""

    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: str | None = None  # None: none
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    mirror_percent: UInt32 | None = None  # deprecated
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None


class RouteDestination(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    destination: Destination
    weight: Int32 = 0


class TLSMatchAttributes(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    sni_hosts: tuple[str, ...]
    destination_subnets: tuple[str, ...] = ()
    port: UInt32 = 0
    source_labels: dict[str, str] = {}
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""


class TLSRoute(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    match: tuple[TLSMatchAttributes, ...]
    route: tuple[RouteDestination, ...] = ()


class L4MatchAttributes(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    destination_subnets: tuple[str, ...] = ()
    port: UInt32 = 0
    source_subnet: str = ""
    source_labels: dict[str, str] = {}
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""


class TCPRoute(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    match: tuple[L4MatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class VirtualServiceSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    hosts: tuple[str, ...] = ()  # none: a delegate
    gateways: tuple[str, ...] = ()  # none: `mesh`, every sidecar
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    export_to: tuple[str, ...] = ()


class VirtualService(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    spec: VirtualServiceSpec = VirtualServiceSpec()
    status: Status = Status()
