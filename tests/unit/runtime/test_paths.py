"""Directories: private ones are ours alone, runtime ones are short and leave with the last who used them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from argosy.runtime import paths
from argosy.runtime.errors import Failure


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path / ("a-long-name" * 3)


def test_a_runtime_directory_is_short_and_only_ours(state: Path) -> None:
    made = paths.make_runtime_dir(state)
    try:
        assert len(str(made)) < 60
        for folder in (made, made.parent):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        paths.leave_runtime_dir(state)
    assert not made.exists()


def test_a_runtime_directory_in_use_stays(state: Path) -> None:
    made = paths.make_runtime_dir(state)
    (made / "attest.sock").touch()
    paths.leave_runtime_dir(state)
    assert made.exists()
    (made / "attest.sock").unlink()
    paths.leave_runtime_dir(state)
    assert not made.exists()


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(Failure, match="belongs to another user"):
        paths.private_dir(tmp_path)


def test_a_private_file_is_whole_or_not_there(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    paths.write_private(file, b"first")
    paths.write_private(file, b"second")
    assert file.read_bytes() == b"second"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]


def test_a_link_in_place_of_the_runtime_directorys_parent_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who may write where it stands could lead us into a directory of ours that others may enter, and back out.
    target = tmp_path / "public"
    target.mkdir(mode=0o755)
    (tmp_path / "argosy").symlink_to(target)
    monkeypatch.setattr(paths, "runtime_dir", lambda _: tmp_path / "argosy" / "12345678")
    with pytest.raises(Failure, match="symbolic link"):
        paths.make_runtime_dir(tmp_path / "state")
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert not any(target.iterdir())


def test_another_users_server_is_remembered_by_its_attestation_socket(tmp_path: Path) -> None:
    assert paths.server_info(tmp_path) is None
    paths.use_server(tmp_path, "/srv/mesh/attest.sock")
    info = paths.server_info(tmp_path)
    assert info is not None
    assert (info.attest_socket, info.pid) == ("/srv/mesh/attest.sock", 0)
    assert stat.S_IMODE(paths.other_server(tmp_path).stat().st_mode) == 0o600


def test_where_a_server_of_ours_runs_no_other_is_used(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").touch()
    with pytest.raises(Failure, match="has a control plane of its own"):
        paths.use_server(tmp_path, "/srv/mesh/attest.sock")
    assert paths.server_info(tmp_path) is None
