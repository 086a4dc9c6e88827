"""The root of a mesh is rotated under load, with two servers and real Envoys, and no request fails."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from argosy.agent.admin import Admin
from tests.e2e.mesh import Load, Mesh, until
from tests.e2e.test_replicas import ENTRIES, Replicas, connected
from tests.long.conftest import count
from tests.servers.etcd import etcd, needs_etcd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

URL = "http://reviews:9080/"
HANDSHAKES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}], retries: {attempts: 0}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 3}}}
"""
"""No retries, and a new TLS connection for every few requests."""


class World(Replicas):
    """Two servers with short certificates, a service at each, a client at each."""

    def begin(self) -> None:
        self.a.echo("reviews", "v1")
        self.b.echo("reviews", "v2")
        self.at_a, self.at_b = self.a.client("client-a"), self.b.client("client-b")
        self.a.announced("reviews")
        self.b.announced("reviews")
        self.a.apply(HANDSHAKES)
        until(lambda: connected(self.a) == ENTRIES, "everybody is connected")

    def certificates(self, mesh: Mesh) -> dict[str, dict[str, Any]]:
        rows = json.loads(mesh.argosy("identity", "list", "-o", "json"))
        return {row["workload"]: row for row in rows}

    def overview(self, mesh: Mesh) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(mesh.argosy("identity", "status", "-o", "json"))
        return found

    def rotate(self, mesh: Mesh, *flags: str, check: bool = True) -> str:
        return mesh.argosy("identity", "rotate-root", "--timeout=120s", *flags, check=check, timeout=180)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    needs_etcd()
    with etcd(tmp_path / "etcd", options=["--unsafe-no-fsync"]) as cluster, ExitStack() as stack:
        world = World(tmp_path, cluster.url(), stack, flags=("--cert-ttl=60s",))
        world.begin()
        yield world


def in_envoys(mesh: Mesh) -> list[tuple[list[str], int]]:
    """Of each Envoy: the serials of the roots that it trusts, and how many certificates of its own it shows."""
    found = []
    for workload in mesh.ps():
        shown = json.loads(asyncio.run(Admin(workload["admin_socket"]).get("/certs", 10.0)))
        roots = {one["serial_number"] for pair in shown["certificates"] for one in pair.get("ca_cert", [])}
        found.append((sorted(roots), len(shown["certificates"])))
    return found


def serial(pem: str) -> str:
    return f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:x}".lstrip("0")


def test_the_root_is_rotated_under_load_and_no_request_fails(world: World) -> None:
    a, b = world.a, world.b
    (old,) = world.overview(a)["roots"]
    assert {row["root"] for row in world.certificates(b).values()} == {old["fingerprint"]}
    assert set(world.certificates(a)) == ENTRIES
    with Load(world.at_a.port, URL) as from_a, Load(world.at_b.port, URL) as from_b:
        from_a.at_least(100)
        connections = {name: one["connected_since"] for name, one in streams(a).items()}
        world.rotate(a, "--stop-after=trust")
        roots = world.overview(b)["roots"]
        assert [one["state"] for one in roots] == ["going", "coming"]
        both = sorted(serial(one["pem"]) for one in roots)
        for mesh in (a, b):
            assert all(trusted == both for trusted, _ in in_envoys(mesh)), "every Envoy trusts both"
        assert {row["root"] for row in world.certificates(a).values()} == {old["fingerprint"]}
        from_b.at_least(100)
        # Another server goes on with it.
        world.rotate(b, "--stop-after=issue")
        new = next(one for one in roots if one["state"] == "coming")
        assert {row["root"] for row in world.certificates(a).values()} == {new["fingerprint"]}
        from_a.at_least(100)
        world.rotate(a)
        (only,) = world.overview(b)["roots"]
        assert only["fingerprint"] == new["fingerprint"]
        until(
            lambda: all(trusted == [serial(new["pem"])] for mesh in (a, b) for trusted, _ in in_envoys(mesh)),
            "no Envoy trusts the old root",
        )
        from_a.at_least(200)
        from_b.at_least(200)
    assert connections.keys() == streams(b).keys()
    for load in (from_a, from_b):
        assert load.failures == []
        assert set(load.answers) == {"reviews-v1", "reviews-v2"}
    # Both come back as what they are; the old keys are gone.
    for mesh in (a, b):
        mesh.kill_server()
        mesh.start_server()
        assert not (mesh.state / "ca" / "next").exists()
    assert (a.state / "ca" / "root.key").exists()
    assert not (b.state / "ca" / "root.key").exists()
    until(lambda: connected(a) == ENTRIES, "everybody is connected again")
    assert world.at_a.request(URL).status == 200
    assert world.at_b.request(URL).status == 200
    # A third server joins below the new root.
    a.argosy("identity", "roots")
    context = ssl.create_default_context(cadata=a.argosy("identity", "roots"))
    assert len(context.get_ca_certs()) == 1


def streams(mesh: Mesh) -> dict[str, dict[str, Any]]:
    found = json.loads(mesh.argosy("proxy", "status", "-o", "json"))
    return {one["name"]: one for one in found}


def test_whoever_is_behind_is_named_and_keeps_the_old_root(world: World) -> None:
    a, b = world.a, world.b
    pid = json.loads(b.argosy("ps", "-o", "json", "--agent"))["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        refused = world.rotate(a, "--timeout=3s", check=False)
        assert refused.startswith("2\n")
        assert "phase trust: 2 of 4 workloads trust the new root, 2 of 2 servers are ready" in refused
        assert "client-b.default: it does not trust the new root yet" in refused
        assert "reviews-v2.default: it does not trust the new root yet" in refused
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: not world.overview(a)["rotation"]["behind"], "they are through")
    world.rotate(a, "--abort")
    (only,) = world.overview(b)["roots"]
    assert only["state"] == "in force"
    assert "no rotation is under way" in world.rotate(b, "--status")
    # Given up, it can be begun anew, with another root.
    world.rotate(a)
    assert world.overview(b)["roots"][0]["fingerprint"] != only["fingerprint"]
    assert world.at_b.request(URL).status == 200


def test_the_server_with_the_root_dies_in_the_middle_and_another_ends_the_rotation(world: World) -> None:
    a, b = world.a, world.b
    with Load(world.at_a.port, URL) as from_a, Load(world.at_b.port, URL) as from_b:
        world.rotate(a, "--stop-after=trust")
        new = next(one for one in world.overview(b)["roots"] if one["state"] == "coming")
        a.kill_server()
        world.all_come_to(b)
        until(lambda: len(world.overview(b)["servers"]) == 1, "its lease is over", 30)
        world.rotate(b)
        (only,) = world.overview(b)["roots"]
        assert only["fingerprint"] == new["fingerprint"]
        from_a.at_least(100)
        from_b.at_least(100)
        # It was ready before it died: it comes back with the new root, and holds its key.
        a.start_server()
        until(lambda: len(world.overview(b)["servers"]) == 2, "it is one of them again")
        assert all(one["issues"] == new["fingerprint"] for one in world.overview(a)["servers"])
        assert (a.state / "ca" / "root.key").exists()
        assert not (a.state / "ca" / "next").exists()
        from_a.at_least(100)
    for load in (from_a, from_b):
        assert load.failures == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_roots_and_certificates_rotate_again_and_again_without_a_failed_request(world: World) -> None:
    ends = time.monotonic() + count(full=600, short=40)
    seen = set()
    with Load(world.at_a.port, URL) as from_a, Load(world.at_b.port, URL) as from_b:
        while time.monotonic() < ends:
            for mesh in (world.a, world.b):
                world.rotate(world.a)
                (only,) = world.overview(mesh)["roots"]
                seen.add(only["fingerprint"])
                from_a.at_least(500)
                from_b.at_least(500)
    assert len(seen) >= count(full=6, short=2)
    for load in (from_a, from_b):
        assert load.failures == []
        assert load.total > count(full=10_000, short=1_000)
