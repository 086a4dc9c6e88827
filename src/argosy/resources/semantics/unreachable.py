"""Routes and matches that can never be used, because one before takes all their requests. Warnings only.

# Istio: IST0130 VirtualServiceUnreachableRule, IST0131 VirtualServiceIneffectiveMatch
"""

from __future__ import annotations

import msgspec

from argosy.resources.networking.virtual_service import (
    HTTPMatchRequest,
    L4MatchAttributes,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualServiceSpec,
)
from argosy.resources.semantics.findings import Findings

_encode = msgspec.json.Encoder(order="deterministic").encode


def check(spec: VirtualServiceSpec, findings: Findings) -> None:
    _http(spec, findings)
    _layer4("spec.tls", spec.tls, findings)
    _layer4("spec.tcp", spec.tcp, findings)


def _http(spec: VirtualServiceSpec, findings: Findings) -> None:
    takes_all: int | None = None
    seen: dict[bytes, str] = {}
    prefixes: dict[bytes, dict[str, str]] = {}  # all but the uri -> uri prefix -> where
    for i, route in enumerate(spec.http):
        path = f"spec.http[{i}]"
        if takes_all is not None:
            findings.warn(
                path, f"is never used: spec.http[{takes_all}] before it has no match; move that to the end"
            )
            continue
        if not route.match:
            takes_all = i
        for m, match in enumerate(route.match):
            at = f"{path}.match[{m}]"
            key = _encode(msgspec.structs.replace(match, name="", stat_prefix=""))
            rest = _encode(msgspec.structs.replace(match, name="", stat_prefix="", uri=None))
            earlier = seen.get(key) or _covering(match, prefixes.get(rest, {}))
            if earlier is not None:
                findings.warn(
                    at, f"is never used: {earlier} before it takes the same requests; remove it or move it up"
                )
            seen.setdefault(key, at)
            if match.uri is not None and match.uri.prefix:
                prefixes.setdefault(rest, {}).setdefault(match.uri.prefix, at)


def _covering(match: HTTPMatchRequest, prefixes: dict[str, str]) -> str | None:
    uri = match.uri
    text = (uri.exact or uri.prefix) if uri is not None else None
    if not text or not prefixes:
        return None
    return next((at for prefix, at in prefixes.items() if text.startswith(prefix)), None)


def _layer4(path: str, routes: tuple[TLSRoute | TCPRoute, ...], findings: Findings) -> None:
    takes_all: int | None = None
    seen: dict[bytes, str] = {}
    for i, route in enumerate(routes):
        if takes_all is not None:
            findings.warn(
                f"{path}[{i}]",
                f"is never used: {path}[{takes_all}] before it has no match; move that to the end",
            )
            continue
        matches: tuple[TLSMatchAttributes | L4MatchAttributes, ...] = route.match
        if not matches:
            takes_all = i
        for m, match in enumerate(matches):
            at = f"{path}[{i}].match[{m}]"
            earlier = seen.setdefault(_encode(match), at)
            if earlier != at:
                findings.warn(
                    at, f"is never used: {earlier} before it takes the same connections; remove one of them"
                )
