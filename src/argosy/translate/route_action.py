"""What a route does: forward (weights, retries, rewrites, mirrors, hashing), redirect, answer; and header operations.

Defaults are Istio's: no time-out, no limit on a gRPC deadline.
"""

from __future__ import annotations

import re

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2

from argosy.model.ir import (
    Destination,
    DirectResponse,
    Forward,
    HashPolicy,
    HeaderOps,
    MatchKind,
    Pairs,
    Redirect,
    RetryPolicy,
    RouteMatch,
)
from argosy.translate import names, wire
from argosy.translate.filters.fault import percent

HOST_SELECTION_ATTEMPTS = 32
"""How often a retry looks for a host that it has not tried. Istio's 5 loses requests: an endpoint that has gone has no
active requests, so least-request takes it in 3 of 4 picks of two, and 5 more picks miss the living one in 0.75^6 = 18 %
of retries (measured: 4 % of requests failed while one of two left unannounced). A pick costs nothing next to a retry.
"""

_REDIRECT_CODES = {
    301: route_components_pb2.RedirectAction.MOVED_PERMANENTLY,
    302: route_components_pb2.RedirectAction.FOUND,
    303: route_components_pb2.RedirectAction.SEE_OTHER,
    307: route_components_pb2.RedirectAction.TEMPORARY_REDIRECT,
    308: route_components_pb2.RedirectAction.PERMANENT_REDIRECT,
}


def cluster_of(destination: Destination) -> str:
    return names.outbound(destination.host, destination.port, destination.subset)


# --- headers --------------------------------------------------------------------------------------------------------


class HeaderTarget:
    """Where header operations are written (a route or a weighted cluster), and the `host` they set, which Envoy
    takes only as a rewrite."""

    def __init__(
        self, message: route_components_pb2.Route | route_components_pb2.WeightedCluster.ClusterWeight
    ) -> None:
        self.message = message
        self.host = ""


_OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_APPEND = base_pb2.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD


def header_ops(ops: HeaderOps, target: HeaderTarget) -> None:
    message = target.message
    for name, value in ops.request_set:
        if name.lower() in ("host", ":authority"):
            target.host = value
    message.request_headers_to_add.extend(_added(ops.request_set, _OVERWRITE))
    message.request_headers_to_add.extend(_added(ops.request_add, _APPEND))
    message.request_headers_to_remove.extend(name for name in ops.request_remove if _may_change(name))
    message.response_headers_to_add.extend(_added(ops.response_set, _OVERWRITE))
    message.response_headers_to_add.extend(_added(ops.response_add, _APPEND))
    message.response_headers_to_remove.extend(name for name in ops.response_remove if _may_change(name))


def _added(
    pairs: Pairs, action: base_pb2.HeaderValueOption.HeaderAppendAction
) -> list[base_pb2.HeaderValueOption]:
    return [
        base_pb2.HeaderValueOption(
            header=base_pb2.HeaderValue(key=name, value=value),
            append_action=action,
            keep_empty_value=not value,
        )
        for name, value in pairs
        if _may_change(name)
    ]


def _may_change(name: str) -> bool:
    """Envoy refuses the whole RouteConfiguration for `host` and pseudo headers; Istio leaves them out too."""
    return bool(name) and not name.startswith(":") and name.lower() != "host"


# --- actions --------------------------------------------------------------------------------------------------------


def forward(action: Forward, match: RouteMatch, target: HeaderTarget) -> route_components_pb2.RouteAction:
    out = route_components_pb2.RouteAction()
    if len(action.destinations) == 1:
        only = action.destinations[0]
        out.cluster = cluster_of(only.destination)
        if only.headers is not None:
            header_ops(only.headers, target)
    else:
        for weighted in action.destinations:
            entry = out.weighted_clusters.clusters.add(name=cluster_of(weighted.destination))
            entry.weight.value = weighted.weight
            if weighted.headers is not None:
                part = HeaderTarget(entry)
                header_ops(weighted.headers, part)
                if part.host:
                    entry.host_rewrite_literal = part.host
    if action.timeout:
        out.timeout.CopyFrom(wire.milliseconds(action.timeout))
    else:
        no_timeout(out)
    if action.retry is not None and action.retry.attempts > 0:
        out.retry_policy.CopyFrom(retry(action.retry))
    _rewrite(action, match, out)
    for mirror in action.mirrors:
        policy = out.request_mirror_policies.add(cluster=cluster_of(mirror.destination))
        policy.runtime_fraction.default_value.CopyFrom(percent(mirror.percent))
    out.hash_policy.extend(hash_policy(policy) for policy in action.hash)
    return out


def no_timeout(action: route_components_pb2.RouteAction) -> None:
    """Envoy's own default is 15 s; 0 is none. A deadline that a gRPC client sets is kept, whatever it is."""
    action.timeout.SetInParent()
    action.max_stream_duration.max_stream_duration.SetInParent()
    action.max_stream_duration.grpc_timeout_header_max.SetInParent()


def retry(policy: RetryPolicy) -> route_components_pb2.RetryPolicy:
    codes = [int(item) for item in policy.retry_on if item.isdigit()]
    conditions = [item for item in policy.retry_on if not item.isdigit()]
    if codes and "retriable-status-codes" not in conditions:
        conditions.append("retriable-status-codes")
    out = route_components_pb2.RetryPolicy(
        retry_on=",".join(conditions), retriable_status_codes=codes, num_retries=wire.uint32(policy.attempts)
    )
    if policy.per_try_timeout:
        out.per_try_timeout.CopyFrom(wire.milliseconds(policy.per_try_timeout))
    if policy.backoff:
        out.retry_back_off.base_interval.CopyFrom(wire.milliseconds(policy.backoff))
    if policy.ignore_previous_hosts:
        out.retry_host_predicate.add(
            name="envoy.retry_host_predicates.previous_hosts",
            typed_config=wire.pack(previous_hosts_pb2.PreviousHostsPredicate()),
        )
        out.host_selection_retry_max_attempts = HOST_SELECTION_ATTEMPTS
    if policy.remote_localities:
        out.retry_priority.name = "envoy.retry_priorities.previous_priorities"
        out.retry_priority.typed_config.CopyFrom(
            wire.pack(previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=2))
        )
    return out


def hash_policy(policy: HashPolicy) -> route_components_pb2.RouteAction.HashPolicy:
    out = route_components_pb2.RouteAction.HashPolicy()
    if policy.header is not None:
        out.header.header_name = policy.header
    elif policy.cookie_name is not None:
        out.cookie.name = policy.cookie_name
        out.cookie.path = policy.cookie_path
        if policy.cookie_ttl is not None:
            out.cookie.ttl.CopyFrom(wire.milliseconds(policy.cookie_ttl))
        for name, value in policy.cookie_attributes:
            out.cookie.attributes.add(name=name, value=value)
    elif policy.query is not None:
        out.query_parameter.name = policy.query
    else:
        out.connection_properties.source_ip = policy.source_ip
    return out


def _rewrite(action: Forward, match: RouteMatch, out: route_components_pb2.RouteAction) -> None:
    rewrite = action.rewrite
    if rewrite is None:
        return
    if rewrite.regex is not None:
        out.regex_rewrite.pattern.regex = rewrite.regex
        out.regex_rewrite.substitution = rewrite.regex_substitution
    elif rewrite.uri is not None:
        uri = match.uri
        if uri is not None and uri.kind is MatchKind.PATH_PREFIX and rewrite.uri.endswith("/"):
            # `/a` -> `/` must make `/` of `/a` and `/b` of `/a/b`, never `//b`.
            out.regex_rewrite.pattern.regex = f"^{re.escape(uri.value.rstrip('/'))}/*"
            out.regex_rewrite.substitution = rewrite.uri
        elif uri is not None and uri.kind is MatchKind.REGEX:
            # A match of the whole path: the rewrite replaces the whole path.
            out.regex_rewrite.pattern.regex = "^[^?]*"
            out.regex_rewrite.substitution = rewrite.uri.replace("\\", "\\\\")
        else:
            out.prefix_rewrite = rewrite.uri


def redirect(action: Redirect, port: int) -> route_components_pb2.RedirectAction:
    out = route_components_pb2.RedirectAction(
        response_code=_REDIRECT_CODES.get(action.code, route_components_pb2.RedirectAction.MOVED_PERMANENTLY)
    )
    if action.authority:
        out.host_redirect = action.authority
    if action.scheme:
        out.scheme_redirect = action.scheme
    if action.port:
        out.port_redirect = action.port
    elif action.derive_port == "FROM_PROTOCOL_DEFAULT":
        out.port_redirect = 443 if action.scheme == "https" else 80
    elif action.derive_port == "FROM_REQUEST_PORT" and port:
        out.port_redirect = port
    if action.uri:
        out.path_redirect = action.uri
    elif action.prefix_rewrite:
        out.prefix_rewrite = action.prefix_rewrite
    return out


def direct_response(action: DirectResponse) -> route_components_pb2.DirectResponseAction:
    out = route_components_pb2.DirectResponseAction(status=action.status)
    if action.body:
        out.body.inline_bytes = action.body
    return out
