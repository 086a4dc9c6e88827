"""What structs and their fields are for, as their docstrings tell: read from the source when a document is asked for.

A field's docstring is a string literal on the line after it; a struct that inherits fields inherits their docstrings.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

import msgspec


@cache
def fields(struct: type[msgspec.Struct]) -> Mapping[str, str]:
    """Attribute name -> docstring, of the fields that have one."""
    found: dict[str, str] = {}
    for cls in reversed(struct.__mro__):
        if cls is not msgspec.Struct and issubclass(cls, msgspec.Struct):
            found |= _own(cls)
    return found


def struct(struct: type[msgspec.Struct]) -> str:
    """The docstring of the struct itself, in one line; empty where it has none."""
    return _flat(struct.__doc__ or "")


def _own(cls: type) -> Mapping[str, str]:
    return _module(cls.__module__).get(cls.__qualname__, {})


@cache
def _module(name: str) -> Mapping[str, Mapping[str, str]]:
    """Class -> attribute -> docstring, of a module; nothing where it has no source (as in a frozen program)."""
    try:
        source = inspect.getsource(sys.modules[name])
    except (OSError, TypeError, KeyError):
        return {}
    found: dict[str, Mapping[str, str]] = {}
    _read(ast.parse(source).body, "", found)
    return found


def _read(body: list[ast.stmt], prefix: str, found: dict[str, Mapping[str, str]]) -> None:
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            name = f"{prefix}{statement.name}"
            found[name] = _attributes(statement.body)
            _read(statement.body, f"{name}.", found)


def _attributes(body: list[ast.stmt]) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement, after in pairwise(body):
        match statement, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = _flat(text)
    return found


def _flat(text: str) -> str:
    """Paragraphs stay, lines within them are joined."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
