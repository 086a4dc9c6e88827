"""Bodies of requests: bytes within bounds -> a JSON object that can be stored as it was meant.

Rule: what would be lost or changed on the way to the store is refused here: duplicate fields, numbers that JSON readers
round or cannot hold, broken Unicode, NaN; and what is made to exhaust us: size, depth, expansion.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from starlette.requests import Request

from argosy.apiserver import protobuf
from argosy.apiserver.status import Refusal, bad_request
from argosy.resources.kinds import Kind
from argosy.resources.loading import MAX_DEPTH, LoadError, load_documents
from argosy.resources.problem import Problem

MAX_BYTES = 3 << 20  # as Kubernetes: the limit of a request
LARGE_BYTES = 64 << 10
"""Bodies above this are parsed and checked in a thread, so that the loop goes on meanwhile."""
MOST_DUPLICATES = 100
"""Of fields that are there twice, so many are told."""

JSON_TYPES = ("application/json",)
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
PROTOBUF = protobuf.MEDIA_TYPE

Json = dict[str, Any]
T = TypeVar("T")


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read(request: Request) -> bytes:
    """Raises Refusal (413, 415)."""
    packed = request.headers.get("content-encoding", "").strip().lower()
    if packed not in ("", "identity"):
        raise Refusal(415, f"Content-Encoding: {packed[:40]!r} is not unpacked: send the body as it is")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > MAX_BYTES:
        raise _too_large()
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large() -> Refusal:
    return Refusal(413, f"the body is larger than {MAX_BYTES} bytes", headers=(("Connection", "close"),))


async def read_object(
    request: Request, kind: Kind, duplicates: list[Problem] | None = None
) -> tuple[Json, int]:
    """(the object of the body, its size). `kind`: what the path says it is. Raises Refusal (400, 413, 415)."""
    data = await read(request)
    return await decode(request, data, protobuf.message_of(kind), duplicates), len(data)


async def decode(
    request: Request,
    data: bytes,
    message: protobuf.Message | None,
    duplicates: list[Problem] | None = None,
) -> Json:
    """The object of a body in the format that the request says it has. Raises Refusal (400, 415).

    `message`: its form in protobuf; None: it has none. `duplicates`: where fields that are there twice are noted, of
    which the last counts; None: they are refused.
    """
    kind = media_type(request)
    accepted = (*JSON_TYPES, YAML_TYPES[0], *((PROTOBUF,) if message else ()))
    if kind == PROTOBUF and message is not None:
        return _object(checked(await aside(len(data), protobuf.decode, data, message)))
    if kind and kind not in JSON_TYPES + YAML_TYPES:
        raise unsupported(kind, accepted)
    return _object(await aside(len(data), parse_yaml if kind in YAML_TYPES else parse_json, data, duplicates))


async def aside(size: int, work: Callable[..., T], *arguments: Any) -> T:
    """Runs `work` here, or in a thread where the body is large."""
    if size <= LARGE_BYTES:
        return work(*arguments)
    return await asyncio.to_thread(work, *arguments)


def unsupported(kind: str, supported: tuple[str, ...]) -> Refusal:
    return Refusal(
        415, f"the body of the request was in an unknown format ({kind}); accepted: {', '.join(supported)}"
    )


def parse_json(data: bytes, duplicates: list[Problem] | None = None) -> Any:
    """Raises Refusal (400)."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = _first_twice(key for key, _ in pairs)
            if duplicates is None:
                raise ValueError(f'duplicate field "{_cut(twice)}"')
            if len(duplicates) < MOST_DUPLICATES:
                duplicates.append(Problem("", f'duplicate field "{_cut(twice)}"'))
        return found

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=_no_constant)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise bad_request(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from None
    return checked(value)


def parse_yaml(data: bytes, duplicates: list[Problem] | None = None) -> Any:
    """One YAML document. Raises Refusal (400)."""
    if data[:1] == b"{":  # most clients send JSON for YAML, which it is
        try:
            return parse_json(data, duplicates)
        except Refusal as refusal:
            if "not JSON: duplicate" in refusal.status["message"]:
                raise
    twice: list[str] | None = None if duplicates is None else []
    try:
        found = load_documents(data.decode("utf-8"), "body", twice)
    except UnicodeDecodeError as error:
        raise bad_request(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    except LoadError as error:
        raise bad_request(f"the body is not YAML: line {error.line}: {error.message}") from None
    if len(found) != 1:
        raise bad_request(f"the body holds {len(found)} objects: send one in each request")
    if duplicates is not None:
        told = (twice or ())[:MOST_DUPLICATES]
        duplicates += [Problem("", f'duplicate field "{_cut(key)}"') for key in told]
    return checked(found[0].object)


def _first_twice(keys: Iterable[str]) -> str:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("unreachable: there are fewer keys than pairs")


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"


def _object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise bad_request(f"the body is {_word(value)}, not an object")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def checked(value: Any) -> Any:
    """The value, where it comes back from the store as it went in."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            if type(each) is str and each.isascii():
                continue  # the most of them by far
            if isinstance(each, dict):
                below += each.keys()
                below += each.values()
            elif isinstance(each, list):
                below += each
            else:
                _check_scalar(each)
        if not below:
            return value
        level = below
    raise _too_deep()


def _check_scalar(value: Any) -> None:
    match value:
        case None | bool():
            return
        case str():
            if not value.isascii():
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise bad_request(
                        f"the text {value[:80]!r} is not valid Unicode (a lone surrogate)"
                    ) from None
        case int():
            if not -(1 << 63) <= value < 1 << 64:
                raise bad_request("a number in the body does not fit in 64 bits: write it as text")
        case float():
            if not math.isfinite(value):
                raise bad_request("a number in the body is too large: write it as text")
        case _:
            raise bad_request(f"a value in the body is {_word(value)}: JSON has no such thing")


def _word(value: Any) -> str:
    words = {list: "a list", str: "text", int: "a number", float: "a number", bool: "a boolean"}
    return "empty" if value is None else words.get(type(value), f"a {type(value).__name__}")


def _too_deep() -> Refusal:
    return bad_request(f"the body is nested more than {MAX_DEPTH} levels deep")
