"""What Envoy 1.40 does with delta ADS over a Unix socket, and that the machines of `xds/` live with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from argosy.xds.stream import Standing
from argosy.xds.types import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SECRET
from tests.e2e.envoy_lab import (
    Lab,
    answering,
    answers,
    cluster,
    endpoints,
    fault,
    has_host,
    listener,
    order,
    resource,
    route,
    running_lab,
    settled,
    tls,
)
from tests.ports import free_port

pytestmark = pytest.mark.e2e


@pytest.fixture
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    folder = Path(tmp_path_factory.mktemp("lab", numbered=True))
    assert len(str(folder / "admin.sock")) < 108
    async with running_lab(folder) as running:
        yield running


@pytest.fixture
async def backend() -> AsyncIterator[int]:
    async with answering("ok") as port:
        yield port


async def begin(lab: Lab, backend: int) -> int:
    """One cluster, one listener whose filter answers 418 until it is told otherwise; live."""
    port = free_port()
    lab.view.update(LISTENER, [listener("web", port, "r", "policy")])
    lab.view.update(ROUTE, [route("r", "a")])
    lab.view.update(EXTENSION, [fault("policy", 418)])
    lab.view.update(ENDPOINT, [endpoints("a", backend)])
    lab.view.update(CLUSTER, [cluster("a")])
    lab.start_envoy()
    await answers(lab, port, 418)
    await lab.until(lambda: lab.stream.settled(), "everything acknowledged")
    return port


async def test_a_start_goes_clusters_endpoints_listeners_routes(lab: Lab, backend: int) -> None:
    await begin(lab, backend)
    order(
        lab.said,
        "Cluster ask",
        "Cluster send a",
        "ClusterLoadAssignment ask a",
        "ClusterLoadAssignment send a",
    )
    order(
        lab.said,
        "Cluster ack",
        "Listener ask",
        "Listener send web",
        "RouteConfiguration ask r",
        "Listener ack",
    )
    order(lab.said, "TypedExtensionConfig ask policy", "TypedExtensionConfig send policy")


async def test_the_ack_of_a_new_cluster_waits_for_its_endpoints(lab: Lab, backend: int) -> None:
    port = await begin(lab, backend)
    lab.view.update(EXTENSION, [fault("policy", 418, percent=0)])
    lab.said.clear()
    lab.view.update(ROUTE, [route("r", "b")])
    lab.view.update(ENDPOINT, [endpoints("b", backend)])
    lab.view.update(CLUSTER, [cluster("b")])
    await answers(lab, port, 200)
    await settled(lab)
    order(
        lab.said,
        "Cluster send b",
        "ClusterLoadAssignment ask b",
        "ClusterLoadAssignment send b",
        "Cluster ack",
        "RouteConfiguration send r",
    )


async def test_a_changed_cluster_is_warm_at_once_because_its_endpoints_come_again(
    lab: Lab, backend: int
) -> None:
    await begin(lab, backend)
    lab.said.clear()
    lab.view.update(CLUSTER, [cluster("a", "2s")])
    await settled(lab)
    order(lab.said, "Cluster send a", "ClusterLoadAssignment send a", "Cluster ack")
    assert "ClusterLoadAssignment ask a" not in lab.said  # Envoy does not ask; without them it waits for 15 s
    assert await lab.stat("cluster.a.init_fetch_timeout") == 0


async def test_a_cluster_without_endpoints_is_answered_and_does_not_hold_up_others(
    lab: Lab, backend: int
) -> None:
    await begin(lab, backend)
    lab.said.clear()
    lab.view.update(CLUSTER, [cluster("empty")])
    await settled(lab)
    order(lab.said, "ClusterLoadAssignment ask empty", "ClusterLoadAssignment send -empty", "Cluster ack")
    lab.view.update(ENDPOINT, [endpoints("empty", backend)])
    await settled(lab)
    await lab.until(lambda: has_host(lab, "empty", backend), "the endpoint arrives")


async def test_removed_endpoints_stay_an_empty_assignment_takes_them(lab: Lab, backend: int) -> None:
    await begin(lab, backend)
    lab.view.update(ENDPOINT, removals=["a"])
    await settled(lab)
    assert await has_host(lab, "a", backend)
    lab.view.update(ENDPOINT, [endpoints("a")])
    await settled(lab)
    assert not await has_host(lab, "a", backend)


async def test_a_policy_by_ecds_applies_and_its_removal_fails_closed(lab: Lab, backend: int) -> None:
    port = await begin(lab, backend)
    lab.view.update(EXTENSION, [fault("policy", 403)])
    await answers(lab, port, 403)
    lab.view.update(EXTENSION, removals=["policy"])
    await answers(lab, port, 500)
    lab.view.update(EXTENSION, [fault("policy", 418)])
    await answers(lab, port, 418)


async def test_routes_leave_before_their_clusters(lab: Lab, backend: int) -> None:
    await begin(lab, backend)
    lab.view.update(ENDPOINT, [endpoints("b", backend)])
    lab.view.update(CLUSTER, [cluster("b")])
    lab.view.update(ROUTE, [route("r", "b")])
    await settled(lab)
    lab.said.clear()
    lab.view.update(CLUSTER, removals=["b"])
    lab.view.update(ENDPOINT, removals=["b"])
    lab.view.update(ROUTE, [route("r", "a")])
    await settled(lab)
    order(
        lab.said,
        "RouteConfiguration send r",
        "RouteConfiguration ack",
        "Cluster send -b",
        "ClusterLoadAssignment ask -b",
    )
    assert "ClusterLoadAssignment send -b" not in lab.said  # Envoy let go of it by itself


async def test_a_bad_listener_is_refused_kept_and_not_sent_again(lab: Lab, backend: int) -> None:
    port = await begin(lab, backend)
    other = free_port()
    bad = listener("bad", port, "r")  # the port is taken
    lab.said.clear()
    lab.view.update(LISTENER, [bad, listener("good", other, "r")])
    await answers(lab, other, 200)
    await settled(lab)
    assert lab.stream.standing(LISTENER, "bad") is Standing.REJECTED
    assert lab.stream.standing(LISTENER, "good") is Standing.ACKNOWLEDGED
    status = next(one for one in lab.stream.status() if one.type_url == LISTENER)
    assert status.nack is not None
    assert status.nack.names == ("bad",)
    assert "duplicate address" in status.nack.message
    lab.view.update(LISTENER, [listener("web", port, "r", "policy", traffic_direction="INBOUND")])
    await settled(lab)
    assert sum("bad" in line for line in lab.said if line.startswith("Listener send")) == 1
    lab.view.update(LISTENER, [listener("bad", free_port(), "r")])
    await settled(lab)
    assert lab.stream.standing(LISTENER, "bad") is Standing.ACKNOWLEDGED


async def test_a_bad_route_that_envoy_does_not_name_is_found_and_the_others_arrive(
    lab: Lab, backend: int
) -> None:
    await begin(lab, backend)
    more = [listener(f"l{i}", free_port(), f"r{i}") for i in range(3)]
    empty = resource(ROUTE, "r1", {"name": "r1", "virtual_hosts": [{"name": "nobody", "domains": []}]})
    lab.view.update(ROUTE, [route("r0", "a"), empty, route("r2", "a")])
    lab.view.update(LISTENER, more)
    await settled(lab)
    assert [lab.stream.standing(ROUTE, name) for name in ("r0", "r1", "r2")] == [
        Standing.ACKNOWLEDGED,
        Standing.REJECTED,
        Standing.ACKNOWLEDGED,
    ]


async def test_a_reconnect_resends_nothing_and_a_new_server_resumes_versions(lab: Lab, backend: int) -> None:
    port = await begin(lab, backend)
    await lab.stop_serving()
    assert (await lab.get(port)).status_code == 418  # traffic goes on
    lab.view.update(ROUTE, [route("r", "gone"), route("unused", "a")])
    lab.view.update(EXTENSION, [fault("policy", 418, percent=0)])
    lab.said.clear()
    streams = len(lab.streams)
    await lab.serve()
    await lab.until(lambda: len(lab.streams) > streams and len(lab.stream.types()) == 5, "Envoy is back")
    await settled(lab)
    assert lab.stream.sent_resources == 2  # r and policy, which changed while the server was away
    assert lab.stream.resumed == 3
    order(lab.said, "Cluster ask with 1", "ClusterLoadAssignment ask a with 1", "Listener ask with 1")
    await answers(lab, port, 503)


async def test_what_waits_for_a_missing_secret_goes_on(lab: Lab, backend: int) -> None:
    await begin(lab, backend)
    lab.said.clear()
    lab.view.update(ENDPOINT, [endpoints("t", backend)])
    lab.view.update(CLUSTER, [cluster("t", **tls("mine"))])
    await settled(lab)
    order(lab.said, "Secret ask mine", "Secret send -mine", "Secret ack")
    lab.view.update(SECRET, [resource(SECRET, "mine", {"name": "mine", "generic_secret": {}})])
    await lab.until(
        lambda: lab.stream.standing(SECRET, "mine") is Standing.REJECTED, "it is refused: no certificate"
    )


async def test_a_listener_goes_live_once_its_late_route_arrives(lab: Lab, backend: int) -> None:
    """A missing route is not answered: "removed" would stop Envoy's timer, and the listener would wait for ever."""
    await begin(lab, backend)
    port = free_port()
    lab.view.update(LISTENER, [listener("late", port, "later")])
    await settled(lab)
    assert "RouteConfiguration ask later" in lab.said
    assert "RouteConfiguration send -later" not in lab.said
    lab.view.update(ROUTE, [route("later", "a")])
    await answers(lab, port, 200, timeout=5)
