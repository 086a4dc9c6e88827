"""Options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperOption

from argosy.cli import completing
from argosy.runtime.errors import Failure

StateDir = Annotated[
    str,
    typer.Option(
        "--state-dir",
        metavar="D",
        envvar="ARGOSY_STATE_DIR",
        help="The state directory of the mesh.",
        show_default="~/.local/state/argosy",
    ),
]
AttestSocket = Annotated[
    str,
    typer.Option(
        "--attest-socket",
        metavar="PATH",
        help="Where the server of another user proves who you are (its own --attest-socket); remembered.",
        show_default="the server of the state directory",
    ),
]
Locality = Annotated[
    str,
    typer.Option(metavar="REGION/ZONE/SUBZONE", help="Where it is; less will do.", show_default="nowhere"),
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace", "-n", metavar="NS", help="The namespace.", autocompletion=completing.namespaces
    ),
]
OfContext = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NS",
        help="The namespace.",
        show_default="that of the context",
        autocompletion=completing.namespaces,
    ),
]
Files = Annotated[
    list[str],
    typer.Option("--filename", "-f", metavar="F", help="A file, a folder or - (standard input); repeats."),
]
MaybeFiles = Annotated[
    list[str] | None,
    typer.Option("--filename", "-f", metavar="F", help="The objects of a file, a folder or -; repeats."),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-R", help="As with kubectl; folders are read with all in them anyhow.")
]
What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KIND[/NAME] [NAME]…",
        help="vs, vs reviews, vs/reviews dr/reviews, …",
        show_default=False,
        autocompletion=completing.objects,
    ),
]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")]
LabelSelector = Annotated[
    str,
    typer.Option(
        "--selector", "-l", metavar="SELECTOR", help="With these labels: app=reviews,version!=v1, …"
    ),
]
FieldSelector = Annotated[
    str,
    typer.Option("--field-selector", metavar="SELECTOR", help="With these fields: metadata.name=reviews, …"),
]


def _as_kubectl_spells_it(given: str) -> str:
    """`-o=json`, which Click reads as the form "=json"."""
    return given.removeprefix("=")


def output(*allowed: str) -> Any:
    """The option -o with its forms, the first of which is the usual one."""
    return typer.Option(
        "--output",
        "-o",
        metavar="FORMAT",
        help=f"{', '.join(allowed)}.",
        autocompletion=completing.among(*allowed),
        callback=_as_kubectl_spells_it,
    )


DryRun = Annotated[
    str,
    typer.Option(
        "--dry-run",
        metavar="server|none",
        help="server: it does all but the writing.",
        autocompletion=completing.among("server", "none"),
    ),
]
FORMS = ("table", "json", "yaml")
Output = Annotated[str, output(*FORMS)]


KUBECONFIG, CONTEXT = "ARGOSY_KUBECONFIG", "ARGOSY_CONTEXT"
"""Variables of the environment that stand for --kubeconfig and --context."""
AS, AS_GROUP = "ARGOSY_AS", "ARGOSY_AS_GROUP"
"""As whom this command acts; groups with line ends between. Only from --as and --as-group: never taken from outside."""


def connection_options(command: Any) -> list[TyperOption]:
    """--kubeconfig, --context, --as, --as-group: every command that asks the API has them, unless they are its own."""

    def remembered(variable: str) -> Callable[..., None]:
        def remember(_context: object, _parameter: object, value: str | None) -> None:
            if value:
                os.environ[variable] = value

        return remember

    def acting(variable: str) -> Callable[..., None]:
        def remember(_context: object, _parameter: object, value: str | tuple[str, ...] | None) -> None:
            os.environ[variable] = value if isinstance(value, str) else "\n".join(value or ())

        return remember

    def option(name: str, metavar: str, callback: Callable[..., None], **more: Any) -> TyperOption:
        return TyperOption(
            param_decls=[name], type=str, metavar=metavar, expose_value=False, callback=callback, **more
        )

    taken = {option for parameter in command.params for option in parameter.opts}
    offered = [
        option(
            "--kubeconfig",
            "FILE",
            remembered(KUBECONFIG),
            help="How the API is reached, as whom.",
            show_default="$KUBECONFIG, or kubeconfig in the state directory",
        ),
        option(
            "--context",
            "NAME",
            remembered(CONTEXT),
            help="Of the kubeconfig.",
            show_default="the current one",
            autocompletion=lambda ctx, _, incomplete: completing.contexts(ctx, incomplete),
        ),
        option("--as", "USER", acting(AS), help="Do it as this user, where you may impersonate."),
        option(
            "--as-group", "GROUP", acting(AS_GROUP), multiple=True, help="As a member of this group; repeats."
        ),
    ]
    return [option for option in offered if taken.isdisjoint(option.opts)]


def chosen_output(given: str, allowed: Sequence[str] = FORMS) -> str:
    """An allowed form that ends with `=…` stands for all that begin so. Raises Failure."""
    beginnings = tuple(each.removesuffix("…") for each in allowed if each.endswith("=…"))
    if given not in allowed and not (beginnings and given.startswith(beginnings)):
        raise Failure(f"--output {given}: not a format", f"one of {', '.join(allowed)}", code=2)
    return given
