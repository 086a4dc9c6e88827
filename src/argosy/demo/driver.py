"""Load for the shop: a steady trickle while the demo runs, or a burst from the command line.

python -m argosy.demo.driver URL --count 300 --parallel 30
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter

from argosy.demo.web import Answer, Client


class Load:
    """`rate` requests a second, each sent when it is due whether or not the one before was answered (open loop).

    At most `limit` are under way at once: a shop that hangs must not be buried.
    """

    def __init__(self, url: str, rate: float, limit: int = 50) -> None:
        self.url = url
        self.rate = rate
        self.limit = limit
        self.client = Client(proxy="")
        self.answers: Counter[int] = Counter()  # by status; 0: none
        self.skipped = 0

    async def run(self) -> None:
        """Until cancelled."""
        under_way: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        try:
            while True:
                due += 1 / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due = max(due, time.monotonic() - 1)  # after a pause of the machine: no burst
                if len(under_way) >= self.limit:
                    self.skipped += 1
                    continue
                task = asyncio.create_task(self.one())
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        finally:
            for task in under_way:
                task.cancel()
            await self.client.close()

    async def one(self) -> None:
        answer = await self.client.get(self.url)
        self.answers[answer.status] += 1


async def burst(url: str, count: int, parallel: int) -> list[Answer]:
    """`count` requests, `parallel` at a time."""
    client = Client(proxy="")
    left = iter(range(count))
    answers: list[Answer] = []

    async def worker() -> None:
        for _ in left:
            answers.append(await client.get(url))

    await asyncio.gather(*(worker() for _ in range(parallel)))
    await client.close()
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m argosy.demo.driver", description="Sends a burst of requests."
    )
    parser.add_argument("url")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--parallel", type=int, default=30)
    options = parser.parse_args()
    began = time.monotonic()
    answers = asyncio.run(burst(options.url, options.count, options.parallel))
    took = time.monotonic() - began
    print(f"{len(answers)} requests, {options.parallel} at a time, in {took:.1f} s:")
    for (status, flags), number in sorted(
        Counter((a.status, a.headers.get("x-envoy-overloaded", "")) for a in answers).items()
    ):
        meaning = " (refused by the circuit breaker)" if flags else " (no answer)" if not status else ""
        print(f"  {status or '---'}  {number:4d}{meaning}")


if __name__ == "__main__":
    main()
