"""Which of Istio's metrics proxies report, and with which tags beside, or in place of, the standard ones.

Facts (Istio): what is said of one metric holds against what is said of all; of one tag the last word counts. A
`customMetric` means a metric by its name, and the standard ones have names of that kind too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

ALL_METRICS = "ALL_METRICS"
PROMETHEUS = "prometheus"
NAMES = {
    "REQUEST_COUNT": "requests_total",
    "REQUEST_DURATION": "request_duration_milliseconds",
    "REQUEST_SIZE": "request_bytes",
    "RESPONSE_SIZE": "response_bytes",
    "TCP_OPENED_CONNECTIONS": "tcp_connections_opened_total",
    "TCP_CLOSED_CONNECTIONS": "tcp_connections_closed_total",
    "TCP_SENT_BYTES": "tcp_sent_bytes_total",
    "TCP_RECEIVED_BYTES": "tcp_received_bytes_total",
}
"""Those that are reported: how Telemetry calls them, and their names without the prefix `istio_`."""
METRICS = tuple(NAMES)
_CALLED = {name: metric for metric, name in NAMES.items()}

Tags = tuple[tuple[str, str], ...]
"""(tag, its value as a CEL expression; "": the tag is taken off), sorted."""


class MetricsRule(Struct, frozen=True):
    """Of one side."""

    metric: str  # one of METRICS, or ALL_METRICS; another is nobody's
    disabled: bool | None = None
    tags: Tags = ()


class Metrics(Struct, frozen=True):
    silent: tuple[str, ...] = ()  # not reported, sorted
    tags: tuple[tuple[str, Tags], ...] = ()  # by metric, sorted

    def tags_of(self, metric: str) -> Tags:
        return next((tags for name, tags in self.tags if name == metric), ())


AS_USUAL = Metrics()


def called(name: str) -> str:
    """The metric of a name, "" where no metric has it."""
    return _CALLED.get(name, "")


def resolve(rules: Iterable[MetricsRule]) -> Metrics:
    of_all = False
    single: dict[str, bool] = {}
    tags: dict[str, dict[str, str]] = {}
    for rule in rules:
        if rule.metric == ALL_METRICS:
            of_all = of_all if rule.disabled is None else rule.disabled
        elif rule.disabled is not None:
            single[rule.metric] = rule.disabled
        for metric in METRICS if rule.metric == ALL_METRICS else (rule.metric,):
            tags.setdefault(metric, {}).update(rule.tags)
    silent = sorted(name for name in METRICS if single.get(name, of_all))
    said = ((name, tuple(sorted(tags.get(name, {}).items()))) for name in METRICS if name not in silent)
    return Metrics(tuple(silent), tuple(sorted((name, one) for name, one in said if one)))


# --- expressions ------------------------------------------------------------------------------------------------------

_LITERAL = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_NODE = re.compile(r"(?<![\w.])node(?=\s*[.\[])")
_END = ")%"


def expression(text: str) -> str:
    """As Envoy's formatter takes it. Facts: Envoy calls what a proxy says of itself `xds.node`, Istio's filter `node`;
    a formatter's command ends at its first `)%`."""
    return "".join(_parts(" ".join(text.split("\n"))))


def _parts(text: str) -> Iterator[str]:
    for position, part in enumerate(_LITERAL.split(text)):
        yield part if position % 2 else _NODE.sub("xds.node", part).replace(_END, ") %")
