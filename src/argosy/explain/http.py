"""The routes of one virtual host: the first that is for the request decides, and what it does then."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from argosy.explain import destination as destinations
from argosy.explain import matching, regex, replies, rewriting
from argosy.explain.outcome import (
    Answered,
    ClusterState,
    FaultState,
    Forwarded,
    Mirrored,
    Miss,
    Origin,
    Redirected,
    Replied,
    Retries,
    Step,
    Target,
    Undecided,
    Verdict,
)
from argosy.explain.request import Request, Seen
from argosy.explain.view import View
from argosy.model import ir


class RoutesOf(Struct, frozen=True):
    """Of a virtual host, with the origin of each, and the port that its requests are for."""

    name: str
    port: int
    routes: tuple[ir.Route, ...]
    origins: tuple[tuple[Origin, ...], ...]
    authority: str = ""  # what is sent on where nobody writes another; "": the request's own


class Routed(Struct, frozen=True):
    verdict: Verdict
    steps: tuple[Step, ...] = ()
    misses: tuple[Miss, ...] = ()
    fault: FaultState | None = None
    notes: tuple[str, ...] = ()


def route(view: View, request: Request, seen: Seen, of: RoutesOf) -> Routed:
    misses: list[Miss] = []
    for number, (one, origins) in enumerate(zip(of.routes, of.origins, strict=True)):
        name = one.name or f"route {number + 1}"
        try:
            why = matching.failed(one.match, seen)
        except regex.Undetermined as unknown:
            return Routed(Undecided(f"{name}: {unknown}"), misses=tuple(misses))
        if why:
            misses.append(Miss("route", name, why, origins))
            continue
        says = f"for {matching.described(one.match)}" if origins else "no VirtualService says otherwise"
        step = Step("route", name, says, origins)
        return _taken(view, request, seen, of, one, step, tuple(misses))
    why = "none of the routes is for this request"
    return Routed(replies.unrouted(404, why, seen.headers), misses=tuple(misses))


def _taken(
    view: View,
    request: Request,
    seen: Seen,
    of: RoutesOf,
    one: ir.Route,
    step: Step,
    misses: tuple[Miss, ...],
) -> Routed:
    notes: list[str] = []
    verdict: Verdict
    grpc = replies.speaks_grpc(seen.headers)
    try:
        match one.action:
            case ir.Forward() as action:
                verdict = forwarded(view, request, seen, one, action, of.authority)
            case ir.Redirect() as action:
                said = replies.replied(rewriting.redirect_status(action), grpc)
                changes = rewriting.answered((one.headers,))
                location = replies.led(rewriting.location(action, one.match, seen, of.port), changes)
                verdict = Redirected(said.status, location, changes, said.grpc_status)
            case ir.DirectResponse() as action:
                said = replies.replied(action.status, grpc)
                # Facts (Envoy, tried): one whose status needs a Location has that of the request itself.
                leads = action.status == 201 or 300 <= action.status < 400
                itself = rewriting.location(ir.Redirect(), one.match, seen, of.port) if leads else ""
                changes = rewriting.answered((one.headers,))
                body = action.body.decode("utf-8", "replace")
                verdict = Answered(said.status, body, changes, said.grpc_status, replies.led(itself, changes))
    except regex.Undetermined as unknown:
        verdict = Undecided(str(unknown))
    fault = fault_of(one.fault, grpc)
    preflight = replies.preflight(one.cors, seen) if isinstance(one.action, ir.Forward) else None
    if preflight is not None:
        verdict, fault = preflight, None
    elif fault is not None and fault.abort_percent >= 100:
        notes.append("the fault answers every request: what follows never happens")
    return Routed(verdict, (step,), misses, fault, tuple(notes))


# --- forwarding -----------------------------------------------------------------------------------------------------


def forwarded(
    view: View, request: Request, seen: Seen, one: ir.Route, action: ir.Forward, otherwise: str = ""
) -> Forwarded:
    """`otherwise`: the authority where nobody writes one. Raises regex.Undetermined."""
    path = rewriting.rewritten_path(action.rewrite, one.match, seen.path)
    total = sum(item.weight for item in action.destinations)
    alone = len(action.destinations) == 1
    written = action.rewrite.authority if action.rewrite is not None else None
    targets = []
    for item in action.destinations:
        if alone:
            # What is said for the destination counts as said for the route.
            ops = (one.headers, item.headers)
            headers = rewriting.changed(request.headers, ops)
            of_route = rewriting.host_set_by(item.headers) or rewriting.host_set_by(one.headers) or otherwise
            response = rewriting.answered(ops)
        else:
            ops = (item.headers, one.headers)
            headers = rewriting.changed(rewriting.changed(request.headers, ops[:1]), ops[1:])
            of_route = rewriting.host_set_by(one.headers) or otherwise
            response = rewriting.answered(ops[:1], ops[1:])
        # Facts (Envoy, tried): a destination among several sets its Host before the route rewrites it.
        before = "" if alone else rewriting.host_set_by(item.headers)
        asked = view.reader.mesh().proxy.forwarded_host
        if written if asked is None else asked and (written or of_route):
            headers = (*headers, ("x-forwarded-host", before or seen.authority))
        response += replies.for_browsers(one.cors, seen)
        computed = rewriting.formatted(ops)
        targets.append(
            Target(
                cluster=destinations.cluster(view, item.destination),
                weight=item.weight,
                percent=100.0 * item.weight / total if total else 0.0,
                authority=written or of_route or before or seen.authority,
                path=path,
                headers=headers,
                response=response,
                notes=(f"values that the proxy computes are shown as written: {', '.join(computed)}",)
                if computed
                else (),
            )
        )
    return Forwarded(
        targets=tuple(targets),
        timeout_ms=action.timeout or 0,
        retries=retries_of(action.retry),
        mirrors=tuple(_mirrors(view, action.mirrors)),
        hash_on=tuple(destinations.hash_in_words(one) for one in action.hash),
        unserved=replies.replied(503, replies.speaks_grpc(seen.headers)),
    )


def retries_of(retry: ir.RetryPolicy | None) -> Retries | None:
    if retry is None or retry.attempts <= 0:
        return None
    return Retries(attempts=retry.attempts, on=retry.retry_on, per_try_timeout_ms=retry.per_try_timeout or 0)


def _mirrors(view: View, mirrors: Iterable[ir.Mirror]) -> Iterable[Mirrored]:
    copied = (
        (destinations.not_looked_up(view, one.destination, destinations.A_COPY), one) for one in mirrors
    )
    return (Mirrored(cluster, one.percent) for cluster, one in copied)


def sent_on(cluster: ClusterState, request: Request, seen: Seen) -> Forwarded:
    """To a cluster as it is, with nothing done to it."""
    target = Target(cluster=cluster, authority=seen.authority, path=seen.path, headers=request.headers)
    return Forwarded((target,), unserved=replies.replied(503, replies.speaks_grpc(seen.headers)))


# --- faults ---------------------------------------------------------------------------------------------------------


def fault_of(fault: ir.Fault | None, grpc: bool) -> FaultState | None:
    """`grpc`: whether the request speaks it. Facts (Envoy): an abort with a gRPC status is HTTP 200 to everybody; only
    who speaks gRPC reads the status."""
    if fault is None:
        return None
    aborted = Replied(0)
    if fault.abort is not None and fault.abort.grpc_status is not None:
        aborted = Replied(200, fault.abort.grpc_status)
    elif fault.abort is not None:
        aborted = replies.replied(fault.abort.http_status or 503, grpc)
    return FaultState(
        delay_ms=fault.delay.duration if fault.delay is not None else 0,
        delay_percent=fault.delay.percent if fault.delay is not None else 0.0,
        abort_status=aborted.status,
        abort_grpc_status=aborted.grpc_status,
        abort_percent=fault.abort.percent if fault.abort is not None else 0.0,
    )
