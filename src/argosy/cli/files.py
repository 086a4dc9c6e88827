"""What `-f` means: files, folders (their .yaml, .yml and .json files, recursively) and `-` for standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.resources.loading import Document, LoadError

SUFFIXES = (".yaml", ".yml", ".json")


def texts(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(source, text) of each file, folders in the order of their paths. Raises Failure where one cannot be read."""
    if not names:
        raise Failure("which files?", "name a file, a folder or - with -f", code=2)
    for name in names:
        if name == "-":
            yield name, standard_input()
            continue
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
            if not inside:
                raise Failure(f"{name} has no .yaml, .yml or .json file", "name the files themselves", code=2)
            for one in inside:
                yield str(one), read(one)
        else:
            yield name, read(path)


def read(path: Path, errors: str = "strict") -> str:
    """`errors`: what becomes of bytes that are not UTF-8, as of `bytes.decode`."""
    try:
        return text(path.read_bytes(), str(path), errors)
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", "check the path") from error


def standard_input(errors: str = "strict") -> str:
    if sys.stdin is None:
        raise Failure("-f -: standard input is closed", "pipe the objects in, or name a file", code=2)
    return text(sys.stdin.buffer.read(), "standard input", errors)


def text(data: bytes, source: str, errors: str = "strict") -> str:
    """YAML and JSON are UTF-8 here, whatever the locale says."""
    try:
        return data.decode(errors=errors)
    except UnicodeDecodeError as error:
        raise Failure(f"{source} is not UTF-8 text: byte {error.start}", "save it as UTF-8") from error


def documents(names: Sequence[str]) -> tuple[list[Document], list[LoadError]]:
    """The objects of all files, and the files that cannot be read as YAML or JSON."""
    from argosy.resources.loading import LoadError, load_documents

    found: list[Document] = []
    unreadable: list[LoadError] = []
    for source, text in texts(names):
        try:
            found += load_documents(text, source)
        except LoadError as error:
            unreadable.append(error)
    return found, unreadable
