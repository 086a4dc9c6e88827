"""Extension providers of MeshConfig to where log lines and spans go.

Facts (Istio): a provider that cannot be read is none, and says so as a warning.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from argosy.model.errors import LoweringError
from argosy.model.lower_http import milliseconds
from argosy.model.providers import Collector, FileLog, LogService, Provider, ServiceLog, Tracer, TracerKind
from argosy.resources import providers
from argosy.resources.semantics import format_strings

_LOGS = {"envoyHttpAls": LogService.HTTP, "envoyTcpAls": LogService.TCP}
_LOG_NAMES = {
    LogService.HTTP: "http_envoy_accesslog",
    LogService.TCP: "tcp_envoy_accesslog",
    LogService.OPEN_TELEMETRY: "otel_envoy_accesslog",
}


def lower(written: Iterable[dict[str, Any]]) -> tuple[tuple[str, Provider], ...]:
    """By name, sorted."""
    found: dict[str, Provider] = {}
    for one in written:
        name = one.get("name")
        for kind, said in _readable(one):
            if isinstance(name, str) and (provider := _provider(kind, said)) is not None:
                found[name] = provider
    return tuple(sorted(found.items()))


def _readable(written: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for kind, struct in providers.SERVED.items():
        if kind in written:
            try:
                yield kind, msgspec.convert(written[kind] or {}, struct, str_keys=True)
            except msgspec.ValidationError:
                continue


def _provider(kind: str, one: Any) -> Provider | None:
    match one:
        case providers.FileAccessLog():
            text, labels = _form(one.log_format or providers.LogFormat())
            return FileLog(
                path=one.path, json=bool(labels), format=labels or text, omit_empty=one.omit_empty_values
            )
        case providers.GrpcAccessLog():
            service = _LOGS[kind]
            return ServiceLog(
                kind=service,
                to=Collector(_host(one.service), one.port),
                name=one.log_name or _LOG_NAMES[service],
                filter_state=one.filter_state_objects_to_log,
                request_headers=one.additional_request_headers_to_log,
                response_headers=one.additional_response_headers_to_log,
                response_trailers=one.additional_response_trailers_to_log,
            )
        case providers.OpenTelemetryAccessLog():
            text, labels = _form(one.log_format or providers.LogFormat())
            service = LogService.OPEN_TELEMETRY
            return ServiceLog(
                kind=service,
                to=Collector(_host(one.service), one.port),
                name=one.log_name or _LOG_NAMES[service],
                text=text,
                labels=labels,
            )
    return _tracer(one)


def _tracer(one: Any) -> Tracer | None:
    match one:
        case providers.Zipkin():
            return Tracer(
                kind=TracerKind.ZIPKIN,
                to=Collector(_host(one.service), one.port),
                max_tag_length=one.max_tag_length or None,
                path=one.path or "/api/v2/spans",
                short_ids=one.enable_64bit_trace_id,
            )
        case providers.Datadog():
            return Tracer(
                kind=TracerKind.DATADOG,
                to=Collector(_host(one.service), one.port),
                max_tag_length=one.max_tag_length or None,
            )
        case providers.OpenTelemetry():
            said = one.http or one.grpc
            headers = one.http.headers if one.http else one.grpc.initial_metadata if one.grpc else ()
            try:
                timeout = milliseconds(said.timeout, "timeout") if said else None
            except LoweringError:
                timeout = None
            return Tracer(
                kind=TracerKind.OPEN_TELEMETRY_HTTP if one.http else TracerKind.OPEN_TELEMETRY,
                to=Collector(_host(one.service), one.port),
                max_tag_length=one.max_tag_length or None,
                path=one.http.path if one.http else "",
                timeout=timeout,
                headers=tuple((header.name, header.value) for header in headers),
            )
    return None


def _form(written: providers.LogFormat) -> tuple[str, str]:
    """(text, labels as JSON). What Envoy would refuse every listener for is left out."""
    if format_strings.anywhere(written.text) or format_strings.in_any(written.labels):
        return "", ""
    text = written.text and f"{written.text.rstrip(chr(10))}\n"
    return text, json.dumps(written.labels, sort_keys=True) if written.labels else ""


def _host(service: str) -> str:
    """Without the namespace that it may be said with."""
    return service.rpartition("/")[2]
