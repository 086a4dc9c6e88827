"""Istio's standard metrics from stock Envoy: the stats access logger, on both sides of a call.

Rule: few tags, all cheap; the agent renames and expands them where the metrics are scraped. What a tag means there:

    destination, source   `workload;namespace;app;version;` of the endpoint, or the peer certificate's DNS name
    *_principal           the peer certificate's SPIFFE URI
    tag_NAME              what somebody writes as the value of the label NAME (Telemetry's tagOverrides)
    removed               the labels that somebody does not want, with commas

Upstream marks this logger work in progress, so nothing but this module knows it. Its newer fields are not in the
protobuf classes: the configuration goes as a TypedStruct. Series are bounded and evicted (`stats_scope`); eviction
needs `stats_eviction_interval` in the bootstrap.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any as Json

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.data.accesslog.v3 import accesslog_pb2 as data_pb2
from msgspec import Struct

from argosy.model.metrics import AS_USUAL, NAMES, Metrics, Tags
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
_SIMPLE = frozenset(("response_code", "response_flags"))
"""Tags that are labels of the same name and nothing else."""

_TCP_TAGS = {"request_protocol": "tcp", "response_flags": "%RESPONSE_FLAGS%"}


def http(reporter: Reporter, metrics: Metrics = AS_USUAL) -> list[accesslog_pb2.AccessLog]:
    made = _Maker(_tags(reporter) | _HTTP_TAGS, metrics)
    counters = [made.counter("REQUEST_COUNT")]
    histograms = [
        made.histogram("REQUEST_DURATION", "Milliseconds", "%DURATION%"),
        made.histogram("REQUEST_SIZE", "Bytes", "%BYTES_RECEIVED%"),
        made.histogram("RESPONSE_SIZE", "Bytes", "%BYTES_SENT%"),
    ]
    return _reporting(counters, histograms)


def tcp(reporter: Reporter, metrics: Metrics = AS_USUAL) -> list[accesslog_pb2.AccessLog]:
    """Opened when the upstream connection stands, the rest when the connection ends."""
    made = _Maker(_tags(reporter) | _TCP_TAGS, metrics)
    opened = [made.counter("TCP_OPENED_CONNECTIONS")]
    closed = [
        made.counter("TCP_CLOSED_CONNECTIONS"),
        made.counter("TCP_SENT_BYTES", "%BYTES_SENT%"),
        made.counter("TCP_RECEIVED_BYTES", "%BYTES_RECEIVED%"),
    ]
    moments = (
        (opened, data_pb2.AccessLogType.TcpUpstreamConnected),
        (closed, data_pb2.AccessLogType.TcpConnectionEnd),
    )
    found = []
    for counters, moment in moments:
        for logger in _reporting(counters, []):
            logger.filter.log_type_filter.types.append(moment)
            found.append(logger)
    return found


class _Maker(Struct, frozen=True):
    """Of one reporter: counters and histograms by Istio's names; None for one that is not reported."""

    tags: dict[str, str]
    metrics: Metrics

    def counter(self, metric: str, value: str = "") -> Json | None:
        amount: dict[str, Json] = {"value_format": value} if value else {"value_fixed": 1}
        return None if metric in self.metrics.silent else {"stat": self._stat(metric), **amount}

    def histogram(self, metric: str, unit: str, value: str) -> Json | None:
        if metric in self.metrics.silent:
            return None
        return {"stat": self._stat(metric), "unit": unit, "value_format": value}

    def _stat(self, metric: str) -> dict[str, Json]:
        said = self.metrics.tags_of(metric)
        gone = _SIMPLE & {name for name, _ in said}
        tags = {name: value for name, value in self.tags.items() if name not in gone} | _overriding(said)
        return {
            "name": NAMES[metric],
            "tags": [{"name": tag, "value_format": value} for tag, value in tags.items()],
        }


def _overriding(tags: Tags) -> dict[str, str]:
    found = {f"tag_{_label(name)}": f"%CEL({value})%" for name, value in tags if value}
    if removed := [_label(name) for name, value in tags if not value]:
        found["removed"] = ",".join(removed)
    return found


def _label(name: str) -> str:
    """As Prometheus can have it."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _reporting(
    counters: Sequence[Json | None], histograms: Sequence[Json | None]
) -> list[accesslog_pb2.AccessLog]:
    """No logger at all where nothing is left of it."""
    counted = [one for one in counters if one is not None]
    measured = [one for one in histograms if one is not None]
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
