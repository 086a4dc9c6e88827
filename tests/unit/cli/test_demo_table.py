"""The live table's numbers, from readings made up here."""

from __future__ import annotations

from argosy.agent.protocol import BEYOND, Buckets, StatsAnswer, Traffic, WorkloadStats
from argosy.cli.demo_table import WINDOW_SECONDS, Row, Window, cells


def buckets(quick: int, slow: int) -> Buckets:
    """`quick` requests up to 10 ms, `slow` between 500 and 1000."""
    return ((10.0, quick), (500.0, quick), (1000.0, quick + slow), (BEYOND, quick + slow))


def seen(
    requests: int,
    failures: int = 0,
    *,
    reporter: str = "source",
    version: str = "v1",
    security: str = "unknown",
    durations: Buckets = (),
    app: str = "reviews",
) -> Traffic:
    return Traffic(
        reporter=reporter,
        source_workload="frontend-v1",
        source_app="frontend",
        source_version="v1",
        destination_service="reviews.default.svc.cluster.local",
        destination_workload=f"reviews-{version}",
        destination_app=app,
        destination_version=version,
        protocol="http",
        security=security,
        requests=requests,
        failures=failures,
        durations=durations,
    )


def at(when: float, *traffic: Traffic, name: str = "frontend-v1") -> StatsAnswer:
    workload = WorkloadStats(name=name, namespace="default", service=name, version="v1", traffic=traffic)
    return StatsAnswer(at=when, workloads=(workload,))


def window(*answers: StatsAnswer) -> Window:
    found = Window([("reviews", "v1")])
    for answer in answers:
        found.add(answer)
    return found


def only(found: Window) -> Row:
    (row,) = found.rows()
    return row


def test_nothing_was_read_yet() -> None:
    assert only(window()) == Row("reviews", "v1", 0.0)


def test_one_reading_says_nothing_about_a_rate() -> None:
    row = only(window(at(100, seen(5000))))
    assert (row.rate, row.success) == (0.0, None)


def test_rate_and_success_are_of_the_time_between() -> None:
    row = only(window(at(100, seen(1000, 500)), at(110, seen(1100, 510))))
    assert row.rate == 10.0
    assert row.success == 90.0


def test_latency_is_of_the_time_between() -> None:
    row = only(
        window(at(100, seen(100, durations=buckets(0, 100))), at(110, seen(200, durations=buckets(100, 100))))
    )
    assert row.p99 is not None
    assert row.p99 <= 10.0


def test_a_restarted_sidecar_counts_from_zero() -> None:
    row = only(window(at(100, seen(1000)), at(110, seen(50))))
    assert row.rate == 5.0


def test_a_restart_of_one_sidecar_does_not_hide_the_others() -> None:
    def both(when: float, one: int, other: int) -> StatsAnswer:
        first, second = at(when, seen(one)), at(when, seen(other), name="catalog-v1")
        return StatsAnswer(at=when, workloads=first.workloads + second.workloads)

    row = only(window(both(100, 1000, 1000), both(110, 1100, 50)))
    assert row.rate == 15.0


def test_mutual_tls_is_what_the_called_side_says() -> None:
    def reading(when: float, plain: int, encrypted: int) -> StatsAnswer:
        return at(
            when,
            seen(encrypted, reporter="destination", security="mutual_tls"),
            seen(plain, reporter="destination", security="none"),
        )

    row = only(window(reading(100, 0, 0), reading(110, 25, 75)))
    assert row.mtls == 75.0
    assert row.rate == 0.0


def test_requests_that_reached_nobody_have_a_row_of_their_own() -> None:
    lost = seen(0, 0, version="unknown", app="unknown")
    rows = window(
        at(100, seen(0), lost), at(110, seen(10), seen(5, 5, version="unknown", app="unknown"))
    ).rows()
    assert [(r.service, r.version, r.success) for r in rows] == [
        ("reviews", "-", 0.0),
        ("reviews", "v1", 100.0),
    ]


def test_old_readings_leave_the_window() -> None:
    found = window(*(at(100 + 2 * i, seen(i)) for i in range(50)))
    span = found.readings[-1].at - found.readings[0].at
    assert WINDOW_SECONDS <= span <= WINDOW_SECONDS + 2


def test_one_failure_in_many_is_not_told_as_none() -> None:
    assert cells(Row("a", "v1", 1.0, success=99.999, p50=1.234, p99=1234.5, mtls=100.0)) == [
        "a",
        "v1",
        "1.0",
        "99.9 %",
        "1.2 ms",
        "1234 ms",
        "100 %",
    ]
