"""Ctrl-C in the first moments of a command."""

from __future__ import annotations

import signal
import subprocess
import sys

SLOW = """
import signal, sys, types
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "argosy.cli.main":
            print("importing", flush=True)
            while True:
                pass
sys.meta_path.insert(0, Slow())
sys.argv = ["argosy", "version"]
from argosy.cli.entry import main
main()
"""


def test_ctrl_c_while_the_command_line_is_loaded_says_nothing() -> None:
    started = subprocess.Popen(
        [sys.executable, "-c", SLOW],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "importing\n"
    started.send_signal(signal.SIGINT)
    try:
        out, err = started.communicate(timeout=30)
    finally:
        started.kill()
    assert (out, err, started.returncode) == ("", "", -signal.SIGINT)


def test_it_runs_the_command() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv[1:] = ['--help']; from argosy.cli.entry import main; main()",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "argosy" in done.stdout
