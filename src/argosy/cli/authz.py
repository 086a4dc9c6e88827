"""`argosy authz`: who may do what, from the configuration; of files, or of what a server has.

Exit codes of `check`: 0 it is allowed, 1 it is denied, 2 it cannot be told: a provider decides, something is not known,
wrong usage, files that are not valid, a server that does not answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from argosy.cli.explain import MeshConfig
from argosy.cli.options import MaybeFiles, OfContext, StateDir, chosen_output, output
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.cli.explain import Token
    from argosy.explain.access import Access, Incoming, Receiver
    from argosy.explain.receivers import Called, Caller
    from argosy.explain.request import Request
    from argosy.explain.view import View
    from argosy.model.ir import Pairs
    from argosy.model.snapshot import Snapshot

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="See who may do what.")

FORMS = ("text", "json", "yaml")


@app.callback()
def authz() -> None:
    """See who may do what."""


@app.command()
def check(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="NAME[:PORT]",
            help="Who is called: a workload or a service, NAME, NAMESPACE/NAME or a host.",
            show_default=False,
        ),
    ],
    sender: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Who calls: a workload, service or service account (NAMESPACE/NAME), or spiffe://…",
            show_default="somebody without an identity, in plaintext",
        ),
    ] = "",
    method: Annotated[str, typer.Option("--method", "-X", metavar="METHOD", help="Of the request.")] = "GET",
    path: Annotated[str, typer.Option("--path", metavar="PATH", help="Of the request.")] = "/",
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="N", help="Of the service, else of the workload.", show_default="the only one"
        ),
    ] = 0,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", "-H", metavar="NAME: VALUE", help="A header of it; repeats. Host is its authority."
        ),
    ] = None,
    jwt: Annotated[
        str,
        typer.Option(
            "--jwt",
            metavar="TOKEN|JSON|@FILE",
            help="It carries this token; or one with these claims, that nobody needs to have signed.",
        ),
    ] = "",
    source_ip: Annotated[
        str,
        typer.Option(
            "--source-ip",
            metavar="ADDRESS",
            help="The address that it comes from.",
            show_default="the caller's, where that is known",
        ),
    ] = "",
    labels: Annotated[
        str,
        typer.Option(
            "--labels", metavar="K=V,…", help="Of the workload that is called, where none has its name."
        ),
    ] = "",
    filename: MaybeFiles = None,
    mesh_config: MeshConfig = "",
    namespace: OfContext = "",
    form: Annotated[str, output(*FORMS)] = "text",
    state_dir: StateDir = "",
) -> None:
    """Tell whether a call would be allowed, by which policy and rule, and which rule came closest to the contrary.

    It is worked out from PeerAuthentications, RequestAuthentications and AuthorizationPolicies, of files (-f) or of the
    server: nothing is sent.

    [bold]Examples[/bold]

    argosy authz check --from shop/web --to shop/reviews --method GET --path /api

    argosy authz check --to reviews:9080 --path /admin -f config/

    argosy authz check --from shop/web --to reviews --jwt '{"iss": "https://issuer", "sub": "alice"}'
    """
    from argosy.cli import documents
    from argosy.explain.authorization import Verdict

    chosen_output(form, FORMS)
    asked = _asked(to, sender, method, path, port, header or (), jwt, source_ip)
    try:
        snapshot, view, namespace = _view(filename, mesh_config, state_dir, namespace)
        who, whom = _both(snapshot, asked, namespace, labels)
        found = [(one, *_access(snapshot, view, who, whom, one, asked)) for one in whom.receivers]
    except Failure as error:
        raise Failure(error.what, error.remedy, code=2) from error
    verdicts = [access.verdict for _, access, _ in found]
    verdict = next((one for one in (Verdict.DENY, Verdict.ASK) if one in verdicts), Verdict.ALLOW)
    if not documents.show(form, _builtins(verdict, who, asked, found)):
        _show(who, asked, found)
    if verdict is not Verdict.ALLOW:
        raise typer.Exit(1 if verdict is Verdict.DENY else 2)


class Asked(NamedTuple):
    to: str
    sender: str
    method: str
    path: str
    port: int
    authority: str
    headers: Pairs
    token: Token
    source: str

    def request(self, whom: Called) -> Request:
        from argosy.explain.request import Request

        host = whom.service.hostname if whom.service is not None else self.to
        return Request(
            authority=self.authority or (f"{host}:{whom.port}" if whom.port else host),
            method=self.method,
            path=self.path,
            headers=self.headers,
        )


def _asked(
    to: str, sender: str, method: str, path: str, port: int, header: Sequence[str], jwt: str, source: str
) -> Asked:
    from argosy.cli.explain import headers, token
    from argosy.explain.request import TOKEN, host_of, port_of
    from argosy.model.hostnames import is_address

    named = port_of(to)
    if named is not None and port:
        raise Failure(f"which port, {named} or {port}?", "name one: with --to, or with --port", code=2)
    if source and not is_address(source):
        raise Failure(f"--source-ip {source}: is no IP address", "write --source-ip 10.0.0.7", code=2)
    if not TOKEN.fullmatch(method):
        raise Failure(f"--method {method!r}: is no method", "write GET, POST or another word", code=2)
    if not path.startswith("/"):
        raise Failure(f"--path {path}: does not begin with /", f"write --path /{path}", code=2)
    given = headers(header)
    authority = next((value for name, value in given if name.lower() in ("host", ":authority")), "")
    return Asked(
        host_of(to) if named is not None else to,
        sender,
        method,
        path,
        named or port,
        authority,
        tuple(pair for pair in given if pair[0].lower() not in ("host", ":authority")),
        token(jwt),
        source,
    )


def _view(
    filename: Sequence[str] | None, mesh_config: str, state_dir: str, namespace: str
) -> tuple[Snapshot, View, str]:
    from argosy.cli.explain import model
    from argosy.explain.view import View
    from argosy.model.scope import Scope

    snapshot, locate, namespace = model(filename, mesh_config, state_dir, namespace)
    return snapshot, View(snapshot, Scope(namespace=namespace), locate), namespace


def _both(snapshot: Snapshot, asked: Asked, namespace: str, labels: str) -> tuple[Caller, Called]:
    from msgspec.structs import replace

    from argosy.cli.explain import pairs
    from argosy.explain import receivers

    try:
        who = receivers.caller(snapshot, asked.sender, namespace)
    except receivers.NoSuchCaller as error:
        remedy = "name a workload, a service account NAMESPACE/NAME, or an identity spiffe://…"
        raise Failure(f"--from: {error}", remedy) from error
    if asked.source:
        who = replace(who, address=asked.source)
    try:
        if labels:
            of = pairs(labels, "--labels")
            return who, receivers.described(snapshot, asked.to, namespace, of, asked.port)
        return who, receivers.called(snapshot, asked.to, namespace, asked.port)
    except receivers.NoSuchReceiver as error:
        remedy = "name one that is there and its port (--port); or describe it: --labels app=web --port 8080"
        raise Failure(f"--to: {error}", remedy) from error


def _access(
    snapshot: Snapshot, view: View, who: Caller, whom: Called, receiver: Receiver, asked: Asked
) -> tuple[Access, tuple[str, ...]]:
    """What becomes of it, and what is to be said beside. Raises Failure where that cannot be told."""
    from argosy.explain.access import Access, access
    from argosy.explain.authorization import Verdict
    from argosy.explain.called import Undetermined
    from argosy.explain.receivers import misnamed

    call, notes = _incoming(view, who, whom, receiver, asked)
    try:
        found = access(view, receiver, call)
    except Undetermined as error:
        remedy = "say it: --from, --source-ip; or ask without what depends on it"
        raise Failure(f"{receiver.label}: it cannot be told: {error}", remedy) from error
    if call.mutual and whom.service is not None and (why := misnamed(snapshot, whom.service, receiver)):
        found = Access(Verdict.DENY, why, "secure naming")
    if not receiver.http:
        notes = (
            *notes,
            f"port {receiver.port} is not declared to be HTTP: method, path, headers and token are not seen",
        )
    return found, notes


def _incoming(
    view: View, who: Caller, whom: Called, receiver: Receiver, asked: Asked
) -> tuple[Incoming, tuple[str, ...]]:
    from argosy.explain.access import Incoming
    from argosy.explain.tokens import Judge
    from argosy.model.ir import MtlsMode

    mode = view.reader.peer_mtls(receiver.namespace, receiver.labels, receiver.port)
    mutual = bool(who.identities) and mode is not MtlsMode.DISABLE  # as automatic mutual TLS would
    text, claimed = asked.token
    notes = ("the claims are taken as if an issuer had signed them",) if claimed else ()
    sni = f"outbound_.{whom.port}_._.{whom.service.hostname}" if whom.service is not None and mutual else ""
    call = Incoming(
        mutual=mutual,
        identities=who.identities if mutual else (),
        address=who.address,
        server_name=sni,
        request=asked.request(whom) if receiver.http else None,
        token=text if receiver.http else "",
        judge=Judge(now=time.time(), assumed=frozenset((text,)) if claimed else frozenset()),
    )
    return call, notes


Found = tuple["Receiver", "Access", tuple[str, ...]]


def _said(asked: Asked, receiver: Receiver) -> str:
    what = f"{asked.method} {asked.path}" if receiver.http else "a connection"
    return f"{what} to port {receiver.port} of {receiver.label}"


def _builtins(verdict: str, who: Caller, asked: Asked, found: Sequence[Found]) -> dict[str, Any]:
    import msgspec

    return {
        "verdict": str(verdict),
        "from": msgspec.to_builtins(who),
        "receivers": [
            {
                "workload": receiver.label,
                "port": receiver.port,
                "request": _said(asked, receiver),
                **msgspec.to_builtins(access),
                "notes": list(notes),
            }
            for receiver, access, notes in found
        ],
    }


def _show(who: Caller, asked: Asked, found: Sequence[Found]) -> None:
    from argosy.cli.terminal import coloured

    bold, dim, off = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if coloured() else ("", "", "")
    colours = {"ALLOWED": "\x1b[1;32m", "DENIED": "\x1b[1;31m", "ASKED": "\x1b[1;33m"} if bold else {}
    for receiver, access, notes in found:
        print(f"{bold}{who.name}: {_said(asked, receiver)}{off}")
        for line in _lines(access, notes):
            word = line.split()[0] if line.split() else ""
            if line.startswith(" " * 10):
                print(f"{dim}{line}{off}")
            elif word in colours:
                print(line.replace(word, f"{colours[word]}{word}{off}", 1))
            else:
                print(line)


def _lines(access: Access, notes: Sequence[str]) -> Iterator[str]:
    from argosy.explain.render import row
    from argosy.explain.verdicts import lines

    yield from lines(access)
    for note in notes:
        yield row("note", note)
