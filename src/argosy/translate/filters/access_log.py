"""The access log: a line or a JSON object a request or connection, under Istio's field names or as the mesh says."""

from __future__ import annotations

import json
from enum import StrEnum

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.data.accesslog.v3 import accesslog_pb2 as data_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from msgspec import Struct

from argosy.model.ir import Mesh
from argosy.translate import wire

NAME = "envoy.access_loggers.file"
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


class Form(StrEnum):
    JSON = "JSON"
    TEXT = "TEXT"


class Layer(StrEnum):
    HTTP = "HTTP"
    TCP = "TCP"


class AccessLog(Struct, frozen=True):
    """`path` "" is none; `format` "" is Istio's."""

    path: str = ""
    form: Form = Form.JSON
    format: str = ""


OFF = AccessLog()


def of_mesh(mesh: Mesh) -> AccessLog:
    """What MeshConfig says of every proxy."""
    if not mesh.access_log_file:
        return OFF
    form = Form.JSON if mesh.access_log_json else Form.TEXT
    return AccessLog(mesh.access_log_file, form, mesh.access_log_format)


def of_proxy(mesh: Mesh, asked: bool) -> AccessLog:
    """What one proxy logs: on request as JSON to standard output, else as the mesh says."""
    return AccessLog(STDOUT) if asked else of_mesh(mesh)


_TCP_END = accesslog_pb2.AccessLogFilter(
    log_type_filter=accesslog_pb2.LogTypeFilter(types=[data_pb2.AccessLogType.TcpConnectionEnd])
)


def loggers(log: AccessLog, layer: Layer) -> list[accesslog_pb2.AccessLog]:
    if not log.path:
        return []
    config = file_pb2.FileAccessLog(path=log.path)
    if log.form is Form.JSON:
        config.log_format.json_format.update(json.loads(log.format) if log.format else FIELDS)
    else:
        config.log_format.text_format_source.inline_string = log.format or _text()
    # tcp_proxy also reports the moment of connecting (for the metrics): one line a connection is enough.
    only = _TCP_END if layer is Layer.TCP else None
    return [accesslog_pb2.AccessLog(name=NAME, typed_config=wire.pack(config), filter=only)]


def _text() -> str:
    """The same values in a line, in the order above: the time in brackets, the request as HTTP/1 would begin it."""
    values = {name: f'"{value}"' if name in QUOTED else value for name, value in FIELDS.items()}
    time, *request = (values.pop(name) for name in ("start_time", "method", "path", "protocol"))
    return " ".join((f"[{time}]", f'"{" ".join(request)}"', *values.values())) + "\n"
