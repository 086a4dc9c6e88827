"""JWT-SVIDs beside a workload: asked of the server for its own certificate, kept until half of their life, and
validated by the key sets of the mesh, which are kept fresh and outlive a server that is away.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import grpc
import msgspec

from argosy.agent.link import Link
from argosy.identity.attestors import Unproven, tokens
from argosy.identity.protocol import (
    JWT_BUNDLES,
    SIGN_JWT,
    JwtBundlesResponse,
    JwtRequest,
    JwtResponse,
)
from argosy.runtime.log import logger

ANSWER_WITHIN = 10.0
FRESH = 30.0
AT_MOST_EVERY = 2.0
MOST_KEPT = 64  # tokens of a workload

log = logger("agent")


class Unavailable(Exception):
    """Not now: no server answers, and nothing is kept. Says why."""


class Denied(Exception):
    """The server says no. Says why."""


class JwtTokens:
    """Of one workload."""

    def __init__(self) -> None:
        self._kept: dict[
            tuple[str, ...], tuple[JwtResponse, float]
        ] = {}  # with the Unix time when it was made

    async def token(self, link: Link, audience: Sequence[str]) -> str:
        """Raises Unavailable, Denied."""
        asked = tuple(sorted(set(audience)))
        now = time.time()
        kept = self._kept.get(asked)
        if kept is not None and now < (kept[1] + kept[0].expires_at) / 2:
            return kept[0].token
        try:
            answer = await _call(link, SIGN_JWT, msgspec.json.encode(JwtRequest(audience=tuple(audience))))
            response = msgspec.json.decode(answer, type=JwtResponse)
        except Unavailable:
            if kept is not None and now < kept[0].expires_at:
                return kept[0].token
            raise
        except msgspec.MsgspecError as error:
            raise Unavailable(f"the server answers with something else: {error}") from error
        except Denied:
            self._kept.clear()
            raise
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[asked] = (response, now)
        return response.token


class JwtBundles:
    """The key sets, one for each trust domain: the same for every workload, asked for over the link of any."""

    def __init__(self) -> None:
        self.current: dict[str, str] = {}
        self._asked_at = -float("inf")
        self._lock = asyncio.Lock()

    async def get(self, link: Link, within: float = FRESH) -> dict[str, str]:
        """Not older than `within` seconds where a server answers. Raises Unavailable, Denied where there are none at
        all."""
        if time.monotonic() - self._asked_at >= within:
            async with self._lock:
                if time.monotonic() - self._asked_at >= within:
                    await self._refresh(link)
        return self.current

    async def _refresh(self, link: Link) -> None:
        try:
            answer = await _call(link, JWT_BUNDLES, b"{}")
            self.current = msgspec.json.decode(answer, type=JwtBundlesResponse).bundles
        except (Unavailable, Denied, msgspec.MsgspecError) as error:
            if not self.current:
                raise error if isinstance(error, Unavailable | Denied) else Unavailable(str(error)) from error
            log.info("key sets not renewed", reason=str(error)[:200])
        self._asked_at = time.monotonic()

    async def validated(self, link: Link, svid: str, audience: str) -> dict[str, Any]:
        """The claims of a JWT-SVID of a trust domain that is known. Raises Unproven, Unavailable, Denied."""
        try:
            return validated(svid, audience, await self.get(link), time.time())
        except Unproven:  # a key that is new, perhaps
            return validated(svid, audience, await self.get(link, AT_MOST_EVERY), time.time())


def validated(svid: str, audience: str, bundles: dict[str, str], now: float) -> dict[str, Any]:
    """The claims. Facts: SPIFFE JWT-SVID, "Validation". Raises Unproven."""
    head = tokens.header(svid)
    if head.get("typ", "JWT") not in ("JWT", "JOSE"):
        raise Unproven("typ is neither JWT nor JOSE")
    keys = [key for bundle in bundles.values() for key in _keys(bundle)]
    claims = dict(tokens.verified(svid, keys))
    subject = claims.get("sub")
    domain = str(subject).removeprefix("spiffe://").partition("/")[0]
    if not isinstance(subject, str) or not subject.startswith("spiffe://") or domain not in bundles:
        raise Unproven("sub is no SPIFFE ID of a trust domain that is known")
    tokens.verified(svid, _keys(bundles[domain]))  # by that domain's own keys, not by any
    tokens.check_times(claims, now)
    if audience not in tokens.audiences_of(claims):
        raise Unproven(f"the token is not for {audience[:120]!r}")
    return claims


def _keys(bundle: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(bundle)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [{**key, "use": "sig"} for key in found if isinstance(key, dict) and key.get("use") == "jwt-svid"]


async def _call(link: Link, method: str, body: bytes) -> bytes:
    try:
        async with link.open() as channel:
            call = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
            answer: bytes = await call(body, timeout=ANSWER_WITHIN)
            return answer
    except grpc.aio.AioRpcError as error:
        details = error.details() or error.code().name
        if error.code() is grpc.StatusCode.PERMISSION_DENIED:
            raise Denied(details) from error
        raise Unavailable(details) from error
    except (OSError, ValueError) as error:
        raise Unavailable(str(error)) from error
