"""`argosy proxy`: what the control plane knows of the proxies, and what an Envoy of this host really runs."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from argosy.cli.options import Output, StateDir, chosen_output

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="See what the proxies have and run.")
STATUS_COLUMNS = ("NAME", "TYPE", "CONNECTED", "SYNCED", "VERSIONS", "CERTIFICATE", "LAST REFUSAL")
SHORT = {
    "Cluster": "CDS",
    "ClusterLoadAssignment": "EDS",
    "Listener": "LDS",
    "RouteConfiguration": "RDS",
    "TypedExtensionConfig": "ECDS",
    "Secret": "SDS",
}
CONFIG_COLUMNS = ("NAME", "STATE", "DETAIL")


@app.command()
def status(
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NS", help="Of one namespace.", show_default="all")
    ] = "",
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """Show each proxy of the mesh: connected, synced, versions acknowledged, last refusal, certificate."""

    from argosy.cli import documents
    from argosy.cli.connect import OPERATIONS, api
    from argosy.cli.terminal import say, table, warn

    form = chosen_output(output)
    with api(state_dir) as client:
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        found = client.request("GET", f"{OPERATIONS}{within}/proxies", warned=warn) or []
    if documents.show(form, found):
        return
    if not found:
        say("no proxy is connected: start a workload with `argosy run`")
    else:
        now = time.time()
        table(
            STATUS_COLUMNS, [_status_row(one, now) for one in sorted(found, key=lambda one: str(one["name"]))]
        )


def _status_row(one: dict[str, Any], now: float) -> list[str]:
    from argosy.cli.ps import age, yes

    types = one.get("types") or ()
    versions = " ".join(
        f"{SHORT.get(each['type'], each['type'])}:{each['version']}{'' if each['synced'] else '…'}"
        for each in types
    )
    expires = one.get("certificate_expires_at") or 0
    left = (
        "-"
        if not expires
        else f"for {age(expires - now)}"
        if expires > now
        else f"expired {age(now - expires)} ago"
    )
    held = one.get("credentials") or {}
    if problem := held.get("problem"):
        left += f": {problem}"
    elif held.get("late"):
        left += ": past half of its life"
    refusal = one.get("last_nack") or "-"
    if one.get("last_nack_at"):
        refusal += f" ({age(now - one['last_nack_at'])} ago)"
    connected = bool(one.get("connected"))
    return [
        str(one["name"]),
        str(one.get("type") or "-"),
        yes(connected),
        yes(one.get("synced")) if connected else "-",
        versions or "-",
        left,
        refusal,
    ]


@app.command()
def config(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A workload of this host, as `argosy ps` names it.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            "-t",
            metavar="TYPE",
            help="clusters, listeners, scopes, routes, endpoints, secrets, extensions or bootstrap.",
            show_default="all",
        ),
    ] = "",
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """Show what an Envoy really runs, asked of Envoy itself. Private keys are left out.

    [bold]Examples[/bold]

    argosy proxy config reviews-v1

    argosy proxy config reviews-v1 --type routes -o json
    """
    import asyncio
    import json

    from argosy.agent.admin import Admin, AdminError
    from argosy.cli import documents
    from argosy.cli.proxy_config import SECTIONS, detail, held
    from argosy.cli.terminal import table
    from argosy.runtime.errors import Failure

    form = chosen_output(output)
    if kind and kind not in SECTIONS:
        raise Failure(f"--type {kind}: not a type", f"one of {', '.join(SECTIONS)}", code=2)
    socket = admin_socket(name, state_dir)
    try:
        dump = json.loads(asyncio.run(Admin(socket).get("/config_dump?include_eds", 20.0)))
    except (AdminError, ValueError) as error:
        raise Failure(f"the Envoy of {name} does not answer: {error}", f"see argosy logs {name}") from error
    kinds = [kind] if kind else list(SECTIONS)
    if documents.show(form, {one: [h.resource for h in held(dump, one)] for one in kinds}):
        return
    for one in kinds:
        if found := held(dump, one):
            print(f"{one} ({len(found)})")
            table(CONFIG_COLUMNS, [[h.name, h.state, detail(one, h)] for h in found])
            print()


def admin_socket(name: str, state_dir: str) -> str:
    from argosy.agent import client
    from argosy.runtime.errors import Failure
    from argosy.runtime.paths import state_dir as chosen

    listed = client.listed(chosen(state_dir))
    workloads = listed.workloads if listed else ()
    for workload in workloads:
        if name in (
            workload.name,
            f"{workload.namespace}/{workload.name}",
            f"{workload.name}.{workload.namespace}",
        ):
            return workload.admin_socket
    names = ", ".join(sorted(w.name for w in workloads)) or "none"
    raise Failure(f"no workload {name} runs on this host", f"those that run: {names}")
