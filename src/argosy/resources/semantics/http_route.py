"""One HTTP route of a VirtualService: its matches, its one action, and what is done on the way.

# Istio: validateHTTPRoute and what it calls
"""

from __future__ import annotations

import base64
from http import HTTPStatus

from argosy.resources.duration import parse_duration
from argosy.resources.networking.virtual_service import (
    Abort,
    CorsPolicy,
    Delay,
    HTTPDirectResponse,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
    Percent,
    StringMatch,
)
from argosy.resources.problem import Code
from argosy.resources.semantics import destinations, headers, names, regex
from argosy.resources.semantics.findings import Findings

# Envoy: x-envoy-retry-on and x-envoy-retry-grpc-on
RETRY_ON = frozenset(
    (
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "envoy-ratelimited",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    )
)
GRPC_STATUS_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""gRPC's status codes; a code is its place in this list."""
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"))
_HTTP_STATUS = frozenset(str(status.value) for status in HTTPStatus)
_REDIRECTS = frozenset((0, 301, 302, 303, 307, 308))  # what Envoy can answer
_BODY_MAX = 1024 * 1024
_BODY_LARGE = 100 * 1024
_SMALLEST_PERCENT = 0.0001  # Envoy counts in millionths


def check(path: str, route: HTTPRoute, delegate: bool, at_gateways: bool, findings: Findings) -> None:
    """`delegate`: it stands in a VirtualService without hosts. `at_gateways`: it is for gateways alone."""
    _action(path, route, delegate, findings)
    for i, match in enumerate(route.match):
        _match(f"{path}.match[{i}]", match, at_gateways, findings)
    headers.check_operations(f"{path}.headers", route.headers, findings)
    for i, weighted in enumerate(route.route):
        destinations.check_destination(f"{path}.route[{i}].destination", weighted.destination, findings)
        headers.check_operations(f"{path}.route[{i}].headers", weighted.headers, findings)
    destinations.check_weights(f"{path}.route", tuple(w.weight for w in route.route), findings)
    if route.redirect is not None:
        _redirect(f"{path}.redirect", route.redirect, route, findings)
    if route.direct_response is not None:
        _direct_response(f"{path}.directResponse", route.direct_response, findings)
    if route.rewrite is not None:
        _rewrite(f"{path}.rewrite", route.rewrite, findings)
    _one_authority(path, route, findings)
    findings.error(f"{path}.timeout", names.duration(route.timeout))
    if route.retries is not None:
        check_retries(f"{path}.retries", route.retries, findings)
    if route.fault is not None:
        _fault(f"{path}.fault", route.fault, findings)
    _mirrors(path, route, findings)
    if route.cors_policy is not None:
        _cors(f"{path}.corsPolicy", route.cors_policy, findings)


def _action(path: str, route: HTTPRoute, delegate: bool, findings: Findings) -> None:
    """A route forwards, redirects, answers or delegates: exactly one of them."""
    actions = [
        name
        for name, value in (
            ("route", route.route),
            ("redirect", route.redirect),
            ("directResponse", route.direct_response),
            ("delegate", route.delegate),
        )
        if value or (value is not None and name != "route")
    ]
    if not actions:
        findings.error(path, "does nothing; give it route, redirect, directResponse or delegate")
    elif len(actions) > 1:
        findings.error(path, f"has {' and '.join(actions)}, which exclude each other; keep one")
    if delegate and route.delegate is not None:
        findings.error(f"{path}.delegate", "a delegate (no hosts) cannot delegate again; give it routes")
    if "redirect" in actions or "directResponse" in actions:
        for name, value in (("fault", route.fault), ("rewrite", route.rewrite)):
            if value is not None:
                findings.error(f"{path}.{name}", f"has no effect beside {actions[-1]}; remove one of them")


# --- matches --------------------------------------------------------------------------------------------------------


def _match(path: str, match: HTTPMatchRequest, at_gateways: bool, findings: Findings) -> None:
    if match.uri is not None:
        _string_match(f"{path}.uri", match.uri, findings, empty_prefix=None)
    for name, value in (("scheme", match.scheme), ("method", match.method), ("authority", match.authority)):
        if value is not None:
            _string_match(f"{path}.{name}", value, findings)
    for header, value in match.headers.items():
        at = f"{path}.headers[{header!r}]"
        findings.error(at, headers.name_or_claim(header))
        _claim_at_gateways(at, header, at_gateways, findings)
        _string_match(at, value, findings)
    for header, value in match.without_headers.items():
        at = f"{path}.withoutHeaders[{header!r}]"
        findings.error(at, headers.name_or_claim(header))
        _claim_at_gateways(at, header, at_gateways, findings)
        if value.regex != "*":  # no regular expression: any value
            _string_match(at, value, findings)
    for parameter, value in match.query_params.items():
        _string_match(f"{path}.queryParams[{parameter!r}]", value, findings)
    if match.port:
        findings.error(f"{path}.port", names.port(match.port))
    for wrong in names.labels(match.source_labels):
        findings.error(f"{path}.sourceLabels", wrong)
    if match.source_namespace:
        findings.error(f"{path}.sourceNamespace", names.dns_label(match.source_namespace))


def _claim_at_gateways(path: str, header: str, at_gateways: bool, findings: Findings) -> None:
    if not at_gateways and headers.is_claim(header):
        findings.error(
            path, "claims of a token can be matched at gateways alone; bind it to gateways (without 'mesh')"
        )


_EMPTY_PREFIX = "prefix is empty; give a prefix, or match {} for any value"


def _string_match(
    path: str, match: StringMatch, findings: Findings, empty_prefix: str | None = _EMPTY_PREFIX
) -> None:
    given = [name for name in ("exact", "prefix", "regex") if getattr(match, name) is not None]
    if len(given) > 1:
        findings.error(path, f"has {' and '.join(given)}; keep one")
    if match.prefix == "":
        findings.error(f"{path}.prefix", empty_prefix)
    if match.regex == "":
        findings.error(f"{path}.regex", "is empty; give a regular expression, or match {} for any value")
    elif match.regex is not None:
        findings.error(f"{path}.regex", regex.problem(match.regex))


# --- actions --------------------------------------------------------------------------------------------------------


def _redirect(path: str, redirect: HTTPRedirect, route: HTTPRoute, findings: Findings) -> None:
    to_port = redirect.port is not None or redirect.derive_port is not None
    if not (redirect.uri or redirect.prefix_rewrite or redirect.authority or redirect.scheme or to_port):
        findings.error(path, "goes nowhere; give it uri, prefixRewrite, authority, scheme or port")
    if redirect.uri and redirect.prefix_rewrite:
        findings.error(f"{path}.prefixRewrite", "excludes uri; keep one")
    if redirect.prefix_rewrite:
        for i, match in enumerate(route.match):
            if match.uri is not None and match.uri.prefix is None:
                findings.error(
                    f"{path}.prefixRewrite",
                    f"needs a prefix, but match[{i}].uri is none; match by prefix, or redirect to a uri",
                )
    if redirect.redirect_code and not 300 <= redirect.redirect_code <= 399:
        findings.error(
            f"{path}.redirectCode", f"{redirect.redirect_code} is not a redirect; use 301, 302, 303, 307, 308"
        )
    elif redirect.redirect_code not in _REDIRECTS:
        findings.warn(
            f"{path}.redirectCode", f"{redirect.redirect_code} becomes 301; use 301, 302, 303, 307, 308"
        )
    if redirect.scheme not in ("", "http", "https"):
        findings.error(f"{path}.scheme", f"{names.shown(redirect.scheme)} is not http or https")
    if redirect.port is not None and redirect.derive_port is not None:
        findings.error(f"{path}.derivePort", "excludes port; keep one")
    if redirect.port:
        findings.error(f"{path}.port", names.port(redirect.port))


def _direct_response(path: str, response: HTTPDirectResponse, findings: Findings) -> None:
    findings.error(f"{path}.status", _status(response.status))
    body = response.body
    if body is None:
        return
    if body.string is not None and body.bytes is not None:
        findings.error(f"{path}.body", "has string and bytes; keep one")
    size = len((body.string or "").encode("utf-8", "surrogatepass"))
    if body.bytes is not None:
        try:
            size = len(body_bytes(body.bytes))
        except ValueError:
            findings.error(f"{path}.body.bytes", "is not base64; encode the body, or use string")
    if size > _BODY_MAX:
        findings.error(
            f"{path}.body", f"has {size} bytes; at most {_BODY_MAX} are allowed: serve it from a service"
        )
    elif size > _BODY_LARGE:
        findings.warn(
            f"{path}.body", f"has {size} bytes, which every proxy holds in memory; serve it from a service"
        )


def body_bytes(text: str) -> bytes:
    """As protobuf's JSON reads bytes: either alphabet of base64, with or without padding. Raises ValueError."""
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)


def _status(status: int) -> str | None:
    return None if 200 <= status <= 599 else f"{status} is not an HTTP status; use 200 to 599"


def _rewrite(path: str, rewrite: HTTPRewrite, findings: Findings) -> None:
    if not (rewrite.uri or rewrite.authority or rewrite.uri_regex_rewrite is not None):
        findings.error(path, "rewrites nothing; give it uri, uriRegexRewrite or authority")
    if rewrite.uri and rewrite.uri_regex_rewrite is not None:
        findings.error(f"{path}.uriRegexRewrite", "excludes uri; keep one")
    if rewrite.uri_regex_rewrite is not None:
        if not rewrite.uri_regex_rewrite.match or not rewrite.uri_regex_rewrite.rewrite:
            findings.error(f"{path}.uriRegexRewrite", "needs both match and rewrite; give both")
        else:
            findings.error(f"{path}.uriRegexRewrite.match", regex.problem(rewrite.uri_regex_rewrite.match))


def _one_authority(path: str, route: HTTPRoute, findings: Findings) -> None:
    places = ["rewrite.authority"] if route.rewrite is not None and route.rewrite.authority else []
    if route.headers is not None and route.headers.request is not None:
        request = route.headers.request
        for verb, values in (("set", request.set), ("add", request.add)):
            places += [
                f"headers.request.{verb}[{k!r}]" for k, v in values.items() if headers.is_authority(k) and v
            ]
    if len(places) > 1:
        findings.error(path, f"changes the authority in {' and '.join(places)}; keep one")


def check_retries(path: str, retries: HTTPRetry, findings: Findings) -> None:
    findings.error(f"{path}.attempts", names.non_negative(retries.attempts))
    if retries.attempts == 0:
        given = {
            "perTryTimeout": retries.per_try_timeout is not None,
            "retryOn": retries.retry_on != "",
            "retryRemoteLocalities": retries.retry_remote_localities is not None,
        }
        for name, is_given in given.items():
            if is_given:
                findings.error(
                    f"{path}.{name}", "has no effect: attempts is 0 (no retries); give attempts or remove it"
                )
    findings.error(f"{path}.perTryTimeout", names.duration(retries.per_try_timeout))
    findings.error(f"{path}.backoff", names.duration(retries.backoff))
    for condition in retries.retry_on.split(",") if retries.retry_on else ():
        if condition not in RETRY_ON and condition not in _HTTP_STATUS:
            findings.error(
                f"{path}.retryOn",
                f"{names.shown(condition)} is not a retry condition; use conditions of Envoy's x-envoy-retry-on or "
                "HTTP statuses, with commas and no spaces, as in 5xx,reset,429",
            )


# --- faults, mirrors, CORS ------------------------------------------------------------------------------------------


def _percentage(value: Percent | None) -> str | None:
    if value is None or value.value == 0 or _SMALLEST_PERCENT <= value.value <= 100:
        return None
    return f"{value.value:g} is neither 0 nor between {_SMALLEST_PERCENT} and 100"


def _fault(path: str, fault: HTTPFaultInjection, findings: Findings) -> None:
    if fault.delay is None and fault.abort is None:
        findings.error(path, "injects nothing; give it delay or abort")
    if fault.delay is not None:
        _delay(f"{path}.delay", fault.delay, findings)
    if fault.abort is not None:
        _abort(f"{path}.abort", fault.abort, findings)


def _delay(path: str, delay: Delay, findings: Findings) -> None:
    findings.error(f"{path}.percent", names.percent(delay.percent))
    if delay.percent:
        findings.warn(f"{path}.percent", "is deprecated; use percentage.value", Code.DEPRECATED)
    findings.error(f"{path}.percentage.value", _percentage(delay.percentage))
    findings.error(f"{path}.fixedDelay", names.duration(delay.fixed_delay))
    if delay.exponential_delay is not None:
        findings.error(f"{path}.exponentialDelay", "is not supported; use fixedDelay")


def _abort(path: str, abort: Abort, findings: Findings) -> None:
    findings.error(f"{path}.percentage.value", _percentage(abort.percentage))
    given = [
        n for n, v in (("httpStatus", abort.http_status), ("grpcStatus", abort.grpc_status)) if v is not None
    ]
    if len(given) > 1:
        findings.error(path, "has httpStatus and grpcStatus; keep one")
    if abort.http2_error is not None:
        findings.error(f"{path}.http2Error", "is not supported; use httpStatus or grpcStatus")
    elif not given:
        findings.warn(path, "aborts with nothing; give it httpStatus or grpcStatus")
    if abort.http_status is not None:
        findings.error(f"{path}.httpStatus", _status(abort.http_status))
    if abort.grpc_status is not None and abort.grpc_status not in GRPC_STATUS_NAMES:
        findings.error(
            f"{path}.grpcStatus",
            f"{names.shown(abort.grpc_status)} is not a gRPC status; write one as in NOT_FOUND",
        )


def _mirrors(path: str, route: HTTPRoute, findings: Findings) -> None:
    if route.mirror is not None:
        destinations.check_destination(f"{path}.mirror", route.mirror, findings)
        if route.mirrors:
            findings.error(f"{path}.mirrors", "excludes mirror; keep one")
    for i, mirror in enumerate(route.mirrors):
        destinations.check_destination(f"{path}.mirrors[{i}].destination", mirror.destination, findings)
        if mirror.percentage is not None:
            findings.error(f"{path}.mirrors[{i}].percentage.value", names.percent(mirror.percentage.value))
    if route.mirror_percent is not None:
        findings.error(f"{path}.mirrorPercent", names.percent(route.mirror_percent))
        findings.warn(f"{path}.mirrorPercent", "is deprecated; use mirrorPercentage.value")
    if route.mirror_percentage is not None:
        findings.error(f"{path}.mirrorPercentage.value", names.percent(route.mirror_percentage.value))


def _cors(path: str, cors: CorsPolicy, findings: Findings) -> None:
    for i, origin in enumerate(cors.allow_origins):
        at = f"{path}.allowOrigins[{i}]"
        if not (origin.exact or origin.prefix or origin.regex):
            findings.error(at, "matches nothing; give it exact, prefix or regex")
        else:
            _string_match(at, origin, findings)
    if cors.allow_origin:
        findings.warn(f"{path}.allowOrigin", "is deprecated; use allowOrigins")
    for i, method in enumerate(cors.allow_methods):
        if method not in _METHODS:
            findings.error(
                f"{path}.allowMethods[{i}]",
                f"{names.shown(method)} is not an HTTP method; use {', '.join(sorted(_METHODS))}",
            )
    for i, header in enumerate(cors.allow_headers):
        findings.error(f"{path}.allowHeaders[{i}]", headers.name_or_any(header))
    for i, header in enumerate(cors.expose_headers):
        findings.error(f"{path}.exposeHeaders[{i}]", headers.name_or_any(header))
    if cors.max_age is not None:
        wrong = names.duration(cors.max_age)
        if wrong is None and parse_duration(cors.max_age) % 1000:
            wrong = f"{cors.max_age!r} is not whole seconds, which browsers need; write seconds"
        findings.error(f"{path}.maxAge", wrong)
