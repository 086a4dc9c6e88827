"""Two Unix users on one host: a user gets the service accounts that are mapped to it, and nothing that is another's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mesh import APPS, ARGOSY, Mesh, Run, running_mesh, until

OTHER = 65534  # nobody
REGISTRATION = f"""
apiVersion: identity.argosy.dev/v1
kind: IdentityRegistration
metadata: {{name: other, namespace: istio-system}}
spec:
  match: {{unixUid: {OTHER}}}
  serviceAccounts: [default/shop]
"""

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root, to be two users, and setpriv"
)


def as_other(*command: str) -> list[str]:
    return ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", *command]


def argosy_as_other(*arguments: str) -> list[str]:
    """It may read this checkout wherever that stands, in root's home too; it may write nothing of root's."""
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return as_other(*reading, "--", ARGOSY, *arguments)


class Other:
    """The other user, with a state directory of its own."""

    def __init__(self, state: Path, socket: Path) -> None:
        self.state, self.socket = state, socket
        self.environment = {**os.environ, "ARGOSY_STATE_DIR": str(state), "HOME": str(state)}

    def command(self, *arguments: str) -> list[str]:
        return argosy_as_other("run", f"--attest-socket={self.socket}", *arguments)

    def fails(self, *arguments: str) -> str:
        done = subprocess.run(
            self.command(*arguments, "--", "true"),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    def runs(self, *arguments: str) -> Run:
        log = self.state / "run.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.command(*arguments),
                env=self.environment,
                stdout=out,
                stderr=out,
                cwd="/",
                start_new_session=True,
            )
        return Run("other", process, log)


@pytest.fixture
def socket() -> Iterator[Path]:
    """In a folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "attest.sock"


@pytest.fixture
def users_mesh(tmp_path: Path, socket: Path) -> Iterator[Mesh]:
    with running_mesh(tmp_path / "state", f"--attest-socket={socket}") as mesh:
        yield mesh


@pytest.fixture
def other(users_mesh: Mesh, socket: Path) -> Iterator[Other]:
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, OTHER, OTHER)
        user = Other(Path(folder), socket)
        yield user
        subprocess.run(argosy_as_other("down", "--all"), env=user.environment, check=False, timeout=60)


def test_a_user_has_the_service_accounts_that_are_mapped_to_it(users_mesh: Mesh, other: Other) -> None:
    users_mesh.echo("bank")
    client = users_mesh.client()
    users_mesh.announced("bank")
    assert "may not have the service account default/shop" in other.fails("--service=shop")

    users_mesh.argosy("apply", "-f", "-", stdin=REGISTRATION)
    assert "may not have the service account default/bank" in other.fails("--service=bank")
    # Its own identity does not make it an instance of a service that is another's.
    hijack = other.fails("--service=bank", "--service-account=shop", "--port=9080:auto")
    assert "Service default/bank is for bank, and this workload runs as shop" in hijack
    assert "belongs to service account bank" in other.fails("--service=shop", "--name=bank-v1")

    echo = (sys.executable, str(APPS / "echo.py"), "{port}", "--name=shop")
    stolen_labels = ("--label=app=bank", "--label=version=v1")
    run = other.runs("--service=shop", *stolen_labels, "--name=shop", "--port=9080:auto", "--", *echo)
    until(lambda: "is announced" in run.output(), "the other user's workload is announced")
    served = {answer.headers["x-served-by"] for answer in client.many("http://bank:9080/", 60)}
    assert served == {"bank-v1"}, "labels of its own choice bring it no traffic of another's service"
    assert run.stop() == 0 or run.process.returncode == 143


def test_nothing_of_ones_own_can_be_read_by_another_user(users_mesh: Mesh, other: Other) -> None:
    users_mesh.echo("bank")
    users_mesh.announced("bank")
    state = users_mesh.state
    # The folder of the tests keeps others out as well; here the state directory alone must.
    for folder in (state.parent, *state.parent.parents):
        if str(folder).startswith(tempfile.gettempdir()) and str(folder) != tempfile.gettempdir():
            folder.chmod(0o755)
    assert subprocess.run(as_other("ls", str(state.parent)), capture_output=True, check=False).returncode == 0
    sockets = Path(users_mesh.ps()[0]["admin_socket"]).parent
    secret = [state / "token", state / "kubeconfig", state / "ca" / "root.key", state / "agent", sockets]
    for path in secret:
        assert path.exists()
        seen = subprocess.run(as_other("ls", str(path)), capture_output=True, text=True, check=False)
        assert seen.returncode != 0, f"{path}: {seen.stdout}"
        assert "Permission denied" in seen.stderr
