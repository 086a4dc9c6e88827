"""The SPIFFE Workload API, with the independent client `spiffe`: an application has its own identity and nobody
else's."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from argosy.agent.workload_messages import message
from argosy.runtime.paths import runtime_dir
from tests.e2e.mesh import APPS, ARGOSY, Mesh, running_mesh, until

pytestmark = pytest.mark.e2e

APP = (sys.executable, str(APPS / "spiffe_app.py"))
ME = "spiffe://cluster.local/ns/default/sa/me"


def workload(mesh: Mesh, *words: str, service: str = "me", before: tuple[str, ...] = ()) -> Any:
    """What the program says as a workload."""
    run = ("run", f"--service={service}", "--", *before, *APP, *words)
    _, out, _ = mesh.argosy(*run, check=False).split("\n", 2)
    return json.loads(out.splitlines()[0])


def sockets(mesh: Mesh) -> tuple[Path, Path]:
    folder = runtime_dir(mesh.state)
    return folder / "workload.sock", folder / "workload-in.sock"


def asked(
    path: Path, header: tuple[tuple[str, str], ...] = (("workload.spiffe.io", "true"),)
) -> grpc.StatusCode:
    """How this very process is answered, which is no workload."""
    with grpc.insecure_channel(f"unix:{path}") as channel:
        call = channel.unary_stream("/SpiffeWorkloadAPI/FetchX509SVID", None, None)
        try:
            next(iter(call(b"", metadata=header, timeout=15)))
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def test_an_application_has_its_identity_without_a_secret(shared_mesh: Mesh) -> None:
    found = workload(shared_mesh, "all", "shop")
    assert found.pop("token")
    assert found == {
        "x509": ME,
        "chain": 2,
        "bundles": ["cluster.local"],
        "jwt": ME,
        "audience": ["shop"],
        "validated": ME,
        "keys": [1],
    }


def test_a_child_of_the_application_is_the_workload_too(shared_mesh: Mesh) -> None:
    assert workload(shared_mesh, "jwt", "shop", before=("sh", "-c", '"$@"; true', "sh")) == {"jwt": ME}


def test_a_workload_within_another_is_itself(shared_mesh: Mesh) -> None:
    inner = (ARGOSY, "run", "--service=inner", "--")
    assert workload(shared_mesh, "jwt", "shop", before=inner)["jwt"].endswith("/sa/inner")


def test_nobody_gets_the_identity_of_another_by_asking_for_it(shared_mesh: Mesh) -> None:
    said = workload(shared_mesh, "jwt", "shop", "spiffe://cluster.local/ns/default/sa/till")
    assert "PERMISSION_DENIED" in said["error"]


def test_a_token_of_another_audience_or_of_nobody_is_not_valid(shared_mesh: Mesh) -> None:
    token = workload(shared_mesh, "all", "shop")["token"]
    head, body, _ = token.split(".")
    for audience, text in (("bank", token), ("shop", f"{head}.{body}.AAAA"), ("shop", "x")):
        assert "INVALID_ARGUMENT" in workload(shared_mesh, "validate", audience, text)["error"]
    assert workload(shared_mesh, "validate", "shop", token, service="other") == ME


def test_who_is_no_workload_gets_nothing_at_either_socket(shared_mesh: Mesh) -> None:
    client = shared_mesh.client("stays")
    try:
        front, inner = sockets(shared_mesh)
        assert asked(front) is grpc.StatusCode.PERMISSION_DENIED
        assert asked(inner) is grpc.StatusCode.PERMISSION_DENIED
        assert asked(front, ()) is grpc.StatusCode.INVALID_ARGUMENT
        assert asked(front, (("workload.spiffe.io", "yes"),)) is grpc.StatusCode.INVALID_ARGUMENT
        assert front.stat().st_mode & 0o777 == inner.stat().st_mode & 0o777 == 0o600
        assert front.parent.stat().st_mode & 0o777 == 0o700
    finally:
        client.run.stop()


def test_an_address_of_a_workloads_connection_cannot_be_had_by_another(shared_mesh: Mesh) -> None:
    """The front speaks for a workload from an abstract address. It can be seen (/proc/net/unix); it cannot be taken
    while it means somebody, and means nobody after."""
    run = shared_mesh.run("run", "--service=me", "--", *APP, "follow", "99", name="me-follows")
    try:
        _, inner = sockets(shared_mesh)
        name = until(lambda: _abstract(shared_mesh), "the workload's connection is there")
        with socket.socket(socket.AF_UNIX) as thief, pytest.raises(OSError, match="in use"):
            thief.bind(b"\0" + name.encode())
    finally:
        run.stop()
    until(lambda: name not in Path("/proc/net/unix").read_text(), "the connection is gone")
    assert _asked_from(inner, name) == b"no identity issued"
    assert _asked_from(inner, f"argosy-{secrets.token_hex(16)}") == b"no identity issued"


def _abstract(mesh: Mesh) -> str:
    """The address from which this mesh's agent speaks for a workload; other tests run beside this one."""
    pid = int((mesh.state / "agent" / "agent.lock").read_text())
    held = {str(handle.readlink()) for handle in Path(f"/proc/{pid}/fd").iterdir()}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) == 8 and fields[7].startswith("@argosy-") and f"socket:[{fields[6]}]" in held:
            return fields[7][1:]
    return ""


def _asked_from(inner: Path, name: str) -> bytes:
    """What a call is answered that is passed on from an abstract address of that name, past the front."""
    front = inner.with_name(f"t{os.getpid()}.sock")
    front.unlink(missing_ok=True)
    script = (
        "import socket,sys,threading\n"
        "server=socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen()\n"
        "print('up',flush=True)\n"
        "one,_=server.accept()\n"
        "other=socket.socket(socket.AF_UNIX); other.bind(b'\\0'+sys.argv[3].encode()); other.connect(sys.argv[2])\n"
        "def pump(a,b):\n"
        "    while d:=a.recv(65536): b.sendall(d)\n"
        "threading.Thread(target=pump,args=(one,other),daemon=True).start(); pump(other,one)\n"
    )
    relay = subprocess.Popen(
        [sys.executable, "-c", script, str(front), str(inner), name], stdout=subprocess.PIPE
    )
    try:
        assert relay.stdout is not None
        assert relay.stdout.readline() == b"up\n"
        with grpc.insecure_channel(f"unix:{front}") as channel:
            call = channel.unary_stream("/SpiffeWorkloadAPI/FetchX509SVID", None, None)
            try:
                next(iter(call(b"", metadata=(("workload.spiffe.io", "true"),), timeout=15)))
            except grpc.RpcError as error:
                return str(error.details()).encode()
        return b"answered"
    finally:
        relay.kill()
        relay.wait()
        front.unlink(missing_ok=True)


@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a"], ids=["garbage", "cut off"])
def test_what_is_no_request_is_refused_and_the_rest_goes_on(shared_mesh: Mesh, body: bytes) -> None:
    client = shared_mesh.client("asks")
    try:
        front, _ = sockets(shared_mesh)
        with grpc.insecure_channel(f"unix:{front}") as channel:
            call = channel.unary_unary("/SpiffeWorkloadAPI/FetchJWTSVID", None, None)
            with pytest.raises(grpc.RpcError):
                call(body, metadata=(("workload.spiffe.io", "true"),), timeout=15)
        assert workload(shared_mesh, "jwt", "shop") == {"jwt": ME}
    finally:
        client.run.stop()


def test_a_new_certificate_is_pushed_and_outages_and_revocations_are_felt_as_they_should(
    tmp_path: Path,
) -> None:
    with running_mesh(tmp_path / "state", "--cert-ttl=60s") as mesh:
        serials = workload(mesh, "follow", "2")
        assert len(set(serials)) == 2
        with (tmp_path / "out").open("wb") as out:
            run = subprocess.Popen(
                [ARGOSY, "run", "--service=me", "--", *APP, "wait"],
                env=mesh.environment(),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.DEVNULL,
            )
        assert run.stdin is not None

        def ask(audience: str) -> dict[str, Any]:
            before = (tmp_path / "out").read_text().count("\n")
            assert run.stdin is not None
            run.stdin.write(audience.encode() + b"\n")
            run.stdin.flush()
            until(lambda: (tmp_path / "out").read_text().count("\n") > before, "it answers", 60)
            answer: dict[str, Any] = json.loads((tmp_path / "out").read_text().splitlines()[-1])
            return answer

        try:
            assert ask("shop")["validated"] == ME
            os.kill(int((mesh.state / "agent" / "agent.lock").read_text()), signal.SIGKILL)
            until(lambda: ask("shop").get("validated") == ME, "the next agent knows it, too")
            mesh.kill_server()
            away = ask("shop")
            assert away["x509"] == away["validated"] == ME  # kept: certificate, token, key sets
            mesh.start_server()
            mesh.argosy("delete", "identityregistration", "server-user", "-n", "istio-system")
            until(lambda: "PERMISSION_DENIED" in ask(secrets.token_hex(4)).get("error", ""), "no more tokens")
        finally:
            run.stdin.close()
            run.wait(60)


def test_the_messages_are_those_of_spiffe() -> None:
    from spiffe._proto import workload_pb2

    for name, theirs in workload_pb2.DESCRIPTOR.message_types_by_name.items():
        ours = message(name).DESCRIPTOR
        assert {(f.name, f.number, f.type, f.is_repeated) for f in ours.fields} == {
            (f.name, f.number, f.type, f.is_repeated) for f in theirs.fields
        }, name
