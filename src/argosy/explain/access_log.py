"""Requests out of a recorded access log: lines of JSON, or of text in the same order.

What a line does not hold cannot be asked again: other headers than user-agent, x-request-id and x-forwarded-for; and
where a route rewrites the authority, the line has the new one. `Recorded.cluster` tells which cluster it was, so that
who replays a line sees whether it is the same request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from argosy.explain.request import Request, Spoken, host_of, port_of

FIELDS = (
    "start_time", "method", "path", "protocol", "response_code", "response_flags", "response_code_details",
    "connection_termination_details", "upstream_transport_failure_reason", "bytes_received", "bytes_sent", "duration",
    "upstream_service_time", "x_forwarded_for", "user_agent", "request_id", "authority", "upstream_host",
    "upstream_cluster", "upstream_local_address", "downstream_local_address", "downstream_remote_address",
    "requested_server_name", "route_name",
)  # fmt: skip
"""In the order of the text form."""
_QUOTED = re.compile(r'"([^"]*)"')
_HEADERS = (
    ("user-agent", "user_agent"),
    ("x-request-id", "request_id"),
    ("x-forwarded-for", "x_forwarded_for"),
)


class Recorded(Struct, frozen=True):
    request: Request
    cluster: str = ""  # that it was sent to; "": to none
    count: int = 1  # how often


class Log(Struct, frozen=True):
    requests: tuple[Recorded, ...]  # the same ones once
    lines: int = 0
    inbound: int = 0  # of requests that the workload received: nothing is routed there
    connections: int = 0  # of TCP and TLS
    other: int = 0  # lines that are none of the access log


def read(lines: Iterable[str]) -> Log:
    found: dict[tuple[Request, str], int] = {}
    total = inbound = connections = other = 0
    for line in lines:
        if not line.strip():
            continue
        total += 1
        entry = _entry(line)
        if entry is None:
            other += 1
        elif str(entry.get("upstream_cluster") or "").startswith("inbound|"):
            inbound += 1
        elif not entry.get("method") or not entry.get("authority"):
            connections += 1
        else:
            # What is random in a request decides nothing, as a rule: requests that differ by it alone are one.
            request, cluster = _request(entry), str(entry.get("upstream_cluster") or "")
            found[request, cluster] = found.get((request, cluster), 0) + 1
    return Log(
        requests=tuple(Recorded(request, cluster, count) for (request, cluster), count in found.items()),
        lines=total,
        inbound=inbound,
        connections=connections,
        other=other,
    )


def _entry(line: str) -> dict[str, Any] | None:
    start = line.find("{")
    if start >= 0:
        try:
            entry = msgspec.json.decode(line[start:])
        except msgspec.DecodeError:
            return None
        return entry if isinstance(entry, dict) and "response_code" in entry else None
    values = _QUOTED.findall(line)
    if len(values) != len(FIELDS):
        return None
    return {name: None if value == "-" else value for name, value in zip(FIELDS, values, strict=True)}


def _request(entry: dict[str, Any]) -> Request:
    authority = str(entry["authority"])
    tunnel = entry["method"] == "CONNECT"
    local = str(entry.get("downstream_local_address") or "")
    return Request(
        authority=authority,
        method=str(entry["method"]),
        path=str(entry.get("path") or "/"),
        headers=tuple(
            (name, str(entry[field]))
            for name, field in _HEADERS
            if entry.get(field) and name != "x-request-id"
        ),
        spoken=Spoken.TCP if tunnel else Spoken.HTTP,
        port=port_of(authority) or (port_of(local) if host_of(local) else None) or 80,
    )
