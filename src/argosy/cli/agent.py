"""`argosy agent`: this host's agent in the foreground (`argosy run` starts one by itself), and how another host
joins."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from argosy.cli.options import AttestSocket, StateDir
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from argosy.agent.joined import Joined
    from argosy.identity.host_token import HostToken

    Joining = Coroutine[object, object, Joined]

TOKEN = "ARGOSY_JOIN_TOKEN"  # noqa: S105  # the name of a variable
LONGEST_TOKEN = 64 << 10
CA_PORT = 15013

app = typer.Typer(add_completion=False, rich_markup_mode="rich", invoke_without_command=True)


@app.callback()
def agent(
    context: typer.Context,
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
    service managers, and for looking at its log. Another host than the server's joins first: [bold]argosy agent
    join[/bold].
    """
    if context.invoked_subcommand is not None:
        return
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


@app.command()
def join(
    url: Annotated[
        str,
        typer.Argument(
            metavar="[URL]",
            help=f"The CA port of a server: HOST, HOST:PORT (default {CA_PORT}) or https://HOST:PORT.",
            show_default="the one that the token names",
        ),
    ] = "",
    token: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="The join token, or - to read it from standard input. Others on this host may see what a command is "
            "given: the file, the variable or - are safer.",
            show_default=f"${TOKEN}",
        ),
    ] = "",
    token_file: Annotated[str, typer.Option(metavar="FILE", help="A file with the join token.")] = "",
    attestor: Annotated[
        str,
        typer.Option(metavar="NAME", help="Without a token: the Attestor object that vouches for this host."),
    ] = "",
    type: Annotated[
        str, typer.Option(metavar="TYPE", help="Its type: jwt, kubernetes, x509 or a plugin's.")
    ] = "",
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="KEY=VALUE",
            help="What the type needs here: file=PATH, env=NAME or url=URL of a token; cert=PATH and key=PATH.",
        ),
    ] = None,
    root_file: Annotated[
        str, typer.Option(metavar="FILE", help="With --attestor: the root certificates of the mesh, PEM.")
    ] = "",
    address: Annotated[
        str,
        typer.Option(
            metavar="IP",
            help="Where other hosts reach this one.",
            show_default="the address that leads to the server",
        ),
    ] = "",
    state_dir: StateDir = "",
) -> None:
    """Make this host a part of a mesh whose servers run elsewhere; then `argosy run` works here as it does there.

    A join token counts once; from then on this host has a certificate, which renews itself while the agent runs.
    Nothing is copied: the token says whom to trust.

    [bold]Examples[/bold]

    at the server:  argosy token create --host vm-1 --identity shop/reviews

    here:  argosy agent join 10.0.0.1 --token-file token

    here, with what the platform gives:  argosy agent join 10.0.0.1 --attestor nomad --type jwt --with env=NOMAD_TOKEN
    --root-file root.pem
    """
    import asyncio

    from argosy.agent.client import ensure_agent, listed
    from argosy.cli.terminal import say
    from argosy.runtime.paths import state_dir as chosen

    state = chosen(state_dir)
    _check_fresh(state)
    running = listed(state)
    if running is not None and running.workloads:
        raise Failure(
            f"the agent of {state} looks after {len(running.workloads)} workloads",
            "stop them before: argosy down --all",
        )
    if address:
        _check_address(address)
    if attestor:
        work = _by_attestor(state, url, attestor, type, with_ or [], root_file, address)
    else:
        work = _by_token(state, url, _token(token, token_file), address)
    found = asyncio.run(work)
    if running is not None:
        _stop_agent(state)
    ensure_agent(state)
    who = f"the host {found.host}" if found.host else f"what {found.attestor} vouches for"
    say(f"joined {found.trust_domain} as {who}; the agent runs (see argosy ps)", "green")
    if found.address:
        say(f"other hosts reach its workloads at {found.address}")
    say("now: argosy run --service NAME --port 8000 -- COMMAND")


def _by_token(state: Path, url: str, given: HostToken, address: str) -> Joining:
    from argosy.agent import joined

    return joined.with_token(state, _ca(url or given.address), given, address)


def _by_attestor(
    state: Path, url: str, attestor: str, type: str, given: list[str], root_file: str, address: str
) -> Joining:
    from argosy.agent import joined
    from argosy.identity import attestors

    if not type or not root_file or not url:
        raise Failure(
            "--attestor needs URL, --type and --root-file",
            "the root certificates are in ca/root.crt of the server that made the mesh",
            code=2,
        )
    parameters = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not (key and equals):
            raise Failure(f"--with {one}: not KEY=VALUE", "as in --with file=/run/token", code=2)
        parameters[key] = value
    attestors.plugin(type).gatherer(parameters)  # what is missing is told before anybody is asked
    return joined.with_attestor(state, _ca(url), _roots(root_file), attestor, type, parameters, address)


def _check_fresh(state: Path) -> None:
    if (state / "kubeconfig").exists():
        raise Failure(
            f"{state} has a control plane of its own: this host needs not join",
            "leave it out, or choose another directory with --state-dir",
            code=2,
        )


def _stop_agent(state: Path) -> None:
    """It has no workloads; the next one begins with what is known then."""
    from argosy.agent import protocol
    from argosy.agent.client import ask

    for _ in ask(state, protocol.Shutdown(patience=0)):
        pass


def _token(text: str, file: str) -> HostToken:
    """Raises Failure."""
    from argosy.identity.host_token import parse

    if text and file:
        raise Failure("both --token and --token-file are given", "keep one of them", code=2)
    if file:
        try:
            with Path(file).expanduser().open("r", encoding="ascii", errors="replace") as opened:
                return parse(opened.read(LONGEST_TOKEN), file)
        except OSError as error:
            raise Failure(f"--token-file {file}: {error.strerror}", "name the file with the token") from error
    if text == "-":
        return parse(sys.stdin.read(LONGEST_TOKEN), "standard input")
    if text:
        return parse(text, "--token")
    if given := os.environ.pop(TOKEN, ""):
        return parse(given, f"${TOKEN}")
    raise Failure(
        "there is no join token",
        f"make one at the server with `argosy token create --host NAME`, and give --token-file or ${TOKEN}",
        code=2,
    )


def _ca(url: str) -> str:
    """`host:port`. Raises Failure."""
    from urllib.parse import urlsplit

    bare = url if "//" in url else f"//{url}"
    try:
        parts = urlsplit(bare)
        host, port = parts.hostname or "", parts.port or CA_PORT
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    if not host or parts.scheme not in ("", "https", "argosy") or parts.path not in ("", "/"):
        raise Failure(f"URL {url!r} is not the address of a server", "for example: 10.0.0.1:15013", code=2)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_address(text: str) -> None:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise Failure(f"--address {text}: not an IP address", "as in --address 10.0.0.2", code=2) from None


def _roots(file: str) -> str:
    from cryptography import x509

    try:
        text = Path(file).expanduser().read_text("ascii")
        x509.load_pem_x509_certificates(text.encode())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no certificates in PEM"
        raise Failure(f"--root-file {file}: {reason}", "take ca/root.crt of the server") from error
    return text
