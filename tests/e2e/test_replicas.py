"""Two servers on one etcd, each with workloads of its own agent: either is killed under load, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.mesh import Load, Mesh, until
from tests.e2e.test_outages import NO_RETRIES, URL, resources_sent
from tests.servers.etcd import etcd, needs_etcd
from tests.servers.forwarder import forwarder

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ENTRIES = {"reviews-v1", "reviews-v2", "client-a", "client-b"}


def changed(value: str) -> str:
    """Requests that come back with a header of their own: whoever runs it can be told."""
    return NO_RETRIES.replace(
        "retries: {attempts: 0}",
        f'retries: {{attempts: 0}}, headers: {{response: {{set: {{x-changed: "{value}"}}}}}}',
    )


class Replicas:
    """Two servers, `a` with the root and `b` that joined it, and the workloads of both."""

    def __init__(
        self,
        folder: Path,
        store: str,
        stack: ExitStack,
        store_of_b: str = "",
        flags: tuple[str, ...] = (),
    ) -> None:
        self.a, self.b = Mesh(folder / "a"), Mesh(folder / "b")
        stack.callback(self.b.close)
        stack.callback(self.a.close)
        self.a.server_flags = (f"--store={store}", *flags)
        self.a.start_server()
        token = folder / "join.token"
        self.a.argosy("join-token", "--file", str(token))
        self.b.server_flags = (
            f"--store={store_of_b or store}",
            f"--join=127.0.0.1:{self.a.ports['ca']}",
            f"--join-token-file={token}",
            *flags,
        )
        self.b.start_server()
        token.unlink()

    def ids(self) -> dict[str, str]:
        return {"a": self._id(self.a), "b": self._id(self.b)}

    @staticmethod
    def _id(mesh: Mesh) -> str:
        return (mesh.state / "server.id").read_text().strip()

    @staticmethod
    def entries(mesh: Mesh) -> dict[str, dict[str, Any]]:
        """Of everybody, as a server sees them."""
        items = json.loads(mesh.argosy("get", "workloadentries", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item for item in items}

    def attended_by(self, mesh: Mesh) -> dict[str, str]:
        """Entry -> id of the server that attends it."""
        return {
            name: entry["metadata"]["annotations"]["istio.io/workloadController"].partition("-")[0]
            for name, entry in self.entries(mesh).items()
        }

    def all_come_to(self, mesh: Mesh) -> None:
        """Every agent is connected, to the server of `mesh`."""
        until(
            lambda: all(w["connected"] for each in (self.a, self.b) for w in each.ps()),
            "the agents are connected",
            20,
        )
        until(
            lambda: set(self.attended_by(mesh).values()) == {self._id(mesh)},
            "the server that is left attends all of them",
        )

    def counts_all(self, mesh: Mesh) -> None:
        """The condition is written, over the proxies of all servers."""

        def counted() -> bool:
            if (message := self.programmed(mesh)["message"]) != "4 of 4 affected proxies run it":
                raise AssertionError(message)
            return True

        until(counted, "the conditions count the proxies of both servers", 60)

    @staticmethod
    def programmed(mesh: Mesh) -> dict[str, Any]:
        found = json.loads(mesh.argosy("get", "virtualservice", "reviews", "-o", "json"))
        conditions = {one["type"]: one for one in found["status"]["conditions"]}
        assert conditions["Programmed"]["observedGeneration"] == found["metadata"]["generation"]
        programmed: dict[str, Any] = conditions["Programmed"]
        return programmed


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Replicas]:
    needs_etcd()
    with etcd(tmp_path / "etcd", options=["--unsafe-no-fsync"]) as cluster, ExitStack() as stack:
        yield Replicas(tmp_path, cluster.url(), stack)


def test_either_of_two_servers_is_killed_under_load_and_nothing_is_lost(replicas: Replicas) -> None:
    a, b = replicas.a, replicas.b
    a.echo("reviews", "v1")
    b.echo("reviews", "v2")
    at_a, at_b = a.client("client-a"), b.client("client-b")
    a.announced("reviews")
    b.announced("reviews")
    ids = replicas.ids()
    until(
        lambda: (
            replicas.attended_by(a)
            == {"reviews-v1": ids["a"], "client-a": ids["a"], "reviews-v2": ids["b"], "client-b": ids["b"]}
        ),
        "each server attends its own",
    )
    a.apply(NO_RETRIES)
    with Load(at_a.port, URL) as from_a, Load(at_b.port, URL) as from_b:
        for dead, alive, value in ((a, b, "one"), (b, a, "two")):
            replicas.counts_all(alive)
            from_a.at_least(100)
            sent = resources_sent(alive)
            dead.kill_server()
            replicas.all_come_to(alive)
            assert resources_sent(alive) == sent, "nothing that is the same is sent again"
            alive.apply(changed(value))
            for client in (at_a, at_b):
                assert client.request(URL).headers["x-changed"] == value
            replicas.counts_all(alive)
            from_b.at_least(200)
            assert set(replicas.entries(alive)) == ENTRIES
            dead.start_server()
    for load in (from_a, from_b):
        assert load.failures == []
        assert set(load.answers) == {"reviews-v1", "reviews-v2"}, "each calls what the other server attends"


def status(mesh: Mesh) -> str:
    """`argosy proxy status`, with what it says beside the table."""
    return mesh.argosy("proxy", "status", check=False)


def connected(mesh: Mesh) -> set[str]:
    found = json.loads(mesh.argosy("proxy", "status", "-o", "json"))
    return {one["workload"] for one in found if one["connected"]}


@pytest.mark.long
def test_a_host_that_dies_with_its_server_leaves_the_mesh_after_the_grace(replicas: Replicas) -> None:
    a, b = replicas.a, replicas.b
    a.echo("reviews", "v1")
    b.echo("reviews", "v2")
    a.client("client-a")
    b.client("client-b")
    a.announced("reviews")
    b.announced("reviews")
    until(lambda: set(replicas.entries(a)) == ENTRIES, "everybody is registered")
    until(lambda: connected(a) == connected(b) == ENTRIES, "each server sees all proxies")
    address = f"127.0.0.1:{b.ports['xds']}"
    workloads = b.ps()
    agent = json.loads(b.argosy("ps", "-o", "json", "--agent"))["pid"]
    b.kill_server()
    os.kill(agent, signal.SIGKILL)
    for run in b.runs.values():
        run.process.kill()
    for one in workloads:
        os.kill(one["envoy_pid"], signal.SIGKILL)
    assert f"no answer from the control plane at {address}" in status(a), "who does not answer is named"
    early: list[set[str]] = []

    def lease_is_over() -> bool:
        entries = set(replicas.entries(a))
        over = address not in status(a)
        if not over and entries != ENTRIES:
            early.append(entries)
        return over

    until(lease_is_over, "it is no longer one of them", 60)
    assert early == [], "as long as its lease runs nothing of it is removed"
    until(lambda: set(replicas.entries(a)) == {"reviews-v1", "client-a"}, "its workloads are gone", 90)


@pytest.mark.long
def test_agents_leave_a_server_that_is_cut_off_from_the_store(tmp_path: Path) -> None:
    needs_etcd()
    with etcd(tmp_path / "etcd", options=["--unsafe-no-fsync"]) as cluster, ExitStack() as stack:
        wire = stack.enter_context(forwarder(cluster.members[0].port))
        far = f"etcd://127.0.0.1:{wire.port}/argosy"
        replicas = Replicas(tmp_path, cluster.url(), stack, store_of_b=far)
        a, b = replicas.a, replicas.b
        a.echo("reviews", "v1")
        b.echo("reviews", "v2")
        client = b.client("client-b")
        a.announced("reviews")
        b.announced("reviews")
        a.apply(NO_RETRIES)
        with Load(client.port, URL) as load:
            load.at_least(50)
            wire.cut()
            until(lambda: set(replicas.attended_by(a).values()) == {replicas._id(a)}, "a attends all", 60)
            a.apply(changed("while b is cut off"))
            assert client.request(URL).headers["x-changed"] == "while b is cut off"
            assert b.server is not None
            assert b.server.poll() is None, "it goes on, and waits for its store"
            wire.mend()
            # It catches up, and takes its part again.
            until(
                lambda: replicas.programmed(b)["message"] == "3 of 3 affected proxies run it", "b is back", 60
            )
            a.kill_server()
            until(lambda: set(replicas.attended_by(b).values()) == {replicas._id(b)}, "b attends all", 60)
            b.apply(changed("b serves"))
            assert client.request(URL).headers["x-changed"] == "b serves"
            load.at_least(50)
        assert load.failures == []
        assert set(load.answers) == {"reviews-v1", "reviews-v2"}
