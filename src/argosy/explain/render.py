"""An outcome as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from argosy.explain.outcome import (
    Answered,
    ClusterState,
    EndpointState,
    FaultState,
    Forwarded,
    HeaderChanges,
    Miss,
    Origin,
    Outcome,
    Redirected,
    Retries,
    Target,
    Undecided,
    Unrouted,
)

WIDTH = 14
MOST_MISSES = 12


def lines(outcome: Outcome) -> Iterator[str]:
    yield f"{outcome.sender}: {outcome.request}"
    yield ""
    for step in outcome.steps:
        yield _row(step.stage, f"{step.name}{f': {step.because}' if step.because else ''}")
        yield from _origins(step.origins)
    if outcome.fault is not None:
        yield _row("fault", fault(outcome.fault))
    yield ""
    yield from _verdict(outcome)
    for note in outcome.notes:
        yield _row("note", note)
    if outcome.misses:
        yield ""
        yield "Not elsewhere, because"
        yield from misses(outcome.misses)


def misses(found: tuple[Miss, ...]) -> Iterator[str]:
    for one in found[:MOST_MISSES]:
        yield _row(one.stage, f"{one.name}: {one.because}")
        yield from _origins(one.origins)
    if len(found) > MOST_MISSES:
        yield _row("", f"and {len(found) - MOST_MISSES} more")


def in_short(outcome: Outcome) -> str:
    """The verdict in one line."""
    match outcome.verdict:
        case Forwarded(targets=targets):
            return ", ".join(
                f"{_percent(one.percent)} {one.cluster.name}{'' if one.cluster.answers else ' (nobody there)'}"
                if len(targets) > 1
                else f"{one.cluster.name}{'' if one.cluster.answers else ' (nobody there)'}"
                for one in targets
            )
        case Redirected(status=status, location=location):
            return f"{status} {location}"
        case Answered(status=status):
            return f"{status}, as written"
        case Unrouted(status=status, because=because):
            return f"{status or 'closed'}: {because}"
        case Undecided(because=because):
            return f"cannot be told: {because}"


def _verdict(outcome: Outcome) -> Iterator[str]:
    match outcome.verdict:
        case Forwarded() as forwarded:
            yield "It goes to"
            for target in forwarded.targets:
                yield from _target(target, alone=len(forwarded.targets) == 1)
            if forwarded.targets and forwarded.targets[0].authority:
                yield _row("time-out", f"{forwarded.timeout_ms} ms" if forwarded.timeout_ms else "none")
                yield _row("retries", retries(forwarded.retries))
            for hashed in forwarded.hash_on:
                yield _row("hashed on", hashed)
            for mirror in forwarded.mirrors:
                yield _row("mirrored to", f"{mirror.cluster.name} ({_percent(mirror.percent)})")
        case Redirected(status=status, location=location):
            yield f"The proxy answers {status}, Location: {location}"
            yield from _response(outcome.verdict.response)
        case Answered(status=status, body=body):
            yield f"The proxy answers {status}, as written" + (f": {body.strip()}" if body.strip() else "")
            yield from _response(outcome.verdict.response)
        case Unrouted(status=status, because=because):
            yield f"It goes nowhere: {because}"
            yield _row("answer", str(status) if status else "the connection is closed")
        case Undecided(because=because):
            yield f"It cannot be told: {because}"


def _target(target: Target, *, alone: bool) -> Iterator[str]:
    cluster = target.cluster
    yield _row("cluster" if alone else _percent(target.percent), cluster.name)
    if cluster.missing:
        yield _row("", f"503: there is no such cluster: {cluster.missing}")
    yield from _origins(cluster.origins)
    if target.authority:
        yield _row("request", f"{target.path} of {target.authority}")
    if target.headers:
        yield _row("headers", ", ".join(f"{name}: {value}" for name, value in target.headers))
    yield from _response(target.response)
    for note in target.notes:
        yield _row("note", note)
    yield from _cluster(cluster)


def _response(changes: Iterable[HeaderChanges]) -> Iterator[str]:
    parts: list[str] = []
    for one in changes:
        parts += [f"{name} is removed" for name in one.removed]
        parts += [f"{name}: {value} is set" for name, value in one.set]
        parts += [f"{name}: {value} is added" for name, value in one.added]
    if parts:
        yield _row("response", ", ".join(parts))


def _cluster(cluster: ClusterState) -> Iterator[str]:
    said = [one for one in (cluster.protocol, cluster.load_balancer, cluster.tls) if one]
    if said:
        yield _row("how", "; ".join(said))
    if cluster.limits:
        yield _row("limits", "; ".join(cluster.limits))
    if cluster.outlier_detection:
        yield _row("ejected", ", ".join(cluster.outlier_detection))
    for one in cluster.endpoints:
        yield _row("endpoint", _endpoint(one))
        yield from _origins(one.policies)
    if cluster.host and not cluster.endpoints and not cluster.missing:
        yield _row("endpoint", "none: requests are answered 503")


def _endpoint(one: EndpointState) -> str:
    parts = [one.address, "healthy" if one.healthy else "NOT HEALTHY: it gets no requests"]
    parts += [part for part in (one.workload, one.locality) if part]
    parts.append({"mutual": "mutual TLS", "originated": "TLS"}.get(one.tls, one.tls))
    if one.mode:
        parts.append(f"takes {one.mode}")
    if one.through:
        parts.append(f"through {' or '.join(one.through)}, the gateway of its network")
    if one.refused:
        parts.append(f"REFUSED: {one.refused}")
    return ", ".join(parts)


def fault(state: FaultState) -> str:
    parts = []
    if state.delay_percent:
        parts.append(f"{_percent(state.delay_percent)} are delayed by {state.delay_ms} ms")
    if state.abort_percent:
        status = str(state.abort_status)
        if state.abort_grpc_status is not None:
            status = f"gRPC status {state.abort_grpc_status} (HTTP {status})"
        parts.append(f"{_percent(state.abort_percent)} are answered {status}")
    return ", ".join(parts)


def retries(state: Retries | None) -> str:
    if state is None:
        return "none"
    each = f", each within {state.per_try_timeout_ms} ms" if state.per_try_timeout_ms else ""
    return f"{state.attempts} on {','.join(state.on)}{each}"


def _percent(value: float) -> str:
    return f"{value:.3g} %"


def _origins(origins: Iterable[Origin]) -> Iterator[str]:
    for origin in origins:
        yield _row("", origin.label)


def _row(title: str, text: str) -> str:
    return f"  {title:<{WIDTH}}{text}".rstrip()
