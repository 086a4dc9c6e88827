"""Istio's standard metrics from stock Envoy: the stats access logger, on both sides of a call.

Rule: few tags, all cheap; the agent renames and expands them where the metrics are scraped. What a tag means there:

    destination, source   `workload;namespace;app;version;` of the endpoint, or the peer certificate's DNS name
    *_principal           the peer certificate's SPIFFE URI

Upstream marks this logger work in progress, so nothing but this module knows it. Its newer fields are not in the
protobuf classes: the configuration goes as a TypedStruct. Series are bounded and evicted (`stats_scope`); eviction
needs `stats_eviction_interval` in the bootstrap.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any as Json

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.data.accesslog.v3 import accesslog_pb2 as data_pb2
from msgspec import Struct

from argosy.translate import wire

NAME = "envoy.access_loggers.stats"
CONFIG = "envoy.extensions.access_loggers.stats.v3.Config"
PREFIX = "istio"
MAX_COUNTERS = 2000  # of one logger
MAX_HISTOGRAMS = 2000


class Side(StrEnum):
    SOURCE = "source"
    DESTINATION = "destination"


class Reporter(Struct, frozen=True, kw_only=True):
    """Who reports. `service` and `port` are literals that only the destination knows: its host and workload port."""

    side: Side
    service: str = ""
    port: int = 0


SOURCE = Reporter(side=Side.SOURCE)

_SOURCE_TAGS = {
    "reporter": "source",
    "destination": "%UPSTREAM_METADATA(istio:workload)%",
    "destination_service": "%METADATA(CLUSTER:argosy:service)%",
    "destination_principal": "%UPSTREAM_PEER_URI_SAN%",
}
_HTTP_TAGS = {
    "request_protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "grpc_status": "%GRPC_STATUS_NUMBER%",
}
_TCP_TAGS = {"request_protocol": "tcp", "response_flags": "%RESPONSE_FLAGS%"}


def http(reporter: Reporter, silent: tuple[str, ...] = ()) -> list[accesslog_pb2.AccessLog]:
    tags = _tags(reporter) | _HTTP_TAGS
    counters = {"REQUEST_COUNT": _counter("requests_total", tags)}
    histograms = {
        "REQUEST_DURATION": _histogram("request_duration_milliseconds", tags, "Milliseconds", "%DURATION%"),
        "REQUEST_SIZE": _histogram("request_bytes", tags, "Bytes", "%BYTES_RECEIVED%"),
        "RESPONSE_SIZE": _histogram("response_bytes", tags, "Bytes", "%BYTES_SENT%"),
    }
    return _reporting(counters, histograms, silent)


def tcp(reporter: Reporter, silent: tuple[str, ...] = ()) -> list[accesslog_pb2.AccessLog]:
    """Opened when the upstream connection stands, the rest when the connection ends."""
    tags = _tags(reporter) | _TCP_TAGS
    opened = {"TCP_OPENED_CONNECTIONS": _counter("tcp_connections_opened_total", tags)}
    closed = {
        "TCP_CLOSED_CONNECTIONS": _counter("tcp_connections_closed_total", tags),
        "TCP_SENT_BYTES": _counter("tcp_sent_bytes_total", tags, "%BYTES_SENT%"),
        "TCP_RECEIVED_BYTES": _counter("tcp_received_bytes_total", tags, "%BYTES_RECEIVED%"),
    }
    moments = (
        (opened, data_pb2.AccessLogType.TcpUpstreamConnected),
        (closed, data_pb2.AccessLogType.TcpConnectionEnd),
    )
    found = []
    for counters, moment in moments:
        for logger in _reporting(counters, {}, silent):
            logger.filter.log_type_filter.types.append(moment)
            found.append(logger)
    return found


def _reporting(
    counters: dict[str, Json], histograms: dict[str, Json], silent: tuple[str, ...]
) -> list[accesslog_pb2.AccessLog]:
    """By Istio's names. No logger at all where nothing is left of it."""
    counted = [one for name, one in counters.items() if name not in silent]
    measured = [one for name, one in histograms.items() if name not in silent]
    return [_logger(counters=counted, histograms=measured)] if counted or measured else []


def _tags(reporter: Reporter) -> dict[str, str]:
    if reporter.side is Side.SOURCE:
        return dict(_SOURCE_TAGS)
    return {
        "reporter": "destination",
        "source": "%DOWNSTREAM_PEER_DNS_SAN%",
        "source_principal": "%DOWNSTREAM_PEER_URI_SAN%",
        "destination_service": reporter.service or "unknown",
        "destination_port": str(reporter.port),
    }


def _logger(*, counters: list[Json], histograms: list[Json] | None = None) -> accesslog_pb2.AccessLog:
    # No `sharing_name`: with it Envoy 1.40 crashes when it stops. Equal series of several loggers are one all the same.
    scope = {
        "prefix": PREFIX,
        "max_counters": MAX_COUNTERS,
        "max_histograms": MAX_HISTOGRAMS,
        "enable_eviction": True,
    }
    config = {"stats_scope": scope, "counters": counters, "histograms": histograms or []}
    return accesslog_pb2.AccessLog(name=NAME, typed_config=wire.typed_struct(CONFIG, config))


def _stat(name: str, tags: dict[str, str]) -> dict[str, Json]:
    return {
        "name": name,
        "tags": [{"name": tag, "value_format": value} for tag, value in tags.items()],
    }


def _counter(name: str, tags: dict[str, str], value: str = "") -> dict[str, Json]:
    amount: dict[str, Json] = {"value_format": value} if value else {"value_fixed": 1}
    return {"stat": _stat(name, tags), **amount}


def _histogram(name: str, tags: dict[str, str], unit: str, value: str) -> dict[str, Json]:
    return {"stat": _stat(name, tags), "unit": unit, "value_format": value}
