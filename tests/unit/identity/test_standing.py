"""Who listens at a Unix socket is believed only where no stranger can have taken the place of the one who is meant."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.identity import standing
from argosy.identity.client import Refused, attest

ME = os.geteuid()
STRANGER, SERVER = 4711, 4712


@pytest.fixture
def place() -> Iterator[Path]:
    """A socket in a directory of this user's, in the directory for everybody."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.sock"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            yield path


def test_the_kernel_says_who_listens(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place))
        assert standing.peer_uid(connection) == ME


def test_ours_and_roots_are_believed(place: Path) -> None:
    assert standing.doubt(place, ME) == ""
    assert standing.doubt(place, 0) == ""


def test_a_stranger_in_our_directory_is_not(place: Path) -> None:
    assert f"uid {STRANGER} listens there" in standing.doubt(place, STRANGER)


def test_where_others_may_write_anybody_may_have_been_first(place: Path) -> None:
    place.parent.chmod(0o777)
    assert "others may write in" in standing.doubt(place, ME)
    place.parent.chmod(0o720)
    assert "others may write in" in standing.doubt(place, ME)


@pytest.mark.skipif(ME != 0, reason="needs root, to make directories of other users")
def test_a_server_of_another_user_is_believed_in_its_own_directory(place: Path) -> None:
    """But not in one that it made in /tmp: a stranger could have made it."""
    os.chown(place.parent, SERVER, SERVER)
    said = standing.doubt(place, SERVER, own=STRANGER)
    assert f"others may write in {tempfile.gettempdir()}" in said
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        inner = Path(folder) / "argosy"
        inner.mkdir(mode=0o755)
        Path(folder).chmod(0o755)
        os.chown(inner, SERVER, SERVER)
        path = inner / "a.sock"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            assert standing.doubt(path, SERVER, own=STRANGER) == ""
            assert standing.doubt(path, 999, own=STRANGER) != ""
            os.chown(folder, 999, 999)
            assert "belongs to uid 999" in standing.doubt(path, SERVER, own=STRANGER)


async def test_an_agent_tells_nothing_to_who_is_not_believed(place: Path) -> None:
    """Neither is the answer looked at: the roots in it would be a stranger's."""
    await asyncio.to_thread(place.parent.chmod, 0o777)
    await asyncio.to_thread(place.unlink)
    heard: list[bytes] = []

    async def pose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_unix_server(pose, place):
        with pytest.raises(Refused, match="not sure that the server listens there"):
            await attest(place, timeout=2)
    assert heard in ([], [b""])
