"""The probe that configuration asks for, a WorkloadGroup's or a ProxyConfig's, in place of ours.

Facts (Istio, as Kubernetes' readiness probes): asked first after `initial_delay`, then every `period`; a status from
200 to 399 is a success, a certificate is not verified, a command succeeds with exit status 0 and is no shell's; gRPC is
`grpc.health.v1.Health/Check` and must say SERVING. Healthy after `successes` in a row, unhealthy after `failures`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Mapping

import grpc
from msgspec.structs import replace

from argosy.agent import asking
from argosy.agent.asking import LOOPBACK
from argosy.agent.probe import Verdict
from argosy.agent.processes import Process, ProcessId, ending
from argosy.xds.start import GrpcProbe, HttpProbe, Probe, TcpProbe

_OUTPUT = 2000  # bytes of a command's output that are read
_CHUNK = 1 << 16

Ask = Callable[[Probe], Awaitable[str]]


def at_application(probe: Probe, applications: Mapping[int, int]) -> Probe:
    """The probe with the application's own ports in place of those of the workload that it names: asked on the
    loopback, past the sidecar. `applications`: workload port -> application port."""
    http, tcp, rpc = probe.http, probe.tcp, probe.grpc
    if http is not None:
        http = replace(http, port=applications.get(http.port, http.port))
    if tcp is not None:
        tcp = replace(tcp, port=applications.get(tcp.port, tcp.port))
    if rpc is not None:
        rpc = replace(rpc, port=applications.get(rpc.port, rpc.port))
    return replace(probe, http=http, tcp=tcp, grpc=rpc)


async def ask(probe: Probe) -> str:
    """One probe: "" where it succeeds, else why it failed."""
    try:
        async with asyncio.timeout(probe.timeout):
            if probe.http is not None:
                return await _http(probe.http)
            if probe.tcp is not None:
                return await _tcp(probe.tcp)
            if probe.grpc is not None:
                return await _grpc(probe.grpc)
            return await _command(probe.command)
    except TimeoutError:
        return f"no answer within {probe.timeout} s"
    except OSError as error:
        return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)


async def _tcp(probe: TcpProbe) -> str:
    await asking.connects(probe.port, probe.host or LOOPBACK)
    return ""


async def _http(probe: HttpProbe) -> str:
    context = None
    if probe.tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        status = await asking.http_status(
            probe.port,
            probe.host or LOOPBACK,
            path=probe.path if probe.path.startswith("/") else f"/{probe.path}",
            headers=[(name.lower(), value) for name, value in probe.headers],
            tls=context,
        )
    except asking.NoAnswer as error:
        return str(error)
    return "" if 200 <= status < 400 else f"status {status}"


async def _grpc(probe: GrpcProbe) -> str:
    try:
        serves = await asking.grpc_serves(probe.port, probe.service)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    return "" if serves else asking.NOT_SERVING


async def _command(command: tuple[str, ...]) -> str:
    """Started by subprocess, which uses vfork: uvloop's own processes begin with a fork, in which gRPC's handlers may
    abort, and a pipe of asyncio's would be waited for until everybody who inherited it has ended."""
    output = _Output()
    try:
        process = _started(command, output.end)
        try:
            await process.ended()
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.id.pid, signal.SIGKILL)  # with whatever it started
            await process.ended()
        words = output.words()
    finally:
        output.close()
    return "" if process.code == 0 else f"{ending(process.code)}" + (f": {words[-1][:200]}" if words else "")


def _started(command: tuple[str, ...], output: int) -> Process:
    null = subprocess.DEVNULL
    child = subprocess.Popen(command, stdin=null, stdout=output, stderr=output, start_new_session=True)
    return Process(ProcessId(child.pid, 0), os.pidfd_open(child.pid), child)


class _Output:
    """What a command writes: all is read, so that it does not block on it; the first of it is kept."""

    def __init__(self) -> None:
        self._read, self.end = os.pipe()
        os.set_blocking(self._read, False)
        self._kept = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read, self._take)

    def _take(self) -> bool:
        try:
            data = os.read(self._read, _CHUNK)
        except BlockingIOError:
            return False
        self._kept = (self._kept + data)[:_OUTPUT]
        return bool(data)

    def words(self) -> list[str]:
        while self._take():
            pass
        return self._kept.decode(errors="replace").strip().splitlines()

    def close(self) -> None:
        self._loop.remove_reader(self._read)
        os.close(self._read)
        os.close(self.end)


def described(probe: Probe) -> str:
    if probe.http is not None:
        scheme = "https" if probe.http.tls else "http"
        path = probe.http.path if probe.http.path.startswith("/") else f"/{probe.http.path}"
        return f"GET {scheme}://{probe.http.host or LOOPBACK}:{probe.http.port}{path}"
    if probe.tcp is not None:
        return f"tcp on {probe.tcp.host or LOOPBACK}:{probe.tcp.port}"
    if probe.grpc is not None:
        return f"grpc on {LOOPBACK}:{probe.grpc.port}"
    return " ".join(probe.command)[:200]


async def watch(
    probe: Probe,
    tell: Callable[[Verdict], Awaitable[None]],
    *,
    ask: Ask = ask,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Probes for ever; tells each change of the verdict, and the first failure."""
    await sleep(probe.initial_delay)
    healthy: bool | None = None
    successes = failures = 0
    while True:
        said = await ask(probe)
        successes, failures = (0, failures + 1) if said else (successes + 1, 0)
        if not said and successes >= probe.successes and healthy is not True:
            healthy = True
            await tell(Verdict(True, ""))
        elif said and failures >= probe.failures and healthy is not False:
            healthy = False
            await tell(Verdict(False, f"{described(probe)}: {said}"))
        await sleep(probe.period)
