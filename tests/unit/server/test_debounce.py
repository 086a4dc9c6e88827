"""When a change is pushed: at once after a quiet time, soon under load, never too late."""

from __future__ import annotations

import pytest

from argosy.server.debounce import Change, Debounce


def test_nothing_waits_for_nothing() -> None:
    assert Debounce().due() is None


@pytest.mark.parametrize("change", list(Change))
def test_the_first_change_after_a_quiet_time_is_due_at_once(change: Change) -> None:
    debounce = Debounce()
    debounce.note(change, 100.0)
    due = debounce.due()
    assert due is not None
    assert due <= 100.0
    debounce.pushed(100.0)
    assert debounce.due() is None
    debounce.note(change, 200.0)
    due = debounce.due()
    assert due is not None
    assert due <= 200.0


@pytest.mark.parametrize(("change", "quiet"), [(Change.ENDPOINTS, 0.01), (Change.CONFIG, 0.05)])
def test_a_change_right_after_a_push_waits_until_it_is_quiet(change: Change, quiet: float) -> None:
    debounce = Debounce()
    debounce.pushed(100.0)
    debounce.note(change, 100.001)
    assert debounce.due() == pytest.approx(100.001 + quiet)
    debounce.note(change, 100.002)
    assert debounce.due() == pytest.approx(100.002 + quiet)


@pytest.mark.parametrize(("change", "longest"), [(Change.ENDPOINTS, 0.1), (Change.CONFIG, 1.0)])
def test_a_change_never_waits_longer_than_its_bound(change: Change, longest: float) -> None:
    debounce = Debounce()
    debounce.pushed(100.0)
    now = 100.001
    while now < 103:
        debounce.note(change, now)
        now += 0.001
    assert debounce.due() == pytest.approx(100.001 + longest)


def test_an_endpoint_does_not_wait_for_configuration() -> None:
    debounce = Debounce()
    debounce.pushed(100.0)
    debounce.note(Change.CONFIG, 100.001)
    debounce.note(Change.ENDPOINTS, 100.002)
    assert debounce.due() == pytest.approx(100.012)


def test_a_storm_is_pushed_in_bounded_steps() -> None:
    """10,000 endpoint changes in a second: one push at once, then one each 100 ms."""
    debounce, pushes = Debounce(), 0
    for step in range(10_000):
        now = 100 + step / 10_000
        debounce.note(Change.ENDPOINTS, now)
        due = debounce.due()
        assert due is not None
        if due <= now:
            pushes += 1
            debounce.pushed(now)
    assert 9 <= pushes <= 11
