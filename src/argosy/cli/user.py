"""`argosy user`: people and programs that may use the API. Each gets a kubeconfig, for argosy and kubectl.

Rule: a secret is made here, goes into a file 0600 and nowhere else: not to a terminal, not to a command line, and not
to the server, which gets the hash of a token, or a request for a certificate.
"""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argosy.cli.options import Output, StateDir, chosen_output
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient
    from argosy.apiserver.kubeconfig import Connection

ACCESS = "access.argosy.dev/v1"
RBAC = "rbac.authorization.k8s.io"
EXPIRES = re.compile(r"(\d{1,6})([smhd])")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SHORTEST = 60
Json = dict[str, Any]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Give people and programs access to the API, and take it.",
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What bindings and the audit log call them.")],
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group",
            metavar="G",
            help="A group, as argosy:viewers, argosy:operators, argosy:admins; repeats.",
        ),
    ] = None,
    role: Annotated[
        str, typer.Option(metavar="ROLE", help="A ClusterRole to bind, as argosy:service-developer.")
    ] = "",
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace", "-n", metavar="NS", help="Where: --role counts there, and they begin there."
        ),
    ] = "",
    certificate: Annotated[
        bool,
        typer.Option("--certificate/--token", help="What proves them: a certificate, or a bearer token."),
    ] = True,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="How long it counts: 30d, 12h; never, for a token.")
    ] = "30d",
    file: Annotated[
        str,
        typer.Option(
            "--kubeconfig", metavar="FILE", help="The file to write for them.", show_default="NAME.kubeconfig"
        ),
    ] = "",
    server: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Where they reach the API.", show_default="as this command reaches it"
        ),
    ] = "",
    state_dir: StateDir = "",
) -> None:
    """Make a user and write a kubeconfig for them, which is all that they need.

    [bold]Examples[/bold]

    argosy user create alice --group argosy:viewers

    argosy user create bob --role argosy:service-developer -n shop --kubeconfig bob.kubeconfig
    """
    from argosy.cli.connect import api
    from argosy.cli.terminal import say

    seconds = lifetime(expires)
    if certificate and not seconds:
        raise Failure("--expires never: a certificate always ends", "use --token, or name a time", code=2)
    path = Path(file or f"{name.replace('/', '_')}.kubeconfig").expanduser()
    with api(state_dir) as client:
        reached = server or client.connection.server
        if not reached.startswith("https://"):
            raise Failure(
                f"{reached}: is no address for others", "name it: --server https://HOST:PORT", code=2
            )
        handle = reserved(path)
        try:
            connection = made(client, name, tuple(group or ()), certificate=certificate, seconds=seconds)
            _write(handle, connection, reached, client.connection.ca, namespace or "default", name)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        if role:
            bind(client, name, role, namespace)
    ends = f"until {_day(time.time() + seconds)}" if seconds else "for ever"
    kind = "certificate" if certificate else "token"
    say(f"user {name} made; its {kind} counts {ends}: {path}", "green")
    if not role and not group:
        say(f"it may nothing yet: bind a role (docs/access.md), as with --role argosy:viewer for {name}")


@app.command("list")
def list_users(output: Output = "table", state_dir: StateDir = "") -> None:
    """List the users, their groups and tokens."""

    from argosy.cli import documents
    from argosy.cli.connect import api, kind_called
    from argosy.cli.terminal import say, table

    form = chosen_output(output)
    with api(state_dir) as client:
        items = client.list(kind_called("users.access.argosy.dev"))["items"]
    rows = [described(item) for item in items]
    if documents.show(form, rows):
        return
    if not rows:
        say("no users but the admin: argosy user create NAME")
    else:
        table(
            ["NAME", "GROUPS", "TOKENS", "CREATED"],
            [
                [one["name"], ", ".join(one["groups"]), ", ".join(one["tokens"]), one["created"]]
                for one in rows
            ],
        )


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user.")],
    state_dir: StateDir = "",
) -> None:
    """Take a user's access: at once, whatever tokens and certificates they have."""
    from argosy.cli.connect import api, kind_called
    from argosy.cli.terminal import say

    with api(state_dir) as client:
        client.delete(kind_called("users.access.argosy.dev"), name, "")
    say(f"user {name} revoked; what names {name} in bindings stays, for another user of that name", "green")


def made(
    client: ApiClient, name: str, groups: tuple[str, ...], *, certificate: bool, seconds: int
) -> Connection:
    """Makes the user; the connection holds what proves it. Raises Failure, and then there is no such user."""
    from argosy.apiserver.auth import digest, new_token
    from argosy.apiserver.kubeconfig import Connection

    token = "" if certificate else new_token()
    spec: Json = {"groups": list(groups)} if groups else {}
    if token:
        spec["tokens"] = [
            {"sha256": digest(token).hex()} | ({"expires": _moment(seconds)} if seconds else {})
        ]
    client.create({"apiVersion": ACCESS, "kind": "User", "metadata": {"name": name}, "spec": spec})
    if token:
        return Connection(server="", token=token)
    try:
        return certified(client, name, seconds)
    except BaseException:
        from argosy.cli.connect import kind_called

        client.delete(kind_called("users.access.argosy.dev"), name, "")
        raise


def certified(client: ApiClient, name: str, seconds: int) -> Connection:
    """A new key, made here, and the certificate that the server signs for it."""
    from argosy.apiserver.kubeconfig import Connection
    from argosy.identity.client import new_key_and_csr

    key, csr = new_key_and_csr()
    answer = client.request(
        "POST",
        f"/apis/{ACCESS}/clientcertificates",
        body={
            "apiVersion": ACCESS,
            "kind": "ClientCertificate",
            "spec": {"user": name, "request": csr, "expirationSeconds": seconds},
        },
    )
    return Connection(server="", certificate=answer["status"]["certificate"], key=key)


def bind(client: ApiClient, name: str, role: str, namespace: str) -> None:
    """Binds a ClusterRole to the user, in a namespace or ("") everywhere."""
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    metadata = {"name": f"{name}-{role}"} | ({"namespace": namespace} if namespace else {})
    client.apply(
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": kind,
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": name}],
        }
    )


def reserved(path: Path, option: str = "--kubeconfig") -> int:
    """A new file 0600, before there is a secret to lose. Raises Failure."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Failure(f"{path} is there already", f"name another with {option}, or move it away") from None
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}", f"name another with {option}") from error


def lifetime(text: str) -> int:
    """Seconds; 0: for ever. Raises Failure."""
    if text == "never":
        return 0
    found = EXPIRES.fullmatch(text)
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if seconds < SHORTEST:
        raise Failure(
            f"--expires {text!r} is not a time of a minute or more", "as in 30d, 12h or never", code=2
        )
    return seconds


def described(item: Json) -> Json:
    """What there is to say of a user; no hashes."""
    spec = item.get("spec") or {}
    tokens = [
        f"until {token['expires']}" if token.get("expires") else "for ever"
        for token in spec.get("tokens") or ()
    ]
    return {
        "name": item["metadata"]["name"],
        "groups": spec.get("groups") or [],
        "tokens": tokens,
        "unixUsers": spec.get("unixUsers") or [],
        "created": item["metadata"].get("creationTimestamp", ""),
    }


def _write(handle: int, proof: Connection, server: str, ca: str, namespace: str, name: str) -> None:
    import msgspec

    from argosy.apiserver import kubeconfig

    whole = msgspec.structs.replace(proof, server=server, ca=ca, namespace=namespace)
    data = kubeconfig.text_of(kubeconfig.build(whole, f"argosy-{name}"))
    while data:
        data = data[os.write(handle, data) :]
    os.fsync(handle)


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(time.time() + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
