"""Commands for a root that is kept elsewhere: the request for an issuing certificate, and its installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from argosy.cli import identity_api as asked
from argosy.cli.options import StateDir
from argosy.runtime.errors import Failure


def csr(
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="Where to write it.", show_default="printed")
    ] = "",
    state_dir: StateDir = "",
) -> None:
    """Ask for an issuing certificate for this server, to be signed by a root that is kept elsewhere.

    The key is made by the server and stays there; `install-issuing` brings the certificate for it. Where no server
    has run in the state directory yet, the key is made there.
    """
    from argosy.cli.terminal import say

    if asked.is_new(state_dir):
        from argosy.cli import offline

        text = offline.new_csr(state_dir)
    else:
        text = asked.post(state_dir, "csr", {})["csr"]
    if not file:
        print(text, end="")
        return
    Path(file).expanduser().write_text(text)
    say(
        f"written: {file}; sign it as an authority (CA:TRUE, keyCertSign), then: argosy identity install-issuing"
    )


def install_issuing(
    chain: Annotated[
        str,
        typer.Argument(metavar="CERT", help="The certificate (PEM), with what leads from it to the root."),
    ],
    root: Annotated[
        str, typer.Option(metavar="FILE", help="The root (PEM), for a mesh that has none yet.")
    ] = "",
    trust_domain: Annotated[
        str, typer.Option(metavar="DOMAIN", help="For a mesh that has none yet.")
    ] = "cluster.local",
    state_dir: StateDir = "",
) -> None:
    """Install the issuing certificate that was signed for `argosy identity csr`. The server issues with it at once.

    Below the root that a rotation brings (`rotate-root --root FILE`) it is kept until it is time.
    """
    from argosy.cli.terminal import say

    text = asked.read(chain, "CERT")
    if asked.is_new(state_dir):
        from argosy.cli import offline

        if not root:
            raise Failure(
                "--root: which root is it below?", "give the certificate of the root: --root root.pem", code=2
            )
        offline.new_authority(state_dir, trust_domain, asked.read(root, "--root"), text)
        say("installed: argosy server begins the mesh with it", "green")
        return
    answer = asked.post(state_dir, "issuing", {"chain": text})
    say(f"installed on {answer['server']}, below the root {answer['root'][:16]}", "green")


def take_root_offline(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where the key of the root goes; none may be there.")
    ],
    state_dir: StateDir = "",
) -> None:
    """Take the key of the root out of a server that has stopped. It runs without: it lets no server in, and its issuing
    certificate is renewed by `csr` and `install-issuing`."""
    from argosy.cli import offline
    from argosy.cli.terminal import say

    path = offline.take_root(state_dir, Path(file).expanduser())
    say(
        f"the key of the root is in {path} now, and nowhere else: keep it, and a copy, where your other keys are",
        "green",
    )
