"""One HTTPRoute of a VirtualService to an `HttpRule`.

Facts (Istio's API and its defaults): a header match without a value, or with the regex `*`, means presence; retries
with attempts 0 are off, other unset fields of `retries` keep the built-in default; a fault without a percentage
affects no request; a mirror without one takes every request; a redirect without a code is 301.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping, Sequence

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.hostnames import full_name, gateway_name
from argosy.model.rules import (
    Delegation,
    HttpMatch,
    HttpRule,
    MirrorTarget,
    Source,
    Target,
    WeightedTarget,
)
from argosy.resources.duration import parse_duration
from argosy.resources.networking import (
    CorsPolicy,
    Destination,
    Headers,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
    HTTPRouteDestination,
    L4MatchAttributes,
    Percent,
    RouteDestination,
    StringMatch,
    TLSMatchAttributes,
)
from argosy.resources.networking.virtual_service import HTTPDirectResponse
from argosy.resources.semantics import headers
from argosy.resources.semantics.http_route import GRPC_STATUS_NAMES

PRESENT = ir.StringMatch(ir.MatchKind.PRESENT)
RETRIABLE_STATUS_CODES = "retriable-status-codes"


class Names:
    """What names in one object mean: its namespace and the mesh's domain."""

    __slots__ = ("domain_suffix", "namespace")

    def __init__(self, namespace: str, domain_suffix: str) -> None:
        self.namespace = namespace
        self.domain_suffix = domain_suffix

    def host(self, host: str) -> str:
        return full_name(host, self.namespace, self.domain_suffix)

    def gateway(self, gateway: str) -> str:
        return gateway_name(gateway, self.namespace)


def pairs(mapping: Mapping[str, str] | None) -> ir.Pairs:
    return tuple(sorted((mapping or {}).items()))


def milliseconds(text: str | None, field: str) -> int | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise LoweringError(field, str(error)) from error


# --- matching -------------------------------------------------------------------------------------------------------


def string_match(written: StringMatch | None, *, ignore_case: bool = False) -> ir.StringMatch | None:
    """None where nothing is written."""
    if written is None:
        return None
    for kind, value in (
        (ir.MatchKind.EXACT, written.exact),
        (ir.MatchKind.PREFIX, written.prefix),
        (ir.MatchKind.REGEX, written.regex),
    ):
        if value is not None:
            return ir.StringMatch(kind, value, ignore_case and kind is not ir.MatchKind.REGEX)
    return None


def _named(written: Mapping[str, StringMatch], *, invert: bool = False) -> tuple[ir.NamedMatch, ...]:
    return tuple(
        ir.NamedMatch(name, _value(value), invert)
        for name, value in sorted(written.items())
        if not headers.claim(name)
    )


def _claims(written: Mapping[str, StringMatch], *, invert: bool = False) -> tuple[ir.ClaimMatch, ...]:
    return tuple(
        ir.ClaimMatch(path, _value(value), invert)
        for name, value in sorted(written.items())
        if (path := headers.claim(name))
    )


def _value(written: StringMatch) -> ir.StringMatch:
    match = string_match(written)
    return PRESENT if match is None or (match.kind is ir.MatchKind.REGEX and match.value == "*") else match


def source(written: HTTPMatchRequest | L4MatchAttributes | TLSMatchAttributes, names: Names) -> Source:
    return Source(
        port=written.port,
        gateways=tuple(sorted({names.gateway(gateway) for gateway in written.gateways})),
        labels=pairs(written.source_labels),
        namespace=written.source_namespace,
        subnet=_network(written.source_subnet) if isinstance(written, L4MatchAttributes) else "",
    )


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False)) if text else ""


def http_match(written: HTTPMatchRequest, names: Names) -> HttpMatch:
    return HttpMatch(
        name=written.name,
        match=ir.RouteMatch(
            uri=string_match(written.uri, ignore_case=written.ignore_uri_case),
            scheme=string_match(written.scheme),
            method=string_match(written.method),
            authority=string_match(written.authority),
            headers=_named(written.headers) + _named(written.without_headers, invert=True),
            query=tuple(
                ir.NamedMatch(name, _value(value)) for name, value in sorted(written.query_params.items())
            ),
            claims=_claims(written.headers) + _claims(written.without_headers, invert=True),
        ),
        source=source(written, names),
        stat_prefix=written.stat_prefix,
    )


# --- actions --------------------------------------------------------------------------------------------------------


def header_ops(written: Headers | None) -> ir.HeaderOps | None:
    if written is None:
        return None
    request, response = written.request, written.response
    ops = ir.HeaderOps(
        request_set=pairs(request.set) if request else (),
        request_add=pairs(request.add) if request else (),
        request_remove=tuple(request.remove) if request else (),
        response_set=pairs(response.set) if response else (),
        response_add=pairs(response.add) if response else (),
        response_remove=tuple(response.remove) if response else (),
    )
    return None if ops == ir.HeaderOps() else ops


def target(written: Destination, names: Names, field: str) -> Target:
    if not written.host:
        raise LoweringError(field, "a destination needs a host: name the service to send to")
    port = written.port.number if written.port else None
    return Target(names.host(written.host), port or None, written.subset)


def _headers_of(written: HTTPRouteDestination | RouteDestination) -> ir.HeaderOps | None:
    return header_ops(written.headers) if isinstance(written, HTTPRouteDestination) else None


def weighted(
    written: Sequence[HTTPRouteDestination | RouteDestination], names: Names, field: str
) -> tuple[WeightedTarget, ...]:
    """Destinations with their weights. One alone takes everything; among several, those of weight 0 take nothing."""
    if len(written) == 1:
        only = written[0]
        return (
            WeightedTarget(target(only.destination, names, f"{field}[0].destination"), 1, _headers_of(only)),
        )
    kept = []
    for index, item in enumerate(written):
        weight = item.weight
        if weight < 0:
            raise LoweringError(f"{field}[{index}].weight", f"{weight} is negative; use 0 or more")
        if weight:
            where = f"{field}[{index}].destination"
            kept.append(WeightedTarget(target(item.destination, names, where), weight, _headers_of(item)))
    if written and not kept:
        raise LoweringError(field, "every weight is 0; give at least one destination a weight")
    return tuple(kept)


def retry_policy(written: HTTPRetry | None, field: str) -> ir.RetryPolicy | None:
    """None where nothing is written; attempts 0 where retries are switched off."""
    if written is None:
        return None
    if written.attempts <= 0:
        return ir.RetryPolicy(attempts=0)
    ignore_previous = written.retry_ignore_previous_hosts
    return ir.RetryPolicy(
        attempts=written.attempts,
        per_try_timeout=milliseconds(written.per_try_timeout, f"{field}.perTryTimeout"),
        retry_on=retry_conditions(written.retry_on) if written.retry_on else ir.BUILT_IN_RETRY.retry_on,
        backoff=milliseconds(written.backoff, f"{field}.backoff"),
        remote_localities=bool(written.retry_remote_localities),
        ignore_previous_hosts=True if ignore_previous is None else bool(ignore_previous),
    )


def retry_conditions(text: str) -> tuple[str, ...]:
    """Envoy's conditions; numbers are status codes, which need `retriable-status-codes` beside them."""
    found = [item for item in (part.strip() for part in text.split(",")) if item]
    if any(item.isdigit() for item in found) and RETRIABLE_STATUS_CODES not in found:
        found.append(RETRIABLE_STATUS_CODES)
    return tuple(found)


def _percent(percentage: Percent | None, percent: int) -> float:
    if percentage is not None:
        return percentage.value
    return float(percent)


def fault(written: HTTPFaultInjection | None, field: str) -> ir.Fault | None:
    if written is None:
        return None
    delay = abort = None
    if written.delay is not None and written.delay.fixed_delay is not None:
        percent = _percent(written.delay.percentage, written.delay.percent)
        duration = milliseconds(written.delay.fixed_delay, f"{field}.delay.fixedDelay")
        if percent > 0 and duration:
            delay = ir.Delay(duration, percent)
    if written.abort is not None:
        percent = _percent(written.abort.percentage, 0)
        status, grpc = written.abort.http_status, _grpc_status(written.abort.grpc_status, f"{field}.abort")
        if percent > 0 and (status or grpc is not None):
            abort = ir.Abort(http_status=status or None, grpc_status=grpc, percent=percent)
    return ir.Fault(delay=delay, abort=abort) if delay or abort else None


GRPC_STATUS = {name: number for number, name in enumerate(GRPC_STATUS_NAMES)}


def _grpc_status(name: str | None, field: str) -> int | None:
    if not name:
        return None
    if name not in GRPC_STATUS:
        raise LoweringError(f"{field}.grpcStatus", f"{name} is not a gRPC status; use one like UNAVAILABLE")
    return GRPC_STATUS[name]


def redirect(written: HTTPRedirect | None) -> ir.Redirect | None:
    if written is None:
        return None
    return ir.Redirect(
        uri=written.uri or None,
        prefix_rewrite=written.prefix_rewrite or None,
        authority=written.authority or None,
        scheme=written.scheme or None,
        port=written.port or None,
        derive_port=str(written.derive_port) if written.derive_port else None,
        code=written.redirect_code or 301,
    )


def direct_response(written: HTTPDirectResponse | None, field: str) -> ir.DirectResponse | None:
    if written is None:
        return None
    body = b""
    if written.body is not None:
        if written.body.string is not None:
            body = written.body.string.encode()
        elif written.body.bytes is not None:
            body = _base64(written.body.bytes, f"{field}.body.bytes")
    return ir.DirectResponse(status=written.status, body=body)


def _base64(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise LoweringError(field, f"is not base64 ({error})") from error


def rewrite(written: HTTPRewrite | None) -> ir.Rewrite | None:
    if written is None:
        return None
    regex = written.uri_regex_rewrite
    return ir.Rewrite(
        uri=written.uri or None,
        authority=written.authority or None,
        regex=(regex.match or None) if regex else None,
        regex_substitution=regex.rewrite if regex else "",
    )


def _preflights(written: str) -> str:
    return "" if written == "UNSPECIFIED" else str(written)


def cors(written: CorsPolicy | None, field: str) -> ir.Cors | None:
    if written is None:
        return None
    origins = [match for match in (string_match(item) for item in written.allow_origins) if match]
    if not origins:
        origins = [ir.StringMatch(ir.MatchKind.EXACT, item) for item in written.allow_origin]
    return ir.Cors(
        allow_origins=tuple(origins),
        allow_methods=tuple(written.allow_methods),
        allow_headers=tuple(written.allow_headers),
        expose_headers=tuple(written.expose_headers),
        max_age=milliseconds(written.max_age, f"{field}.maxAge"),
        allow_credentials=written.allow_credentials,
        unmatched_preflights=_preflights(written.unmatched_preflights),
    )


def _mirrors(written: HTTPRoute, names: Names, field: str) -> tuple[MirrorTarget, ...]:
    found = []
    if written.mirror is not None:
        if written.mirror_percentage is not None:
            percent = written.mirror_percentage.value
        else:
            percent = 100.0 if written.mirror_percent is None else float(written.mirror_percent)
        found.append(MirrorTarget(target(written.mirror, names, f"{field}.mirror"), percent))
    for index, item in enumerate(written.mirrors):
        percent = 100.0 if item.percentage is None else item.percentage.value
        where = f"{field}.mirrors[{index}].destination"
        found.append(MirrorTarget(target(item.destination, names, where), percent))
    return tuple(mirror for mirror in found if mirror.percent > 0)


def http_rule(written: HTTPRoute, names: Names, field: str) -> HttpRule:
    delegate = written.delegate
    rule = HttpRule(
        name=written.name,
        matches=tuple(http_match(match, names) for match in written.match),
        targets=weighted(written.route, names, f"{field}.route"),
        redirect=redirect(written.redirect),
        direct=direct_response(written.direct_response, f"{field}.directResponse"),
        delegate=Delegation(delegate.namespace or names.namespace, delegate.name) if delegate else None,
        timeout=milliseconds(written.timeout, f"{field}.timeout"),
        retry=retry_policy(written.retries, f"{field}.retries"),
        rewrite=rewrite(written.rewrite),
        mirrors=_mirrors(written, names, field),
        fault=fault(written.fault, f"{field}.fault"),
        headers=header_ops(written.headers),
        cors=cors(written.cors_policy, f"{field}.corsPolicy"),
    )
    if not (rule.targets or rule.redirect or rule.direct or rule.delegate):
        raise LoweringError(field, "has no route, redirect, directResponse or delegate; add one")
    return rule
