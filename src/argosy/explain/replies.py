"""What the proxy itself answers, as its client gets it.

Facts (Envoy 1.40, tried): to who speaks gRPC it is always 200, with a grpc-status that follows from the status, and
what would be the body is the grpc-message; the Location of a redirect stays. Neither a browser's question whether it
may ask (a preflight) is answered so, nor what the codec refuses. Each has the headers of the route that is taken, but
for a preflight's answer, and the abort of a request that would not have been sent on. Headers for browsers are set
after these, on routes that send on alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from argosy.explain import matching
from argosy.explain.outcome import Answered, HeaderChanges, Replied, Unrouted
from argosy.explain.request import Seen
from argosy.model import ir

_GRPC = "application/grpc"
_UNKNOWN = 2
_GRPC_STATUS = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


def speaks_grpc(headers: dict[str, tuple[str, ...]]) -> bool:
    """By names in lower case. Facts (Envoy): neither another case nor parameters are gRPC."""
    said = ",".join(headers.get("content-type", ()))
    return said == _GRPC or said.startswith(f"{_GRPC}+")


def replied(status: int, grpc: bool, grpc_status: int | None = None) -> Replied:
    """`grpc_status`: where one is written."""
    if not grpc:
        return Replied(status)
    return Replied(200, _GRPC_STATUS.get(status, _UNKNOWN) if grpc_status is None else grpc_status)


def unrouted(status: int, because: str, headers: dict[str, tuple[str, ...]]) -> Unrouted:
    said = replied(status, speaks_grpc(headers)) if status else Replied(0)
    return Unrouted(said.status, because, said.grpc_status)


def led(location: str, changes: Iterable[HeaderChanges]) -> str:
    """Where an answer leads after what is done to its headers, the Location among them."""
    headers: ir.Pairs = (("location", location),) if location else ()
    for one in changes:
        headers = one.of(headers)
    return next((value for name, value in headers if name == "location"), "")


# --- browsers -------------------------------------------------------------------------------------------------------


def preflight(cors: ir.Cors | None, seen: Seen) -> Answered | None:
    """The proxy answers a browser's question whether it may ask. Facts (Envoy): only where it would be forwarded;
    one whose origin is not allowed is passed on, unless that is to be ignored: then it is told all but the origin and
    what it may see."""
    if cors is None or seen.method != "OPTIONS" or not _origin(seen):
        return None
    if not seen.headers.get("access-control-request-method"):
        return None
    allowed = _allows(cors, seen)
    if not allowed and cors.unmatched_preflights != "IGNORE":
        return None
    told = (
        *(_of_browser(cors, _origin(seen)) if allowed else _credentials(cors)),
        ("access-control-allow-methods", ",".join(cors.allow_methods)),
        ("access-control-allow-headers", ",".join(cors.allow_headers)),
        ("access-control-max-age", "" if cors.max_age is None else str(cors.max_age // 1000)),
    )
    return Answered(200, response=tuple(_set(told)))


def for_browsers(cors: ir.Cors | None, seen: Seen) -> tuple[HeaderChanges, ...]:
    """What is done at last to an answer, whoever answers."""
    return tuple(_set(_of_browser(cors, _origin(seen)))) if cors is not None and _allows(cors, seen) else ()


def _of_browser(cors: ir.Cors, origin: str) -> ir.Pairs:
    return (
        ("access-control-allow-origin", origin),
        *_credentials(cors),
        ("access-control-expose-headers", ",".join(cors.expose_headers)),
    )


def _credentials(cors: ir.Cors) -> ir.Pairs:
    return (("access-control-allow-credentials", "true" if cors.allow_credentials else ""),)


def _set(pairs: ir.Pairs) -> Iterable[HeaderChanges]:
    yield HeaderChanges(set=tuple(pair for pair in pairs if pair[1]))


def _origin(seen: Seen) -> str:
    return ",".join(seen.headers.get("origin", ()))


def _allows(cors: ir.Cors, seen: Seen) -> bool:
    origin = _origin(seen)
    return bool(origin) and any(matching.string_matches(one, origin) for one in cors.allow_origins)  # ANY
