"""Generators: functions from one frozen key to one Envoy resource, memoised on the key.

Rules:

* A generator reads its key and nothing else, so a cache key that forgets an input is impossible.
* The memo is weak: a resource that no view holds is dropped, and so is its entry.
* The version is the hash of the bytes, and the bytes are serialised deterministically: a restarted server makes the
  same versions and resends nothing.

A `fragment` is the same for a part of a resource: bytes that a resource joins instead of building them again (a
virtual host of 10,000 in a RouteConfiguration).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from google.protobuf.message import Message
from msgspec import Struct

from argosy.translate.resource import TYPE, Resource

_calls: Counter[str] = Counter()


class Key(Protocol):
    """A frozen struct; hashable. `name` is the resource's name."""

    @property
    def name(self) -> str: ...


class Encoded(Struct, frozen=True, gc=False):
    """A message already in its wire form: what a generator that joins fragments returns."""

    type_name: str  # full name of the message, without the prefix of type URLs
    data: bytes
    parts: tuple[Fragment, ...] = ()  # further fields, which follow `data`


class Fragment:
    """`data` is one serialised field of the message it goes into: tag, length and content. Never changed; compared by
    identity, as the memo gives one object for one key (10,000 of them are part of a key). Its hash stands for its bytes
    in that of what it goes into: 10,000 of them are megabytes that need not be hashed again for one that changed."""

    __slots__ = ("__weakref__", "data", "digest")

    def __init__(self, data: bytes, digest: bytes = b"") -> None:
        """`digest`: what stands for `data`, where it is joined of several."""
        self.data = data
        self.digest = digest or hashlib.blake2b(data, digest_size=16).digest()


K = TypeVar("K", bound=Key)


class Generator(Generic[K]):
    """A memoised `build`; see the module."""

    def __init__(self, build: Callable[[K], Message | Encoded]) -> None:
        self.build = build
        self.__name__ = build.__name__
        self.__doc__ = build.__doc__
        self.memo: WeakValueDictionary[K, Resource] = WeakValueDictionary()

    def __call__(self, key: K) -> Resource:
        found = self.memo.get(key)
        if found is None:
            _calls[self.__name__] += 1
            found = self.memo[key] = resource(
                key.name, self.build(key), getattr(key, "follow", None), getattr(key, "secrets", ())
            )
        return found


class FragmentGenerator(Generic[K]):
    """A memoised `build` of one field `number` of a larger message."""

    def __init__(self, number: int, build: Callable[[K], Message]) -> None:
        self.number = number
        self.build = build
        self.__name__ = build.__name__
        self.__doc__ = build.__doc__
        self.memo: WeakValueDictionary[K, Fragment] = WeakValueDictionary()

    def __call__(self, key: K) -> Fragment:
        found = self.memo.get(key)
        if found is None:
            _calls[self.__name__] += 1
            data = self.build(key).SerializeToString(deterministic=True)
            found = self.memo[key] = Fragment(field(self.number, data))
        return found


D = TypeVar("D", bound=Hashable)
V = TypeVar("V")


class Derivation(Generic[D, V]):
    """A memoised `make` of what is no resource or fragment itself; `V` takes weak references."""

    def __init__(self, make: Callable[[D], V]) -> None:
        self.make = make
        self.__name__ = make.__name__
        self.__doc__ = make.__doc__
        self.memo: WeakValueDictionary[D, V] = WeakValueDictionary()

    def __call__(self, key: D) -> V:
        found = self.memo.get(key)
        if found is None:
            _calls[self.__name__] += 1
            found = self.memo[key] = self.make(key)
        return found


def generator(build: Callable[[K], Message | Encoded]) -> Generator[K]:
    """Makes `build(key) -> Message` a generator of resources named `key.name`, followed by `key.follow`, with the
    secrets of `key.secrets` in it."""
    return Generator(build)


def fragment(number: int) -> Callable[[Callable[[K], Message]], FragmentGenerator[K]]:
    """Makes `build(key) -> Message` a generator of field `number` of the message that joins it."""

    def decorate(build: Callable[[K], Message]) -> FragmentGenerator[K]:
        return FragmentGenerator(number, build)

    return decorate


def calls() -> Counter[str]:
    """How often each generator really built something in this process (a copy)."""
    return Counter(_calls)


def resource(
    name: str, message: Message | Encoded, follow: str | None = None, secrets: tuple[str, ...] = ()
) -> Resource:
    """A named, versioned resource from a message."""
    parts: tuple[Fragment, ...] = ()
    if isinstance(message, Encoded):
        type_url, data, parts = TYPE + message.type_name, message.data, message.parts
    else:
        type_url, data = TYPE + message.DESCRIPTOR.full_name, message.SerializeToString(deterministic=True)
    hashed = hashlib.blake2b(data, digest_size=8)
    for part in parts:
        hashed.update(part.digest)
    version = hashed.hexdigest()
    size = len(data) + sum(len(part.data) for part in parts)
    # google.protobuf.Any: type_url = 1, value = 2.  service.discovery.v3.Resource: version = 1, resource = 2, name = 3
    # Joined in one go: a RouteConfiguration of 10,000 hosts is megabytes.
    head = field(1, type_url.encode()) + varint(2 << 3 | 2) + varint(size)
    frame = b"".join(
        (
            field(1, version.encode()),
            varint(2 << 3 | 2),
            varint(len(head) + size),
            head,
            data,
            *(part.data for part in parts),
            field(3, name.encode()),
        )
    )
    return Resource(name=name, version=version, frame=frame, follow=follow, secrets=secrets)


def field(number: int, data: bytes) -> bytes:
    """One length-delimited field in protobuf's wire format."""
    return varint(number << 3 | 2) + varint(len(data)) + data


_SHORT = tuple(bytes((value,)) for value in range(128))


def varint(value: int) -> bytes:
    if value < 128:
        return _SHORT[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
