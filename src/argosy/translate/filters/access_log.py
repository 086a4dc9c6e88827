"""Access logs: a line or a JSON object a request or connection, under Istio's field names or as somebody says; to
a file or a service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import config_source_pb2
from envoy.data.accesslog.v3 import accesslog_pb2 as data_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.access_loggers.open_telemetry.v3 import logs_service_pb2
from google.protobuf.message import Message
from msgspec import Struct

from argosy.model.providers import FileLog, LogService, ServiceLog
from argosy.translate import wire

STDOUT = "/dev/stdout"

# Names and values: Istio's default access log.
FIELDS = {
    "start_time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "route_name": "%ROUTE_NAME%",
}


# Of a line: what may have spaces in it, or be nothing at all.
QUOTED = (
    "upstream_transport_failure_reason",
    "x_forwarded_for",
    "user_agent",
    "request_id",
    "authority",
    "upstream_host",
)


class Layer(StrEnum):
    HTTP = "HTTP"
    TCP = "TCP"


class Log(Struct, frozen=True):
    to: FileLog | ServiceLog
    cluster: str = ""  # of the service
    expression: str = ""  # CEL: of which requests; "": of all


ASKED = Log(FileLog(path=STDOUT, json=True))
"""What a proxy logs that was asked to by itself."""


_TCP_END = accesslog_pb2.AccessLogFilter(
    log_type_filter=accesslog_pb2.LogTypeFilter(types=[data_pb2.AccessLogType.TcpConnectionEnd])
)


def loggers(logs: tuple[Log, ...], layer: Layer) -> Iterator[accesslog_pb2.AccessLog]:
    for log in logs:
        to = log.to
        if isinstance(to, FileLog):
            yield _logger("file", _file(to), log, layer)
        elif to.kind is LogService.OPEN_TELEMETRY:
            yield _logger("open_telemetry", _open_telemetry(to, log.cluster), log, layer)
        elif to.kind is LogService.HTTP and layer is Layer.HTTP:
            out = als_pb2.HttpGrpcAccessLogConfig(
                common_config=_common(to, log.cluster),
                additional_request_headers_to_log=to.request_headers,
                additional_response_headers_to_log=to.response_headers,
                additional_response_trailers_to_log=to.response_trailers,
            )
            yield _logger("http_grpc", out, log, layer)
        elif to.kind is LogService.TCP and layer is Layer.TCP:
            common = als_pb2.TcpGrpcAccessLogConfig(common_config=_common(to, log.cluster))
            yield _logger("tcp_grpc", common, log, layer)


def _logger(name: str, config: Message, log: Log, layer: Layer) -> accesslog_pb2.AccessLog:
    out = accesslog_pb2.AccessLog(name=f"envoy.access_loggers.{name}", typed_config=wire.pack(config))
    filters = []
    if layer is Layer.TCP:
        # tcp_proxy also reports the moment of connecting (for the metrics): one line a connection is enough.
        filters.append(_TCP_END)
    if log.expression:
        cel = accesslog_pb2.ExtensionFilter(
            name="cel", typed_config=wire.pack(cel_pb2.ExpressionFilter(expression=log.expression))
        )
        filters.append(accesslog_pb2.AccessLogFilter(extension_filter=cel))
    if len(filters) > 1:
        out.filter.and_filter.filters.extend(filters)
    elif filters:
        out.filter.CopyFrom(filters[0])
    return out


def _file(to: FileLog) -> file_pb2.FileAccessLog:
    out = file_pb2.FileAccessLog(path=to.path)
    out.log_format.omit_empty_values = to.omit_empty
    if to.json:
        out.log_format.json_format.update(json.loads(to.format) if to.format else FIELDS)
    else:
        out.log_format.text_format_source.inline_string = to.format or _text()
    return out


def _common(to: ServiceLog, cluster: str) -> als_pb2.CommonGrpcAccessLogConfig:
    out = als_pb2.CommonGrpcAccessLogConfig(
        log_name=to.name,
        transport_api_version=config_source_pb2.ApiVersion.V3,
        filter_state_objects_to_log=to.filter_state,
    )
    out.grpc_service.envoy_grpc.cluster_name = cluster
    return out


def _open_telemetry(to: ServiceLog, cluster: str) -> logs_service_pb2.OpenTelemetryAccessLogConfig:
    """Istio: the line is the body, without a line's end; labels are attributes."""
    out = logs_service_pb2.OpenTelemetryAccessLogConfig(
        common_config=_common(to, cluster), disable_builtin_labels=True
    )
    out.body.string_value = (to.text or _text()).rstrip("\n")
    for name, value in json.loads(to.labels or "{}").items():
        out.attributes.values.add(key=name).value.string_value = str(value)
    return out


def _text() -> str:
    """The same values in a line, in the order above: the time in brackets, the request as HTTP/1 would begin it."""
    values = {name: f'"{value}"' if name in QUOTED else value for name, value in FIELDS.items()}
    time, *request = (values.pop(name) for name in ("start_time", "method", "path", "protocol"))
    return " ".join((f"[{time}]", f'"{" ".join(request)}"', *values.values())) + "\n"
