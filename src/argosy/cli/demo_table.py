"""The numbers of the demo's live table: differences between readings of the sidecars, over a sliding window.

Requests, success and latency are the callers' view (reporter `source`), so that what a caller's sidecar refuses or
delays is seen; whether it was mutual TLS only the called side can say (reporter `destination`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import Struct

from argosy.agent.protocol import Buckets, StatsAnswer, Traffic, quantile, since, together

WINDOW_SECONDS = 12.0  # more than two of Envoy's flushes (5 s), so that histograms move with the counters
Key = tuple[str, str]  # service, version


class Counts(Struct, frozen=True):
    """Counters of one version of one service, as one set of sidecars counted them."""

    requests: int = 0
    failures: int = 0
    durations: Buckets = ()
    encrypted: int = 0
    received: int = 0


class Reading(Struct, frozen=True):
    at: float
    # By sidecar: a counter that starts again at zero (a new Envoy) is then seen for what it is.
    counts: dict[tuple[str, Key], Counts]


class Row(Struct, frozen=True):
    service: str
    version: str
    rate: float  # requests a second
    success: float | None = None  # percent
    p50: float | None = None  # ms
    p99: float | None = None
    mtls: float | None = None  # percent of what came in


def service_of(traffic: Traffic) -> Key:
    """Where the answer came from; a request that reached nobody has a service but no version."""
    app, version = traffic.destination_app, traffic.destination_version
    if app in ("", "unknown"):
        app = traffic.destination_service.partition(".")[0]
    return app, "-" if version in ("", "unknown") else version


def reading(answer: StatsAnswer) -> Reading:
    found: dict[tuple[str, Key], Counts] = {}
    for workload in answer.workloads:
        for traffic in workload.traffic:
            place = (f"{workload.namespace}/{workload.name}", service_of(traffic))
            was = found.get(place, Counts())
            if traffic.reporter == "source":
                found[place] = Counts(
                    was.requests + traffic.requests,
                    was.failures + traffic.failures,
                    together([was.durations, traffic.durations]),
                    was.encrypted,
                    was.received,
                )
            else:
                encrypted = traffic.requests if traffic.security == "mutual_tls" else 0
                found[place] = Counts(
                    was.requests,
                    was.failures,
                    was.durations,
                    was.encrypted + encrypted,
                    was.received + traffic.requests,
                )
    return Reading(answer.at, found)


def grown(before: int, after: int) -> int:
    return after - before if after >= before else after


def difference(before: Counts, after: Counts) -> Counts:
    return Counts(
        grown(before.requests, after.requests),
        grown(before.failures, after.failures),
        since(before.durations, after.durations),
        grown(before.encrypted, after.encrypted),
        grown(before.received, after.received),
    )


class Window:
    """The readings of the last seconds."""

    def __init__(self, expected: Iterable[Key]) -> None:
        self.expected = list(expected)
        self.readings: deque[Reading] = deque()

    def add(self, answer: StatsAnswer) -> None:
        self.readings.append(reading(answer))
        while len(self.readings) > 2 and self.readings[1].at <= answer.at - WINDOW_SECONDS:
            self.readings.popleft()

    def rows(self) -> list[Row]:
        """One for each expected version, and for each other that had requests; in the order of the shop."""
        if not self.readings:
            return [Row(service, version, 0.0) for service, version in self.expected]
        first, last = self.readings[0], self.readings[-1]
        seconds = last.at - first.at
        changes: dict[Key, list[Counts]] = {}
        for place, counts in last.counts.items():
            # With one reading alone nothing has changed yet.
            before = first.counts.get(place, Counts()) if seconds else counts
            changes.setdefault(place[1], []).append(difference(before, counts))
        order = {service: i for i, (service, _) in enumerate(self.expected)}
        extra = [k for k in changes if k not in self.expected and any(c.requests for c in changes[k])]
        keys = sorted([*self.expected, *extra], key=lambda key: (order.get(key[0], len(order)), key))
        return [row(key, changes.get(key, ()), seconds) for key in keys]


def row(key: Key, changes: Sequence[Counts], seconds: float) -> Row:
    requests = sum(c.requests for c in changes)
    received = sum(c.received for c in changes)
    durations = together(c.durations for c in changes)
    return Row(
        service=key[0],
        version=key[1],
        rate=requests / seconds if seconds else 0.0,
        success=100 * (1 - sum(c.failures for c in changes) / requests) if requests else None,
        p50=quantile(durations, 0.5),
        p99=quantile(durations, 0.99),
        mtls=100 * sum(c.encrypted for c in changes) / received if received else None,
    )


COLUMNS = ("SERVICE", "VERSION", "REQ/S", "SUCCESS", "P50", "P99", "MTLS")


def cells(row: Row) -> list[str]:
    def percent(value: float | None) -> str:
        # 99.96 must not be told as 100: one failure is what one looks for.
        return "-" if value is None else "100 %" if value == 100 else f"{min(value, 99.9):.1f} %"

    def milliseconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"

    return [
        row.service,
        row.version,
        f"{row.rate:.1f}",
        percent(row.success),
        milliseconds(row.p50),
        milliseconds(row.p99),
        percent(row.mtls),
    ]
