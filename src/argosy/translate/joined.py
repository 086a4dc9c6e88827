"""The virtual hosts of a RouteConfiguration in their order, joined in chunks: one that changes costs its chunk.

A chunk is a fragment itself, with the hashes of its fragments in a row; so the version of what is joined of chunks does
not depend on where they begin, and a server that was started anew makes the same one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from msgspec import Struct

from argosy.translate.generator import Derivation, Fragment

CHUNK = 128

Owner = tuple[str, int]
"""(host, service port)."""


def virtual_hosts(fragments: tuple[Fragment, ...]) -> Fragment:
    return Fragment(b"".join(one.data for one in fragments), b"".join(one.digest for one in fragments))


join: Derivation[tuple[Fragment, ...], Fragment] = Derivation(virtual_hosts)
"""Views with the same virtual hosts share chunks, and so what is joined of them."""


class _Chunk(Struct, eq=False):
    owners: list[Owner]  # sorted
    fragments: list[Fragment]
    joined: Fragment | None = None

    def fragment(self) -> Fragment:
        if self.joined is None:
            self.joined = join(tuple(self.fragments))
        return self.joined


class VirtualHosts:
    """Ordered by owner. The first who asks for the order pays for sorting; from then on it is kept."""

    __slots__ = ("_chunks", "_first", "_held")

    def __init__(self) -> None:
        self._held: dict[Owner, Fragment] = {}
        self._chunks: list[_Chunk] | None = None  # None: nobody has asked yet
        self._first: list[Owner] = []  # of each chunk

    def put(self, owner: Owner, fragment: Fragment | None) -> None:
        """None: the owner has none any more."""
        before = self._held.get(owner)
        if fragment is not None:
            self._held[owner] = fragment
        elif before is not None:
            del self._held[owner]
        if self._chunks is None or fragment is before:
            return
        if not self._chunks:
            self._chunks = None
            return
        number = max(bisect_right(self._first, owner) - 1, 0)
        chunk = self._chunks[number]
        at = bisect_left(chunk.owners, owner)
        chunk.joined = None
        if fragment is None:
            del chunk.owners[at], chunk.fragments[at]
        elif before is not None:
            chunk.fragments[at] = fragment
        else:
            chunk.owners.insert(at, owner)
            chunk.fragments.insert(at, fragment)
        self._balance(number)

    def _balance(self, number: int) -> None:
        assert self._chunks is not None  # noqa: S101  the caller has looked
        chunk = self._chunks[number]
        if not chunk.owners:
            del self._chunks[number], self._first[number]
            return
        self._first[number] = chunk.owners[0]
        if len(chunk.owners) > 2 * CHUNK:
            rest = _Chunk(chunk.owners[CHUNK:], chunk.fragments[CHUNK:])
            del chunk.owners[CHUNK:], chunk.fragments[CHUNK:]
            self._chunks.insert(number + 1, rest)
            self._first.insert(number + 1, rest.owners[0])

    def ordered(self) -> tuple[Fragment, ...]:
        """All of them, in chunks."""
        if self._chunks is None:
            owners = sorted(self._held)
            parts = [owners[at : at + CHUNK] for at in range(0, len(owners), CHUNK)]
            self._chunks = [_Chunk(part, [self._held[owner] for owner in part]) for part in parts]
            self._first = [part[0] for part in parts]
        return tuple(chunk.fragment() for chunk in self._chunks)
