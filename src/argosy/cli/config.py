"""`argosy config`: the contexts of a kubeconfig, which say what server is asked, as whom, in which namespace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from argosy.cli import options
from argosy.cli.options import Output, StateDir, chosen_output
from argosy.runtime.errors import Failure

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Choose between the contexts of a kubeconfig."
)
Kubeconfig = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        envvar=options.KUBECONFIG,
        help="The kubeconfig.",
        show_default="$KUBECONFIG, or kubeconfig in the state directory",
    ),
]


@app.command("get-contexts")
def get_contexts(kubeconfig: Kubeconfig = "", output: Output = "table", state_dir: StateDir = "") -> None:
    """List the contexts."""

    from argosy.apiserver.kubeconfig import contexts
    from argosy.cli import documents
    from argosy.cli.terminal import say, table

    form = chosen_output(output)
    found = contexts(_merged(kubeconfig, state_dir))
    if documents.show(form, found):
        return
    if not found:
        say("there is no context")
    else:
        titles = ["CURRENT", "NAME", "CLUSTER", "USER", "NAMESPACE"]
        rows = [
            ["*" if one["current"] else "", one["name"], one["cluster"], one["user"], one["namespace"]]
            for one in found
        ]
        table(titles, rows)


@app.command("current-context")
def current_context(kubeconfig: Kubeconfig = "", state_dir: StateDir = "") -> None:
    """Print the name of the context that is in force."""
    current = _merged(kubeconfig, state_dir).get("current-context")
    if not current:
        raise Failure("no context is current", "choose one: argosy config use-context NAME")
    print(current)


@app.command("use-context")
def use_context(
    name: Annotated[str, typer.Argument(metavar="NAME", help="See argosy config get-contexts.")],
    kubeconfig: Kubeconfig = "",
    state_dir: StateDir = "",
) -> None:
    """Choose the context of the commands that follow."""
    from argosy.apiserver.kubeconfig import contexts
    from argosy.cli.terminal import say

    names = [one["name"] for one in contexts(_merged(kubeconfig, state_dir))]
    if name not in names:
        raise Failure(f"there is no context {name!r}", f"it has: {', '.join(names) or 'none'}")
    path = _chosen_in(_paths(kubeconfig, state_dir))
    _set_current(path, name)
    say(f"{name} is in force ({path})")


def _paths(kubeconfig: str, state_dir: str) -> list[Path]:
    from argosy.cli.connect import kubeconfigs

    if kubeconfig:
        os.environ[options.KUBECONFIG] = kubeconfig
    return kubeconfigs(state_dir)


def _merged(kubeconfig: str, state_dir: str) -> dict[str, Any]:
    from argosy.apiserver import kubeconfig as files

    found: dict[str, Any] = files.merged(
        [files.read(path) for path in _paths(kubeconfig, state_dir) if path.exists()]
    )
    return found


def _chosen_in(paths: list[Path]) -> Path:
    """The file whose current context counts: the first that has one; else the first."""
    from argosy.apiserver import kubeconfig as files

    there = [path for path in paths if path.exists()]
    for path in there:
        config = files.read(path)
        if isinstance(config, dict) and config.get("current-context"):
            return path
    if not there:
        raise Failure(f"there is no file {paths[0]}", "name another with --kubeconfig")
    return there[0]


def _set_current(path: Path, name: str) -> None:
    """The rest of the file stays as it is, comments and paths too."""
    import re

    text = path.read_text()
    line = f"current-context: {_quoted(name)}"
    changed, count = re.subn(r"(?m)^current-context:.*$", lambda _: line, text, count=1)
    if not count:
        changed = text + ("" if text.endswith("\n") else "\n") + line + "\n"
    from argosy.apiserver.kubeconfig import contexts, parsed
    from argosy.runtime.paths import write_private

    if {one["name"] for one in contexts(parsed(changed)) if one["current"]} - {name}:
        raise Failure(f"{path}: current-context cannot be changed in its form", "change it by hand")
    write_private(path.resolve(), changed.encode())


def _quoted(name: str) -> str:
    import json

    return json.dumps(name)
