"""Recorded requests before a change and after it: which of them go elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from argosy.explain.access_log import Recorded
from argosy.explain.evaluate import Evaluator, described
from argosy.explain.outcome import ClusterState, Forwarded, Outcome, Redirected, Unrouted
from argosy.explain.render import fault, in_short


class Before(Struct, frozen=True):
    recorded: Recorded
    outcome: Outcome


class Moved(Struct, frozen=True):
    """Requests that a change sends elsewhere, or with which it does something else."""

    request: str  # the first of them
    before: str
    after: str
    count: int
    lost: bool  # they arrived before, and no more
    because: str = ""  # the route that takes them then


class Comparison(Struct, frozen=True):
    moved: tuple[Moved, ...]  # the most frequent first
    replayed: int  # requests
    otherwise: int  # of these, that were recorded at another cluster than they go to before the change


def before(evaluator: Evaluator, recorded: Iterable[Recorded]) -> tuple[Before, ...]:
    return tuple(Before(one, evaluator.outcome(one.request)) for one in recorded)


def compare(earlier: Iterable[Before], after: Callable[[Before], Outcome]) -> Comparison:
    moved: dict[tuple[str, str], Moved] = {}
    replayed = otherwise = 0
    for one in earlier:
        count = one.recorded.count
        replayed += count
        if not _as_recorded(one):
            otherwise += count
        later = after(one)
        was, becomes = essence(one.outcome), essence(later)
        if was == becomes:
            continue
        group = (_alike(one.outcome), _alike(later))
        known = moved.get(group)
        moved[group] = Moved(
            request=known.request if known else described(one.recorded.request),
            before=known.before if known else was,
            after=known.after if known else becomes,
            count=count + (known.count if known else 0),
            lost=(one.outcome.arrives and not later.arrives) or (known.lost if known else False),
            because=known.because if known else _decided_by(later),
        )
    return Comparison(tuple(sorted(moved.values(), key=lambda one: -one.count)), replayed, otherwise)


def essence(outcome: Outcome) -> str:
    """What becomes of it, in words that are the same for the same."""
    parts = [in_short(outcome), *_treatment(outcome)]
    if isinstance(outcome.verdict, Forwarded):
        sent = {f"as {one.path} of {one.authority}" for one in outcome.verdict.targets if one.authority}
        parts += sorted(one for one in sent if not outcome.request.endswith(f"//{_url(one)}"))
    return "; ".join(parts)


def _url(sent: str) -> str:
    path, _, authority = sent.removeprefix("as ").rpartition(" of ")
    return authority + path


def _alike(outcome: Outcome) -> str:
    """The same for requests with which the same is done, whatever their paths."""
    decided = next((step.name for step in reversed(outcome.steps) if step.stage == "route"), "")
    if isinstance(outcome.verdict, Redirected):
        return f"{outcome.verdict.status} by {decided}"
    return "; ".join((in_short(outcome), decided, *_treatment(outcome)))


def _treatment(outcome: Outcome) -> list[str]:
    parts = [fault(outcome.fault)] if outcome.fault is not None else []
    if isinstance(outcome.verdict, Forwarded):
        verdict = outcome.verdict
        parts += [f"time-out {verdict.timeout_ms} ms"] if verdict.timeout_ms else []
        parts += [f"mirrored to {mirror.cluster.name}" for mirror in verdict.mirrors]
        for target in verdict.targets:
            parts += _at_endpoints(target.cluster)
    return parts


def _at_endpoints(cluster: ClusterState) -> list[str]:
    """What some endpoints do that others do not, and whom they ask."""
    asked = sorted({one.asked for one in cluster.endpoints if one.asked})
    refused = sorted(
        f"{one.workload or one.address} refuses it: {one.refused}"
        for one in cluster.endpoints
        if one.healthy and one.refused and cluster.answers
    )
    return [*(f"provider {one} is asked" for one in asked), *refused]


def _as_recorded(one: Before) -> bool:
    verdict, cluster = one.outcome.verdict, one.recorded.cluster
    if isinstance(verdict, Forwarded):
        return not cluster or any(target.cluster.name == cluster for target in verdict.targets)
    return not cluster or not isinstance(verdict, Unrouted)


def _decided_by(outcome: Outcome) -> str:
    if isinstance(outcome.verdict, Forwarded):
        for target in outcome.verdict.targets:
            if target.cluster.silence:
                refusing = (
                    one for one in target.cluster.endpoints if one.healthy and one.refused and one.policies
                )
                if (one := next(refusing, None)) is not None:
                    return one.policies[-1].label
    step = next((step for step in reversed(outcome.steps) if step.origins), None)
    return step.origins[0].label if step is not None else ""
