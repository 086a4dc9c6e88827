"""The control plane of a state directory, for commands; and what kinds and durations are called on the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argosy.runtime.errors import Failure
from argosy.runtime.paths import state_dir

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient
    from argosy.resources.kinds import Kind

KUBECONFIG = "kubeconfig"
OPERATIONS = "/apis/operations.argosy.dev/v1"
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|)")
UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0}


def api(chosen: str | Path) -> ApiClient:
    """Raises Failure where no server has ever run there."""
    from argosy.apiserver.client import ApiClient

    path = state_dir(chosen) / KUBECONFIG
    try:
        path.stat()
    except PermissionError as error:
        raise Failure(
            f"cannot read {path}: {error.strerror}", "it is another user's: name your own with --state-dir"
        ) from error
    except OSError as error:
        raise Failure(
            f"there is no control plane in {path.parent}",
            "start one: argosy server; or name another with --state-dir",
        ) from error
    return ApiClient.from_kubeconfig(path)


def kind_called(name: str) -> Kind:
    """By kind, plural, singular or short name; also `virtualservices.networking.istio.io`."""
    from argosy.resources.kinds import KINDS

    wanted, _, group = name.lower().partition(".")
    for kind in KINDS:
        if wanted in (kind.kind.lower(), kind.plural, kind.singular, *kind.short_names) and group in (
            "",
            kind.group,
        ):
            return kind
    raise Failure(f"{name}: not a kind", f"the kinds are {', '.join(kind.plural for kind in KINDS)}", code=2)


def seconds(text: str, flag: str) -> float:
    found = DURATION.fullmatch(text)
    if found is None:
        raise Failure(f"{flag} {text}: not a duration", "as in 30s, 500ms or 2m", code=2)
    return float(found[1]) * UNITS[found[2]]


def delivery(client: ApiClient, subject: str, revision: str, timeout: float) -> dict[str, Any]:
    """How a change stands with the proxies after at most `timeout` seconds; `subject` is KIND/NAMESPACE/NAME."""
    found = client.request(
        "GET",
        f"{OPERATIONS}/delivery",
        params={"object": subject, "revision": revision, "timeout": f"{timeout:.3f}"},
        timeout=timeout + 10,
    )
    if not isinstance(found, dict):
        raise Failure("the control plane gave no verdict", "is it of another version? see argosy version")
    return found
