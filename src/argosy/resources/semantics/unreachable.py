"""Routes and matches that can never be used, because one before takes all their requests. Warnings only.

# Istio: IST0130 VirtualServiceUnreachableRule, IST0131 VirtualServiceIneffectiveMatch
"""

from __future__ import annotations

from msgspec import json
from msgspec.structs import fields, replace

from argosy.resources.networking.virtual_service import (
    HTTPMatchRequest,
    L4MatchAttributes,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualServiceSpec,
)
from argosy.resources.problem import Code
from argosy.resources.semantics.findings import Findings

_encode = json.Encoder(order="deterministic").encode
_NOT_MATCHED = ("name", "stat_prefix")
_CONDITIONS = tuple(
    field.name
    for field in fields(HTTPMatchRequest)
    if field.name not in (*_NOT_MATCHED, "uri", "ignore_uri_case")
)
_EMPTY = HTTPMatchRequest()
_COMPARED = 20
"""Of matches with one prefix those that later ones are compared with."""
_Prefixes = dict[int, dict[str, list[tuple[HTTPMatchRequest, str]]]]
"""By length, so that a path is looked up once for each length that there is."""


def check(spec: VirtualServiceSpec, findings: Findings) -> None:
    _http(spec, findings)
    _layer4("spec.tls", spec.tls, findings)
    _layer4("spec.tcp", spec.tcp, findings)


def _http(spec: VirtualServiceSpec, findings: Findings) -> None:
    takes_all: int | None = None
    seen: dict[bytes, str] = {}
    prefixes: _Prefixes = {}
    for i, route in enumerate(spec.http):
        path = f"spec.http[{i}]"
        if takes_all is not None:
            _after(path, f"spec.http[{takes_all}]", findings)
            continue
        if not route.match:
            takes_all = i
        repeated = 0
        for m, match in enumerate(route.match):
            at = f"{path}.match[{m}]"
            key = _encode(replace(match, name="", stat_prefix=""))
            earlier = seen.get(key)
            repeated += earlier is not None
            earlier = earlier or _covering(match, prefixes)
            if earlier is not None:
                findings.warn(
                    at,
                    f"is never used: {earlier} before it takes the same requests; remove it or move it up",
                    Code.INEFFECTIVE_MATCH,
                )
            seen.setdefault(key, at)
            if prefix := _prefix(match):
                prefixes.setdefault(len(prefix), {}).setdefault(prefix, []).append((match, at))
        _whole(path, repeated, len(route.match), findings)


def _prefix(match: HTTPMatchRequest) -> str | None:
    return match.uri.prefix if match.uri is not None else None


def _covering(match: HTTPMatchRequest, prefixes: _Prefixes) -> str | None:
    """A match before with a prefix of this one's path that asks for nothing that this one does not ask for, too.

    Facts (Istio): an exact path under a prefix is often meant to be told apart; so only where all else is the same.
    """
    path = match.uri and (match.uri.exact or match.uri.prefix)
    if not path:
        return None
    for length, of_length in prefixes.items():
        for other, at in of_length.get(path[:length], ())[:_COMPARED]:
            if _asks_no_more(other, match):
                return at
    return None


def _asks_no_more(other: HTTPMatchRequest, match: HTTPMatchRequest) -> bool:
    if other.ignore_uri_case < match.ignore_uri_case:
        return False
    exact = bool(match.uri and match.uri.exact)
    return all(
        getattr(other, name) == getattr(match, name)
        or (not exact and getattr(other, name) == getattr(_EMPTY, name))
        for name in _CONDITIONS
    )


def _after(path: str, takes_all: str, findings: Findings) -> None:
    findings.warn(
        path,
        f"is never used: {takes_all} before it has no match; move that to the end",
        Code.UNREACHABLE_RULE,
    )


def _whole(path: str, repeated: int, matches: int, findings: Findings) -> None:
    if matches and repeated == matches:
        findings.warn(
            path, "is never used: routes before it have all its matches; remove it", Code.UNREACHABLE_RULE
        )


def _layer4(path: str, routes: tuple[TLSRoute | TCPRoute, ...], findings: Findings) -> None:
    takes_all: int | None = None
    seen: dict[bytes, str] = {}
    for i, route in enumerate(routes):
        if takes_all is not None:
            _after(f"{path}[{i}]", f"{path}[{takes_all}]", findings)
            continue
        matches: tuple[TLSMatchAttributes | L4MatchAttributes, ...] = route.match
        if not matches:
            takes_all = i
        repeated = 0
        for m, match in enumerate(matches):
            at = f"{path}[{i}].match[{m}]"
            earlier = seen.setdefault(_encode(match), at)
            if earlier != at:
                repeated += 1
                findings.warn(
                    at,
                    f"is never used: {earlier} before it takes the same connections; remove one of them",
                    Code.INEFFECTIVE_MATCH,
                )
        _whole(f"{path}[{i}]", repeated, len(matches), findings)
