"""Runs the benchmarks and prints their rows; `--write` keeps them in bench/RESULTS.md with command and machine."""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import platform
from pathlib import Path

NAMES = (
    "signing",
    "api",
    "demo_start",
    "apply_live",
    "compile",
    "routes",
    "streams",
    "store",
    "two_hops",
    "handshakes",
    "policy",
    "footprint",
    "tokens",
)
RESULTS = Path(__file__).parent / "RESULTS.md"


def machine() -> str:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 2**20
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {memory} GiB, {system}"


def section(name: str) -> str:
    module = importlib.import_module(f"bench.{name}")
    question = (module.__doc__ or "").strip().splitlines()[0]
    rows = module.run()
    lines = [f"## {name}", "", question, "", "| figure | value | aim |", "| --- | --- | --- |"]
    lines += [f"| {figure} | {value} | {aim} |" for figure, value, aim in rows]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return "\n".join([*lines, "", f"`python -m bench {name}`, {today}, {machine()}", ""])


def write(sections: dict[str, str]) -> None:
    """Replaces the sections measured now and keeps the others."""
    text = (
        RESULTS.read_text()
        if RESULTS.exists()
        else "# Results\n\nShared, noisy cores: trust ratios and counts before times.\n\n"
    )
    head, *old = text.split("\n## ")
    kept = {part.split("\n", 1)[0].strip(): "## " + part.rstrip() + "\n" for part in old}
    kept.update(sections)
    RESULTS.write_text(head.rstrip() + "\n\n" + "\n".join(kept[name] for name in sorted(kept)))


def main() -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read when gRPC is imported, which the benchmarks do
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NAMES), help=", ".join(NAMES))
    parser.add_argument("--write", action="store_true", help="keep the results in bench/RESULTS.md")
    options = parser.parse_args()
    sections = {}
    for name in options.names or NAMES:
        sections[name] = section(name)
        print(sections[name], flush=True)
    if options.write:
        write(sections)


if __name__ == "__main__":
    main()
