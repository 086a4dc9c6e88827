"""Extension providers of MeshConfig to where log lines and spans go.

Facts (Istio): a provider that cannot be read is none, and says so as a warning. `envName` is a variable of the control
plane's own environment; one that is not set is the empty text. A sampler that names no service asks the one that gets
the spans by HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from argosy.model.errors import LoweringError
from argosy.model.lower_http import milliseconds
from argosy.model.providers import (
    Collector,
    Detector,
    FileLog,
    LogService,
    Provider,
    Sampler,
    ServiceLog,
    Tracer,
    TracerKind,
)
from argosy.resources import providers
from argosy.resources.semantics import format_strings

ZIPKIN_PATH = "/api/v2/spans"
SAMPLING_PATH = "/api/v2/samplingConfiguration"

_LOGS = {"envoyHttpAls": LogService.HTTP, "envoyTcpAls": LogService.TCP}
_LOG_NAMES = {
    LogService.HTTP: "http_envoy_accesslog",
    LogService.TCP: "tcp_envoy_accesslog",
    LogService.OPEN_TELEMETRY: "otel_envoy_accesslog",
}


def lower(
    written: Iterable[dict[str, Any]], environment: Mapping[str, str]
) -> tuple[tuple[str, Provider], ...]:
    """By name, sorted. `environment`: where header values may come from."""
    found: dict[str, Provider] = {}
    for one in written:
        name = one.get("name")
        for kind, said in _readable(one):
            if isinstance(name, str) and (provider := _provider(kind, said, environment)) is not None:
                found[name] = provider
    return tuple(sorted(found.items()))


def _readable(written: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for kind, struct in providers.SERVED.items():
        if kind in written:
            try:
                yield kind, msgspec.convert(written[kind] or {}, struct, str_keys=True)
            except msgspec.ValidationError:
                continue


def _provider(kind: str, one: Any, environment: Mapping[str, str]) -> Provider | None:
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
    return _tracer(one, environment)


def _tracer(one: Any, environment: Mapping[str, str]) -> Tracer | None:
    match one:
        case providers.Zipkin():
            return Tracer(
                kind=TracerKind.ZIPKIN,
                to=Collector(_host(one.service), one.port),
                max_tag_length=one.max_tag_length or None,
                path=one.path or ZIPKIN_PATH,
                short_ids=one.enable_64bit_trace_id,
                w3c=one.trace_context_option is providers.TraceContextOption.USE_B3_WITH_W3C_PROPAGATION,
                timeout=_timeout(one.timeout),
                headers=_headers(one.headers, environment),
            )
        case providers.Datadog():
            return Tracer(
                kind=TracerKind.DATADOG,
                to=Collector(_host(one.service), one.port),
                max_tag_length=one.max_tag_length or None,
            )
        case providers.SkyWalking():
            return Tracer(
                kind=TracerKind.SKYWALKING,
                to=Collector(_host(one.service), one.port),
                token=one.access_token,
            )
        case providers.OpenTelemetry():
            return _open_telemetry(one, environment)
    return None


def _open_telemetry(one: providers.OpenTelemetry, environment: Mapping[str, str]) -> Tracer | None:
    to = Collector(_host(one.service), one.port)
    said = one.http or one.grpc
    headers = one.http.headers if one.http else one.grpc.initial_metadata if one.grpc else ()
    sampler = None
    if one.dynatrace_sampler is not None:
        sampler = _sampler(one.dynatrace_sampler, to, one.http, environment)
        if sampler is None:
            return None
    found = one.resource_detectors or providers.ResourceDetectors()
    return Tracer(
        kind=TracerKind.OPEN_TELEMETRY_HTTP if one.http else TracerKind.OPEN_TELEMETRY,
        to=to,
        max_tag_length=one.max_tag_length or None,
        path=one.http.path if one.http else "",
        timeout=_timeout(said.timeout) if said else None,
        headers=_headers(headers, environment),
        detectors=tuple(
            detector
            for detector, wanted in (
                (Detector.ENVIRONMENT, found.environment),
                (Detector.DYNATRACE, found.dynatrace),
            )
            if wanted is not None
        ),
        sampler=sampler,
    )


def _sampler(
    one: providers.DynatraceSampler,
    to: Collector,
    exporter: providers.HttpService | None,
    environment: Mapping[str, str],
) -> Sampler | None:
    api = one.http_service
    http = (api.http or providers.HttpService()) if api is not None else exporter
    if http is None:
        return None
    return Sampler(
        to=to if api is None else Collector(_host(api.service), api.port),
        path=SAMPLING_PATH if api is None else http.path,
        tenant=one.tenant,
        cluster_id=one.cluster_id,
        root_spans=one.root_spans_per_minute,
        timeout=_timeout(http.timeout),
        headers=_headers(http.headers, environment),
    )


def _timeout(written: str | None) -> int | None:
    try:
        return milliseconds(written, "timeout")
    except LoweringError:
        return None


def _headers(
    written: Iterable[providers.HttpHeader], environment: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    return tuple(
        (one.name, environment.get(one.env_name, "") if one.env_name else one.value) for one in written
    )


def _form(written: providers.LogFormat) -> tuple[str, str]:
    """(text, labels as JSON). What Envoy would refuse every listener for is left out."""
    if format_strings.anywhere(written.text) or format_strings.in_any(written.labels):
        return "", ""
    text = written.text and f"{written.text.rstrip(chr(10))}\n"
    return text, json.dumps(written.labels, sort_keys=True) if written.labels else ""


def _host(service: str) -> str:
    """Without the namespace that it may be said with."""
    return service.rpartition("/")[2]
