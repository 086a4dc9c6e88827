"""`argosy identity`: who holds which certificate, and the root that all of them are below."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argosy.cli import identity_api as asked
from argosy.cli import issuing, rehearsing, revoking
from argosy.cli.options import Output, StateDir, chosen_output, output
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", metavar="NS", help="Of one namespace.", show_default="all")
]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="See who holds which certificate, and rotate the root that all of them are below.",
)
app.command()(issuing.csr)
app.command()(issuing.install_issuing)
app.command()(issuing.take_root_offline)
app.command()(rehearsing.rehearse)
app.command()(revoking.revoke)
app.command()(revoking.restore)
COLUMNS = ("NAME", "IDENTITY", "UNTIL", "ROOT", "PROVEN BY", "CONNECTED", "PROBLEM")
ROOT_COLUMNS = ("ROOT", "STATE", "UNTIL", "SUBJECT")
SERVER_COLUMNS = ("SERVER", "ISSUES BELOW", "UNTIL", "HOLDS A ROOT'S KEY")
ISSUED_COLUMNS = ("WHEN", "NAME", "IDENTITY", "SERIAL", "UNTIL", "PROVEN BY")
SOON = 90 * 86400


# --- who holds what -------------------------------------------------------------------------------------------------


@app.command("list")
def list_(namespace: Namespace = "", output: Output = "table", state_dir: StateDir = "") -> None:
    """List the workloads with their certificates: whose, until when, below which root, and how it was proven."""
    _print_rows(asked.rows(state_dir, namespace), output, "no workload holds a certificate")


@app.command()
def expiring(
    within: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="Those that end within this time: 30m, 12h.", show_default="late ones"
        ),
    ] = "",
    namespace: Namespace = "",
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """List certificates that are not renewed as they should be: half of their life is over, or they have ended.

    Exit 1 where there is one.
    """
    from argosy.cli.user import lifetime

    limit = time.time() + (lifetime(within) or 0) if within else 0.0
    rows = [
        row
        for row in asked.rows(state_dir, namespace)
        if (row["not_after"] < limit if limit else row["late"])
    ]
    _print_rows(rows, output, "none: every certificate is renewed in time")
    if rows:
        raise typer.Exit(1)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="WORKLOAD, or WORKLOAD.NAMESPACE.")],
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """Show the certificate of one workload: identity, serial, issuer, root, proof."""
    from argosy.cli import documents
    from argosy.cli.terminal import table

    form = chosen_output(output)
    rows = [row for row in asked.rows(state_dir, "") if name in (row["name"], row["workload"])]
    if not rows:
        raise Failure(f"no workload {name} holds a certificate", "argosy identity list names those that do")
    if documents.show(form, rows[0] if len(rows) == 1 else rows):
        return
    for row in rows:
        table(("FIELD", "VALUE"), [[field, value] for field, value in _described(row)])


def _described(row: Json) -> list[tuple[str, str]]:
    return [
        ("name", row["name"]),
        ("identity", row["identity"] or "-"),
        ("serial", row["serial"] or "-"),
        ("issued", _moment(row["issued_at"])),
        ("until", f"{_moment(row['not_after'])} ({_left(row['not_after'])})"),
        ("root", row["root"] or "-"),
        ("issuing certificate", f"{row['issuer'] or '-'}, until {_moment(row['issuer_ends'])}"),
        ("proven by", row["proof"] or "-"),
        ("signed by server", row["server"] or "-"),
        ("connected", "yes" if row["connected"] else "no"),
        ("problem", _problem(row) or "-"),
    ]


@app.command()
def issued(
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, help="The last N.")] = 20,
    output: Annotated[str, output("table", "json")] = "table",
    state_dir: StateDir = "",
) -> None:
    """Show what the server of this state directory has signed last, from its log (each server has its own)."""
    import json
    from collections import deque

    from argosy.cli import documents
    from argosy.cli.terminal import table
    from argosy.runtime.paths import state_dir as chosen

    form = chosen_output(output, ("table", "json"))
    folder = chosen(state_dir)
    files = sorted(
        folder.glob("issued.log*"), key=lambda path: -int(path.suffix[1:]) if path.suffix[1:].isdigit() else 1
    )
    if not files:
        raise Failure(
            f"there is no issued log in {folder}", "it is written by a server with the role ca or xds"
        )
    kept: deque[Json] = deque(maxlen=last)
    for path in files:
        with path.open("rb") as lines:
            for line in lines:
                try:
                    found = json.loads(line)
                except ValueError:
                    continue  # a line that a crash cut
                if "serial" in found:
                    kept.append(found)
    if documents.show(form, list(kept)):
        return
    table(
        ISSUED_COLUMNS,
        [
            [
                _moment(one["issued_at"]),
                f"{one['workload']}.{one['namespace']}",
                one["identity"],
                one["serial"],
                _moment(one["not_after"]),
                one["proof"],
            ]
            for one in kept
        ],
    )


# --- the root -------------------------------------------------------------------------------------------------------


@app.command()
def status(output: Output = "table", state_dir: StateDir = "") -> None:
    """Show the roots that the mesh trusts, what each server issues with, and how far a rotation is."""
    from argosy.cli import documents
    from argosy.cli.terminal import say, table

    form = chosen_output(output)
    found = asked.overview(state_dir)
    if documents.show(form, found):
        return
    table(
        ROOT_COLUMNS,
        [
            [one["fingerprint"][:16], one["state"], _until(one["not_after"]), one["subject"]]
            for one in found["roots"]
        ],
    )
    print()
    table(
        SERVER_COLUMNS,
        [
            [
                one["server"],
                "an older version: not known" if one["older"] else one["issues"][:16],
                _until(one["ends"]),
                "yes" if one["holds_root"] else "no",
            ]
            for one in found["servers"]
        ],
    )
    if found["rotation"]["phase"]:
        print()
        for line in told(found["rotation"], time.time()):
            print(line)
    for one in (*found["roots"], *found["servers"]):
        ends = one.get("not_after") or one.get("ends") or 0
        if ends and ends - time.time() < SOON:
            name = one.get("subject") or f"what {one['server']} issues with"
            say(f"{name} ends {_left(ends)}: docs/identity.md says what to do", "yellow")


@app.command()
def roots(state_dir: StateDir = "") -> None:
    """Print the roots that the mesh trusts (PEM): what a client outside of it needs to know its servers."""
    print("".join(one["pem"] for one in asked.overview(state_dir)["roots"]), end="")


@app.command()
def rotate_root(
    root: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="A new root (PEM) whose key is kept elsewhere.", show_default="made here"
        ),
    ] = "",
    here: Annotated[
        bool,
        typer.Option(
            "--here", help="Make the new root on this server, though another holds the present one."
        ),
    ] = False,
    stop_after: Annotated[
        str,
        typer.Option(
            metavar="PHASE", help="trust: stop once everybody trusts both roots; issue: before the old goes."
        ),
    ] = "",
    only_status: Annotated[bool, typer.Option("--status", help="Only tell how far it is.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Take the next step whoever is behind: they are cut off. For one step."),
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Give it up; until certificates are issued below the new.")
    ] = False,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="How long to wait; it can be resumed.")] = "1h",
    output: Annotated[str, output("table", "json")] = "table",
    state_dir: StateDir = "",
) -> None:
    """Put a new root in the place of the old one, without a failed request.

    Both are trusted everywhere, then certificates are issued below the new one, everybody renews, and the old one is
    dropped. Each step waits until nobody would be left behind, and says who is. Interrupted, it goes on
    where it stopped when it is started anew. Exit 2 where somebody is behind at the end of --timeout.

    [bold]Example[/bold]

    argosy identity rotate-root
    """
    from argosy.cli import documents
    from argosy.cli.connect import seconds
    from argosy.cli.terminal import say

    form = chosen_output(output, ("table", "json"))
    if stop_after not in ("", "trust", "issue"):
        raise Failure(f"--stop-after {stop_after}: not a phase", "trust or issue", code=2)
    new = asked.read(root, "--root") if root else ""
    now = asked.overview(state_dir)["rotation"]
    if only_status:
        if not documents.show(form, now):
            print("\n".join(told(now, time.time())) if now["phase"] else "no rotation is under way")
        return
    if abort:
        asked.step(state_dir, {"step": "abort"})
        say("the rotation was given up: the old root is the only one again", "green")
        return
    wait = seconds(timeout, "--timeout") if not timeout.endswith("h") else float(timeout[:-1]) * 3600
    if not now["phase"]:
        now = asked.step(state_dir, {"step": "begin", "root": new, "here": here})
        say(f"new root {now['new'][:16]}: it is given to everybody beside the old one")
    elif new or here:
        raise Failure(
            "a rotation is under way already", "leave --root and --here out to go on with it", code=2
        )
    now = _go_on(state_dir, now, stop_after, force, time.monotonic() + wait)
    if documents.show(form, now):
        return
    if not now["phase"]:
        say(f"done: {now['root'][:16]} is the root of the mesh", "green")
        say(
            "kubeconfigs that were given to people hold the old root: docs/identity.md says how they get the new one"
        )


def _go_on(state_dir: str, now: Json, stop_after: str, force: bool, deadline: float) -> Json:
    """Until it is over, or to stop. Raises Failure with exit code 2 at the deadline."""
    from argosy.cli.terminal import say

    steps = {"trust": "issue", "issue": "drop"}
    said = ""
    while phase := now["phase"]:
        ready = not (now["behind"] or now["servers_behind"] or now["silent"])
        lines = told(now, time.time())
        if lines[0] != said:
            said = lines[0]
            say(said)
        if ready and phase == stop_after:
            say("everybody is through; the same command goes on", "green")
            return now
        if ready or force:
            now, force = asked.step(state_dir, {"step": steps[phase], "force": force}), False
            continue
        if time.monotonic() > deadline:
            raise Failure(
                "\n".join(("the rotation waits:", *lines)),
                "it goes on with the same command; --force leaves them behind",
                code=2,
            )
        time.sleep(1.0)
        now = asked.overview(state_dir)["rotation"]
    return now


def told(report: Json, now: float) -> list[str]:
    """A rotation in words: how many are through in the first line, then each who is not."""
    through = report["workloads"] - len(report["behind"])
    what = "trust the new root" if report["phase"] == "trust" else "hold a certificate of the new root"
    lines = [
        f"phase {report['phase']}: {through} of {report['workloads']} workloads {what}, "
        f"{len(report['servers']) - len(report['servers_behind'])} of {len(report['servers'])} servers are ready"
    ]
    for one in report["servers_behind"]:
        lines.append(f"  server {one['name']}: {one['why']}")
    lines += [f"  server {address}: it does not answer" for address in report["silent"]]
    for one in report["behind"]:
        ends = f" (it ends {_left(one['until'], now)})" if one["until"] else ""
        lines.append(f"  {one['name']}: {one['why']}{ends}")
    return lines


# --- telling --------------------------------------------------------------------------------------------------------


def _print_rows(rows: Sequence[Json], given: str, nothing: str) -> None:
    from argosy.cli import documents
    from argosy.cli.ps import yes
    from argosy.cli.terminal import say, table

    if documents.show(chosen_output(given), list(rows)):
        return
    if not rows:
        say(nothing)
        return
    table(
        COLUMNS,
        [
            [
                row["name"],
                row["identity"] or row["service_account"] or "-",
                _left(row["not_after"]),
                row["root"][:16] or "-",
                row["proof"] or "-",
                yes(row["connected"]),
                _problem(row) or "-",
            ]
            for row in rows
        ],
    )


def _problem(row: Json) -> str:
    if row["problem"]:
        return str(row["problem"])
    return "half of its life is over" if row["late"] else ""


def _left(at: float, now: float | None = None) -> str:
    from argosy.cli.ps import age

    left = at - (time.time() if now is None else now)
    return f"in {age(left)}" if left > 0 else f"expired {age(-left)} ago"


def _until(at: float) -> str:
    return f"{_moment(at)} ({_left(at)})" if at else "-"


def _moment(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "-"
