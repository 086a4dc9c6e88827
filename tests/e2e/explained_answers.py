"""What came of a request, held against what the evaluator said: the answer, who got it, and what arrived there."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

from argosy.explain import replies
from argosy.explain.http import Routed
from argosy.explain.outcome import (
    Answered,
    ClusterState,
    FaultState,
    Forwarded,
    HeaderChanges,
    Redirected,
    Replied,
    Target,
    Unrouted,
)
from argosy.explain.request import Request, by_name, host_of
from argosy.model import ir
from argosy.translate import names
from tests.e2e.explained_clients import Answer
from tests.e2e.explained_edges import WILD
from tests.e2e.explained_envoy import CALLER
from tests.e2e.explained_mesh import ANSWERED, ORIGINATED, SENT_BACK
from tests.e2e.explained_upstreams import FAILED_HEADERS, FAILS, OWN_HEADERS, Hop
from tests.e2e.own_address import OWN_ADDRESS

ABORTED = "fault filter abort"
"""Facts (Envoy): what it answers where a fault aborts."""
LOOKED_UP = "the host of the request, looked up"
"""An endpoint of a name that is looked up."""
TIME = "x-envoy-expected-rq-timeout-ms"
"""Facts (Envoy): how long it waits for an answer, told to whom it waits for."""


def difference(request: Request, expected: Routed, answer: Answer) -> str:
    """ "" where the answer is what was expected."""
    if expected.fault is not None and expected.fault.abort_percent >= 100:
        return _aborted(request, expected, expected.fault, answer)
    match expected.verdict:
        case Forwarded() as forwarded:
            return _forwarded(request, forwarded, answer)
        case Redirected() as said:
            return (
                _replied(said, "", answer)
                or differs("location", said.location, answer.location)
                or ("" if _early(request, expected) else _answered((), said.response, answer))
            )
        case Answered() as said:
            return (
                _replied(said, said.body, answer)
                or differs("location", said.location, answer.location)
                or _answered((), said.response, answer)
            )
        case Unrouted() as said:
            return (
                _replied(said, None, answer)
                or differs("upstream", None, answer.got)
                or ("" if _early(request, expected) else _answered((), (), answer))
            )
        case other:
            return f"not evaluated: {other}"


def _early(request: Request, expected: Routed) -> bool:
    """Whether an answer may have the headers of a route that nobody asked for (arrival.py)."""
    by_path = expected.steps and expected.steps[-1].stage == "path"
    return bool(by_path and any(name == "x-forwarded-proto" for name, _ in request.headers))


def _replied(said: Redirected | Answered | Unrouted | Replied, body: str | None, answer: Answer) -> str:
    """`body`: of the answer, where it is compared; to who speaks gRPC its message."""
    grpc = said.grpc_status is not None
    headers = {name: value for name, value in answer.headers if name.startswith("grpc-")}
    wanted = {} if said.grpc_status is None else {"grpc-status": str(said.grpc_status)}
    if body and grpc:
        wanted["grpc-message"] = body
    if body is None:
        headers.pop("grpc-message", None)
    return (
        differs("status", said.status, answer.status)
        or differs("gRPC status", wanted, headers)
        or ("" if body is None else differs("body", b"" if grpc else body.encode(), answer.body))
    )


def _aborted(request: Request, expected: Routed, fault: FaultState, answer: Answer) -> str:
    speaks = replies.speaks_grpc(by_name(request.headers))
    said = Replied(fault.abort_status, fault.abort_grpc_status if speaks else None)
    verdict = expected.verdict
    # One of several is chosen before it is aborted.
    each = [one.response for one in verdict.targets] if isinstance(verdict, Forwarded) else [()]
    whose = [_answered((), one, answer) for one in each]
    return (
        _replied(said, ABORTED, answer)
        or differs("upstream", None, answer.got)
        or ("" if "" in whose else whose[0])
    )


def _forwarded(request: Request, expected: Forwarded, answer: Answer) -> str:
    targets = expected.targets
    if answer.cluster in (names.PASSTHROUGH, names.BY_NAME):
        return differs("cluster", [one.cluster.name for one in targets], [answer.cluster])
    chosen = [one for one in targets if one.cluster.name == answer.cluster]
    if not chosen:
        missing = [one for one in targets if one.cluster.missing]
        if missing and not answer.cluster:
            whose = [_unserved(expected, one, answer) for one in missing]
            return "" if "" in whose else whose[0]
        return f"cluster {answer.cluster or 'none'} is not one of {[one.cluster.name for one in targets]}"
    said = [
        _arrived(request, expected, one, answer) for one in chosen
    ]  # two may have one cluster, and other headers
    return "" if "" in said else said[0]


def _arrived(request: Request, expected: Forwarded, target: Target, answer: Answer) -> str:
    if not target.cluster.answers or not _found(target):
        return _unserved(expected, target, answer)
    fails = dict(request.headers).get(FAILS, "")
    if not answer.hops or (not fails and answer.got is None):
        return f"status {answer.status} by the proxy, expected an answer of {target.cluster.name}"
    return (
        _ended(expected, target, fails, answer)
        or differs("attempts", _attempts(expected, fails), len(answer.hops))
        or differs("time to answer", _time(expected), answer.hops[0].header(TIME))
        or next((what for hop in answer.hops if (what := connected(target.cluster, hop))), "")
        or next((what for hop in answer.hops if (what := _got(target, hop))), "")
    )


def _found(target: Target) -> bool:
    """Of a name that Envoy looks up: whether it is known."""
    if not any(one.address.startswith(LOOKED_UP) for one in target.cluster.endpoints):
        return True
    return host_of(target.authority).lower().endswith(WILD)


def _ended(expected: Forwarded, target: Target, fails: str, answer: Answer) -> str:
    """The answer of an upstream, or of the proxy for it where it broke off."""
    if fails == "reset":
        return _replied(expected.unserved, None, answer) or _answered((), target.response, answer)
    own = FAILED_HEADERS if fails else OWN_HEADERS
    return differs("status", 503 if fails else 200, answer.status) or _answered(own, target.response, answer)


def _unserved(expected: Forwarded, target: Target, answer: Answer) -> str:
    return (
        _replied(expected.unserved, None, answer)
        or differs("attempts", 0, len(answer.hops))
        or _answered((), target.response, answer)
    )


def _answered(own: ir.Pairs, changes: tuple[HeaderChanges, ...], answer: Answer) -> str:
    """`own`: the headers that were answered first."""
    for one in changes:
        own = one.of(own)
    said = sorted(pair for pair in own if pair[0] in ANSWERED)
    return differs(
        "headers of the answer", said, sorted(pair for pair in answer.headers if pair[0] in ANSWERED)
    )


def _attempts(expected: Forwarded, fails: str) -> int:
    again = expected.retries if fails else None
    return 1 + (again.attempts if again and again.repeats(None if fails == "reset" else int(fails)) else 0)


def _time(expected: Forwarded) -> str | None:
    """Facts (Envoy): a try has what it may take by itself, where that is less than what all may take."""
    each = expected.retries.per_try_timeout_ms if expected.retries is not None else 0
    least = [one for one in (each, expected.timeout_ms) if one]
    return str(min(least)) if least else None


def connected(cluster: ClusterState, hop: Hop) -> str:
    """Over which connection, and to whom."""
    if any(one.address.startswith(LOOKED_UP) for one in cluster.endpoints):
        expected = f"{OWN_ADDRESS}:{cluster.port}"
        tls = cluster.endpoints[0].tls
        return (
            differs("address", expected, hop.address)
            or differs("TLS", tls, hop.tls)
            or differs("server name", ORIGINATED if tls == "originated" else "", hop.server_name)
        )
    there = [
        one for one in cluster.endpoints if one.address == hop.address and one.healthy and not one.refused
    ]
    if not there:
        return f"{hop.address} is no endpoint of {cluster.name}"
    if hop.through not in (there[0].through or ("",)):
        return differs("gateway of its network", there[0].through, hop.through)
    name = {
        "mutual": f"outbound_.{cluster.port}_.{cluster.subset}_.{cluster.host}",
        "originated": ORIGINATED,
    }
    return (
        differs("TLS", there[0].tls, hop.tls)
        or differs("server name", name.get(hop.tls, ""), hop.server_name)
        or differs("caller", CALLER if hop.tls == "mutual" else "", hop.caller)
    )


def _got(target: Target, hop: Hop) -> str:
    headers = hop.got["headers"]
    got = {name: ",".join(value for key, value in headers if key == name) for name, _ in headers}
    wanted: dict[str, list[str]] = {}
    for name, value in target.headers:
        wanted.setdefault(name.lower(), []).append(value)
    for name in SENT_BACK:
        if what := differs(
            f"header {name}", ",".join(wanted[name]) if name in wanted else None, got.get(name)
        ):
            return what
    return differs("path", target.path, hop.got["path"]) or differs(
        "authority", target.authority, got["host"]
    )


# --- copies ---------------------------------------------------------------------------------------------------------


def mirrors(expected: Routed, answer: Answer) -> list[ClusterState]:
    """Whom copies go to: of what is sent on at all, to those who are there."""
    if not isinstance(expected.verdict, Forwarded) or not answer.hops:
        return []
    return [one.cluster for one in expected.verdict.mirrors if one.percent >= 100 and one.cluster.answers]


def copied(expected: Routed, answer: Answer, tally: Counter[str]) -> str:
    """One copy each; an address may be of several of the clusters, and copies come in any order."""
    wanted, got = mirrors(expected, answer), answer.shadows
    tally["copies"] += len(got)
    told = f"{[one.name for one in wanted]}, and reached {[one.address for one in got]}"
    if len(wanted) != len(got):
        return f"copies are for {told}"
    for order in permutations(got):
        if not any(connected(cluster, hop) for cluster, hop in zip(wanted, order, strict=True)):
            return ""
    return f"copies are for {told}"


def differs(what: str, expected: object, got: object) -> str:
    return "" if expected == got else f"{what}: expected {expected!r}, got {got!r}"
