"""The control plane of a state directory, for commands; and what kinds and durations are called on the command line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argosy.cli import options
from argosy.runtime.errors import Failure
from argosy.runtime.paths import state_dir

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient
    from argosy.apiserver.kubeconfig import Connection
    from argosy.resources.kinds import Kind

KUBECONFIG = "kubeconfig"
OPERATIONS = "/apis/operations.argosy.dev/v1"
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|)")
DRY_RUNS = ("none", "server")
UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0}


def api(chosen: str | Path, *, timeout: float | None = None) -> ApiClient:
    """By --kubeconfig; else by the state directory, where one is named; else by $KUBECONFIG; else by the usual state
    directory. Raises Failure where no server has ever run there."""
    from argosy.apiserver import kubeconfig
    from argosy.apiserver.client import TIMEOUT_SECONDS, ApiClient

    paths = kubeconfigs(chosen)
    context = os.environ.get(options.CONTEXT) or None
    if len(paths) == 1:
        connection = kubeconfig.load(paths[0], context)
    else:
        whole = kubeconfig.merged([kubeconfig.read(path) for path in paths if path.exists()])
        connection = kubeconfig.parse(whole, context, ":".join(map(str, paths)))
    return ApiClient(_acting(connection), timeout=TIMEOUT_SECONDS if timeout is None else timeout)


def _acting(connection: Connection) -> Connection:
    """As whom --as and --as-group say, whoever the kubeconfig acts as. Raises Failure."""
    from msgspec.structs import replace

    from argosy.apiserver.kubeconfig import acting_as

    name, listed = os.environ.get(options.AS, ""), os.environ.get(options.AS_GROUP, "")
    groups = listed.split("\n") if listed else []
    if groups and not name:
        raise Failure("--as-group: as whom?", "name the user, too: --as USER", code=2)
    for each in (name, *groups):
        if not each.isprintable():
            raise Failure(f"--as {each!r}: is no name", "leave out what cannot be printed", code=2)
    return replace(connection, acts_as=acting_as(name, groups)) if name else connection


def kubeconfigs(chosen: str | Path) -> list[Path]:
    """The files in force; several where $KUBECONFIG names several. Raises Failure."""
    if named := os.environ.get(options.KUBECONFIG):
        return [Path(named).expanduser()]
    listed = [Path(each).expanduser() for each in os.environ.get("KUBECONFIG", "").split(":") if each]
    if listed and not chosen:
        return listed
    path = state_dir(chosen) / KUBECONFIG
    try:
        path.stat()
    except PermissionError as error:
        raise Failure(
            f"cannot read {path}: {error.strerror}",
            "it is another user's: use a kubeconfig of your own (--kubeconfig; docs/access.md), or --state-dir",
        ) from error
    except OSError as error:
        raise Failure(
            f"there is no control plane in {path.parent}",
            "start one: argosy server; or name another with --state-dir or --kubeconfig",
        ) from error
    return [path]


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


def kinds_called(names: str) -> list[Kind]:
    """Kinds with commas between; a category stands for those that belong to it, as `istio-io`. Raises Failure."""
    from argosy.resources.kinds import KINDS

    found: dict[Kind, None] = {}
    for name in names.split(","):
        of_category = [kind for kind in KINDS if name in kind.categories and not kind.virtual]
        for kind in of_category or [kind_called(name)]:
            found[kind] = None
    return list(found)


def seconds(text: str, flag: str) -> float:
    found = DURATION.fullmatch(text)
    if found is None:
        raise Failure(f"{flag} {text}: not a duration", "as in 30s, 500ms or 2m", code=2)
    return float(found[1]) * UNITS[found[2]]


def dry(given: str) -> str:
    """What --dry-run is to the API. Raises Failure."""
    if given not in DRY_RUNS:
        raise Failure(
            f"--dry-run {given}: not known", "server, or none; files alone: argosy validate", code=2
        )
    return "All" if given == "server" else ""


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
