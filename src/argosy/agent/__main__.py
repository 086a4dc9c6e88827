"""`python -m argosy.agent --state-dir D`: what `client.ensure_agent` starts."""

from __future__ import annotations

import argparse
import sys

import uvloop

from argosy.agent.agent import LINGER, Agent
from argosy.runtime.errors import Failure
from argosy.runtime.log import configure
from argosy.runtime.paths import state_dir


def main() -> None:
    parser = argparse.ArgumentParser(prog="argosy agent")
    parser.add_argument("--state-dir", default="")
    parser.add_argument(
        "--linger", type=float, default=LINGER, help="seconds it stays after its last workload"
    )
    chosen = parser.parse_args()
    configure(form="text")  # people read it: argosy logs agent
    try:
        uvloop.run(Agent(state_dir(chosen.state_dir), chosen.linger).serve())
    except Failure as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
