"""The application as a child: its environment, its process group, its death with ours, its exit code.

The application leads a process group of its own, so that a Ctrl-C meant for `argosy run` does not reach it before the
mesh has let go of it. A command without ports is nobody's server: on a terminal it gets the foreground, as it would
have without us (a shell, psql).
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from argosy.agent.protocol import BoundPort
from argosy.cli.processes import dies_with_us
from argosy.runtime.errors import Failure

ENDPOINT = "SPIFFE_ENDPOINT_SOCKET"
NO_PROXY = "localhost,127.0.0.0/8,::1,127.0.0.1"  # 127.0.0.1 once more for clients that know no CIDR (urllib)
PROXY_VARIABLES = ("http_proxy", "https_proxy", "grpc_proxy")  # no all_proxy: clients take it for SOCKS


def environment(
    base: Mapping[str, str], proxy_port: int, ports: Sequence[BoundPort], workload_socket: str = ""
) -> dict[str, str]:
    """What the application finds: the proxy variables in both cases, `PORT`, and `PORT_<workload port>` for each; and
    where its identity is to be had (the SPIFFE Workload API)."""
    found = dict(base)
    for name in (*PROXY_VARIABLES, "all_proxy", "no_grpc_proxy"):
        found.pop(name, None)
        found.pop(name.upper(), None)
    for name in PROXY_VARIABLES:
        found[name] = found[name.upper()] = f"http://127.0.0.1:{proxy_port}"
    found["no_proxy"] = found["NO_PROXY"] = NO_PROXY
    found.pop(ENDPOINT, None)  # of a workload that this one was started in
    if workload_socket:
        found[ENDPOINT] = f"unix://{workload_socket}"
    if ports:
        found["PORT"] = str(ports[0].application)
    found |= {f"PORT_{port.workload}": str(port.application) for port in ports}
    return found


def substituted(command: Sequence[str], ports: Sequence[BoundPort]) -> list[str]:
    """The command with `{port}` (the first) and `{port_9080}` replaced; other braces stay as they are."""
    words = list(command)
    values = {f"{{port_{port.workload}}}": str(port.application) for port in ports}
    if ports:
        values["{port}"] = str(ports[0].application)
    for mark, value in values.items():
        words = [word.replace(mark, value) for word in words]
    return words


def exit_code(returned: int) -> int:
    """Popen's code as a shell would tell it: 128 + n for a signal."""
    return 128 - returned if returned < 0 else returned


def _take_foreground(then: Callable[[], None]) -> Callable[[], None]:
    def prepare() -> None:
        # tcsetpgrp from a background group raises SIGTTOU: ignored for this one call.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        then()

    return prepare


def not_started(program: str, error: OSError) -> Failure:
    """Why the kernel did not execute it, with the exit codes of a shell: 127 not found, 126 cannot be executed."""
    match error:
        case FileNotFoundError() if Path(program).is_file():
            return Failure(f"{program}: the interpreter that its first line names is not there", code=127)
        case FileNotFoundError():
            return Failure(f"no such program: {program}", "check the PATH, or give its whole path", 127)
        case PermissionError() if Path(program).is_dir():
            return Failure(f"{program} is a directory", "name a program in it", 126)
        case PermissionError():
            return Failure(f"{program} cannot be executed", f"chmod +x {program}", 126)
    if error.errno == errno.ENOEXEC:
        remedy = f"begin it with a line as #!/bin/sh, or name what runs it: -- sh {program}"
        return Failure(f"{program} is not a program", remedy, 126)
    return Failure(f"{program} cannot be executed: {error.strerror}", code=126)


class Child:
    """The running application. `exited` is set once it has ended; `returned` is then its code as Popen gives it."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], interactive: bool) -> None:
        """`interactive`: on a terminal it gets the foreground; otherwise it reads no terminal."""
        terminal = os.isatty(0)
        prepare = dies_with_us(signal.SIGKILL)
        self.foreground = terminal and interactive and os.tcgetpgrp(0) == os.getpgrp()
        try:
            self.process = subprocess.Popen(
                command,
                env=dict(environ),
                stdin=subprocess.DEVNULL if terminal and not self.foreground else None,
                process_group=0,
                preexec_fn=_take_foreground(prepare) if self.foreground else prepare,
            )
        except OSError as error:
            raise not_started(command[0], error) from error
        self.pid = self.process.pid
        self.returned = 0
        self.exited = asyncio.Event()
        self._pidfd = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.returned = self.process.wait()
        if self.foreground:
            before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            with suppress(OSError):
                os.tcsetpgrp(0, os.getpgrp())
            signal.signal(signal.SIGTTOU, before)
        self.exited.set()

    def signal(self, number: int) -> None:
        """To the whole group: a shell's children too."""
        if not self.exited.is_set():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def stop(self, number: int, patience: float) -> None:
        """Asks with `number`, and after `patience` seconds ends the group."""
        self.signal(number)
        try:
            async with asyncio.timeout(patience):
                await self.exited.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.exited.wait()
