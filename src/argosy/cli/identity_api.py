"""What the commands of `argosy identity` ask of the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from argosy.runtime.errors import Failure

Json = dict[str, Any]


def is_new(state_dir: str) -> bool:
    """Whether no server has run in the state directory, and none is named otherwise."""
    import os

    from argosy.cli import options
    from argosy.runtime.paths import state_dir as chosen

    named = os.environ.get(options.KUBECONFIG) or (os.environ.get("KUBECONFIG") and not state_dir)
    return not named and not (chosen(state_dir) / "kubeconfig").exists()


def rows(state_dir: str, namespace: str) -> list[Json]:
    from argosy.cli.connect import OPERATIONS, api
    from argosy.cli.terminal import warn

    within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    with api(state_dir) as client:
        return client.request("GET", f"{OPERATIONS}{within}/certificates", warned=warn) or []


def overview(state_dir: str) -> Json:
    """Asked anew over a new connection: while a root takes the place of another, the kubeconfig changes."""
    from argosy.cli.connect import OPERATIONS, api

    with api(state_dir) as client:
        found: Json = client.request("GET", f"{OPERATIONS}/trust")
        return found


def step(state_dir: str, step: Json) -> Json:
    return post(state_dir, "rotation", step)


def post(state_dir: str, what: str, body: Json) -> Json:
    from argosy.cli.connect import OPERATIONS, api

    with api(state_dir) as client:
        found: Json = client.request("POST", f"{OPERATIONS}/trust/{what}", body=body)
        return found


def read(file: str, option: str) -> str:
    try:
        return Path(file).expanduser().read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{option} {file}: {error}", "name a file in PEM", code=2) from error
