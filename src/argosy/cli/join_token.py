"""`argosy join-token`: what a further server of the mesh is let in with.

Rule: the token goes into a file 0600 and nowhere else, as whoever has it while it counts gets every key of the mesh.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from argosy.cli.options import StateDir
from argosy.runtime.errors import Failure


def join_token(
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="The file to write; none may be there.")
    ] = "join.token",
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="How long it counts: 15m, 1h; at most 7d. It counts once.")
    ] = "1h",
    state_dir: StateDir = "",
) -> None:
    """Make a join token: with it one further `argosy server` becomes a part of this mesh.

    Only an admin may, because that server gets every key of the mesh: take the file to its host as you would take a
    private key. It counts once, and says whom to trust.

    [bold]Example[/bold]

    argosy join-token --file second.token

    argosy server --store etcd://10.0.0.1:2379/argosy --join 10.0.0.1:15013 --join-token-file second.token
    """
    from argosy.cli.connect import OPERATIONS, api
    from argosy.cli.terminal import say
    from argosy.cli.user import lifetime, reserved

    seconds = lifetime(expires)
    if not seconds:
        raise Failure("--expires never: a join token always ends", "name a time, as in 1h", code=2)
    path = Path(file).expanduser()
    handle = reserved(path, "--file")
    try:
        with api(state_dir) as client:
            answer = client.request("POST", f"{OPERATIONS}/jointokens", body={"seconds": seconds})
        data = answer["token"].encode() + b"\n"
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    until = datetime.fromtimestamp(answer["expires"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    say(f"join token made: {path} (counts once, until {until})", "green")
    if not answer["servers"]:
        say(
            "no server with the root of the mesh runs with the role ca now: start it before you use the token"
        )
        return
    for address in answer["servers"]:
        say("on the other host, with the --store of this server:")
        say(f"  argosy server --store URL --join {address} --join-token-file {path.name}")
