"""The client's side of a lease, told as stories: a scripted agent, a real child process, real signals."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from argosy.agent import protocol
from argosy.cli.run_session import Session, Timing
from argosy.runtime.errors import Failure
from tests.unit.cli.conftest import BOUND, Agent

# A grace that no machine is too slow for; whoever waits for its end has his own.
QUICK = Timing(patience=5, grace=60, report=0.05, gone=5, gone_client=0.3)
# A server that says where it is, and ends with code 7 when it is asked to stop.
SERVES = (
    "import os, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    "signal.signal(signal.SIGINT, lambda *_: sys.exit(8))\n"
    # Closed by itself: what a signal's handler raises while a file is finalised is lost.
    "with open(sys.argv[1], 'w') as out: out.write(f'{os.getpid()} {os.environ[\"PORT\"]} {sys.argv[2]}')\n"
    "while True: time.sleep(0.01)\n"
)


def started(ports: tuple[protocol.BoundPort, ...] = ()) -> protocol.Started:
    return protocol.Started(
        name="web-v1",
        token="secret",
        identity="spiffe://cluster.local/ns/default/sa/web",
        outbound_proxy_port=15001,
        ports=ports,
        upstreams=(protocol.BoundUpstream(host="ratings", port=9080, bind=15007),),
        port_map={},
        admin_socket="/admin",
        metrics_url="http://127.0.0.1:15090/metrics",
        envoy_log="/envoy.log",
        app_log="/app.log",
    )


PORT = protocol.BoundPort(workload=9080, bind=20001, application=18080, protocol="http")


def server(file: Path) -> protocol.Start:
    return protocol.Start(
        name="web-v1",
        service="web",
        ports=(protocol.PortRequest(workload=9080),),
        command=(sys.executable, "-c", SERVES, str(file), "{port}"),
    )


def command(text: str) -> protocol.Start:
    return protocol.Start(name="me", service="me", command=(sys.executable, "-c", text))


def read(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


async def written(file: Path) -> list[str]:
    async with asyncio.timeout(BOUND):
        while not (words := read(file)):
            await asyncio.sleep(0.01)
    return words


def running(agent: Agent, start: protocol.Start) -> asyncio.Task[int]:
    return asyncio.create_task(Session(agent.state, start, QUICK).run())


async def serving(agent: Agent, file: Path) -> tuple[asyncio.Task[int], int]:
    """A session whose application runs; and the application's pid."""
    session = running(agent, server(file))
    assert (await agent.told(protocol.Start)).name == "web-v1"
    await agent.say(started((PORT,)), protocol.Registered(entry="default/web-v1"), protocol.Ready())
    app = await agent.told(protocol.AppStarted)
    pid, *_ = await written(file)
    assert app.pid == app.pgid == int(pid)
    return session, app.pid


async def test_the_application_starts_when_the_proxy_is_ready_and_not_before(
    agent: Agent, tmp_path: Path
) -> None:
    file = tmp_path / "out"
    session = running(agent, server(file))
    await agent.told(protocol.Start)
    await agent.say(started((PORT,)), protocol.Registered(entry="default/web-v1"))
    await asyncio.sleep(0.2)
    assert read(file) == []
    await agent.say(protocol.Ready())
    await agent.told(protocol.AppStarted)
    _, port, argument = await written(file)
    assert port == argument == "18080"
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session


async def test_a_service_leaves_before_it_is_stopped(agent: Agent, tmp_path: Path) -> None:
    session, pid = await serving(agent, tmp_path / "out")
    os.kill(os.getpid(), signal.SIGTERM)
    assert (await agent.told(protocol.Leave)).patience == 5
    os.kill(pid, 0)  # it still serves
    await agent.say(protocol.Progress("active requests: 2"))
    await asyncio.sleep(0.1)
    os.kill(pid, 0)
    await agent.say(protocol.StopApp())
    assert (await agent.told(protocol.AppStopped)).code == 7
    await agent.say(protocol.Gone())
    assert await asyncio.wait_for(session, BOUND) == 7


async def test_a_second_signal_hurries(agent: Agent, tmp_path: Path) -> None:
    session, _ = await serving(agent, tmp_path / "out")
    os.kill(os.getpid(), signal.SIGINT)
    assert (await agent.told(protocol.Leave)).patience == 5
    os.kill(os.getpid(), signal.SIGINT)
    assert (await agent.told(protocol.Leave)).patience == 0
    assert (await agent.told(protocol.AppStopped)).code == 8
    await agent.told(protocol.Leave)
    await agent.say(protocol.Gone())
    assert await asyncio.wait_for(session, BOUND) == 8


async def test_an_application_that_ends_by_itself_takes_the_workload_out(agent: Agent) -> None:
    session = running(agent, command("raise SystemExit(3)"))
    await agent.told(protocol.Start)
    await agent.say(started(), protocol.Ready())
    await agent.told(protocol.AppStarted)
    assert (await agent.told(protocol.AppStopped)).code == 3
    assert (await agent.told(protocol.Leave)).patience == 0
    await agent.say(protocol.Gone())
    assert await asyncio.wait_for(session, BOUND) == 3


async def test_a_commands_exit_code_does_not_wait_for_a_slow_agent(agent: Agent) -> None:
    session = running(agent, command("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    await agent.told(protocol.Start)
    await agent.say(started(), protocol.Ready())
    assert await asyncio.wait_for(session, BOUND) == 128 + 9


async def test_a_signal_goes_to_a_command_at_once(agent: Agent) -> None:
    session = running(agent, command("import time; time.sleep(60)"))
    await agent.told(protocol.Start)
    await agent.say(started(), protocol.Ready())
    await agent.told(protocol.AppStarted)
    os.kill(os.getpid(), signal.SIGTERM)
    assert (await agent.told(protocol.AppStopped)).code == -signal.SIGTERM
    await agent.told(protocol.Leave)
    await agent.say(protocol.Gone())
    assert await asyncio.wait_for(session, BOUND) == 128 + signal.SIGTERM


async def test_the_proxy_variables_are_set_in_both_cases(agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "out"
    names = ("http_proxy", "HTTPS_PROXY", "grpc_proxy", "GRPC_PROXY", "no_proxy", "ALL_PROXY")
    text = f"import os; open({str(file)!r}, 'w').write(' '.join(os.environ.get(n, '-') for n in {names}))"
    session = running(agent, command(text))
    await agent.told(protocol.Start)
    await agent.say(started(), protocol.Ready())
    proxy = "http://127.0.0.1:15001"
    assert await written(file) == [proxy] * 4 + ["localhost,127.0.0.0/8,::1,127.0.0.1", "-"]
    await agent.told(protocol.AppStarted)
    await agent.told(protocol.AppStopped)
    await agent.say(protocol.Gone())
    await asyncio.wait_for(session, BOUND)


async def test_a_killed_agent_is_attached_to_again_and_the_application_does_not_notice(
    agent: Agent, tmp_path: Path
) -> None:
    session, pid = await serving(agent, tmp_path / "out")
    agent.drop()
    attach = await agent.told(protocol.Attach)
    assert (attach.name, attach.token) == ("web-v1", "secret")
    assert attach.app is not None
    assert attach.app.pid == pid
    await agent.say(started((PORT,)), protocol.Ready())
    os.kill(pid, 0)
    os.kill(os.getpid(), signal.SIGTERM)
    await agent.told(protocol.Leave)
    await agent.say(protocol.StopApp())
    await agent.told(protocol.AppStopped)
    await agent.say(protocol.Gone())
    assert await asyncio.wait_for(session, BOUND) == 7


async def test_a_refusal_is_a_failure_with_its_remedy(agent: Agent) -> None:
    session = running(agent, command("pass"))
    await agent.told(protocol.Start)
    await agent.say(protocol.Failed(what="no control plane", remedy="argosy server"))
    with pytest.raises(Failure, match="no control plane") as caught:
        await asyncio.wait_for(session, BOUND)
    assert caught.value.remedy == "argosy server"


async def test_a_failure_while_it_runs_stops_the_application(agent: Agent, tmp_path: Path) -> None:
    session, pid = await serving(agent, tmp_path / "out")
    await agent.say(protocol.Failed(what="Envoy does not start any more"))
    with pytest.raises(Failure, match="Envoy does not start"):
        await asyncio.wait_for(session, BOUND)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_down_from_elsewhere_stops_the_application(agent: Agent, tmp_path: Path) -> None:
    session, _ = await serving(agent, tmp_path / "out")
    await agent.say(protocol.StopApp(reason="argosy down"))
    assert (await agent.told(protocol.AppStopped)).code == 7
    await agent.say(protocol.Gone())
    assert await asyncio.wait_for(session, BOUND) == 7


async def test_a_gateway_serves_until_it_is_told_to_leave(agent: Agent) -> None:
    start = protocol.Start(name="ingress", type="router", port_map={80: 8080})
    session = running(agent, start)
    await agent.told(protocol.Start)
    await agent.say(started(), protocol.Ready())
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert (await agent.told(protocol.Leave)).patience == 5
    await agent.say(protocol.StopApp())
    assert (await agent.told(protocol.AppStopped)).code == 0
    await agent.say(protocol.Gone())
    assert await asyncio.wait_for(session, BOUND) == 0


async def test_a_program_that_is_not_there_is_named(agent: Agent) -> None:
    session = running(agent, protocol.Start(name="me", service="me", command=("no-such-program",)))
    await agent.told(protocol.Start)
    await agent.say(started(), protocol.Ready())
    with pytest.raises(Failure, match="no such program: no-such-program") as caught:
        await asyncio.wait_for(session, BOUND)
    assert caught.value.code == 127


@pytest.mark.parametrize(
    ("content", "mode", "code", "said"),
    [
        ("echo hello\n", 0o755, 126, "not a program"),
        ("#!/no/such/interpreter\n", 0o755, 127, "the interpreter that its first line names is not there"),
        ("#!/bin/sh\n", 0o644, 126, "cannot be executed"),
    ],
)
async def test_a_program_that_cannot_be_executed_is_named_with_its_reason(
    agent: Agent, tmp_path: Path, content: str, mode: int, code: int, said: str
) -> None:
    program = tmp_path / "program"
    program.write_text(content)
    program.chmod(mode)
    session = running(agent, protocol.Start(name="me", service="me", command=(str(program),)))
    await agent.told(protocol.Start)
    await agent.say(started(), protocol.Ready())
    with pytest.raises(Failure, match=said) as caught:
        await asyncio.wait_for(session, BOUND)
    assert caught.value.code == code


async def test_it_says_where_everything_is_and_what_it_sees(
    agent: Agent, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    agent.workloads = (
        protocol.WorkloadStatus(
            name="web-v1",
            namespace="default",
            service="web",
            service_account="web",
            identity="spiffe://x",
            type="sidecar",
            labels={},
            state="running",
            inbound=3,
            outbound=4,
            plaintext=1,
        ),
    )
    session, _ = await serving(agent, tmp_path / "out")
    said = ""
    async with asyncio.timeout(BOUND):
        while "so far" not in said:
            await asyncio.sleep(0.02)
            said += capfd.readouterr().err
    assert re.search(r"proxy +http://127\.0\.0\.1:15001 ", said)
    assert re.search(r"port +9080 .*127\.0\.0\.1:20001 -> application 127\.0\.0\.1:18080", said)
    assert re.search(r"ratings:9080 +at 127\.0\.0\.1:15007", said)
    assert "inbound 3, outbound 4, plaintext 1" in said
    assert set(agent.counted) == {"web-v1"}
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
