"""A VirtualService's route that delegates: the delegate's routes, narrowed by the matches of the root.

Facts (Istio): each delegate match is combined with each root match; a pair that cannot hold together is left out; what
the delegate's route does not set, the root's route gives; delegates do not delegate further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from argosy.model import ir
from argosy.model.rules import HttpMatch, HttpRule, Source

MatchesByName = dict[str, ir.StringMatch]


def merged(root: HttpRule, delegate: Sequence[HttpRule]) -> tuple[HttpRule, ...]:
    """The rules that stand in place of `root`, in order."""
    return tuple(rule for _, rule in numbered(root, delegate))


def numbered(root: HttpRule, delegate: Sequence[HttpRule]) -> Iterator[tuple[int, HttpRule]]:
    """`merged`, each with the position of the delegate's rule that it is made of."""
    for position, rule in enumerate(delegate):
        if rule.delegate is not None:
            continue
        matches = _matches(root.matches, rule.matches)
        if matches is None:
            continue
        yield (
            position,
            msgspec.structs.replace(
                rule,
                name=_joined(root.name, rule.name),
                matches=matches,
                rewrite=rule.rewrite or root.rewrite,
                timeout=root.timeout if rule.timeout is None else rule.timeout,
                retry=rule.retry or root.retry,
                fault=rule.fault or root.fault,
                mirrors=rule.mirrors or root.mirrors,
                cors=rule.cors or root.cors,
                headers=rule.headers or root.headers,
            ),
        )


def _joined(root: str, delegate: str) -> str:
    return f"{root}-{delegate}" if root and delegate else root or delegate


def _matches(root: Sequence[HttpMatch], delegate: Sequence[HttpMatch]) -> tuple[HttpMatch, ...] | None:
    """None: no request can satisfy both."""
    if not root or not delegate:
        return tuple(root or delegate)
    both = [_both(outer, inner) for outer in root for inner in delegate]
    found = tuple(match for match in both if match is not None)
    return found or None


def _both(root: HttpMatch, delegate: HttpMatch) -> HttpMatch | None:
    source = _source(root.source, delegate.source)
    match = _match(root.match, delegate.match)
    if source is None or match is None:
        return None
    return HttpMatch(
        name=_joined(root.name, delegate.name),
        match=match,
        source=source,
        stat_prefix=delegate.stat_prefix or root.stat_prefix,
    )


def _source(root: Source, delegate: Source) -> Source | None:
    if root.port and delegate.port and root.port != delegate.port:
        return None
    if root.namespace and delegate.namespace and root.namespace != delegate.namespace:
        return None
    if root.gateways and not set(delegate.gateways) <= set(root.gateways):
        return None
    labels = dict(root.labels)
    if any(labels.get(key, value) != value for key, value in delegate.labels):
        return None
    return Source(
        port=delegate.port or root.port,
        gateways=delegate.gateways or root.gateways,
        labels=tuple(sorted((labels | dict(delegate.labels)).items())),
        namespace=delegate.namespace or root.namespace,
    )


def _match(root: ir.RouteMatch, delegate: ir.RouteMatch) -> ir.RouteMatch | None:
    for outer, inner in (
        (root.uri, delegate.uri),
        (root.scheme, delegate.scheme),
        (root.method, delegate.method),
        (root.authority, delegate.authority),
    ):
        if _conflict(outer, inner):
            return None
    headers = _named(root.headers, delegate.headers)
    query = _named(root.query, delegate.query)
    claims = _named(root.claims, delegate.claims)
    if headers is None or query is None or claims is None:
        return None
    return ir.RouteMatch(
        uri=delegate.uri or root.uri,
        scheme=delegate.scheme or root.scheme,
        method=delegate.method or root.method,
        authority=delegate.authority or root.authority,
        headers=headers,
        query=query,
        claims=claims,
    )


M = TypeVar("M", ir.NamedMatch, ir.ClaimMatch)


def _named(root: tuple[M, ...], delegate: tuple[M, ...]) -> tuple[M, ...] | None:
    found = {(item.invert, item.name): item for item in root}
    for item in delegate:
        outer = found.get((item.invert, item.name))
        if outer is not None and _conflict(outer.match, item.match):
            return None
        found[item.invert, item.name] = item
    return tuple(item for _, item in sorted(found.items(), key=lambda pair: pair[0]))


_CAN_NARROW: dict[tuple[ir.MatchKind, ir.MatchKind], Callable[[str, str], bool]] = {
    (ir.MatchKind.EXACT, ir.MatchKind.EXACT): lambda root, delegate: root == delegate,
    (ir.MatchKind.PREFIX, ir.MatchKind.EXACT): lambda root, delegate: delegate.startswith(root),
    (ir.MatchKind.PREFIX, ir.MatchKind.PREFIX): lambda root, delegate: delegate.startswith(root),
}
"""(root, delegate) -> whether the delegate's value lies within the root's. Other pairs conflict."""


def _conflict(root: ir.StringMatch | None, delegate: ir.StringMatch | None) -> bool:
    if root is None or delegate is None or root.kind is ir.MatchKind.PRESENT:
        return False
    if root.ignore_case != delegate.ignore_case:
        return True
    narrows = _CAN_NARROW.get((root.kind, delegate.kind))
    return narrows is None or not narrows(root.value, delegate.value)
