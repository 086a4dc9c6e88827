"""Opening a store by its URL: `sqlite:///path` or `etcd://host:2379,…/prefix?…`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from argosy.runtime.errors import Failure
from argosy.store import sealed
from argosy.store.base import Store
from argosy.store.sqlite import SqliteStore

FILE = "argosy.db"
KEYS = "secrets.key"


def url_of(state: Path) -> str:
    """The store of a state directory where none was named."""
    return f"sqlite://{quote(str(state / FILE))}"


def path_of(url: str) -> Path | None:
    """The file of a SQLite store; None for another kind. Raises Failure for what is no URL of a store."""
    parts = urlsplit(url)
    if parts.scheme == "etcd":
        return None
    absolute = url.startswith("sqlite:///") and len(parts.path) > 1
    if not absolute or parts.query or parts.fragment:
        raise Failure(
            f"{url!r} is not the URL of a store",
            "sqlite:///absolute/path.db, or etcd://host:2379,host2:2379/prefix",
        )
    return Path(unquote(parts.path))


def check(url: str) -> str:
    """A URL as it was given, once it is known to be one. Raises Failure."""
    if url and path_of(url) is None:
        from argosy.store.etcd import address

        address.parse(url)
    return url


async def open_plain(url: str) -> Store:
    """The store as it is, secrets sealed. Raises Failure."""
    path = path_of(url)
    if path is not None:
        return await SqliteStore.open(path)
    # Imported for who uses it: gRPC and etcd's messages take their time.
    from argosy.store.etcd import address
    from argosy.store.etcd.store import EtcdStore

    return await EtcdStore.open(address.parse(url))


async def open_store(
    url: str,
    state: Path,
    keys: Path | None = None,
    first: Callable[[Store], Awaitable[None]] | None = None,
) -> Store:
    """The store of a server: `url` "" is that of the state directory; secrets are opened. Raises Failure.

    `first` sees the store before its keys are looked for: whoever may not use it is told that, and not of keys.
    """
    inner = await open_plain(url or url_of(state))
    try:
        if first is not None:
            await first(inner)
        return await sealed.seal(inner, keys or state / KEYS)
    except BaseException:
        await inner.close()
        raise
