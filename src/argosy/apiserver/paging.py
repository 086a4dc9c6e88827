"""Lists, page by page: what is on a page, and the token for the next one.

Rule: the pages of one list are of one revision. Where the store does not know that any more, the client gets a 410,
with a token for the rest as it is now, for those whom that serves.
# Kubernetes: "Retrieving large results sets in chunks", "410 Gone responses"
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from argosy.apiserver import status
from argosy.apiserver.definitions import Readable
from argosy.apiserver.paths import Target
from argosy.apiserver.queries import LARGEST_REVISION, ReadOptions
from argosy.apiserver.status import bad_request
from argosy.store.base import Compacted, Key, Stored

CHUNK = 500
LONGEST_TOKEN = 4096


class Token(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a list goes on: opaque to clients."""

    revision: int  # 0: now
    namespace: str
    name: str
    format: int = 1


class Page(Struct, frozen=True):
    items: Sequence[Stored]
    revision: int
    continues: str = ""
    remaining: int | None = None  # None where it is not known: what follows is not looked at


async def page(source: Readable, target: Target, options: ReadOptions) -> Page:
    """Raises Refusal (400, 410), StoreError."""
    token = _read(options.continues) if options.continues else None
    after = Key(target.kind.resource, token.namespace, token.name) if token else None
    revision = (token.revision or None) if token else options.revision if options.exact else None
    try:
        found = await _collect(source, target, options, after, revision)
    except Compacted as error:
        if token is None:
            raise
        raise _too_old(token, error) from None
    if token is None and not options.exact and (options.revision or 0) > found.revision:
        raise status.expired(
            f"resourceVersion: {options.revision} is newer than the store ({found.revision})"
        )
    return found


async def _collect(
    source: Readable, target: Target, options: ReadOptions, after: Key | None, revision: int | None
) -> Page:
    """Reads until the page is full or nothing is left."""
    resource, namespace, limit = target.kind.resource, target.namespace or None, options.limit
    if not options.selector.narrows or not limit:
        listing = await source.list(resource, namespace, limit=limit, after=after, revision=revision)
        items = [stored for stored in listing.items if options.selector.selects(stored)]
        continues = _write(listing.revision, items[-1].key) if listing.remaining and items else ""
        return Page(items, listing.revision, continues, listing.remaining if continues else None)
    items = []
    while True:
        listing = await source.list(
            resource, namespace, limit=max(limit, CHUNK), after=after, revision=revision
        )
        revision = listing.revision
        for place, stored in enumerate(listing.items, 1):
            if options.selector.selects(stored):
                items.append(stored)
            if len(items) == limit:
                more = listing.remaining or place < len(listing.items)
                return Page(items, revision, _write(revision, stored.key) if more else "")
        if not listing.remaining:
            return Page(items, revision)
        after = listing.items[-1].key


def _write(revision: int, after: Key) -> str:
    data = msgspec.json.encode(Token(revision, after.namespace, after.name))
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(text: str) -> Token:
    """Raises Refusal (400)."""
    try:
        if len(text) > LONGEST_TOKEN or not text.isascii():
            raise ValueError
        token = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Token)
        if not 0 <= token.revision <= LARGEST_REVISION or token.format != 1:
            raise ValueError
    except (ValueError, binascii.Error):
        raise bad_request("continue: the token is not one of this server: list again without it") from None
    return token


def _too_old(token: Token, error: Compacted) -> status.Refusal:
    refusal = status.expired(
        f"continue: the list that the token belongs to is too old ({error}); list again from the beginning, or go on"
        " with the token in this answer: the rest then is as it is now, and what changed in between may be missing or"
        " come twice"
    )
    refusal.status["metadata"] = {"continue": _write(0, Key("", token.namespace, token.name))}
    return refusal
