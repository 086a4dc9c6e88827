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
    Replied,
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
        yield row(step.stage, f"{step.name}{f': {step.because}' if step.because else ''}")
        yield from origins(step.origins)
    if outcome.fault is not None:
        yield row("fault", fault(outcome.fault))
    yield ""
    yield from _verdict(outcome)
    for note in outcome.notes:
        yield row("note", note)
    if outcome.misses:
        yield ""
        yield "Not elsewhere, because"
        yield from misses(outcome.misses)


def misses(found: tuple[Miss, ...]) -> Iterator[str]:
    for one in found[:MOST_MISSES]:
        yield row(one.stage, f"{one.name}: {one.because}")
        yield from origins(one.origins)
    if len(found) > MOST_MISSES:
        yield row("", f"and {len(found) - MOST_MISSES} more")


def in_short(outcome: Outcome) -> str:
    """The verdict in one line."""
    match outcome.verdict:
        case Forwarded(targets=targets):
            return ", ".join(
                f"{f'{_percent(one.percent)} ' if len(targets) > 1 else ''}{one.cluster.name}"
                f"{f' ({one.cluster.silence})' if one.cluster.silence else ''}"
                for one in targets
            )
        case Redirected(location=location):
            return f"{_status(outcome.verdict)} {location}"
        case Answered():
            return f"{_status(outcome.verdict)}, as written"
        case Unrouted(because=because):
            return f"{_status(outcome.verdict) if outcome.verdict.status else 'closed'}: {because}"
        case Undecided(because=because):
            return f"cannot be told: {because}"


def _verdict(outcome: Outcome) -> Iterator[str]:
    match outcome.verdict:
        case Forwarded() as forwarded:
            yield "It goes to"
            for target in forwarded.targets:
                yield from _target(target, forwarded.unserved, alone=len(forwarded.targets) == 1)
            if forwarded.targets and forwarded.targets[0].authority:
                yield row("time-out", f"{forwarded.timeout_ms} ms" if forwarded.timeout_ms else "none")
                yield row("retries", retries(forwarded.retries))
            for hashed in forwarded.hash_on:
                yield row("hashed on", hashed)
            for mirror in forwarded.mirrors:
                yield row("mirrored to", f"{mirror.cluster.name} ({_percent(mirror.percent)})")
        case Redirected(location=location):
            yield f"The proxy answers {_status(outcome.verdict)}, Location: {location}"
            yield from _response(outcome.verdict.response)
        case Answered(body=body, location=location):
            leads = f", Location: {location}" if location else ""
            said = f": {body.strip()}" if body.strip() else ""
            yield f"The proxy answers {_status(outcome.verdict)}{leads}, as written{said}"
            yield from _response(outcome.verdict.response)
        case Unrouted(status=status, because=because):
            yield f"It goes nowhere: {because}"
            yield row("answer", _status(outcome.verdict) if status else "the connection is closed")
        case Undecided(because=because):
            yield f"It cannot be told: {because}"


def _target(target: Target, unserved: Replied, *, alone: bool) -> Iterator[str]:
    cluster = target.cluster
    yield row("cluster" if alone else _percent(target.percent), cluster.name)
    if cluster.missing:
        yield row("", f"{_status(unserved)}: there is no such cluster: {cluster.missing}")
    yield from origins(cluster.origins)
    if target.authority:
        yield row("request", f"{target.path} of {target.authority}")
    if target.headers:
        yield row("headers", ", ".join(f"{name}: {value}" for name, value in target.headers))
    yield from _response(target.response)
    for note in target.notes:
        yield row("note", note)
    yield from _cluster(cluster, unserved)


def _response(changes: Iterable[HeaderChanges]) -> Iterator[str]:
    parts: list[str] = []
    for one in changes:
        parts += [f"{name} is removed" for name in one.removed]
        parts += [f"{name}: {value} is set" for name, value in one.set]
        parts += [f"{name}: {value} is added" for name, value in one.added]
    if parts:
        yield row("response", ", ".join(parts))


def _cluster(cluster: ClusterState, unserved: Replied) -> Iterator[str]:
    said = [one for one in (cluster.protocol, cluster.load_balancer, cluster.tls) if one]
    if said:
        yield row("how", "; ".join(said))
    if cluster.limits:
        yield row("limits", "; ".join(cluster.limits))
    if cluster.outlier_detection:
        yield row("ejected", ", ".join(cluster.outlier_detection))
    for one in cluster.endpoints:
        yield row("endpoint", _endpoint(one))
        yield from origins(one.policies)
    if cluster.host and not cluster.endpoints and not cluster.missing:
        yield row("endpoint", f"none: requests are answered {_status(unserved)}")


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
    if one.admits:
        parts.append(one.admits)
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


def _status(said: Redirected | Answered | Unrouted | Replied) -> str:
    return str(said.status) if said.grpc_status is None else f"{said.status}, gRPC status {said.grpc_status}"


def retries(state: Retries | None) -> str:
    if state is None:
        return "none"
    each = f", each within {state.per_try_timeout_ms} ms" if state.per_try_timeout_ms else ""
    return f"{state.attempts} on {','.join(state.on)}{each}"


def _percent(value: float) -> str:
    return f"{value:.3g} %"


def origins(found: Iterable[Origin]) -> Iterator[str]:
    for origin in found:
        yield row("", origin.label)


def row(title: str, text: str) -> str:
    return f"  {title:<{WIDTH}}{text}".rstrip()
