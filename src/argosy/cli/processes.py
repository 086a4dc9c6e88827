"""Processes that belong to one state directory: to start them so that they die with us, and to find what was left.

Rule: only a process of this user that runs Argosy, Python or Envoy *and* has a path of that state directory (or its
runtime directory) among its arguments is ours; it is named by pid, never by a pattern of its name.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PROGRAMS = ("argosy", "python", "envoy")
_libc = ctypes.CDLL(None, use_errno=True)


def argosy_command() -> list[str]:
    """This very installation's `argosy`, absolute."""
    script = Path(sys.executable).parent / "argosy"
    return [str(script)] if script.is_file() else [sys.executable, "-m", "argosy.cli.main"]


def dies_with_us(number: int) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends `number` to the child when the thread that started it ends."""
    parent = os.getpid()

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(127)  # the parent died between fork and prctl

    return prepare


def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Starts a process in a session of its own (a Ctrl-C is ours to pass on); its output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=dies_with_us(signal.SIGTERM),
        )


def belonging(folders: Sequence[Path], proc: Path = Path("/proc")) -> list[int]:
    """The pids of our processes whose arguments name one of the folders, or something in them.

    Neither ourselves nor who called us: a program that starts `argosy demo` may well name its state directory.
    """
    found = []
    marks = [str(folder) for folder in folders]
    spared = ancestors(os.getpid(), proc)
    for process in proc.iterdir():
        if not process.name.isdigit() or int(process.name) in spared:
            continue
        try:
            if process.stat().st_uid != os.getuid():
                continue
            arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # gone
        program = Path(arguments[0]).name
        if program.startswith(PROGRAMS) and any(
            names(argument, mark) for argument in arguments[1:] for mark in marks
        ):
            found.append(int(process.name))
    return sorted(found)


def ancestors(pid: int, proc: Path) -> set[int]:
    """A process, its parent, and so on (field 4 of /proc/PID/stat)."""
    found = set()
    while pid and pid not in found:
        found.add(pid)
        try:
            pid = int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found


def names(argument: str, folder: str) -> bool:
    """Whether an argument is the folder or a path below it, alone or after `--option=`."""
    value = argument.partition("=")[2] if argument.startswith("--") and "=" in argument else argument
    return value == folder or value.startswith(folder + "/")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False


def end(pids: Iterable[int], patience: float) -> list[int]:
    """Asks with SIGTERM, and after `patience` seconds ends with SIGKILL. Gives those that had to be killed."""
    left = [pid for pid in pids if alive(pid)]
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    left = gone_within(left, patience)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    gone_within(left, 5)
    return left


def gone_within(pids: Iterable[int], seconds: float) -> list[int]:
    """Waits until they have ended; gives those that have not."""
    left = list(pids)
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in left if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left
