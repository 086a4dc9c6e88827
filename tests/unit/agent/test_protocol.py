from __future__ import annotations

import json

import msgspec
import pytest

from argosy.agent import protocol
from argosy.agent.protocol import (
    BEYOND,
    AppStarted,
    Attach,
    BoundPort,
    BoundUpstream,
    Buckets,
    PortRequest,
    Start,
    Started,
    Traffic,
    UpstreamRequest,
)


@pytest.mark.parametrize(
    "request_",
    [
        Start(
            name="reviews-v1",
            type="router",
            labels={"version": "v1"},
            ports=(PortRequest(workload=9080, protocol="grpc"),),
            upstreams=(UpstreamRequest(host="ratings", port=9080),),
            port_map={80: 8080},
        ),
        Attach(name="a", token="t", app=AppStarted(pid=1, pgid=2, start_time=3)),
        Attach(name="a", token="t"),
        AppStarted(pid=1, pgid=2, start_time=3),
        protocol.AppStopped(code=-15),
        protocol.Leave(patience=0),
        protocol.List(),
        protocol.Stats(name="a"),
        protocol.Down(name="a"),
        protocol.Shutdown(),
    ],
)
def test_requests_come_back_as_they_went(request_: protocol.Request) -> None:
    sent = protocol.line(request_)
    assert sent.endswith(b"\n")
    assert sent.count(b"\n") == 1
    assert protocol.requests.decode(sent) == request_


@pytest.mark.parametrize(
    "event",
    [
        protocol.Progress("waiting\nfor something"),
        Started(
            name="a",
            token="t",
            identity="spiffe://td/ns/n/sa/s",
            outbound_proxy_port=1,
            ports=(BoundPort(workload=1, bind=2, application=3, protocol="http"),),
            upstreams=(BoundUpstream(host="h", port=1, bind=2),),
            port_map={80: 8080},
            admin_socket="/a",
            metrics_url="http://",
            envoy_log="/l",
            app_log="/l",
        ),
        protocol.Registered(entry="default/a"),
        protocol.Ready(stale=True),
        protocol.Health(healthy=False, announced=True, detail="why"),
        protocol.EnvoyRestarted(restarts=1, reason="killed", pid=2),
        protocol.Warned(what="w"),
        protocol.StopApp("leaving"),
        protocol.Gone(),
        protocol.Failed(what="w", remedy="r"),
        protocol.StatsAnswer(
            at=1.5,
            workloads=(
                protocol.WorkloadStats(
                    name="a",
                    namespace="n",
                    service="s",
                    version="v",
                    traffic=(
                        Traffic(
                            reporter="source",
                            source_workload="a",
                            source_app="a",
                            source_version="",
                            destination_service="s",
                            destination_workload="w",
                            destination_app="a",
                            destination_version="v",
                            protocol="http",
                            security="unknown",
                            requests=3,
                            failures=1,
                            codes={"200": 2, "503": 1},
                            durations=((1.0, 1), (BEYOND, 3)),
                        ),
                    ),
                ),
            ),
        ),
        protocol.DownAnswer(names=("a", "b")),
    ],
)
def test_events_come_back_as_they_went(event: protocol.Event) -> None:
    assert protocol.events.decode(protocol.line(event)) == event


def test_a_line_says_which_message_it_is() -> None:
    assert json.loads(protocol.line(protocol.List())) == {
        "message": "list",
        "protocol": protocol.PROTOCOL,
        "counted": "",
    }


def test_what_is_no_message_is_refused() -> None:
    for text in (b"{}", b'{"message":"fly"}', b"[]", b"not json", b'{"message":"start"}'):
        with pytest.raises(msgspec.MsgspecError):
            protocol.requests.decode(text)


def test_a_newer_sides_additions_are_ignored() -> None:
    assert protocol.requests.decode(b'{"message":"list","later":1}') == protocol.List()


EMPTY: Buckets = ((1.0, 0), (10.0, 0), (BEYOND, 0))
TEN: Buckets = ((1.0, 5), (10.0, 10), (BEYOND, 10))
SLOW: Buckets = ((1.0, 0), (10.0, 0), (BEYOND, 4))


@pytest.mark.parametrize(
    ("buckets", "q", "expected"),
    [
        ((), 0.5, None),
        (EMPTY, 0.5, None),
        (TEN, 0.5, 1.0),
        (TEN, 0.25, 0.5),
        (TEN, 1.0, 10.0),
        (TEN, 0.75, 5.5),
        (SLOW, 0.99, 10.0),  # beyond the last bound: nothing better is known
    ],
)
def test_quantiles_are_linear_within_their_bucket(buckets: Buckets, q: float, expected: float | None) -> None:
    assert protocol.quantile(buckets, q) == expected


def test_since_subtracts_and_a_new_envoy_counts_from_zero() -> None:
    assert protocol.since((), TEN) == TEN
    assert protocol.since(TEN, ((1.0, 6), (10.0, 12), (BEYOND, 13))) == ((1.0, 1), (10.0, 2), (BEYOND, 3))
    assert protocol.since(TEN, SLOW) == SLOW


def test_together_adds_bound_by_bound() -> None:
    assert protocol.together([TEN, SLOW]) == ((1.0, 5), (10.0, 10), (BEYOND, 14))
    assert protocol.together([]) == ()
