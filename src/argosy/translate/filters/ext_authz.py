"""Who is asked whether a request, or a connection, may pass: ext_authz, where a shadow rule of a CUSTOM policy held.

Facts (Istio): the URI of an HTTP service names its host and is not used; names of headers are compared in any case.
# Envoy: extensions.filters.{http,network}.ext_authz.v3.ExtAuthz; a failure denies unless failure_mode_allow
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.core.v3 import base_pb2, config_source_pb2, grpc_service_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.network.ext_authz.v3 import ext_authz_pb2 as network_pb2
from envoy.type.matcher.v3 import metadata_pb2, string_pb2, value_pb2

from argosy.model.providers import ExternalAuthorization, RequestBody
from argosy.translate import names, wire

HTTP_RBAC = "envoy.filters.http.rbac"
NETWORK_RBAC = "envoy.filters.network.rbac"
POLICY = "istio_ext_authz_shadow_effective_policy_id"
RULE = "istio-ext-authz"
STAT_PREFIX = "tcp."


def http(asked: ExternalAuthorization, provider: str) -> ext_authz_pb2.ExtAuthz:
    out = ext_authz_pb2.ExtAuthz(
        transport_api_version=config_source_pb2.ApiVersion.V3,
        failure_mode_allow=asked.fail_open,
        clear_route_cache=asked.clear_route_cache,
        filter_enabled_metadata=_where_asked(HTTP_RBAC, provider),
    )
    if asked.status_on_error:
        out.status_on_error.code = asked.status_on_error
    if asked.body is not None:
        _body(asked.body, out)
    if asked.http:
        _by_http(asked, out)
    else:
        out.grpc_service.CopyFrom(_by_grpc(asked))
    return out


def network(asked: ExternalAuthorization, provider: str) -> network_pb2.ExtAuthz:
    return network_pb2.ExtAuthz(
        stat_prefix=STAT_PREFIX,
        transport_api_version=config_source_pb2.ApiVersion.V3,
        failure_mode_allow=asked.fail_open,
        filter_enabled_metadata=_where_asked(NETWORK_RBAC, provider),
        grpc_service=_by_grpc(asked),
    )


def rule_name(provider: str, rule: str) -> str:
    """Of a rule that asks."""
    return f"{_asks(provider)}-{rule}"


def _asks(provider: str) -> str:
    """How the names of the rules begin by which a provider is asked."""
    return f"{RULE}-{provider}" if provider else RULE


def _where_asked(rbac: str, provider: str) -> metadata_pb2.MetadataMatcher:
    return metadata_pb2.MetadataMatcher(
        filter=rbac,
        path=[metadata_pb2.MetadataMatcher.PathSegment(key=POLICY)],
        value=value_pb2.ValueMatcher(string_match=string_pb2.StringMatcher(prefix=_asks(provider))),
    )


def _cluster(asked: ExternalAuthorization) -> str:
    return names.outbound(asked.to.host, asked.to.port)


def _by_grpc(asked: ExternalAuthorization) -> grpc_service_pb2.GrpcService:
    out = grpc_service_pb2.GrpcService(timeout=wire.milliseconds(asked.timeout))
    out.envoy_grpc.cluster_name = _cluster(asked)
    out.envoy_grpc.authority = asked.to.host  # a cluster's name is no authority
    return out


def _by_http(asked: ExternalAuthorization, out: ext_authz_pb2.ExtAuthz) -> None:
    service = out.http_service
    service.path_prefix = asked.path_prefix
    service.server_uri.uri = f"http://{asked.to.host}"
    service.server_uri.cluster = _cluster(asked)
    service.server_uri.timeout.CopyFrom(wire.milliseconds(asked.timeout))
    if asked.request_headers:
        out.allowed_headers.patterns.extend(_headers(asked.request_headers))
    for name, value in asked.added_headers:
        service.authorization_request.headers_to_add.append(base_pb2.HeaderValue(key=name, value=value))
    for allowed, listed in (
        (asked.upstream_headers, "allowed_upstream_headers"),
        (asked.denied_headers, "allowed_client_headers"),
        (asked.allowed_headers, "allowed_client_headers_on_success"),
    ):
        if allowed:
            getattr(service.authorization_response, listed).patterns.extend(_headers(allowed))


def _headers(written: Iterable[str]) -> Iterable[string_pb2.StringMatcher]:
    for name in written:
        if name.startswith("*"):
            yield string_pb2.StringMatcher(suffix=name[1:], ignore_case=True)
        elif name.endswith("*"):
            yield string_pb2.StringMatcher(prefix=name[:-1], ignore_case=True)
        else:
            yield string_pb2.StringMatcher(exact=name, ignore_case=True)


def _body(body: RequestBody, out: ext_authz_pb2.ExtAuthz) -> None:
    out.with_request_body.max_request_bytes = body.max_bytes
    out.with_request_body.allow_partial_message = body.partial
    out.with_request_body.pack_as_bytes = body.as_bytes
