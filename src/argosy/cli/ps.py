"""`argosy ps`: the workloads of this host and user, as the agent sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from argosy.cli.options import Output, StateDir, chosen_output

if TYPE_CHECKING:
    from argosy.agent.protocol import WorkloadStatus

COLUMNS = (
    "NAME",
    "SERVICE",
    "STATE",
    "ANNOUNCED",
    "INBOUND",
    "OUTBOUND",
    "PLAINTEXT",
    "CONNECTED",
    "AGE",
    "PORTS",
)


def ps(
    output: Output = "table",
    agent: Annotated[bool, typer.Option("--agent", help="The agent itself instead.")] = False,
    state_dir: StateDir = "",
) -> None:
    """List the workloads of this host: what runs, whether it is announced, and what it sees.

    PLAINTEXT counts what came in without mutual TLS; CONNECTED: to the control plane.
    """
    import msgspec

    from argosy.agent import client
    from argosy.cli import documents
    from argosy.cli.terminal import say, table, warn
    from argosy.runtime.errors import Failure
    from argosy.runtime.paths import state_dir as chosen

    form = chosen_output(output)
    state = chosen(state_dir)
    listed = client.listed(state)
    if agent:
        if listed is None:
            raise Failure(f"no agent runs for {state}", "it starts with the first `argosy run`")
        documents.show("yaml" if form == "yaml" else "json", msgspec.to_builtins(listed.agent))
        return
    workloads = sorted(listed.workloads if listed else (), key=lambda w: (w.namespace, w.name))
    if documents.show(form, msgspec.to_builtins(workloads)):
        return
    if not workloads:
        say(f"no workload runs for {state}: start one with `argosy run`")
        return
    now = time.time()
    table(COLUMNS, [row(w, now) for w in workloads])
    for workload in workloads:
        for trouble in troubles(workload, now):
            warn(f"{workload.name}: {trouble}")


def row(workload: WorkloadStatus, now: float) -> list[str]:
    ports = [f"{p.workload}:{p.application}/{p.protocol}" for p in workload.ports]
    ports += [f"{declared}={bound}" for declared, bound in workload.port_map.items()]
    return [
        workload.name if workload.namespace == "default" else f"{workload.namespace}/{workload.name}",
        workload.service or "-",
        workload.state,
        "-" if not workload.ports else yes(workload.announced),
        str(workload.inbound),
        str(workload.outbound),
        str(workload.plaintext),
        yes(workload.connected),
        age(now - workload.started_at) if workload.started_at else "-",
        ", ".join(ports) or "-",
    ]


def troubles(workload: WorkloadStatus, now: float) -> Iterator[str]:
    """What a person should know of it."""
    if workload.ports and not workload.healthy and workload.health:
        yield f"its probe fails: {workload.health}"
    if workload.restarts:
        yield f"its sidecar was restarted {workload.restarts} times"
    if workload.certificate_problem:
        yield workload.certificate_problem
    if workload.certificate_expires_at and workload.certificate_expires_at < now:
        yield "its certificate has expired"
    yield from (f"its sidecar refused {rejected}" for rejected in workload.rejected)


def yes(value: object) -> str:
    return "yes" if value else "no"


def age(seconds: float) -> str:
    """As kubectl tells it: `42s`, `5m`, `3h`, `2d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"
