"""`argosy store`: backup, restore, migrate, check and reseal what the mesh is configured with.

All of them work while servers run on the store; secrets stay sealed, and the key file is not in a backup: keep a copy
of it elsewhere.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from argosy.cli.options import Output, StateDir, chosen_output
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.store.base import Store

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Back up, move and check the store.")
StoreUrl = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="ARGOSY_STORE",
        help="sqlite:///PATH or etcd://HOST:2379,HOST2:2379/PREFIX, as argosy server has it.",
        show_default="the file of the state directory",
    ),
]
KeyFile = Annotated[
    str,
    typer.Option(
        "--secrets-key-file",
        metavar="FILE",
        help="The keys that Secrets are sealed with.",
        show_default="secrets.key in the state directory",
    ),
]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="The target may hold objects: they are changed, and what the source has not is deleted.",
    ),
]


@app.command()
def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file; nothing is overwritten.")],
    store: StoreUrl = "",
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """Write everything to one file, of one moment, while the servers run.

    Secrets are sealed in it as they are in the store: it is of use with the key file alone, of which you keep a copy
    elsewhere.
    """
    chosen_output(output)
    target = Path(file).absolute()

    async def work() -> dict[str, Any]:
        async with _existing(_url(store, state_dir)) as opened:
            copied = await opened.backup(target)
        return {"file": str(target), "objects": copied.count, "revision": copied.revision}

    _tell(output, _run(work()), "{objects} objects at revision {revision} are in {file}")


@app.command()
def restore(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What argosy store backup has written.")],
    store: StoreUrl = "",
    replace: Replace = False,
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """Bring back what a backup holds. Servers that run see the changes as any others."""
    chosen_output(output)
    source = Path(file).absolute()

    async def work() -> dict[str, Any]:
        async with _copy_of(source) as opened, _opened(_target(store, state_dir)) as target:
            return await _transfer(opened, target, replace)

    _tell(output, _run(work()), MOVED)


@app.command()
def migrate(
    source: Annotated[str, typer.Option("--from", metavar="URL", help="The store that is left.")],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="The store that is moved to.")],
    replace: Replace = False,
    output: Output = "table",
) -> None:
    """Copy everything from one store to another, and compare the two by a count and a hash.

    Stop the servers first, or what they write meanwhile is left behind. The key file is not moved: servers of the new
    store need the same.
    """
    chosen_output(output)

    async def work() -> dict[str, Any]:
        async with _existing(source) as opened, _opened(target) as to:
            return await _transfer(opened, to, replace)

    _tell(output, _run(work()), MOVED)


@app.command()
def check(
    store: StoreUrl = "",
    secrets_key_file: KeyFile = "",
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """Look for what is broken: the file, the objects in it, secrets that do not open. Exit code 1 if anything is."""

    import msgspec

    from argosy.cli import documents
    from argosy.cli.terminal import say, table
    from argosy.store.examine import Findings, examine

    chosen_output(output)
    url = _url(store, state_dir)

    async def work() -> Findings:
        async with _existing(url) as opened:
            return await examine(opened, _keys(secrets_key_file, state_dir))

    found = _run(work())
    if not documents.show(output, msgspec.to_builtins(found)):
        table(("RESOURCE", "OBJECTS"), [[name, str(count)] for name, count in found.resources.items()])
        say(
            f"{found.objects} objects at revision {found.revision}; "
            f"secrets: {found.sealed} sealed, {found.unsealed} not"
        )
    if found.problems:
        raise Failure(
            "\n".join(
                [f"{len(found.problems)} problems:", *(f"  - {problem}" for problem in found.problems)]
            ),
            "put a backup back (argosy store restore), or delete or apply again what is named",
        )
    if output == "table":
        say("nothing is wrong", "green")


@app.command()
def reseal(
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Put a new key into the key file first, before the others.")
    ] = False,
    store: StoreUrl = "",
    secrets_key_file: KeyFile = "",
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """Write every Secret anew, sealed with the first key of the key file.

    With servers on several hosts, give all of them the new key file first, then run this without --new-key. After it,
    the older keys can be taken out of the file, once no backup needs them.
    """
    from argosy.store import sealed

    chosen_output(output)
    keys = _keys(secrets_key_file, state_dir)

    async def work() -> dict[str, Any]:
        async with _existing(_url(store, state_dir)) as opened:
            secrets = await sealed.seal(opened, keys)
            if new_key:
                secrets.keys.add()
            count = await sealed.reseal(secrets)
            return {"secrets": count, "key": secrets.keys.names[0], "file": str(keys)}

    _tell(output, _run(work()), "{secrets} secrets are sealed with the key {key} of {file}")


MOVED = (
    "{objects} objects are there, as in the source (sha256 {sha256}): {written} written, {deleted} deleted"
)


async def _transfer(source: Store, target: Store, replace: bool) -> dict[str, Any]:
    from argosy.store.transfer import transfer

    found = await transfer(source, target, replace=replace, progress=_progress)
    return {
        "objects": found.count,
        "sha256": found.sha256,
        "written": found.written,
        "deleted": found.deleted,
    }


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {of}", end="\n" if done == of else "", file=sys.stderr, flush=True)


def _run(work: Coroutine[Any, Any, T]) -> T:
    from argosy.store.base import StoreError

    try:
        return asyncio.run(work)
    except StoreError as error:
        raise Failure(str(error)) from error


def _tell(output: str, found: dict[str, Any], text: str) -> None:
    from argosy.cli.documents import show

    if not show(output, found):
        print(text.format(**found))


def _url(store: str, state_dir: str) -> str:
    from argosy.runtime.paths import state_dir as folder
    from argosy.store.open import url_of

    return store or url_of(folder(state_dir))


def _target(store: str, state_dir: str) -> str:
    """As `_url`; a state directory that is not there is made, as a server would."""
    from argosy.runtime.paths import private_dir
    from argosy.runtime.paths import state_dir as folder

    if not store:
        private_dir(folder(state_dir))
    return _url(store, state_dir)


def _keys(file: str, state_dir: str) -> Path:
    from argosy.runtime.paths import state_dir as folder
    from argosy.store.open import KEYS

    return Path(file).absolute() if file else folder(state_dir) / KEYS


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    from argosy.store.open import open_plain

    store = await open_plain(url)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _existing(url: str) -> AsyncIterator[Store]:
    """A store that is there: opening would make a new one."""
    from argosy.store.open import path_of

    path = path_of(url)
    if path is not None and not await asyncio.to_thread(path.exists):
        raise Failure(f"there is no store {path}", "name it with --store, or its --state-dir")
    async with _opened(url) as store:
        yield store


@asynccontextmanager
async def _copy_of(file: Path) -> AsyncIterator[Store]:
    """A backup is opened as a copy: it may be of an older format, and on a medium that cannot be written."""
    import shutil
    import tempfile

    from argosy.store.sqlite import SqliteStore

    with tempfile.TemporaryDirectory(prefix="argosy-restore-") as folder:
        copy = Path(folder) / file.name
        try:
            await asyncio.to_thread(shutil.copyfile, file, copy)
        except OSError as error:
            raise Failure(
                f"cannot read {file}: {error.strerror}", "name a file of argosy store backup"
            ) from error
        store = await SqliteStore.open(copy)
        try:
            yield store
        finally:
            await store.close()
