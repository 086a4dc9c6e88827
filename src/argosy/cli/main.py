"""`argosy`: the table of commands, and the one place where errors become text and exit codes.

Rule: a command's module is imported when the command is called, not before, so that `argosy run` starts without what
`argosy apply` needs. The table below is all that `argosy --help` and shell completion read.
Exit codes: 0 done, 1 failed or refused, 2 wrong usage or timed out, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from argosy.runtime.errors import Failure

# httpx imports a command line of its own with all that draws it, a fifth of what a command of ours takes. Without it,
# as httpx itself foresees, its `main` is only a word.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

WORKLOADS, CONFIGURATION, MESH = "Run services", "Configure the mesh", "Run the mesh"


class Entry(NamedTuple):
    """Where a command lives (`module:attribute`, a function or a Typer of subcommands) and its line in the help."""

    target: str
    help: str
    panel: str
    settings: Mapping[str, Any] = MappingProxyType({})
    connects: bool = False  # asks the API: takes --kubeconfig and --context


PASS_ON = {"allow_interspersed_args": False}  # what follows the first word belongs to the application

COMMANDS: dict[str, Entry] = {
    "run": Entry(
        "argosy.cli.run:run", "Run a service in the mesh: argosy run --service me -- CMD", WORKLOADS, PASS_ON
    ),
    "gateway": Entry(
        "argosy.cli.gateway:gateway", "Run a gateway: an Envoy at the edge of the mesh", WORKLOADS
    ),
    "ps": Entry("argosy.cli.ps:ps", "List the workloads of this host", WORKLOADS),
    "logs": Entry("argosy.cli.logs:logs", "Show the log and the access log of a sidecar", WORKLOADS),
    "down": Entry("argosy.cli.down:down", "Make workloads leave the mesh and stop", WORKLOADS),
    "apply": Entry(
        "argosy.cli.apply:apply", "Create or change resources from files", CONFIGURATION, connects=True
    ),
    "diff": Entry("argosy.cli.diff:diff", "Show what apply would change", CONFIGURATION, connects=True),
    "get": Entry("argosy.cli.get:get", "Show resources", CONFIGURATION, connects=True),
    "describe": Entry(
        "argosy.cli.describe:describe",
        "Show resources with their status, events and proxies",
        CONFIGURATION,
        connects=True,
    ),
    "edit": Entry("argosy.cli.edit:edit", "Change a resource in an editor", CONFIGURATION, connects=True),
    "wait": Entry(
        "argosy.cli.wait:wait", "Wait until resources are as they should be", CONFIGURATION, connects=True
    ),
    "delete": Entry("argosy.cli.delete:delete", "Delete resources", CONFIGURATION, connects=True),
    "validate": Entry("argosy.cli.validate:validate", "Check files without a server", CONFIGURATION),
    "analyze": Entry(
        "argosy.cli.analyze:analyze",
        "Find what is wrong, in files or in the mesh",
        CONFIGURATION,
        connects=True,
    ),
    "explain": Entry(
        "argosy.cli.explain:explain",
        "Show where a request would go, and why not elsewhere",
        CONFIGURATION,
        connects=True,
    ),
    "what-if": Entry(
        "argosy.cli.what_if:what_if",
        "Show what a change would do, before it is made",
        CONFIGURATION,
        connects=True,
    ),
    "explain-kind": Entry(
        "argosy.cli.explain_kind:explain_kind", "Show what a kind and its fields are for", CONFIGURATION
    ),
    "proxy": Entry("argosy.cli.proxy:app", "See what the proxies have and run", CONFIGURATION, connects=True),
    "auth": Entry(
        "argosy.cli.auth:app", "See who you are to the API, and what you may do", CONFIGURATION, connects=True
    ),
    "config": Entry("argosy.cli.config:app", "Choose between the contexts of a kubeconfig", CONFIGURATION),
    "xds": Entry(
        "argosy.cli.xds:app", "See what configuration files mean for Envoy, without a server", CONFIGURATION
    ),
    "demo": Entry("argosy.cli.demo:demo", "Start a small shop in a mesh of its own, and look at it", MESH),
    "user": Entry(
        "argosy.cli.user:app", "Give people and programs access to the API, and take it", MESH, connects=True
    ),
    "identity": Entry(
        "argosy.cli.identity:app", "See who holds which certificate, and rotate the root", MESH, connects=True
    ),
    "store": Entry("argosy.cli.store:app", "Back up, restore, move and check the store", MESH),
    "server": Entry("argosy.cli.server:server", "Run the control plane", MESH),
    "join-token": Entry(
        "argosy.cli.join_token:join_token", "Let a further server into the mesh", MESH, connects=True
    ),
    "token": Entry("argosy.cli.token:app", "Let another host into the mesh", MESH, connects=True),
    "agent": Entry("argosy.cli.agent:app", "Run this host's agent in the foreground; join a mesh", MESH),
    "install": Entry(
        "argosy.cli.install:app", "Print the CustomResourceDefinitions of the mesh's kinds", MESH
    ),
    "completion": Entry(
        "argosy.cli.completion:completion", "Print the script with which a shell completes commands", MESH
    ),
    "version": Entry(
        "argosy.cli.version:version", "Show versions; --check looks for what is missing here", MESH
    ),
}


class Deferred(TyperCommand):
    """Stands for a command until it is called: its name and its line of help."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help, short_help=entry.help, rich_help_panel=entry.panel)
        self.entry = entry

    def load(self) -> Any:
        """The command itself; imports its module."""
        module, _, attribute = self.entry.target.partition(":")
        target: typer.Typer | Callable[..., object] = getattr(import_module(module), attribute)
        if isinstance(target, typer.Typer):
            command = typer.main.get_command(target)
        else:
            single = typer.Typer(add_completion=False, rich_markup_mode="rich")
            single.command(self.name, context_settings=dict(self.entry.settings))(target)
            command = typer.main.get_command(single)
        command.name = self.name
        if self.entry.connects:
            from argosy.cli.options import connection_options

            for each in getattr(command, "commands", {"": command}).values():
                each.params += connection_options(each)
        return command


class Commands(TyperGroup):
    """The group of the table above; resolves a command only when it is about to be called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(Deferred(name, entry))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Deferred) else command, rest


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    state_dir: Annotated[
        str,
        typer.Option(
            "--state-dir",
            metavar="D",
            envvar="ARGOSY_STATE_DIR",
            help="Where the mesh keeps its state; every command takes it too.",
        ),
    ] = "",
) -> None:
    """A service mesh: Envoy beside each service, steered by Istio's configuration.

    Start with [bold]argosy demo[/bold], or with [bold]argosy server[/bold] and [bold]argosy run[/bold].
    """
    if state_dir:
        os.environ["ARGOSY_STATE_DIR"] = state_dir


def print_failure(failure: Failure) -> None:
    """What is wrong in red, what to do about it below; plain where standard error is no terminal."""
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    bold, dim, off = ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") if coloured else ("", "", "")
    first, *rest = failure.what.splitlines() or [""]
    lines = [f"{bold}argosy: {first}{off}", *rest]
    lines += [f"  {dim}{line}{off}" for line in failure.remedy.splitlines()]
    print("\n".join(lines), file=sys.stderr)


def main() -> None:
    """The console script."""
    try:
        app(prog_name="argosy")
    except Failure as failure:
        print_failure(failure)
        sys.exit(failure.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except PermissionError as error:
        what = f"{error.filename}: " if error.filename else ""
        print_failure(Failure(f"{what}{error.strerror}", "is it another user's? see --state-dir"))
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has gone (`argosy get … | head`): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
