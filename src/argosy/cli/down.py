"""`argosy down`: workloads leave the mesh in order, and their applications stop."""

from __future__ import annotations

from typing import Annotated

import typer

from argosy.cli.options import StateDir


def down(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The workload, as `argosy ps` names it.")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every workload of this host, and the agent.")
    ] = False,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long active requests may take to end.")
    ] = 30.0,
    state_dir: StateDir = "",
) -> None:
    """Make workloads leave the mesh and stop: withdrawn first, drained, then the application, then the sidecar."""
    from argosy.agent import client
    from argosy.agent.protocol import Down, DownAnswer, Progress, Shutdown
    from argosy.cli.terminal import say
    from argosy.runtime.errors import Failure
    from argosy.runtime.paths import state_dir as chosen

    if everything == bool(name):
        raise Failure("which workload?", "argosy down NAME, or argosy down --all", code=2)
    state = chosen(state_dir)
    if not client.is_alive(state):
        if name:
            raise Failure(f"no agent runs for {state}", "nothing is up")
        say("nothing runs")
        return
    request = Shutdown(patience=patience) if everything else Down(name=name, patience=patience)
    for event in client.ask(state, request, timeout=patience + 60):
        match event:
            case Progress(what=what):
                say(f"argosy: {what}", "dim")
            case DownAnswer(names=names):
                say("down: " + (", ".join(names) or "nothing ran"))
