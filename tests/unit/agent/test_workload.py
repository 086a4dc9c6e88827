from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from argosy.agent.processes import ProcessId
from argosy.agent.protocol import AppStarted, BoundPort, BoundUpstream, PortRequest, Start
from argosy.agent.workload import COMPLETED, FORMAT, TABLE, Event, Folder, Record, State, names_on_disk
from argosy.runtime.errors import Failure


def path(*events: Event, begin: State = State.STARTING) -> State:
    state = begin
    for event in events:
        state = TABLE.get((state, event), state)
    return state


def test_a_life_in_order() -> None:
    assert path(Event.SERVES, Event.APP_STARTED) is State.RUNNING
    assert path(Event.SERVES, Event.APP_STARTED, Event.LEAVE, Event.WITHDRAWN) is State.DRAINING
    rest = (Event.DRAINED, Event.APP_STOPPED, Event.CLOSED, Event.LEFT)
    assert path(Event.SERVES, Event.APP_STARTED, Event.LEAVE, Event.WITHDRAWN, *rest) is State.GONE


def test_an_application_that_ends_may_start_again() -> None:
    assert path(Event.SERVES, Event.APP_STARTED, Event.APP_STOPPED) is State.READY
    assert path(Event.SERVES, Event.APP_STARTED, Event.APP_STOPPED, Event.APP_STARTED) is State.RUNNING


@pytest.mark.parametrize("event", [Event.LEAVE, Event.ABANDONED, Event.BROKEN])
def test_what_has_not_started_has_nothing_to_drain(event: Event) -> None:
    assert path(event) is State.CLOSING


@pytest.mark.parametrize("state", [State.READY, State.RUNNING])
@pytest.mark.parametrize("event", [Event.LEAVE, Event.ABANDONED])
def test_whoever_leaves_is_withdrawn_first(state: State, event: Event) -> None:
    assert TABLE[state, event] is State.WITHDRAWING


@pytest.mark.parametrize(
    "state", [State.WITHDRAWING, State.DRAINING, State.STOPPING, State.CLOSING, State.LEAVING]
)
def test_nothing_stops_or_skips_a_leave(state: State) -> None:
    """Only the end of a state's own work goes on, and it goes on to the next."""
    moves = {event for (of, event) in TABLE if of is state}
    assert moves == {COMPLETED[state]}
    order = list(State)
    assert order.index(TABLE[state, COMPLETED[state]]) == order.index(state) + 1


def test_every_state_can_be_reached_and_left() -> None:
    reached = {State.STARTING} | set(TABLE.values())
    assert reached == set(State)
    assert {state for state, _ in TABLE} == set(State) - {State.GONE}


RECORD = Record(
    name="reviews-v1",
    token="t",
    spec=Start(name="reviews", ports=(PortRequest(workload=9080),), port_map={80: 8080}),
    state=State.RUNNING,
    ports=(BoundPort(workload=9080, bind=20000, application=20001, protocol="http"),),
    upstreams=(BoundUpstream(host="ratings", port=9080, bind=20002),),
    client=ProcessId(1, 2),
    app=AppStarted(pid=3, pgid=4, start_time=5),
    envoy=ProcessId(6, 7),
    announced=True,
)


def folder(tmp_path: Path) -> Folder:
    one = Folder(tmp_path, "reviews-v1")
    one.create()
    return one


def test_a_record_comes_back_as_it_went(tmp_path: Path) -> None:
    one = folder(tmp_path)
    assert one.load() is None
    one.save(RECORD)
    assert one.load() == RECORD
    assert one.record.stat().st_mode & 0o777 == 0o600
    assert one.path.stat().st_mode & 0o777 == 0o700
    assert names_on_disk(tmp_path) == ("reviews-v1",)
    one.remove()
    assert names_on_disk(tmp_path) == ()
    one.remove()


def test_an_older_record_is_read(tmp_path: Path) -> None:
    one = folder(tmp_path)
    older = {
        k: v
        for k, v in json.loads(msgspec.json.encode(RECORD)).items()
        if k in ("format", "name", "token", "spec")
    }
    one.record.write_text(json.dumps(older))
    loaded = one.load()
    assert loaded is not None
    assert loaded.state is State.STARTING


def test_a_newer_record_is_refused(tmp_path: Path) -> None:
    one = folder(tmp_path)
    one.record.write_text(json.dumps({"format": FORMAT + 1, "shape": "unknown"}))
    with pytest.raises(Failure, match="written by a newer version"):
        one.load()


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    one = folder(tmp_path)
    one.record.write_text('{"format": 1, "name": ')
    with pytest.raises(Failure, match=r"workload\.json is damaged"):
        one.load()
