"""The text that Prometheus reads."""

from __future__ import annotations

from argosy.server.metrics import Counter, Gauge, Histogram, Metrics, Reading


def test_counters_by_label() -> None:
    counter = Counter()
    assert counter.lines("x_total") == ["x_total 0"]
    counter.add(type="b")
    counter.add(2, type="a")
    counter.add(type="b")
    assert counter.lines("x_total") == ['x_total{type="a"} 2', 'x_total{type="b"} 2']


def test_gauges_are_read_when_asked() -> None:
    value = 1.0
    gauge = Gauge(lambda: value)
    value = 2.5
    assert gauge.lines("x") == ["x 2.5"]
    assert Gauge(lambda: {(("k", "v"),): 1.0}).lines("x") == ['x{k="v"} 1']


def test_histograms_are_cumulative() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.observe(value)
    assert histogram.lines("x") == [
        'x_bucket{le="0.1"} 2',
        'x_bucket{le="1.0"} 3',
        'x_bucket{le="+Inf"} 4',
        "x_sum 7.65",
        "x_count 4",
    ]


def test_labels_are_escaped() -> None:
    counter = Counter()
    counter.add(name='a"b\\c\nd')
    assert counter.lines("x") == ['x{name="a\\"b\\\\c\\nd"} 1']


def test_each_metric_has_help_and_type() -> None:
    metrics = Metrics()
    metrics.show("argosy_z", "Last.", Reading(lambda: 3))
    text = metrics.text()
    assert text.endswith("# HELP argosy_z Last.\n# TYPE argosy_z counter\nargosy_z 3\n")
    lines = text.splitlines()
    names = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert len(names) == sum(line.startswith("# HELP") for line in lines)
