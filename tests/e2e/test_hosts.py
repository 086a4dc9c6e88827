"""A second machine joins the mesh with one command; two network namespaces stand for the two machines."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hosts import A, B, Host, possible, two_hosts
from tests.e2e.mesh import ARGOSY, until

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(possible()), reason=f"no namespaces: {possible()}")]

IDENTITIES = ("--identity=default/web", "--identity=default/me")


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    with two_hosts(tmp_path) as (a, b):
        yield a, b


def token(a: Host, *flags: str) -> str:
    return a.argosy("token", "create", "--host=vm-1", *flags).strip()


def join(b: Host, text: str) -> str:
    """What it says."""
    done = b.tries(ARGOSY, "agent", "join", "--token=-", stdin=text)
    assert done.returncode == 0, done.stderr
    return done.stderr


def agent_pid(host: Host) -> int:
    return int((host.state / "agent" / "agent.lock").read_text())


def test_a_second_host_joins_and_traffic_goes_both_ways_with_mutual_tls(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    a.server()
    assert "no IdentityRegistration says what the host vm-1 may be" in a.refused(
        "token", "create", "--host=vm-1"
    )
    text = token(a, *IDENTITIES)
    assert f"at {B}" in join(b, text)
    b.serve("web")
    a.serve("other", f"--bind={A}")
    seen = a.asks("web")
    assert "spiffe://cluster.local/ns/default/sa/me" in json.dumps(seen), seen
    assert b.asks("other")["name"] == "other"
    for host, name in ((b, "web"), (a, "other")):
        counted = until(lambda h=host, n=name: (w := h.workload(n))["inbound"] and w, f"{name} counts")  # type: ignore[misc]
        assert counted["plaintext"] == 0

    # Nothing that its token does not give; and nobody takes the token again.
    assert "default/other" in b.refused("run", "--service=other", "--", "true")
    assert "does not let this host in" in b.refused(
        "agent", "join", f"--token={text}", f"--state-dir={b.state}-2"
    )
    assert "was used at" in a.log("server")
    assert "now again by" in a.log("server")
    listed = json.loads(a.argosy("token", "list", "-o", "json"))
    assert [(one["host"], one["state"]) for one in listed] == [("vm-1", "used")]
    for file in ("joined.json", "host.svid"):
        assert (b.state / "agent" / file).stat().st_mode & 0o777 == 0o600
    secret = text.split(".")[3]
    kept = [file for host in hosts for file in host.state.rglob("*") if file.is_file()]
    assert not [file for file in kept if secret.encode() in file.read_bytes()]


def test_a_restarted_agent_needs_no_new_token_until_its_certificate_has_ended(
    hosts: tuple[Host, Host],
) -> None:
    a, b = hosts
    a.server("--cert-ttl=60s")
    join(b, token(a, *IDENTITIES))
    held = b.state / "agent" / "host.svid"
    first = held.read_bytes()
    until(lambda: held.read_bytes() != first, "the host's certificate renews itself", 50)

    os.kill(agent_pid(b), signal.SIGKILL)
    a.serve("other", f"--bind={A}")
    assert b.asks("other")["name"] == "other"

    os.kill(agent_pid(b), signal.SIGKILL)
    ended = json.loads(held.read_bytes()) | {"not_after": 1_000_000_000.0}
    held.write_text(json.dumps(ended))
    said = b.refused("run", "--service=me", "--", "true")
    assert "certificate of the host vm-1 ended" in said
    assert f"argosy agent join {A}:15013" in said
    assert "argosy token create --host vm-1" in said

    b.argosy("agent", "join", f"--token={token(a)}")
    assert b.asks("other")["name"] == "other"


def test_a_host_whose_registration_is_deleted_gets_nothing_more(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    a.server()
    join(b, token(a, *IDENTITIES))
    b.argosy("run", "--service=me", "--", "true")
    a.argosy("delete", "identityregistration", "host-vm-1", "-n", "istio-system")
    until(
        lambda: "not take the proof of host" in b.refused("run", "--service=me", "--", "true"),
        "it is refused",
    )
    assert "no IdentityRegistration names the host vm-1" in a.log("server")


def test_a_host_tells_its_token_to_nobody_but_the_mesh_of_the_token(
    hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    a, b = hosts
    a.server()
    text = token(a, *IDENTITIES)
    stranger = Host(b.pid, tmp_path / "stranger", B)
    try:
        stranger.server()
        said = b.refused("agent", "join", B, f"--token={text}")
        assert "told nothing" in said
        assert "not attested" not in stranger.log("server")
    finally:
        stranger.close()
    assert f"at {B}" in join(b, text)  # it still counts


def test_a_host_that_joined_follows_the_root_of_the_mesh(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    a.server()
    join(b, token(a, *IDENTITIES, "--identity=default/another"))
    b.serve("web")
    a.asks("web")
    pinned = b.state / "agent" / "joined.json"
    before = json.loads(pinned.read_text())["bundle"]
    until(lambda: "vm-1" in a.argosy("identity", "list"), "the host's own certificate is recorded")
    a.argosy("identity", "rotate-root", "--timeout=100s")
    after = json.loads(pinned.read_text())["bundle"]
    assert after == a.argosy("identity", "roots")
    assert after != before
    assert json.loads((b.state / "agent" / "host.svid").read_text())["bundle"] == after
    # What it holds is enough to prove itself: another agent, another workload.
    os.kill(agent_pid(b), signal.SIGKILL)
    b.serve("another")
    a.asks("another")
    a.asks("web")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_new_root_reaches_a_host_that_has_no_workload(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    a.server()
    join(b, token(a, *IDENTITIES))

    def trusts() -> str:
        return str(json.loads((b.state / "agent" / "host.svid").read_bytes())["bundle"])

    before = trusts()
    a.argosy("identity", "rotate-root", "--timeout=180s", wait=200)
    assert trusts() != before
    until(lambda: before not in trusts(), "the host has dropped the old root", 60)
    os.kill(agent_pid(b), signal.SIGKILL)  # nothing but what is on the disk counts from here
    b.serve("web")
    a.serve("other", f"--bind={A}")
    assert a.asks("web")["name"] == "web"
    assert b.asks("other")["name"] == "other"
