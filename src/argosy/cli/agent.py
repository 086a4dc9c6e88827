"""`argosy agent`: this host's agent in the foreground (`argosy run` starts one by itself)."""

from __future__ import annotations

from typing import Annotated

import typer

from argosy.cli.options import AttestSocket, StateDir


def agent(
    linger: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="How long it stays after its last workload has gone.",
            show_default="for ever",
        ),
    ] = 1e9,
    log_format: Annotated[
        str, typer.Option(metavar="FORM", help="text, json, or auto: text on a terminal.")
    ] = "auto",
    attest_socket: AttestSocket = "",
    state_dir: StateDir = "",
) -> None:
    """Run this host's agent in the foreground, until Ctrl-C: its workloads leave the mesh first.

    There is one agent for each user and state directory. `argosy run` starts it where none runs, so this command is for
    service managers, and for looking at its log.
    """
    import uvloop

    from argosy.agent.agent import Agent
    from argosy.runtime.log import configure
    from argosy.runtime.paths import state_dir as chosen
    from argosy.runtime.paths import use_server

    configure(form=log_format)
    state = chosen(state_dir)
    if attest_socket:
        use_server(state, attest_socket)
    uvloop.run(Agent(state, linger).serve())
