"""`argosy token`: what another host joins the mesh with. (A further server joins with `argosy join-token`.)

Rule: a token is shown once, on standard output or in a file 0600; the mesh keeps its hash. What its host may be is an
IdentityRegistration like any other: seen, changed and deleted as such.
"""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from argosy.cli.options import Output, StateDir
from argosy.runtime.errors import Failure

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")

REGISTRATIONS = "/apis/identity.argosy.dev/v1/namespaces/istio-system/identityregistrations"


@app.command()
def create(
    identity: Annotated[
        list[str] | None,
        typer.Option(
            "--identity",
            "-i",
            metavar="NS/SA",
            help="A service account that workloads of the host may have; * stands for any text; repeats.",
            show_default="what IdentityRegistrations say of host:name=NAME",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="NAME", help="What the host is called.", show_default="host-…, made up")
    ] = "",
    ttl: Annotated[
        str,
        typer.Option(
            "--ttl", metavar="TIME", help="How long it counts: 15m, 1h; at most 7d. It counts once."
        ),
    ] = "1h",
    file: Annotated[
        str,
        typer.Option(
            "--file", "-f", metavar="FILE", help="Where to write it, 0600.", show_default="standard output"
        ),
    ] = "",
    state_dir: StateDir = "",
) -> None:
    """Make a join token: with it one other host becomes a part of the mesh, once.

    The token is bound to the name of the host. `--identity` says what its workloads may be, in an IdentityRegistration
    `host-NAME` of namespace istio-system; delete that to be rid of the host: its certificates are not renewed then.

    [bold]Example[/bold]

    argosy token create --host vm-1 --identity shop/reviews --file token
    """
    from argosy.cli.connect import OPERATIONS, api
    from argosy.cli.terminal import say
    from argosy.cli.user import lifetime, reserved

    seconds = lifetime(ttl)
    if not seconds:
        raise Failure("--ttl never: a join token always ends", "name a time, as in 1h", code=2)
    name = host or f"host-{secrets.token_hex(4)}"
    path = Path(file).expanduser() if file else None
    handle = reserved(path, "--file") if path else -1
    try:
        with api(state_dir) as client:
            made = _register(client, name, identity) if identity else _check_known(client, name)
            try:
                answer = client.request(
                    "POST", f"{OPERATIONS}/hosttokens", body={"host": name, "seconds": seconds}
                )
            except BaseException:
                if made:
                    client.request("DELETE", f"{REGISTRATIONS}/host-{name}")
                raise
        if path:
            _write(handle, answer["token"])
    except BaseException:
        if path:
            path.unlink(missing_ok=True)
        raise
    finally:
        if path:
            os.close(handle)
    where = f": {path}" if path else ""
    until = _moment(answer["expires"])
    say(f"join token {answer['id']} for the host {name} (counts once, until {until}){where}", "green")
    if not answer["servers"]:
        say("no server runs with the role ca now: start it before you use the token")
    if path is None:
        typer.echo(answer["token"])
    say(f"on that host: argosy agent join --token-file {path.name if path else 'FILE'}")


def _check_known(client: Any, host: str) -> bool:
    """Somebody must say what the host may be, or it is not let in. False: nothing was made. Raises Failure."""
    for one in client.request("GET", REGISTRATIONS)["items"]:
        if f"host:name={host}" in one["spec"]["match"].get("selectors", ()):
            return False
    raise Failure(
        f"no IdentityRegistration says what the host {host} may be: it would not be let in",
        "give --identity NS/SA, or write one with match.selectors: [host:name=…]",
        code=2,
    )


def _register(client: Any, host: str, identities: list[str]) -> bool:
    """What the host may be; whether the object was made. Raises Failure."""
    body = {
        "apiVersion": "identity.argosy.dev/v1",
        "kind": "IdentityRegistration",
        "metadata": {"name": f"host-{host}", "namespace": "istio-system"},
        "spec": {"match": {"selectors": [f"host:name={host}"]}, "serviceAccounts": identities},
    }
    there = client.request("GET", f"{REGISTRATIONS}?fieldSelector=metadata.name%3Dhost-{host}")["items"]
    if not there:
        client.request("POST", REGISTRATIONS, body=body)
        return True
    given = there[0].get("spec", {}).get("serviceAccounts", [])
    if sorted(given) != sorted(identities):
        raise Failure(
            f"IdentityRegistration istio-system/host-{host} gives the host {', '.join(given)}",
            "leave --identity out to keep that, change it with argosy edit, or delete it",
        )
    return False


def _write(handle: int, text: str) -> None:
    data = text.encode() + b"\n"
    while data:
        data = data[os.write(handle, data) :]
    os.fsync(handle)


@app.command("list")
def list_(output: Output = "table", state_dir: StateDir = "") -> None:
    """List the join tokens of hosts: those that wait, and for a week those that were used or ended."""
    from argosy.cli import documents
    from argosy.cli.connect import OPERATIONS, api
    from argosy.cli.options import chosen_output
    from argosy.cli.terminal import say, table

    form = chosen_output(output)
    with api(state_dir) as client:
        found = client.request("GET", f"{OPERATIONS}/hosttokens")
    if documents.show(form, found):
        return
    if not found:
        say("no join tokens")
        return
    rows = [[one["id"], one["host"], one["state"], _moment(one["expires"]), _used(one)] for one in found]
    table(["ID", "HOST", "STATE", "COUNTS UNTIL", "USED"], rows)


@app.command()
def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="As argosy token list shows them.")],
    state_dir: StateDir = "",
) -> None:
    """Delete join tokens: they count no more. A host that has joined stays: delete its IdentityRegistration."""
    from argosy.cli.connect import OPERATIONS, api
    from argosy.cli.terminal import say

    with api(state_dir) as client:
        for id in ids:
            client.request("DELETE", f"{OPERATIONS}/hosttokens/{id}")
            say(f"join token {id} deleted")


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _used(one: dict[str, Any]) -> str:
    return f"{_moment(one['used_at'])} by {one['used_by']}" if one["state"] == "used" else ""
