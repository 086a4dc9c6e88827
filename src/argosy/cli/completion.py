"""`argosy completion`: the script with which a shell completes `argosy`; it asks `argosy` itself at each TAB."""

from __future__ import annotations

from typing import Annotated

import typer

from argosy.cli.completing import among
from argosy.runtime.errors import Failure

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[
        str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", autocompletion=among(*SHELLS))
    ],
) -> None:
    """Print the script with which a shell completes commands, kinds, names, namespaces and contexts.

    [bold]Examples[/bold]

    source <(argosy completion bash)                    # in ~/.bashrc

    source <(argosy completion zsh)                     # in ~/.zshrc, after compinit

    argosy completion fish > ~/.config/fish/completions/argosy.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    if shell not in SHELLS:
        raise Failure(f"{shell}: not a shell that is known", f"one of {', '.join(SHELLS)}", code=2)
    print(get_completion_script(prog_name="argosy", complete_var="_ARGOSY_COMPLETE", shell=shell))
