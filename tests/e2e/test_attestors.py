"""Joining by what a platform vouches for: tokens of an issuer, and certificates of an authority that was there."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.e2e.mesh import ARGOSY, Mesh, until
from tests.unit.identity.attestor_lab import ISSUER, Issuer, Pki, pem_of

pytestmark = pytest.mark.e2e


def objects(name: str, spec: Mapping[str, object], selectors: list[str]) -> str:
    """An attestor and a registration for what it finds."""
    api = {"apiVersion": "identity.argosy.dev/v1", "metadata": {"name": name, "namespace": "istio-system"}}
    given = {"match": {"selectors": selectors}, "serviceAccounts": ["default/web"]}
    return yaml.safe_dump_all(
        [api | {"kind": "Attestor", "spec": spec}, api | {"kind": "IdentityRegistration", "spec": given}]
    )


class Elsewhere:
    """A host without a server: a state directory of its own."""

    def __init__(self, mesh: Mesh, folder: Path, name: str, type: str, *given: str) -> None:
        self.mesh = mesh
        self.state = folder / "elsewhere"
        self.environment = {**mesh.environment(), "ARGOSY_STATE_DIR": str(self.state)}
        pairs = [word for one in given for word in ("--with", one)]
        root = str(mesh.state / "ca" / "root.crt")
        self.join = (
            "agent", "join", f"127.0.0.1:{mesh.ports['ca']}", "--attestor", name, "--type", type, *pairs,
            "--root-file", root, "--address", "127.0.0.1",
        )  # fmt: skip

    def argosy(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ARGOSY, *words], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def runs(self, account: str = "web") -> str:
        """The exit code and what is said of a workload with this account."""
        done = self.argosy("run", "--service=web", f"--service-account={account}", "--", "true")
        return f"{done.returncode}\n{done.stdout}{done.stderr}"

    def close(self) -> None:
        self.argosy("down", "--all")
        pid = self.state / "agent" / "agent.lock"
        if pid.exists():
            os.kill(int(pid.read_text()), 15)


def test_tokens_of_an_issuer(mesh: Mesh, tmp_path: Path) -> None:
    issuer, now = Issuer(), time.time()
    spec = {
        "type": "jwt",
        "jwt": {
            "issuer": ISSUER,
            "audiences": ["argosy"],
            "jwks": issuer.jwks(),
            "claims": [{"claim": "nomad_job_id", "key": "job"}],
        },
    }
    mesh.apply(objects("nomad", spec, ["nomad:job=web", f"nomad:iss={ISSUER}"]))
    token = tmp_path / "token"
    host = Elsewhere(mesh, tmp_path, "nomad", "jwt", f"file={token}")
    try:
        token.write_text(issuer.token(exp=now - 100, iat=now - 200, nomad_job_id="web"))
        assert "does not let this host in" in host.argosy(*host.join).stderr
        token.write_text(issuer.token(exp=now + 600, iat=now, nomad_job_id="web"))
        until(lambda: host.argosy(*host.join).returncode == 0, "it joins")
        assert host.runs().startswith("0\n")
        assert "may not have the service account default/till" in host.runs("till")
        token.write_text(
            issuer.token(exp=now + 600, iat=now, nomad_job_id="other")
        )  # the platform's next token
        assert "nomad:job=other" in host.runs()
        mesh.delete("attestor", "nomad", "istio-system")
        until(lambda: "not take the proof of nomad" in host.runs(), "nobody believes it any more")
        log = (mesh.state / "server.log").read_text()
        assert "the token ended" in log
        assert token.read_text() not in log
    finally:
        host.close()


def test_certificates_of_an_authority(mesh: Mesh, tmp_path: Path) -> None:
    now = time.time()
    pki, strangers = Pki(now=now), Pki(now=now)
    spec = {"type": "x509", "x509": {"roots": pki.pem}}
    mesh.apply(objects("company", spec, ["company:cn=db-*", "company:issuer-cn=Company Root"]))
    files = {name: tmp_path / name for name in ("cert", "key")}

    def hold(certificate: str, key: object) -> None:
        files["cert"].write_text(certificate)
        files["key"].write_bytes(pem_of(key))

    host = Elsewhere(mesh, tmp_path, "company", "x509", f"cert={files['cert']}", f"key={files['key']}")
    try:
        hold(*strangers.leaf("db-1"))
        assert "does not let this host in" in host.argosy(*host.join).stderr
        hold(pki.leaf("db-1")[0], pki.leaf("db-1")[1])  # a certificate without its key
        assert "does not let this host in" in host.argosy(*host.join).stderr
        hold(*pki.leaf("db-1"))
        until(lambda: host.argosy(*host.join).returncode == 0, "it joins")
        assert host.runs().startswith("0\n")
        hold(*pki.leaf("web-1"))
        assert "company:cn=web-1" in host.runs()
        assert json.loads((host.state / "agent" / "joined.json").read_text())["host"] == ""
        assert not (host.state / "agent" / "host.svid").exists()
    finally:
        host.close()
