"""One holder at a time, named by its pid; a dead holder holds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from argosy.runtime.errors import Failure
from argosy.runtime.locks import FileLock, Held


def test_the_second_is_told_who_is_the_first(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    first.acquire("another runs")
    with pytest.raises(Held, match=rf"another runs \(pid {os.getpid()}\)") as held:
        second.acquire("another runs", "stop it")
    assert (held.value.pid, held.value.remedy) == (os.getpid(), "stop it")
    first.release()
    second.acquire("another runs")
    second.release()
    second.release()  # once is enough


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = "import sys, time; from pathlib import Path; from argosy.runtime.locks import FileLock\n"
    code += "FileLock(Path(sys.argv[1])).acquire('x'); lock = FileLock(Path(sys.argv[1] + '2')); lock.acquire('x')\n"
    code += "print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Held, match=f"pid {process.pid}"):
            FileLock(tmp_path / "lock2").acquire("another runs")
        process.kill()
        process.wait()
    lock = FileLock(tmp_path / "lock2")
    lock.acquire("another runs")
    assert lock.path.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="nowhere"):
        FileLock(tmp_path / "nowhere" / "lock").acquire("x")
