"""`argosy explain`: where a request would go, and why not elsewhere; from files, or from what a server has.

Exit codes: 0 it goes somewhere (or an answer was written for it), 1 it goes nowhere, 2 it cannot be told: wrong usage,
files that are not valid, a server that does not answer.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from argosy.cli.options import MaybeFiles, OfContext, StateDir, chosen_output, output
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.explain.declared import Upstreams
    from argosy.explain.evaluate import Evaluator, Sender
    from argosy.explain.outcome import Outcome
    from argosy.explain.view import Locate
    from argosy.model.ir import Pairs
    from argosy.model.snapshot import Snapshot

FORMS = ("text", "json", "yaml")

Labels = Annotated[
    str, typer.Option("--labels", metavar="K=V,…", help="Of the sender, where no workload has its name.")
]
Intercepted = Annotated[
    str,
    typer.Option(
        "--interception",
        metavar="explicit|redirect",
        help="How its requests come to its sidecar: explicit, as under argosy run; redirect: captured.",
    ),
]
MeshConfig = Annotated[
    str,
    typer.Option(
        metavar="F", help="With -f: mesh settings (MeshConfig, YAML).", show_default="Istio's defaults"
    ),
]


def explain(
    url: Annotated[
        str,
        typer.Argument(metavar="[URL|HOST:PORT]", help="Where to, as --to says it.", show_default=False),
    ] = "",
    sender: Annotated[
        str,
        typer.Option(
            "--from", metavar="NAME", help="The workload or service that sends: NAME or NAMESPACE/NAME."
        ),
    ] = "",
    gateway: Annotated[
        str,
        typer.Option(
            "--gateway",
            metavar="K=V,…",
            help="In place of --from: from outside, at a gateway with these labels.",
        ),
    ] = "",
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL|HOST:PORT",
            help="Where to: http://reviews:9080/path, https://…, tcp://…; without it: everywhere.",
        ),
    ] = "",
    method: Annotated[str, typer.Option("--request", "-X", metavar="METHOD", help="Its method.")] = "GET",
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="NAME: VALUE", help="A header of it; repeats."),
    ] = None,
    jwt: Annotated[
        str,
        typer.Option(
            "--jwt",
            metavar="TOKEN|JSON|@FILE",
            help="It carries this token (Authorization: Bearer); or one with these claims, taken as signed.",
        ),
    ] = "",
    source: Annotated[
        str,
        typer.Option(
            "--source",
            metavar="ADDRESS",
            help="From this address, which a sourceSubnet may ask for; a workload's own is known.",
        ),
    ] = "",
    server_name: Annotated[
        str | None,
        typer.Option(
            "--server-name",
            metavar="NAME",
            help="The name in the TLS hello of https://…; empty for none.",
            show_default="the URL's",
        ),
    ] = None,
    certificate: Annotated[
        str,
        typer.Option(
            "--client-certificate",
            metavar="none|trusted|untrusted",
            help="At a gateway where TLS ends: what the client shows.",
            show_default="not known",
        ),
    ] = "",
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream",
            metavar="HOST:PORT=LOCAL",
            help="The sender has declared it, as for argosy run; repeats. Those of a workload here are known.",
        ),
    ] = None,
    filename: MaybeFiles = None,
    mesh_config: MeshConfig = "",
    labels: Labels = "",
    interception: Intercepted = "explicit",
    namespace: OfContext = "",
    form: Annotated[str, output(*FORMS)] = "text",
    state_dir: StateDir = "",
) -> None:
    """Show where a request would go: listener, route, destinations and who is there; and why not elsewhere.

    It is worked out from the configuration, of files (-f) or of the server: nothing is sent.

    [bold]Examples[/bold]

    argosy explain --from productpage http://reviews:9080/ -H "end-user: jason"

    argosy explain --from shop/web --to reviews:9080 -f config/

    argosy explain --gateway istio=ingressgateway --to http://shop.example.com/ -f config/

    argosy explain --from productpage
    """
    from msgspec.structs import replace

    from argosy.cli import documents
    from argosy.explain import request as requests
    from argosy.model.hostnames import is_address

    chosen_output(form, FORMS)
    if bool(sender) == bool(gateway):
        what = "from where: the workload, or the gateway?" if sender else "from where?"
        raise Failure(what, "name the sender with --from NAME, or a gateway with --gateway K=V", code=2)
    if url and to:
        raise Failure(f"where to, {url} or {to}?", "name one place: as argument, or with --to", code=2)
    if certificate not in tuple(requests.ClientCertificate):
        raise Failure(f"--client-certificate {certificate}: not known", "none, trusted or untrusted", code=2)
    if upstream and (gateway or interception == "redirect"):
        raise Failure(
            "--upstream: only a sidecar of explicit interception has local ports", "leave it out", code=2
        )
    if certificate and not gateway:
        raise Failure("--client-certificate: of a client of a gateway", "use it with --gateway", code=2)
    if source and not is_address(source):
        raise Failure(f"--source {source}: is no IP address", "write --source 10.0.0.7", code=2)
    to = to or url
    given = headers(header or ())
    carried = token(jwt)
    if carried.text:
        given = (*given, ("authorization", f"Bearer {carried.text}"))
    asked = None
    if to:
        try:
            asked = requests.to(to, method=method, headers=given)
        except requests.BadRequest as error:
            raise Failure(str(error), "argosy explain --help has examples", code=2) from error
    try:
        evaluator = evaluator_of(
            sender, gateway, labels, interception, namespace, filename, mesh_config, state_dir,
            frozenset((carried.text,)) if carried.claimed else frozenset(),
        )  # fmt: skip
    except Failure as error:
        raise Failure(error.what, error.remedy, code=2) from error
    if sender:
        declared = upstreams(upstream or (), evaluator.sender.name, state_dir, bool(filename))
        evaluator = evaluator.declaring(declared)
    if asked is None:
        everywhere(evaluator, form, method, given)
        return
    request = replace(asked[0] if asked[1] else evaluator.as_spoken(asked[0]), source=source)
    request = replace(request, certificate=requests.ClientCertificate(certificate), server_name=server_name)
    outcome = evaluator.outcome(request)
    more = claims(carried.text) if carried.text else ()
    outcome = replace(outcome, notes=(*outcome.notes, *more))
    if not documents.show(form, builtins(outcome)):
        show(outcome)
    if not outcome.arrives:
        raise typer.Exit(1)


def upstreams(given: Sequence[str], sender: str, state_dir: str, of_files: bool) -> Upstreams:
    """Those that are given, and, of a workload that runs here, those that its agent has bound. Raises Failure."""
    from argosy.cli import run_spec
    from argosy.explain.declared import Upstream

    found = []
    for text in given:
        one = run_spec.upstream(text)
        if not one.bind:
            raise Failure(
                f"--upstream {text}: no local port", "name it: --upstream ratings:9080=7000", code=2
            )
        found.append(Upstream(one.host, one.port, one.bind))
    if not of_files:
        from argosy.agent import client
        from argosy.runtime.paths import state_dir as chosen

        listed = client.listed(chosen(state_dir))
        for workload in listed.workloads if listed is not None else ():
            if f"{workload.namespace}/{workload.name}" == sender:
                found += [Upstream(one.host, one.port, one.bind) for one in workload.upstreams]
    return tuple(found)


def evaluator_of(
    sender: str, gateway: str, labels: str, interception: str, namespace: str,
    filename: Sequence[str] | None, mesh_config: str, state_dir: str, assumed: frozenset[str] = frozenset(),
) -> Evaluator:  # fmt: skip
    """`assumed`: tokens that are taken as signed. Raises Failure."""
    from argosy.explain.evaluate import Evaluator
    from argosy.explain.tokens import Judge

    snapshot, locate, namespace = model(filename, mesh_config, state_dir, namespace)
    who = sender_of(snapshot, sender, gateway, labels, interception, namespace)
    return Evaluator(snapshot, who, locate, Judge(now=time.time(), assumed=assumed))


def model(
    filename: Sequence[str] | None, mesh_config: str, state_dir: str, namespace: str
) -> tuple[Snapshot, Locate, str]:
    """Of files, or of a server; where objects stand, and the namespace in which names are. Raises Failure."""
    from argosy.cli.mesh_model import modelled, of_files, of_server
    from argosy.cli.xds import mesh_settings
    from argosy.explain.view import nowhere
    from argosy.model.ir import Mesh

    if mesh_config and not filename:
        raise Failure(
            "--mesh-config: a server has settings of its own", "leave it out, or name files with -f", code=2
        )
    if filename:
        found, places = of_files(filename)
        return modelled(found, mesh_settings(mesh_config)), places, namespace or "default"
    found = of_server(state_dir)
    namespace = namespace or namespace_of_context(state_dir)
    return modelled(found, Mesh()), nowhere, namespace or "default"


def sender_of(
    snapshot: Snapshot, name: str, gateway: str, labels: str, interception: str, namespace: str,
    remedy: str = "name one that is there, or describe it: --from NAME --labels app=web",
) -> Sender:  # fmt: skip
    """Raises Failure; `remedy`: for a name that nobody has."""
    from argosy.explain import evaluate
    from argosy.model.scope import Interception

    if interception not in tuple(Interception):
        raise Failure(f"--interception {interception}: not known", "explicit or redirect", code=2)
    if gateway:
        return evaluate.gateway(snapshot, namespace, pairs(gateway, "--gateway"))
    try:
        found = evaluate.named(snapshot, name, namespace, Interception(interception))
        if labels:
            raise Failure(
                f"--labels {labels}: {found.name} is there, and has labels of its own", "leave it out", code=2
            )
        return found
    except evaluate.NoSuchSender as error:
        if labels:
            space, slash, short = name.rpartition("/")
            return evaluate.sidecar(
                snapshot,
                space if slash else namespace,
                short,
                pairs(labels, "--labels"),
                Interception(interception),
            )
        raise Failure(str(error), remedy, code=2) from error


def namespace_of_context(state_dir: str) -> str:
    from argosy.cli.connect import api

    with api(state_dir) as client:
        return client.connection.namespace


def pairs(text: str, option: str) -> Pairs:
    found = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise Failure(f"{option} {text}: {part!r} is no label", "write key=value,key=value", code=2)
        found[name.strip()] = value.strip()
    return tuple(sorted(found.items()))


def headers(written: Sequence[str]) -> Pairs:
    found = []
    for one in written:
        name, colon, value = one.partition(":")
        if not colon or not name.strip():
            raise Failure(f"-H {one!r}: is no header", 'write -H "name: value"', code=2)
        found.append((name.strip(), value.strip()))
    return tuple(found)


class Token(NamedTuple):
    text: str = ""  # "": there is none
    claimed: bool = False  # whether it is claims alone, which nobody has signed


def token(written: str) -> Token:
    """Of a token, of claims in JSON, or of a file (@NAME) with either. Raises Failure."""
    from argosy.explain import signatures, tokens

    if written.startswith("@"):
        try:
            written = Path(written[1:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(
                f"--jwt {written}: {error}", "name a file with a token or claims", code=2
            ) from error
    if not written:
        return Token()
    if not written.startswith("{"):
        return Token(written)
    try:
        claims = json.loads(written)
        made = tokens.unsigned(claims)
        signatures.read(made)
    except (ValueError, TypeError, RecursionError) as error:
        remedy = """write --jwt '{"iss": "https://issuer", "sub": "alice"}', a token, or @FILE"""
        raise Failure(f"--jwt: these are no claims: {error}", remedy, code=2) from error
    return Token(made, claimed=True)


def claims(token: str) -> tuple[str, ...]:
    """What a token says, whether it is true or not. Raises Failure."""
    parts = token.split(".")
    try:
        body = parts[1] if len(parts) == 3 else ""
        said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        said = None
    if not isinstance(said, dict):
        remedy = "it has three parts in base64url with dots between, and claims in the second"
        raise Failure("--jwt: is no JSON web token", remedy, code=2)
    shown = ", ".join(f"{name}: {json.dumps(value)}" for name, value in sorted(said.items()))
    return (f"the token claims {shown}",)


def builtins(outcome: Outcome) -> Any:
    import msgspec

    return msgspec.to_builtins(outcome) | {"arrives": outcome.arrives}


def show(outcome: Outcome) -> None:
    from argosy.cli.terminal import coloured
    from argosy.explain.render import lines

    bold, dim, off = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if coloured() else ("", "", "")
    for line in lines(outcome):
        heading = line and not line.startswith(" ")
        origin = line.startswith(" " * 10)
        print(f"{bold}{line}{off}" if heading else f"{dim}{line}{off}" if origin else line)


def everywhere(evaluator: Evaluator, form: str, method: str, given: Pairs) -> None:
    """Where a request for `/` of each host goes."""
    from argosy.cli import documents
    from argosy.cli.terminal import table
    from argosy.explain.render import in_short

    found = [evaluator.outcome(request) for request in evaluator.everywhere(method, given)]
    if documents.show(form, [builtins(one) for one in found]):
        return
    rows = [(one.request, "yes" if one.arrives else "no", in_short(one)) for one in found]
    table(("REQUEST", "ARRIVES", "GOES TO"), rows)
