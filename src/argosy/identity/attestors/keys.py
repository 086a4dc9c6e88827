"""The keys of an issuer: given, or fetched and kept fresh.

Fetched over TLS alone, within `LONGEST_ANSWER` and `ANSWER_WITHIN`, and never along a redirect. What was fetched well
is kept for `KEPT` when the issuer does not answer, or answers with something else; a key that is not known is looked
for at once, but not more often than every `AT_MOST_EVERY`, whoever brings tokens with keys of their invention.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from argosy.identity.attestors import tokens
from argosy.identity.attestors.base import Unproven
from argosy.identity.attestors.tokens import Jwk
from argosy.runtime.log import logger

FRESH = 300.0
KEPT = 24 * 3600.0
AT_MOST_EVERY = 10.0
ANSWER_WITHIN = 5.0
LONGEST_ANSWER = 256 << 10
MOST_KEYS = 64
DISCOVERY = "/.well-known/openid-configuration"

log = logger("identity")


class Keys(Protocol):
    async def for_token(self, token: str) -> Sequence[Jwk]:
        """The keys of now; looked for anew where none of them is that of the token. Raises Unproven."""
        ...


class Given:
    """Keys that an object holds. Raises ValueError where they are none."""

    def __init__(self, jwks: str) -> None:
        self._keys = parsed(jwks.encode())

    async def for_token(self, token: str) -> Sequence[Jwk]:
        return self._keys


class Fetched:
    """Keys from `uri`, or from where the OpenID discovery of `issuer` says. `ca`: PEM, or "" for the system's."""

    def __init__(self, issuer: str, uri: str, ca: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._uri = issuer, uri
        self._context = tls(ca)
        self._clock = clock
        self._keys: Sequence[Jwk] = ()
        self._fetched_at = self._tried_at = -float("inf")
        self._lock = asyncio.Lock()

    async def for_token(self, token: str) -> Sequence[Jwk]:
        head = tokens.header(token)
        if self._outdated(head):
            async with self._lock:
                if self._outdated(head):
                    await self._refresh()
        if not self._keys or self._clock() - self._fetched_at > KEPT:
            raise Unproven(f"the keys of {self._issuer} are not known: they cannot be fetched")
        return self._keys

    def _outdated(self, head: Any) -> bool:
        now = self._clock()
        if now - self._tried_at < AT_MOST_EVERY:
            return False
        return now - self._fetched_at > FRESH or not tokens.candidates(self._keys, head)

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(ANSWER_WITHIN), client(self._context) as connection:
                uri = self._uri or await self._discovered(connection)
                self._keys = parsed(await body(connection, "GET", uri))
        except (httpx.HTTPError, TimeoutError, OSError, ValueError, RecursionError) as error:
            reason = str(error)[:200] or type(error).__name__
            log.warning("keys not fetched: those of before hold", issuer=self._issuer, reason=reason)
            return
        self._fetched_at = self._clock()

    async def _discovered(self, connection: httpx.AsyncClient) -> str:
        found = json.loads(await body(connection, "GET", self._issuer.rstrip("/") + DISCOVERY))
        if not isinstance(found, dict) or found.get("issuer") != self._issuer:
            raise ValueError("the discovery document is another issuer's")
        uri = str(found.get("jwks_uri", ""))
        url = urlsplit(uri)
        if url.scheme != "https" and url.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError("jwks_uri of the discovery document is no https:// URL")
        return uri


def parsed(data: bytes) -> Sequence[Jwk]:
    """The keys of a JSON Web Key Set (RFC 7517). Raises ValueError."""
    try:
        found = json.loads(data)["keys"]
    except (KeyError, TypeError, RecursionError):
        raise ValueError("it is no JSON Web Key Set") from None
    keys = [key for key in found if isinstance(key, dict)] if isinstance(found, list) else []
    if not keys or len(keys) > MOST_KEYS:
        raise ValueError(f"it has {len(keys)} keys, not 1 to {MOST_KEYS}")
    return keys


def tls(ca: str) -> ssl.SSLContext:
    """Raises ValueError where `ca` holds no certificates."""
    try:
        return ssl.create_default_context(cadata=ca or None)
    except ssl.SSLError as error:
        raise ValueError(f"the authorities cannot be read: {error}") from error


def client(context: ssl.SSLContext) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=context, timeout=ANSWER_WITHIN, follow_redirects=False)


async def body(connection: httpx.AsyncClient, method: str, url: str, **more: Any) -> bytes:
    """The body of a good answer, bounded. Raises httpx.HTTPError, ValueError."""
    async with connection.stream(method, url, **more) as answer:
        if answer.status_code // 100 != 2:
            raise ValueError(f"{url} answers {answer.status_code}")
        data = bytearray()
        async for chunk in answer.aiter_bytes():
            data += chunk
            if len(data) > LONGEST_ANSWER:
                raise ValueError(f"{url} answers more than {LONGEST_ANSWER} bytes")
        return bytes(data)
