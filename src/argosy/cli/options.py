"""Options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from argosy.runtime.errors import Failure

StateDir = Annotated[
    str,
    typer.Option(
        "--state-dir",
        metavar="D",
        envvar="ARGOSY_STATE_DIR",
        help="The state directory of the mesh.",
        show_default="~/.local/state/argosy",
    ),
]
AttestSocket = Annotated[
    str,
    typer.Option(
        "--attest-socket",
        metavar="PATH",
        help="Where the server of another user proves who you are (its own --attest-socket); remembered.",
        show_default="the server of the state directory",
    ),
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", metavar="NS", help="The namespace.")]
Files = Annotated[
    list[str],
    typer.Option("--filename", "-f", metavar="F", help="A file, a folder or - (standard input); repeats."),
]
Output = Annotated[str, typer.Option("--output", "-o", metavar="FORMAT", help="table, or json for programs.")]


def chosen_output(given: str, allowed: Sequence[str]) -> str:
    if given not in allowed:
        raise Failure(f"--output {given}: not a format", f"one of {', '.join(allowed)}", code=2)
    return given
