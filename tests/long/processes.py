"""What a mesh's processes hold, read from /proc: descriptors, memory, and who is left of them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.mesh import Mesh


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def memory(pid: int, field: str) -> int:
    """KiB of a field of /proc/PID/status, as VmRSS (now), VmHWM (at most so far), RssAnon (of its own)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(pid)


def resident(pid: int) -> float:
    """Resident memory in MB."""
    return memory(pid, "VmRSS") / 1000


def agent_pid(mesh: Mesh) -> int:
    return int(json.loads(mesh.argosy("ps", "-o", "json", "--agent"))["pid"])


def of_state(state: Path) -> dict[int, str]:
    """The processes whose command line or environment names the state directory: pid -> command line."""
    found = {}
    wanted = str(state).encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue  # gone meanwhile, or not ours
        if command and wanted in command + environment:
            found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found
