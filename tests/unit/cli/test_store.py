"""`argosy store` on files: what it prints, what it refuses, and that a backup is a way back."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from argosy.cli.main import main
from argosy.store.base import Key, Store
from argosy.store.open import open_store, url_of
from argosy.store.sqlite import SqliteStore

SECRET = Key("/secrets", "shop", "tls")


def body(kind: str, name: str, namespace: str = "shop", **rest: Any) -> bytes:
    metadata = {"name": name, "namespace": namespace}
    return json.dumps({"apiVersion": "v1", "kind": kind, "metadata": metadata, **rest}).encode()


def within(state: Path, work: Callable[[Store], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        store = await open_store("", state)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def fill(store: Store) -> None:
    for number in range(30):
        name = f"web{number}"
        await store.create(Key("/services", "shop", name), body("Service", name))
    await store.create(SECRET, body("Secret", "tls", data={"key": "cGFzc3dvcmQ="}))


async def contents(store: Store) -> dict[Key, bytes]:
    items = (await store.list()).items
    return {item.key: item.body for item in items if not item.key.resource.startswith("/internal/")}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARGOSY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("ARGOSY_STORE", raising=False)
    (tmp_path / "state").mkdir(0o700)
    within(tmp_path / "state", fill)
    return tmp_path / "state"


@pytest.fixture
def argosy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["argosy", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, error = capsys.readouterr()
        return code, out, error

    return run


Argosy = Callable[..., tuple[int, str, str]]


def test_a_backup_is_a_way_back(state: Path, tmp_path: Path, argosy: Argosy) -> None:
    before = within(state, contents)
    code, out, _ = argosy("store", "backup", str(tmp_path / "monday"), "-o", "json")
    told = json.loads(out)
    assert (code, told["objects"]) == (0, 31)

    async def lose(store: Store) -> None:
        await store.delete(SECRET)
        await store.update(Key("/services", "shop", "web1"), body("Service", "web1", spec={}))
        await store.create(Key("/services", "shop", "mistake"), body("Service", "mistake"))

    within(state, lose)
    code, _, error = argosy("store", "restore", str(tmp_path / "monday"))
    assert code == 1
    assert "holds 31 objects already" in error
    assert "--replace" in error
    code, out, _ = argosy("store", "restore", str(tmp_path / "monday"), "--replace", "-o", "json")
    done = json.loads(out)
    assert (code, done["objects"], done["written"], done["deleted"]) == (0, 31, 2, 1)
    assert within(state, contents) == before


def test_a_backup_goes_into_an_empty_state_directory(state: Path, tmp_path: Path, argosy: Argosy) -> None:
    argosy("store", "backup", str(tmp_path / "monday"))
    kept = (tmp_path / "monday").read_bytes()
    code, out, _ = argosy("store", "restore", str(tmp_path / "monday"), "--state-dir", str(tmp_path / "new"))
    assert code == 0
    assert out.startswith("31 objects are there, as in the source (sha256 ")
    assert (tmp_path / "monday").read_bytes() == kept
    (tmp_path / "new" / "secrets.key").write_bytes((state / "secrets.key").read_bytes())
    (tmp_path / "new" / "secrets.key").chmod(0o600)
    assert within(tmp_path / "new", contents) == within(state, contents)


def test_migrate_says_a_count_and_a_hash(state: Path, tmp_path: Path, argosy: Argosy) -> None:
    to = tmp_path / "other.db"
    code, out, _ = argosy("store", "migrate", "--from", url_of(state), "--to", f"sqlite://{to}", "-o", "json")
    assert code == 0
    done = json.loads(out)
    assert (done["objects"], done["written"], len(done["sha256"])) == (31, 31, 64)
    code, _, error = argosy("store", "migrate", "--from", url_of(state), "--to", f"sqlite://{to}")
    assert code == 1
    assert "already" in error


def test_check_finds_nothing_in_a_good_store(state: Path, argosy: Argosy) -> None:
    code, out, error = argosy("store", "check")
    assert code == 0
    assert "/services  30" in out
    assert "secrets: 1 sealed, 0 not" in error
    assert "nothing is wrong" in error
    code, out, _ = argosy("store", "check", "-o", "json")
    assert json.loads(out)["resources"] == {"/secrets": 1, "/services": 30}


def test_check_names_what_is_wrong(state: Path, argosy: Argosy) -> None:
    async def spoil() -> None:
        store = await SqliteStore.open(state / "argosy.db")
        await store.create(Key("/services", "shop", "torn"), b'{"apiVersion": "v1", "ki')
        await store.create(Key("/services", "shop", "misplaced"), body("Service", "elsewhere"))
        sealed = await store.get(SECRET)
        assert sealed is not None
        await store.create(Key("/secrets", "shop", "copied"), sealed.body)
        await store.close()

    asyncio.run(spoil())
    code, out, error = argosy("store", "check", "-o", "json")
    assert code == 1
    assert len(json.loads(out)["problems"]) == 3
    assert "services shop/torn is no object" in error
    assert "services shop/misplaced says that it is shop/elsewhere" in error
    assert "secrets shop/copied does not open with the key it names" in error


def test_a_new_key_reseals_all_secrets(state: Path, argosy: Argosy) -> None:
    before = within(state, contents)
    code, out, _ = argosy("store", "reseal", "--new-key", "-o", "json")
    assert code == 0
    assert json.loads(out)["secrets"] == 1
    text = (state / "secrets.key").read_text().splitlines()
    assert len(text) == 3
    (state / "secrets.key").write_text("\n".join(text[:2]) + "\n")
    assert within(state, contents) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backup", "x", "--state-dir", "/nowhere"], "there is no store /nowhere/argosy.db"),
        (["check", "--store", "mysql://x/y"], "is not the URL of a store"),
        (["check", "--store", "etcd://me:secret@host/"], "holds no user or password"),
        (["restore", "/nowhere/file"], "cannot read /nowhere/file: No such file"),
        (["restore", "/etc/hostname"], "is broken"),
        (["backup", "x", "-o", "xml"], "not a format"),
    ],
)
def test_what_cannot_be_done_is_said(state: Path, argosy: Argosy, arguments: list[str], words: str) -> None:
    code, out, error = argosy("store", *arguments)
    assert code in (1, 2)
    assert words in error
    assert out == ""
