"""What a sidecar saw, summed up for people: the demo's table, `argosy ps`, the line that `argosy run` prints.

Read from the same scrape as the metrics, so the two cannot disagree.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.agent.metrics import Histogram, Scrape
from argosy.agent.protocol import BEYOND, Buckets, Traffic, together

_KEY = (
    "reporter",
    "source_workload",
    "source_app",
    "source_version",
    "destination_service",
    "destination_workload",
    "destination_app",
    "destination_version",
    "request_protocol",
    "connection_security_policy",
)


class Totals(Struct, frozen=True):
    """Requests and TCP connections."""

    inbound: int = 0
    outbound: int = 0
    plaintext: int = 0  # of inbound: from a peer that proved no identity


UNCOUNTED = Totals()


def traffic(scrape: Scrape) -> tuple[Traffic, ...]:
    """One entry for each kind of call, whatever its response codes."""
    codes: dict[tuple[str, ...], dict[str, int]] = {}
    failures: dict[tuple[str, ...], int] = {}
    for labels, value in scrape.counters.get("istio_requests_total", {}).items():
        named = dict(labels)
        key = _key(named)
        code = named.get("response_code", "0")
        of = codes.setdefault(key, {})
        of[code] = of.get(code, 0) + int(value)
        failures[key] = failures.get(key, 0) + (int(value) if _failed(named) else 0)
    durations: dict[tuple[str, ...], list[Buckets]] = {}
    for labels, histogram in scrape.histograms.get("istio_request_duration_milliseconds", {}).items():
        durations.setdefault(_key(dict(labels)), []).append(_buckets(histogram))
    seen = [
        _traffic(key, sum(of.values()), failures[key], of, together(durations.get(key, ())))
        for key, of in codes.items()
    ]
    for labels, value in scrape.counters.get("istio_tcp_connections_opened_total", {}).items():
        seen.append(_traffic(_key(dict(labels)), int(value), 0, {}, ()))
    return tuple(seen)


def totals(scrape: Scrape) -> Totals:
    inbound = outbound = plaintext = 0
    for name in ("istio_requests_total", "istio_tcp_connections_opened_total"):
        for labels, value in scrape.counters.get(name, {}).items():
            named = dict(labels)
            if named["reporter"] == "source":
                outbound += int(value)
            else:
                inbound += int(value)
                plaintext += int(value) if named["connection_security_policy"] == "none" else 0
    return Totals(inbound, outbound, plaintext)


def _key(named: dict[str, str]) -> tuple[str, ...]:
    return tuple(named.get(name, "") for name in _KEY)


def _failed(named: dict[str, str]) -> bool:
    """5xx, no answer at all (code 0), or a gRPC status other than OK."""
    code, status = named.get("response_code", "0"), named.get("grpc_response_status", "")
    return code == "0" or code.startswith("5") or status not in ("", "0")


def _buckets(histogram: Histogram) -> Buckets:
    return tuple(
        (BEYOND if bound == b"+Inf" else float(bound), int(n)) for bound, n in histogram.buckets.items()
    )


def _traffic(
    key: tuple[str, ...], requests: int, failures: int, codes: dict[str, int], durations: Buckets
) -> Traffic:
    reporter, workload, app, version, service, to_workload, to_app, to_version, protocol, security = key
    return Traffic(
        reporter=reporter,
        source_workload=workload,
        source_app=app,
        source_version=version,
        destination_service=service,
        destination_workload=to_workload,
        destination_app=to_app,
        destination_version=to_version,
        protocol=protocol,
        security=security,
        requests=requests,
        failures=failures,
        codes=codes,
        durations=durations,
    )
