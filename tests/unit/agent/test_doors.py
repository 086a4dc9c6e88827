"""The agent's doors: its control socket and metrics take their own user, so much at once, and no silence for ever."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from argosy.agent import client, control, exporter, protocol
from argosy.agent.agent import Agent
from argosy.agent.bootstrap import Bootstrap, bootstrap
from argosy.agent.control import Connection, Control
from argosy.agent.exporter import Exporter
from argosy.runtime.errors import Failure
from argosy.runtime.paths import make_runtime_dir, runtime_dir
from argosy.xds.node import ProxyNode
from tests.unit.agent.test_control import Workloads


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[Path]:
    path = client.socket_path(tmp_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    served = Control(cast(Agent, Workloads({})))
    async with await asyncio.start_unix_server(served.serve, str(path), limit=protocol.LINE_LIMIT):
        yield tmp_path


def listed(state: Path) -> list[protocol.Event]:
    return list(client.ask(state, protocol.List()))


async def test_another_user_gets_nothing(listening: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await asyncio.to_thread(listed, listening)
    monkeypatch.setattr(Connection, "_credentials", lambda self: (1, 4711))
    reader, writer = await asyncio.open_unix_connection(str(client.socket_path(listening)))
    with contextlib.suppress(ConnectionError):
        writer.write(b'{"type": "list"}\n')
        assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_who_says_nothing_is_closed(listening: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "GREET_SECONDS", 0.2)
    reader, writer = await asyncio.open_unix_connection(str(client.socket_path(listening)))
    writer.write(b"\n")
    assert await asyncio.wait_for(reader.readline(), 10) == b"\n"
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_connections_are_bounded_and_given_back(
    listening: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MOST_CONNECTIONS", 2)
    path = str(client.socket_path(listening))
    held = [await asyncio.open_unix_connection(path) for _ in range(2)]
    for reader, writer in held:
        writer.write(b"\n")
        assert await asyncio.wait_for(reader.readline(), 10) == b"\n"
    reader, writer = await asyncio.open_unix_connection(path)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    assert await asyncio.to_thread(listed, listening)


async def test_a_line_that_is_too_long_is_not_kept(listening: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(client.socket_path(listening)))
    with contextlib.suppress(ConnectionError):
        writer.write(b"a" * (protocol.LINE_LIMIT + (1 << 20)))
        await writer.drain()
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_metrics_are_on_the_loopback_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "MOST_CONNECTIONS", 2)
    served = Exporter({})
    await served.start(0)
    assert served.address.startswith("http://127.0.0.1:")
    held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(2)]
    for reader, writer in held:
        writer.write(b"GET /targets HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 200")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    held[0][1].write(b"GET /" + b"a" * (1 << 20))
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(held[0][0].read(), 10)
    for _, one in held:
        one.close()
    served.stop()


def test_a_runtime_directory_that_somebody_else_may_change_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets stand in it: who owns it, or a link to it, could put others in their place."""
    short = Path(tempfile.mkdtemp(prefix="r"))  # a long one is not used
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    made = make_runtime_dir(tmp_path / "state")
    assert made == runtime_dir(tmp_path / "state")
    assert stat.S_IMODE(made.stat().st_mode) == stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    assert made.is_relative_to(short)
    made.rmdir()
    made.parent.rmdir()
    made.parent.symlink_to(tmp_path)
    with pytest.raises(Failure, match="symbolic link"):
        make_runtime_dir(tmp_path / "state")
    shutil.rmtree(short)


def test_a_sidecars_admin_interface_is_a_socket_of_its_user_and_its_connections_are_bounded() -> None:
    of = Bootstrap(
        name="a", namespace="b", proxy=ProxyNode(), admin_socket="/r/admin.sock", xds_socket="/r/x"
    )
    made = bootstrap(of)
    assert made["admin"] == {"address": {"pipe": {"path": "/r/admin.sock", "mode": 0o600}}}
    (monitor,) = made["overload_manager"]["resource_monitors"]
    assert monitor["typed_config"]["max_active_downstream_connections"] == of.max_connections > 0
