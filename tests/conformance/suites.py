"""The conformance cases, which lie in a folder outside of the project, and the command that renders them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from typer.testing import CliRunner

from argosy.cli.main import app

ROOT = Path(os.environ.get("ARGOSY_CONFORMANCE", Path(__file__).parents[2].parent / "shared" / "conformance"))


class Case(Struct):
    spec: dict[str, Any]  # as the index has it
    folder: Path


def cases(suite: str) -> list[Any]:
    """One parameter for each case; where there are none, one that skips and says so."""
    index = ROOT / suite / "index.json"
    if not index.exists():
        reason = f"NO CONFORMANCE CASES: {index} is not there; set ARGOSY_CONFORMANCE"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    found = json.loads(index.read_text())["cases"]
    return [pytest.param(Case(spec, ROOT / suite / spec["case"]), id=spec["case"]) for spec in found]


def argosy(*arguments: str) -> str:
    """What the command says, run in this process (starting Python for each case is most of the time)."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def dump(files: list[Path], proxy: dict[str, Any], mesh_config: Path | None = None) -> dict[str, Any]:
    """`argosy xds dump` for a proxy as the cases describe it."""
    words = [
        "xds",
        "dump",
        "--proxy",
        _described(proxy),
        *(word for file in files for word in ("-f", str(file))),
    ]
    if mesh_config is not None:
        words += ["--mesh-config", str(mesh_config)]
    found: dict[str, Any] = json.loads(argosy(*words))
    return found


def _described(proxy: dict[str, Any]) -> str:
    words = [f"type={'sidecar' if proxy['type'] == 'sidecar' else 'router'}"]
    if "namespace" in proxy:
        words.append(f"namespace={proxy['namespace']}")
    if labels := proxy.get("labels"):
        words.append("labels=" + ";".join(f"{key}={value}" for key, value in labels.items()))
    addresses = proxy.get("ip", ())
    words += [f"ip={one}" for one in ([addresses] if isinstance(addresses, str) else addresses)]
    return ",".join(words)
