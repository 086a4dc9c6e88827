"""`argosy what-if`: what a change would do, before anybody makes it: resources, proxies and bytes, and which requests
of a recorded access log would go elsewhere.

Exit codes: 0 it is told, 1 requests that arrived would no more (or an object cannot be used), 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from argosy.cli.options import Files, OfContext, StateDir, chosen_output, output
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.cli.impact import Impact, World
    from argosy.explain.access_log import Log
    from argosy.explain.what_if import Comparison
    from argosy.resources.meta import Object

FORMS = ("text", "json", "yaml")
MOST_ROWS = 40
KNOWN = "name one that is there; where the sender has gone, one of the same service"


def what_if(
    filename: Files,
    base: Annotated[
        list[str] | None,
        typer.Option(
            "--base", metavar="F", help="The mesh as it is, of files; repeats.", show_default="the server's"
        ),
    ] = None,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="What if the objects of the files were deleted?")
    ] = False,
    log: Annotated[
        str,
        typer.Option(
            "--log", metavar="F", help="A recorded access log (JSON or text) of the sidecar of --from."
        ),
    ] = "",
    sender: Annotated[
        str,
        typer.Option(
            "--from", metavar="NAME", help="With --log: the workload or service that sent the requests."
        ),
    ] = "",
    gateway: Annotated[
        str,
        typer.Option(
            "--gateway",
            metavar="K=V,…",
            help="With --log, in place of --from: the gateway with these labels.",
        ),
    ] = "",
    mesh_config: Annotated[
        str,
        typer.Option(
            metavar="F",
            help="With --base: mesh settings (MeshConfig, YAML).",
            show_default="Istio's defaults",
        ),
    ] = "",
    interception: Annotated[
        str,
        typer.Option("--interception", metavar="explicit|redirect", help="How sidecars come by requests."),
    ] = "explicit",
    namespace: OfContext = "",
    form: Annotated[str, output(*FORMS)] = "text",
    state_dir: StateDir = "",
) -> None:
    """Show what a change would do: which resources of which proxies, and which recorded requests would go elsewhere.

    Nothing is changed, and nothing is sent. Exit code 1 where requests that arrived would no more.

    [bold]Examples[/bold]

    argosy what-if -f reviews.yaml

    argosy what-if -f reviews.yaml --log access.log --from productpage

    argosy what-if -f reviews.yaml --base config/ --deleted
    """
    import msgspec

    from argosy.cli import documents

    chosen_output(form, FORMS)
    if bool(log) != bool(sender or gateway):
        raise Failure(
            "--log and --from belong together", "name the log, and whose it is (--from or --gateway)", code=2
        )
    world, changed = worlds(filename, base, mesh_config, interception, state_dir)
    recorded, told = None, None
    if log:
        recorded = read_log(log)
        told, impact = replayed(world, changed, deleted, recorded, sender, gateway, interception, namespace)
    else:
        impact = world.change(() if deleted else changed, changed if deleted else ())
    result = {
        "impact": msgspec.to_builtins(impact),
        "requests": None if told is None else msgspec.to_builtins(told),
    }
    if not documents.show(form, result):
        show_impact(impact)
        if told is not None and recorded is not None:
            show_requests(told, recorded)
    if impact.refused or (told is not None and any(one.lost for one in told.moved)):
        raise typer.Exit(1)


def worlds(
    filename: Sequence[str], base: Sequence[str] | None, mesh_config: str, interception: str, state_dir: str
) -> tuple[World, list[Object]]:
    """The mesh as it is, and the objects of the change. Raises Failure."""
    from argosy.cli.impact import World
    from argosy.cli.mesh_model import of_files, of_server
    from argosy.cli.terminal import warn
    from argosy.cli.xds import mesh_settings
    from argosy.model.ir import Mesh
    from argosy.model.scope import Interception

    if interception not in tuple(Interception):
        raise Failure(f"--interception {interception}: not known", "explicit or redirect", code=2)
    if mesh_config and not base:
        raise Failure(
            "--mesh-config: a server has settings of its own",
            "leave it out, or name files with --base",
            code=2,
        )
    changed = of_files(filename).found
    if not changed:
        raise Failure("the files hold no object of the mesh's", "name those of the change with -f", code=2)
    found = of_files(base).found if base else of_server(state_dir)
    world = World(found, mesh_settings(mesh_config) if base else Mesh(), Interception(interception))
    for why in world.rejected.values():
        warn(why)
    return world, changed


def read_log(file: str) -> Log:
    from pathlib import Path

    from argosy.cli.files import read, standard_input
    from argosy.explain import access_log

    # Paths are what clients sent, UTF-8 or not.
    text = standard_input("replace") if file == "-" else read(Path(file), "replace")
    found = access_log.read(text.splitlines())
    if not found.requests:
        remedy = "a sidecar writes one with argosy run --access-log: argosy logs NAME shows it"
        raise Failure(f"{file} has no request of an access log in it", remedy)
    return found


def replayed(
    world: World, changed: list[Object], deleted: bool, recorded: Log, sender: str, gateway: str,
    interception: str, namespace: str,
) -> tuple[Comparison, Impact]:  # fmt: skip
    from argosy.cli.explain import sender_of
    from argosy.explain import what_if as comparison
    from argosy.explain.evaluate import Evaluator

    def evaluator() -> Evaluator:
        """As the mesh is now; which selectors hold for the sender may change with it."""
        return Evaluator(
            world.snapshot,
            sender_of(world.snapshot, sender, gateway, "", interception, namespace or "default", KNOWN),
        )

    earlier = comparison.before(evaluator(), recorded.requests)
    impact = world.change(() if deleted else changed, changed if deleted else ())
    later = evaluator()
    return comparison.compare(earlier, lambda one: later.outcome(one.recorded.request)), impact


def show_impact(impact: Impact) -> None:
    from argosy.cli.terminal import table, warn

    for why in impact.refused:
        warn(why)
    if not impact.changes:
        print(f"nothing would be sent to any of {impact.of} proxies")
        return
    rows = [
        (one.type, one.name, one.what, str(one.bytes) if one.bytes else "", str(one.proxies))
        for one in impact.changes[:MOST_ROWS]
    ]
    table(("TYPE", "NAME", "IS", "BYTES", "PROXIES"), rows)
    if len(impact.changes) > MOST_ROWS:
        print(f"and {len(impact.changes) - MOST_ROWS} more")
    print(f"\n{impact.proxies} of {impact.of} proxies would be sent {impact.bytes} bytes in all")


def show_requests(told: Comparison, recorded: Log) -> None:
    count = sum(one.count for one in told.moved)
    print(f"\n{count} of {told.replayed} recorded requests would go elsewhere, or be treated otherwise")
    for one in told.moved:
        lost = ": THEY WOULD NOT ARRIVE" if one.lost else ""
        print(f"\n  {one.count} as {one.request}{lost}")
        print(f"    from  {one.before}")
        print(f"    to    {one.after}")
        if one.because:
            print(f"    by    {one.because}")
    if told.otherwise:
        print(
            f"\n{told.otherwise} were recorded at another cluster than they go to now: headers that a log does not hold"
            " decide, or the configuration was another"
        )
    skipped = [
        f"{number} {words}"
        for number, words in (
            (recorded.inbound, "received by the workload"),
            (recorded.connections, "of connections"),
            (recorded.other, "of no access log"),
        )
        if number
    ]
    if skipped:
        print(f"lines left out: {', '.join(skipped)}")
