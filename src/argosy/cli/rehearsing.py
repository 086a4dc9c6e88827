"""`argosy identity rehearse`: what would fail if a root, or an issuing certificate, expired now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from argosy.cli import identity_api as asked
from argosy.cli.options import Output, StateDir, chosen_output
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.explain.rehearsal import Rehearsal

Json = dict[str, Any]
COLUMNS = ("SERVICE", "VERDICT", "ENDPOINTS", "WITH MUTUAL TLS", "OF THEM FAIL")
TOLD = {
    "fails": "for every caller",
    "degraded": "some endpoints fail",
    "by caller": "for the callers that are concerned",
    "goes on": "no certificate is needed for it",
}


def rehearse(
    root: Annotated[
        str,
        typer.Option(metavar="FINGERPRINT", help="The root; its beginning will do.", show_default="in force"),
    ] = "",
    issuer: Annotated[
        str, typer.Option(metavar="SERIAL", help="An issuing certificate instead, as `show` names it.")
    ] = "",
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """Tell which calls would fail if the root, or an issuing certificate, expired now. Nothing is done.

    Exit 1 where a service would fail for every caller.

    [bold]Example[/bold]

    argosy identity rehearse --issuer 4d13f1
    """
    from argosy.cli import documents
    from argosy.cli.mesh_model import modelled, of_server
    from argosy.cli.xds import mesh_settings
    from argosy.explain.rehearsal import rehearse as rehearsed

    form = chosen_output(output)
    what, concerned = _concerned(state_dir, root, issuer)
    found = rehearsed(modelled(of_server(state_dir), mesh_settings("")), concerned)
    if not documents.show(form, _document(what, found)):
        _print(what, found)
    if any(one.verdict == "fails" for one in found.services):
        raise typer.Exit(1)


def _concerned(state_dir: str, root: str, issuer: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """(what expires, in words; whose certificates are below it). Raises Failure."""
    if root and issuer:
        raise Failure("--root and --issuer: one at a time", "leave one out", code=2)
    rows = asked.rows(state_dir, "")
    if issuer:
        found = {row["issuer"] for row in rows if row["issuer"].startswith(issuer)}
        field, what = "issuer", f"the issuing certificate {issuer}"
    else:
        roots = asked.overview(state_dir)["roots"]
        of = [
            one for one in roots if one["fingerprint"].startswith(root) and (root or one["state"] != "coming")
        ]
        found = {one["fingerprint"] for one in of}
        field, what = "root", " and ".join(f"the root {one['fingerprint'][:16]}" for one in of)
    if len(found) != 1:
        wanted = issuer or root
        raise Failure(
            f"{wanted}: {'several begin so' if found else 'nobody holds a certificate below it'}",
            "argosy identity status, argosy identity show NAME",
            code=2,
        )
    (only,) = found
    return what, frozenset((row["namespace"], row["workload"]) for row in rows if row[field] == only)


def _document(what: str, found: Rehearsal) -> Json:
    return {
        "expires": what,
        "callers": list(found.callers),
        "services": [
            {
                "host": one.host,
                "verdict": one.verdict,
                "endpoints": one.endpoints,
                "encrypted": one.encrypted,
                "failing": one.failing,
            }
            for one in found.services
        ],
    }


def _print(what: str, found: Rehearsal) -> None:
    from argosy.cli.terminal import table

    print(f"if {what} expired now, connections that are open would go on; of new ones:")
    print()
    table(
        COLUMNS,
        [
            [
                one.host,
                f"{one.verdict}: {TOLD[one.verdict]}",
                str(one.endpoints),
                str(one.encrypted),
                str(one.failing),
            ]
            for one in found.services
        ],
    )
    print()
    count = len(found.callers)
    print(f"{count} workloads could call nobody by mutual TLS: {', '.join(found.callers) or 'none'}")
