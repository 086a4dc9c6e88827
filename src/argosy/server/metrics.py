"""Counters, gauges and histograms of the control plane itself, in Prometheus' text format (version 0.0.4).

A few dozen series of one process: lines of text are all that is needed, so no client library.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import TypeVar

Labels = tuple[tuple[str, str], ...]
SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Counter:
    kind = "counter"

    def __init__(self) -> None:
        self.values: dict[Labels, float] = {}

    def add(self, amount: float = 1, **labels: str) -> None:
        key = tuple(labels.items()) if len(labels) == 1 else tuple(sorted(labels.items()))
        self.values[key] = self.values.get(key, 0) + amount

    def lines(self, name: str) -> list[str]:
        return [_line(name, labels, value) for labels, value in sorted((self.values or {(): 0.0}).items())]


class Gauge:
    """Asked when it is read."""

    kind = "gauge"

    def __init__(self, read: Callable[[], Mapping[Labels, float] | float]) -> None:
        self.read = read

    def lines(self, name: str) -> list[str]:
        value = self.read()
        values = value if isinstance(value, Mapping) else {(): value}
        return [_line(name, labels, one) for labels, one in sorted(values.items())]


class Reading(Gauge):
    """A number that only grows, kept elsewhere."""

    kind = "counter"


class Histogram:
    kind = "histogram"

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str) -> list[str]:
        found, total = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append(_line(f"{name}_bucket", (("le", bound),), total))
        return [*found, _line(f"{name}_sum", (), self.sum), _line(f"{name}_count", (), total)]


Metric = Counter | Gauge | Histogram
MetricT = TypeVar("MetricT", Counter, Gauge, Histogram)


class Metrics:
    """Everything the process shows at /metrics."""

    def __init__(self) -> None:
        self.metrics: dict[str, tuple[str, Metric]] = {}
        self.pushes = self._own("argosy_pushes_total", "Compilations that changed a view.", Counter())
        self.reconciles = self._own(
            "argosy_reconcile_seconds", "From events taken to views updated.", Histogram()
        )
        self.events = self._own("argosy_events_total", "Changes of the store seen, by resource.", Counter())
        self.resources_sent = self._own(
            "argosy_xds_resources_sent_total", "Resources sent to proxies, by type.", Counter()
        )
        self.removals_sent = self._own(
            "argosy_xds_removals_sent_total", "Removals sent to proxies, by type.", Counter()
        )
        self.nacks = self._own(
            "argosy_xds_nacks_total", "Responses that proxies refused, by type.", Counter()
        )
        self.streams = self._own("argosy_xds_streams_total", "Streams that proxies opened.", Counter())
        self.delivery = self._own(
            "argosy_delivery_seconds", "From asked to acknowledged by all that use it.", Histogram()
        )

    def _own(self, name: str, help_text: str, metric: MetricT) -> MetricT:
        self.metrics[name] = (help_text, metric)
        return metric

    def show(self, name: str, help_text: str, metric: Metric) -> None:
        """Adds a metric that lives elsewhere."""
        self.metrics[name] = (help_text, metric)

    def text(self) -> str:
        lines: list[str] = []
        for name, (help_text, metric) in sorted(self.metrics.items()):
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {metric.kind}", *metric.lines(name)]
        return "\n".join(lines) + "\n"


def _line(name: str, labels: Labels, value: float) -> str:
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    number = str(int(value)) if value == int(value) else repr(value)
    return f"{name}{{{shown}}} {number}" if shown else f"{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
