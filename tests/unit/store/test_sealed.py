"""Secrets at rest: no store and no backup shows them; they are never lost to a wrong key, and a key can be changed."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
from pathlib import Path

import pytest

from argosy.runtime.errors import Failure
from argosy.store import keyring
from argosy.store.base import EventType, Key, Store, Stored, Unavailable
from argosy.store.keyring import Keyring
from argosy.store.memory import MemoryStore
from argosy.store.open import open_plain, open_store, url_of
from argosy.store.sealed import MARK, Unopened, reseal, seal
from argosy.store.sqlite import SqliteStore

TLS = Key("/secrets", "shop", "tls")
SERVICE = Key("/services", "shop", "web")
CLEAR = b'{"data":{"key":"cGFzc3dvcmQ="}}'


async def first(store: Store, key: Key) -> Stored:
    found = await store.get(key)
    assert found is not None
    return found


def at_rest(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_a_secret_is_sealed_and_other_kinds_are_not(tmp_path: Path) -> None:
    inner = MemoryStore()
    store = await seal(inner, tmp_path / "secrets.key")
    made = await store.create(TLS, CLEAR)
    await store.create(SERVICE, b"{}")
    assert made.body == (await first(store, TLS)).body == CLEAR
    assert (await store.list("/secrets")).items == (made,)
    at_rest = (await first(inner, TLS)).body
    assert keyring.is_sealed(at_rest)
    assert b"cGFz" not in at_rest
    assert (await first(inner, SERVICE)).body == b"{}"
    changed = await store.update(TLS, CLEAR + b" ")
    assert changed.body == (await first(store, TLS)).body == CLEAR + b" "
    events = store.watch(made.revision - 1, "/secrets")
    found = [await anext(events), await anext(events)]
    assert [event.stored.body for event in found] == [CLEAR, CLEAR + b" "]
    assert [event.previous for event in found] == [None, CLEAR]
    gone = await store.delete(TLS)
    assert gone.body == CLEAR + b" "
    last = await anext(events)
    assert (last.type, last.stored.body, last.previous) == (EventType.DELETED, CLEAR + b" ", CLEAR + b" ")


async def test_the_same_secret_twice_looks_different(tmp_path: Path) -> None:
    inner = MemoryStore()
    store = await seal(inner, tmp_path / "secrets.key")
    await store.create(TLS, CLEAR)
    before = (await first(inner, TLS)).body
    await store.update(TLS, CLEAR)
    assert (await first(inner, TLS)).body != before


async def test_neither_files_nor_backups_hold_a_secret_in_clear(tmp_path: Path) -> None:
    store = await open_store("", tmp_path)
    await store.create(TLS, CLEAR)
    await store.update(TLS, CLEAR * 3)
    await store.backup(tmp_path / "backup")
    await store.close()
    assert {"argosy.db", "backup"} <= at_rest(tmp_path).keys()
    assert [name for name, data in at_rest(tmp_path).items() if b"cGFzc3dvcmQ" in data] == []


async def test_the_key_file_is_made_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    inner = MemoryStore()
    await seal(inner, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    await seal(inner, path)
    assert path.read_text() == text
    assert len(base64.b64decode(text.split()[-1])) == 32


async def test_many_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    stores = await asyncio.gather(*(open_store("", tmp_path) for _ in range(5)))
    assert len({store.keys.names for store in stores}) == 1  # type: ignore[attr-defined]
    for store in stores:
        await store.close()


async def test_a_missing_key_is_an_error_and_no_new_key_is_made(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    inner = MemoryStore()
    await (await seal(inner, path)).create(TLS, CLEAR)
    path.rename(tmp_path / "away")
    with pytest.raises(
        Failure, match=r"sealed with the key [0-9a-f]{8}, which is not in .*secrets\.key"
    ) as error:
        await seal(inner, path)
    assert "copy secrets.key" in error.value.remedy
    assert not path.exists()
    (tmp_path / "away").rename(path)
    assert (await first(await seal(inner, path), TLS)).body == CLEAR


async def test_another_servers_key_is_an_error_even_before_there_is_a_secret(tmp_path: Path) -> None:
    inner = MemoryStore()
    await seal(inner, tmp_path / "one")
    keyring.create(tmp_path / "two")
    with pytest.raises(Failure, match="which is not in"):
        await seal(inner, tmp_path / "two")


@pytest.mark.parametrize("damage", ["moved", "changed", "cut", "key of another"])
async def test_what_does_not_open_is_named_and_hides_nothing_else(tmp_path: Path, damage: str) -> None:
    inner = MemoryStore()
    store = await seal(inner, tmp_path / "secrets.key")
    await store.create(TLS, CLEAR)
    await store.create(SERVICE, b"{}")
    body = (await first(inner, TLS)).body
    other = Key("/secrets", "shop", "other")
    wrong = {
        "moved": body,
        "changed": body[:-1] + bytes([body[-1] ^ 1]),
        "cut": body[:20],
        "key of another": keyring.MAGIC + b"0123abcd:" + os.urandom(60),
    }[damage]
    made = await inner.create(other, wrong)
    for attempt in (store.get(other), store.list("/secrets")):
        with pytest.raises(Unopened, match=r"secrets shop/other (is sealed with the key|does not open)"):
            await attempt
    assert (await first(store, TLS)).body == CLEAR
    everything = {item.key: item.body for item in (await store.list()).items}
    assert everything.keys() == {TLS, SERVICE, other, MARK}
    assert (everything[TLS], everything[other]) == (CLEAR, wrong)
    with pytest.raises(Failure, match="no secret was changed"):
        await reseal(store)
    assert (await first(inner, TLS)).body == body
    assert await anext(store.watch(made.revision - 1)) is not None
    with pytest.raises(Unopened):
        await anext(store.watch(made.revision - 1, "/secrets"))
    await store.delete(other)
    assert len((await store.list("/secrets")).items) == 1


async def test_what_was_stored_before_there_were_keys_is_sealed_at_the_start(tmp_path: Path) -> None:
    before = await SqliteStore.open(tmp_path / "argosy.db")
    await before.create(TLS, CLEAR * 2000)
    await before.update(TLS, CLEAR + b" ")
    await before.close()
    assert any(b"cGFzc3dvcmQ" in data for data in at_rest(tmp_path).values())
    store = await open_store("", tmp_path)
    assert (await first(store, TLS)).body == CLEAR + b" "
    await store.close()
    plain = await open_plain(url_of(tmp_path))
    assert keyring.is_sealed((await first(plain, TLS)).body)
    await plain.close()
    assert [name for name, data in at_rest(tmp_path).items() if b"cGFzc3dvcmQ" in data] == []


async def test_a_new_key_seals_and_the_old_one_still_opens(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    inner = MemoryStore()
    store = await seal(inner, path)
    running = await seal(inner, path)  # another process, which has read the file already
    old = store.keys.names
    await store.create(TLS, CLEAR)
    new = store.keys.add()
    assert store.keys.names == (new, *old)
    assert (await first(store, TLS)).body == CLEAR
    assert await reseal(store) == 1
    assert keyring.sealed_with((await first(inner, TLS)).body) == new
    assert (await first(running, TLS)).body == CLEAR
    assert (await first(await seal(inner, path), TLS)).body == CLEAR
    made = await running.create(Key("/secrets", "shop", "later"), CLEAR)
    assert keyring.sealed_with((await first(inner, made.key)).body) == new
    lines = [line for line in path.read_text().splitlines() if not line.startswith(old[0])]
    path.write_text("\n".join(lines))
    assert (await first(await seal(inner, path), TLS)).body == CLEAR


async def test_nothing_is_sealed_with_a_key_that_is_gone_from_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    inner = MemoryStore()
    store = await seal(inner, path)
    await store.create(TLS, CLEAR)
    path.rename(tmp_path / "away")
    with pytest.raises(
        Unavailable, match=r"secrets shop/tls cannot be sealed: cannot read the keys .*put the file back"
    ):
        await store.update(TLS, b"{}")
    assert (await first(store, TLS)).body == CLEAR, "what there is can be read"
    (tmp_path / "away").rename(path)
    await store.update(TLS, b"{}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no file of keys"),
        ("argosy-keys 2\n", "is no file of keys"),
        ("argosy-keys 1\n", "has no key"),
        ("argosy-keys 1\nabc notbase64!\n", "line 2 is no key"),
        ("argosy-keys 1\nabc aGVsbG8=\n", "line 2 is no key"),
        ("argosy-keys 1\n../x " + base64.b64encode(bytes(32)).decode(), "line 2 is no key"),
    ],
)
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(Failure, match=words):
        Keyring(path)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keyring.create(path)
    path.chmod(0o640)
    with pytest.raises(Failure, match="may be read by others"):
        Keyring(path)
