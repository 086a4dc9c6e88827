"""Who holds what, as an operator sees it; and the ways back: a root that expired, a certificate that ended while nobody
looked, an identity that was revoked."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from argosy.identity import issuer as issuers
from tests.e2e.mesh import Client, Connection, Load, Mesh, running_mesh, until
from tests.e2e.test_rotation import HANDSHAKES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

URL = "http://reviews:9080/"


def served(client: Client) -> bool:
    return client.request(URL).status == 200


def rows(mesh: Mesh) -> dict[str, dict[str, Any]]:
    return {row["workload"]: row for row in json.loads(mesh.argosy("identity", "list", "-o", "json"))}


def test_who_holds_what_is_told_and_what_would_fail(mesh: Mesh) -> None:
    mesh.echo("reviews")
    client = mesh.client()
    mesh.announced("reviews")
    until(lambda: served(client), "served")
    until(lambda: set(rows(mesh)) == {"reviews-v1", "client"}, "both are recorded")
    found = rows(mesh)["reviews-v1"]
    assert found["identity"] == "spiffe://cluster.local/ns/default/sa/reviews"
    assert found["proof"].startswith("unix")
    assert (found["late"], found["problem"], found["connected"]) == (False, "", True)
    table = mesh.argosy("identity", "list")
    assert "spiffe://cluster.local/ns/default/sa/client" in table
    shown = mesh.argosy("identity", "show", "reviews-v1")
    assert found["serial"] in shown
    assert found["root"] in shown
    assert mesh.argosy("identity", "expiring", check=False).startswith("0\n")
    soon = mesh.argosy("identity", "expiring", "--within=3d", check=False)
    assert soon.startswith("1\n")
    assert "reviews-v1.default" in soon
    log = json.loads(mesh.argosy("identity", "issued", "-o", "json"))
    assert {one["serial"] for one in log} == {row["serial"] for row in rows(mesh).values()}
    assert (mesh.state / "issued.log").stat().st_mode & 0o777 == 0o600
    assert found["root"][:16] in mesh.argosy("identity", "status")
    rehearsed = mesh.argosy("identity", "rehearse", check=False)
    assert rehearsed.startswith("1\n")
    assert "reviews.default.svc.cluster.local  fails: for every caller" in rehearsed
    assert "2 workloads could call nobody by mutual TLS: client.default, reviews-v1.default" in rehearsed
    other = mesh.argosy("identity", "rehearse", "--issuer=0123", check=False)
    assert "nobody holds a certificate below it" in other
    # A workload that leaves takes its record with it.
    mesh.runs["client-1"].stop()
    until(lambda: set(rows(mesh)) == {"reviews-v1"}, "it is not among them any more")


def test_an_issuing_policy_bounds_what_is_issued(mesh: Mesh) -> None:
    mesh.apply("""
apiVersion: identity.argosy.dev/v1
kind: IssuingPolicy
metadata: {name: short}
spec: {maxLifetime: 10m, allow: ["default/*"], deny: ["default/till"]}
""")
    mesh.echo("reviews")
    mesh.announced("reviews")
    until(lambda: "reviews-v1" in rows(mesh), "it is recorded")
    assert rows(mesh)["reviews-v1"]["not_after"] - time.time() <= 600
    refused = mesh.echo("till")
    assert refused.process.wait(60) != 0
    assert "the mesh issues no certificate for the service account default/till" in refused.output()
    assert (
        "IssuingPolicy short does not permit spiffe://cluster.local/ns/default/sa/till"
        in (mesh.state / "server.log").read_text()
    )


def test_an_expired_root_is_told_and_a_new_one_brings_everybody_back(tmp_path: Path) -> None:
    state = tmp_path / "state"
    now = time.time()
    root, key = issuers.new_root("cluster.local", now, lifetime=35)
    (state / "ca").mkdir(parents=True, mode=0o700)
    for name, data in issuers.below(root, key, now).files().items():
        (state / "ca" / name).write_bytes(data)
        (state / "ca" / name).chmod(0o600)
    with running_mesh(state, "--cert-ttl=60s") as mesh:
        mesh.echo("reviews")
        client = mesh.client()
        mesh.announced("reviews")
        mesh.apply(HANDSHAKES)
        until(lambda: served(client), "served")
        assert "ends in" in mesh.argosy("identity", "status", check=False)
        log = mesh.state / "server.log"
        until(lambda: "the authority nears its end" in log.read_text(), "it is told")
        until(lambda: time.time() > now + 36, "the root has expired", 60)
        until(lambda: not served(client), "and so has every certificate")
        assert mesh.stop_server() == 0
        with pytest.raises(SystemExit, match=r"root\.crt expired on"):
            mesh.start_server()
        assert "docs/identity.md" in (mesh.state / "server.log").read_text()
        shutil.move(state / "ca", state / "ca.expired")
        mesh.start_server()
        until(lambda: served(client), "workloads prove themselves anew, and none was started again", 60)
        assert all(workload["certificate_expires_at"] > time.time() for workload in mesh.ps())


@pytest.mark.long
def test_certificates_that_ended_while_everything_slept_are_renewed_at_wake(tmp_path: Path) -> None:
    with running_mesh(tmp_path / "state", "--cert-ttl=60s") as mesh:
        mesh.echo("reviews")
        client = mesh.client()
        mesh.announced("reviews")
        mesh.apply(HANDSHAKES)
        until(lambda: served(client), "served")
        pids = [json.loads(mesh.argosy("ps", "-o", "json", "--agent"))["pid"]]
        pids += [workload["envoy_pid"] for workload in mesh.ps()]
        ends = max(workload["certificate_expires_at"] for workload in mesh.ps())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        until(lambda: time.time() > ends + 2, "everything sleeps until all has ended", 90)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        until(lambda: served(client), "served again", 40)


@pytest.mark.long
def test_a_certificate_that_ended_before_its_agent_starts_is_proven_anew(tmp_path: Path) -> None:
    with running_mesh(tmp_path / "state", "--cert-ttl=60s") as mesh:
        mesh.echo("reviews")
        client = mesh.client()
        mesh.announced("reviews")
        mesh.apply(HANDSHAKES)
        until(lambda: served(client), "served")
        ends = max(workload["certificate_expires_at"] for workload in mesh.ps())
        agent = json.loads(mesh.argosy("ps", "-o", "json", "--agent"))["pid"]
        holders = [run.process.pid for run in mesh.runs.values()]
        for pid in holders:  # whoever holds a workload would start another agent at once
            os.kill(pid, signal.SIGSTOP)
        os.kill(agent, signal.SIGKILL)
        until(lambda: time.time() > ends + 2, "both have ended", 90)
        for pid in holders:
            os.kill(pid, signal.SIGCONT)
        until(lambda: served(client), "served again", 60)


def test_the_authority_away_past_half_of_a_life_is_told_counted_and_over(tmp_path: Path) -> None:
    """Only the role ca is away: the rest of the server answers, and names who is late and why."""
    with running_mesh(tmp_path / "state", "--cert-ttl=60s") as mesh:
        mesh.echo("reviews")
        mesh.announced("reviews")
        mesh.apply("""
apiVersion: identity.argosy.dev/v1
kind: IssuingPolicy
metadata: {name: nobody}
spec: {allow: ["elsewhere/*"]}
""")

        def late() -> str:
            status = mesh.argosy("proxy", "status")
            assert "the mesh issues no certificate" in status
            return status

        until(late, "why it is not renewed is told", 60)
        until(lambda: "reviews-v1" in mesh.argosy("identity", "expiring", check=False), "it is late", 60)
        until(lambda: "argosy_certificates_late 1" in metrics(mesh), "and counted")
        assert "certificate past half of its life and not renewed" in (mesh.state / "server.log").read_text()
        mesh.delete("issuingpolicy", "nobody", "")
        until(lambda: mesh.argosy("identity", "expiring", check=False).startswith("0\n"), "it is over", 60)
        until(lambda: "argosy_certificates_late 0" in metrics(mesh), "and counted no more")


def metrics(mesh: Mesh) -> str:
    return mesh.http_get(mesh.ports["status"], "/metrics")[1]


def test_a_revoked_identity_is_issued_nothing_and_its_endpoints_go(mesh: Mesh) -> None:
    mesh.echo("reviews")
    mesh.echo("ratings")
    client = mesh.client()
    mesh.announced("reviews", "ratings")
    until(lambda: served(client), "served")
    with Load(client.port, "http://ratings:9080/") as load:
        mesh.argosy("identity", "revoke", "default/reviews", "--reason=stolen")
        until(lambda: client.request(URL).status == 503, "its endpoints are gone", 10)
        load.at_least(50)
    assert load.failures == [], "nobody else is concerned"
    assert "stolen" in mesh.argosy("get", "issuingpolicies", "-o", "yaml")
    assert "default/reviews" in mesh.argosy("get", "issuingpolicies")
    until(
        lambda: not next(w for w in mesh.ps() if w["service"] == "reviews")["connected"],
        "the control plane serves it no more",
    )
    early = mesh.argosy("identity", "restore", "default/reviews", check=False)
    assert "certificates of default/reviews from before count until" in early
    mesh.argosy("identity", "restore", "--now", "default/reviews")
    until(lambda: served(client), "it is back", 60)
    again = mesh.argosy("identity", "restore", "--now", "default/reviews", check=False)
    assert "is not revoked" in again


def test_whoever_holds_a_revoked_identity_is_denied_on_a_connection_that_is_open(mesh: Mesh) -> None:
    mesh.echo("reviews")
    thief, other = mesh.client("thief"), mesh.client("other")
    mesh.announced("reviews")
    until(lambda: served(thief) and served(other), "both are served")

    async def story() -> int:
        connection = Connection(thief.port)
        assert (await connection.request(URL)).status == 200
        await asyncio.to_thread(mesh.argosy, "identity", "revoke", "default/thief")
        async with asyncio.timeout(10):
            while (answer := await connection.request(URL)).status == 200:
                await asyncio.sleep(0.02)
        connection.close()
        return answer.status

    assert asyncio.run(story()) == 403
    assert served(other)
    mesh.argosy("identity", "restore", "--now", "default/thief")
    until(lambda: served(thief), "it is let in again", 60)
