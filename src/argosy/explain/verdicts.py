"""Whether a workload takes a call, as people read it: in `argosy authz check` and in `argosy explain`."""

from __future__ import annotations

from collections.abc import Iterator

from argosy.explain.access import Access
from argosy.explain.authorization import Verdict
from argosy.explain.render import origins, row

_WORDS = {Verdict.ALLOW: "ALLOWED", Verdict.DENY: "DENIED", Verdict.ASK: "ASKED"}


def lines(found: Access) -> Iterator[str]:
    answered = f" ({found.status})" if found.status else ""
    yield row(_WORDS[found.verdict], f"{found.because}{answered}")
    yield from origins(found.origins)
    if found.token:
        yield row("token", found.token)
    for miss in found.misses:
        yield row("nearest", miss.because)
        yield from origins(miss.origins)
    if found.decision is not None:
        for one in found.decision.audited:
            yield row("audit", one.says())
        for text in found.decision.dry_run:
            yield row("dry run", text)


def in_short(found: Access) -> str:
    """For an endpoint: "" where nothing has its say."""
    if found.verdict is Verdict.DENY:
        return f"DENIED: {found.because}"
    if found.verdict is Verdict.ASK:
        return f"a provider is asked: {found.because}"
    return f"allowed: {found.because}" if found.stage else ""
