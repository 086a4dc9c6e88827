"""URLs of stores: which file they name, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.runtime.errors import Failure
from argosy.store.base import Key
from argosy.store.open import check, open_plain, open_store, path_of, url_of


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/mesh.db", Path("/var/lib/mesh.db")),
        ("sqlite:///with%20space/%C3%A4.db", Path("/with space/ä.db")),
        ("etcd://a,b:1/prefix", None),
    ],
)
def test_what_a_url_names(url: str, path: Path | None) -> None:
    assert path_of(url) == path
    assert check(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:relative.db",
        "sqlite://host/x.db",
        "sqlite:///",
        "sqlite:///a?b=c",
        "/a.db",
        "mysql://a/b",
        "etcd://u:p@h",
        "x",
    ],
)
def test_what_is_no_url_of_a_store_is_refused(url: str) -> None:
    with pytest.raises(Failure) as error:
        check(url)
    assert error.value.remedy


@pytest.mark.parametrize("folder", ["state", "with space", "ä%20?#"])
async def test_a_store_without_a_url_is_in_the_state_directory_whatever_its_name(
    tmp_path: Path, folder: str
) -> None:
    state = tmp_path / folder
    state.mkdir()
    store = await open_store("", state)
    made = await store.create(Key("/secrets", "a", "b"), b"{}")
    await store.close()
    assert {path.name for path in state.iterdir()} == {"argosy.db", "secrets.key"}
    again = await open_plain(url_of(state))
    assert await again.revision() == made.revision
    await again.close()


async def test_a_store_that_is_opened_in_vain_is_closed_again(tmp_path: Path) -> None:
    (tmp_path / "secrets.key").write_text("nonsense")
    (tmp_path / "secrets.key").chmod(0o600)
    with pytest.raises(Failure, match="no file of keys"):
        await open_store("", tmp_path)
    assert not (tmp_path / "argosy.db-wal").exists()
