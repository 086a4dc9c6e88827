"""`argosy demo`: the shop in a mesh of its own, what it does right now, and what to try."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from argosy.cli.options import StateDir

if TYPE_CHECKING:
    from argosy.cli.demo_stage import Stage
    from argosy.cli.demo_view import View
    from argosy.demo.driver import Load


def demo(
    port: Annotated[
        int, typer.Option(metavar="N", min=1, max=65535, help="Where the shop's page is.")
    ] = 8080,
    traffic: Annotated[
        float, typer.Option(metavar="N", min=0, help="Requests a second that the demo itself sends; 0: none.")
    ] = 10.0,
    state_dir: StateDir = "",
) -> None:
    """Start a small shop in a mesh of its own: a control plane, seven services and a gateway, each with its Envoy.

    The page is at http://127.0.0.1:8080/. A live table shows what the sidecars see; what to try next is printed, each
    one command for a second terminal, with its undo. Ctrl-C takes everything away.
    """
    import asyncio
    import signal
    from contextlib import suppress

    from argosy.cli.demo_stage import Stage, claim, default_state
    from argosy.cli.demo_view import view
    from argosy.runtime import preflight

    state = default_state(state_dir)
    preflight.check(state)
    lock = claim(state)
    try:
        # After the claim: what a killed demo left may have held the port.
        preflight.check(state, [port])
        with view() as shown:
            stage = Stage(state, port, shown.step)
            try:
                with suppress(KeyboardInterrupt):
                    asyncio.run(until_stopped(stage, shown, traffic))
            finally:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                shown.say("stopping (Ctrl-C: at once)")
                try:
                    stage.stop()
                except KeyboardInterrupt:
                    signal.signal(signal.SIGINT, signal.SIG_IGN)
                    stage.hurry()
    finally:
        lock.release()


def apply_shop(state: Path) -> None:
    from argosy.cli.apply import apply_files
    from argosy.demo.shop import CONFIG

    apply_files(state, [str(CONFIG / "shop.yaml")])


async def until_stopped(stage: Stage, shown: View, traffic: float) -> None:
    """Starts everything, then shows it until a signal."""
    import asyncio
    import signal

    from argosy.demo.driver import Load

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopped = asyncio.create_task(stop.wait())
    started = asyncio.create_task(stage.start(apply_shop))
    await asyncio.wait((stopped, started), return_when=asyncio.FIRST_COMPLETED)
    if not started.done():
        started.cancel()
        return
    await started
    shown.up(stage.page, stage.tries())
    load = Load(stage.page, traffic) if traffic else None
    tasks = [asyncio.create_task(watch(stage, shown, load))]
    if load:
        tasks.append(asyncio.create_task(load.run()))
    await asyncio.wait((stopped, *tasks), return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


async def watch(stage: Stage, shown: View, load: Load | None) -> None:
    """A picture each few seconds, for ever. It asks the agent alone, so it goes on when the control plane is gone."""
    import asyncio

    from argosy.agent import client
    from argosy.cli.demo_table import Window
    from argosy.cli.demo_view import Picture
    from argosy.demo.shop import SHOP
    from argosy.runtime.errors import Failure

    window = Window((member.service, member.version) for member in SHOP)
    while True:
        stale = ""
        try:
            window.add(await asyncio.to_thread(client.stats, stage.state))
        except Failure as failure:
            stale = f"no new numbers: {failure.what}"
        sent = dict(load.answers) if load else {}
        shown.show(
            Picture(
                rows=window.rows(), server_pid=stage.server_pid(), page=stage.page, sent=sent, stale=stale
            )
        )
        await asyncio.sleep(shown.refresh)
