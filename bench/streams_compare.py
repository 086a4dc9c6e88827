"""Is serving streams cheaper here than in another checkout? `python -m bench.streams_compare OTHER [--streams N]`

Both servers run at the same time with as many proxies each, and get the same changes in turns, so that whatever else
the machine does falls on both. Not among the benchmarks of RESULTS.md: it answers for a change of the code.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
from pathlib import Path

from argosy.runtime.files import raise_open_files

HERE = Path(__file__).parent.parent


async def compare(checkouts: dict[str, Path], count: int, turns: int) -> None:
    from bench.streams import AT_ONCE, crowd

    figures: dict[str, dict[str, list[float]]] = {name: {} for name in checkouts}

    def note(name: str, figure: str, value: float) -> None:
        figures[name].setdefault(figure, []).append(value)

    async with contextlib.AsyncExitStack() as stack:
        crowds = {
            name: await stack.enter_async_context(crowd(count, path / "src"))
            for name, path in checkouts.items()
        }
        for name, one in crowds.items():
            began = one.server.cpu
            note(name, "connecting, s", await one.connect(AT_ONCE))
            await one.server.quiet()
            note(name, "connecting, ms CPU", one.server.cpu - began)
            note(name, "memory, MB", one.server.memory)
        for turn in range(turns):
            for name, one in sorted(crowds.items(), reverse=turn % 2 == 1):
                began = one.server.cpu
                note(name, "change, to the last, ms", await one.change(f"10.0.1.{turn + 1}", count))
                until = one.server.cpu
                await one.server.quiet()
                note(name, "change, ms CPU until then", until - began)
                note(name, "change, ms CPU afterwards", one.server.cpu - until)
                note(name, "change, ms CPU in all", one.server.cpu - began)
        for name, one in crowds.items():
            note(name, "memory after it, MB", one.server.memory)
    names = list(checkouts)
    print(f"| {count} streams, medians of {turns} | {' | '.join(names)} |\n|{' --- |' * (len(names) + 1)}")
    for figure in figures[names[0]]:
        medians = [statistics.median(figures[name][figure]) for name in names]
        print(f"| {figure} | {' | '.join(f'{value:.0f}' for value in medians)} |")


def main() -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    raise_open_files()
    other: Path = options.other
    asyncio.run(compare({"other": other.absolute(), "this": HERE}, options.streams, options.turns))


if __name__ == "__main__":
    main()
