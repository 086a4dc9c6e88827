"""Options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperOption

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
OfContext = Annotated[
    str,
    typer.Option(
        "--namespace", "-n", metavar="NS", help="The namespace.", show_default="that of the context"
    ),
]
Files = Annotated[
    list[str],
    typer.Option("--filename", "-f", metavar="F", help="A file, a folder or - (standard input); repeats."),
]
Output = Annotated[str, typer.Option("--output", "-o", metavar="FORMAT", help="table, or json for programs.")]


KUBECONFIG, CONTEXT = "ARGOSY_KUBECONFIG", "ARGOSY_CONTEXT"
"""Variables of the environment that stand for --kubeconfig and --context."""


def connection_options(command: Any) -> list[TyperOption]:
    """--kubeconfig and --context, which every command has that asks the API; but for an option that is its own."""

    def remembered(variable: str) -> Callable[..., None]:
        def remember(_context: object, _parameter: object, value: str | None) -> None:
            if value:
                os.environ[variable] = value

        return remember

    taken = {option for parameter in command.params for option in parameter.opts}
    offered = [
        TyperOption(
            param_decls=["--kubeconfig"],
            type=str,
            metavar="FILE",
            expose_value=False,
            callback=remembered(KUBECONFIG),
            help="How the API is reached, as whom.",
            show_default="$KUBECONFIG, or kubeconfig in the state directory",
        ),
        TyperOption(
            param_decls=["--context"],
            type=str,
            metavar="NAME",
            expose_value=False,
            callback=remembered(CONTEXT),
            help="Of the kubeconfig.",
            show_default="the current one",
        ),
    ]
    return [option for option in offered if taken.isdisjoint(option.opts)]


def chosen_output(given: str, allowed: Sequence[str]) -> str:
    if given not in allowed:
        raise Failure(f"--output {given}: not a format", f"one of {', '.join(allowed)}", code=2)
    return given
