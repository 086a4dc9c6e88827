"""`argosy install`: what other systems need to know of the mesh."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from argosy.cli.options import chosen_output
from argosy.runtime.errors import Failure

app = typer.Typer(no_args_is_help=True, help="Print what other systems need to know of the mesh.")


@app.callback()
def root() -> None:
    """Print what other systems need to know of the mesh."""


@app.command("crds")
def crds(
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND]…", help="These kinds alone, as virtualservice.")
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FORMAT", help="yaml or json.")] = "yaml",
) -> None:
    """Print the CustomResourceDefinitions of the mesh's kinds, for a Kubernetes cluster.

    [bold]Examples[/bold]

    argosy install crds | kubectl apply --server-side -f -

    argosy install crds virtualservice destinationrule -o json
    """
    import json

    form = chosen_output(output, ("yaml", "json"))
    found = manifests(kinds or [])
    if form == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": found}, indent=2))
    else:
        print(as_documents(found), end="")


def manifests(named: list[str]) -> list[dict[str, Any]]:
    """Of these kinds; of all where none is named. Raises Failure."""
    from argosy.cli.connect import kind_called
    from argosy.resources.definitions import defined, manifest

    chosen = [kind_called(name) for name in named] or list(defined())
    for kind in chosen:
        if kind not in defined():
            raise Failure(f"{kind.kind}: Kubernetes has this kind itself", "leave it out", code=2)
    return [manifest(kind) for kind in chosen]


def as_documents(found: list[dict[str, Any]]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes everything out: what is the same in two places is not written as an alias."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    dumped = [
        yaml.dump(each, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100) for each in found
    ]
    return "".join(f"---\n{text}" for text in dumped)
