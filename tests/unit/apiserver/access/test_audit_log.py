"""The file of the audit log: in order, bounded, private; and a disk that is full."""

from __future__ import annotations

import os
import resource
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from argosy.apiserver.access import audit_log
from argosy.apiserver.access.audit_log import AuditLog
from argosy.runtime.errors import Failure


class Told:
    """A log that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        def say(event: str, **fields: Any) -> None:
            self.said.append((level, event, fields))

        return say


def opened(path: Path, told: Told | None = None, **more: Any) -> AuditLog:
    return AuditLog(path, told or Told(), retry_after=0.01, **more)  # type: ignore[arg-type]


def lines(*paths: Path) -> list[str]:
    return [line for path in paths for line in path.read_text().splitlines()]


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def line_of(text: str) -> Callable[[], bytes]:
    return lambda: text.encode()


def test_lines_come_in_order_into_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text("of before")
    path.chmod(0o644)
    log = opened(path)
    for number in range(2000):
        log.write(line_of(str(number)))
    log.close()
    assert lines(path) == ["of before", *map(str, range(2000))]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (log.written, log.lost, log.waiting) == (2000, 0, 0)


def test_the_lines_of_a_moment_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "GATHER_SECONDS", 0.2)
    log, path = opened(tmp_path / "audit.log"), tmp_path / "audit.log"
    sizes: list[int] = []
    append = log._append

    def note(made: list[bytes]) -> bool:
        sizes.append(len(made))
        return append(made)

    monkeypatch.setattr(log, "_append", note)
    for number in range(100):
        log.write(line_of(str(number)))
    wait_for(lambda: log.written == 100, "they are written")
    log.close()
    assert sizes == [100]
    assert lines(path) == [str(number) for number in range(100)]


def test_files_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = opened(path, most_bytes=1000, keep=3)
    for number in range(300):
        log.write(line_of(f"{number:099}"))
        wait_for(lambda: not log.waiting, "written")
    log.close()
    files = [tmp_path / f"audit.log.{number}" for number in (3, 2, 1)]
    assert sorted(tmp_path.iterdir()) == sorted([path, *files])
    assert all(
        file.stat().st_size <= 1000 and stat.S_IMODE(file.stat().st_mode) == 0o600 for file in (*files, path)
    )
    assert [int(line) for line in lines(*files, path)] == list(range(260, 300))


def test_a_file_that_somebody_moves_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = opened(path)
    log.write(line_of("one"))
    wait_for(lambda: log.written == 1, "written")
    path.rename(tmp_path / "moved")
    log.write(line_of("two"))
    log.close()
    assert (lines(tmp_path / "moved"), lines(path)) == (["one"], ["two"])


def test_a_full_disk_holds_nobody_up_is_told_loudly_and_loses_nothing_that_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told, full = tmp_path / "audit.log", Told(), threading.Event()
    really = os.write

    def write(file: int, data: bytes) -> int:
        if full.is_set():
            return really(file, data[: len(data) // 2])  # what a disk does whose last block is taken
        return really(file, data)

    log = opened(path, told)
    monkeypatch.setattr(os, "write", write)
    log.write(line_of("before"))
    wait_for(lambda: log.written == 1, "written")
    full.set()
    for number in range(100):
        log.write(line_of(str(number)))
    wait_for(lambda: told.said, "it is told")
    (level, event, fields) = told.said[0]
    assert (level, fields["error"]) == ("error", "no space left on device")
    assert "cannot be written" in event
    assert fields["waiting"] > 0
    assert lines(path) == ["before"], "no half line"
    full.clear()
    log.write(line_of("after"))
    log.close()
    assert lines(path) == ["before", *map(str, range(100)), "after"]
    assert [level for level, *_ in told.said] == ["error", "warning"]
    assert log.lost == 0


def test_what_memory_cannot_hold_is_counted_and_the_log_says_so_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told, full = tmp_path / "audit.log", Told(), threading.Event()
    full.set()
    really = os.write

    def write(file: int, data: bytes) -> int:
        if full.is_set():
            raise OSError(28, "No space left on device")
        return really(file, data)

    monkeypatch.setattr(os, "write", write)
    log = opened(path, told, most_waiting=10)
    for number in range(25):
        log.write(line_of(str(number)))
    assert (log.waiting, log.lost) == (10, 15)
    wait_for(lambda: told.said, "it is told")
    full.clear()
    wait_for(lambda: not log.waiting, "written")
    log.write(line_of("after"))
    log.close()
    found = lines(path)
    assert found[:10] + found[-1:] == [*map(str, range(10)), "after"]
    (gap,) = [msgspec.json.decode(line) for line in found if line.startswith("{")]
    assert (gap["lost"], set(gap)) == (15, {"time", "lost", "since"})
    assert (told.said[-1][0], told.said[-1][2]["lost"]) == ("warning", 15)


def test_a_line_that_is_large_in_memory_counts_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_file: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    log = opened(tmp_path / "audit.log", most_waiting_bytes=1000)
    for _ in range(5):
        log.write(line_of("x"), 400)
    assert (log.waiting, log.lost) == (2, 3)
    log.close()


def test_the_limit_of_a_file_size_is_a_full_disk_too(tmp_path: Path) -> None:
    """A real refusal of the kernel, in the middle of a line."""
    path, told = tmp_path / "audit.log", Told()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = opened(path, told)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1050, before[1]))
    try:
        for number in range(20):
            log.write(line_of(f"{number:099}"))
            wait_for(lambda: not log.waiting or told.said, "written or told")
        assert told.said[0][0] == "error"
        assert [int(line) for line in lines(path)] == list(range(len(lines(path))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    log.close()
    assert [int(line) for line in lines(path)] == list(range(20))


def test_a_line_that_cannot_be_made_does_not_end_the_log(tmp_path: Path) -> None:
    told, path = Told(), tmp_path / "audit.log"

    def broken() -> bytes:
        raise ValueError("a secret")

    log = opened(path, told)
    log.write(broken)
    log.write(line_of("next"))
    log.close()
    assert lines(path)[1:] == ["next"]
    assert "a secret" not in str(told.said) + path.read_text()


def test_a_place_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="audit log"):
        AuditLog(tmp_path / "no" / "audit.log", structlog.get_logger())
