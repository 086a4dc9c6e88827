"""Which endpoints would take what is sent to them: their workloads' policies, on the request as it comes to them.

Rule: what cannot be told is said on the endpoint, and does not count as refused.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from argosy.explain import regex
from argosy.explain.access import Access, Incoming, Receiver, access
from argosy.explain.authorization import Verdict
from argosy.explain.called import Undetermined
from argosy.explain.outcome import EndpointState, Forwarded, Origin, Target
from argosy.explain.request import Request
from argosy.explain.tokens import Judge
from argosy.explain.view import View
from argosy.model import ir


class Caller(Struct, frozen=True, kw_only=True):
    """Whose sidecar, or which gateway, sends it."""

    identity: str | None  # None: not known
    address: str = ""  # "": not known
    client: str | None = None  # of a gateway: the address of its client, "": not known; None: of a sidecar


def admitted(view: View, caller: Caller, request: Request, sent: Forwarded, judge: Judge) -> Forwarded:
    """With what the endpoints say of it."""
    return replace(sent, targets=tuple(_target(view, caller, request, one, judge) for one in sent.targets))


def _target(view: View, caller: Caller, request: Request, target: Target, judge: Judge) -> Target:
    cluster = target.cluster
    service = view.reader.service(cluster.host)
    port = service.port(cluster.port) if service is not None else None
    if service is None or port is None:
        return target
    there = {
        f"{one.address}:{one.port}": one
        for one in view.reader.endpoints(cluster.host)
        if one.port_name == port.name and one.mtls
    }
    server_name = f"outbound_.{cluster.port}_.{cluster.subset}_.{cluster.host}"
    seen = None
    if target.authority:
        seen = replace(request, authority=target.authority, path=target.path, headers=target.headers)
    judged: dict[tuple[str, ir.Pairs, str], Access | str] = {}  # policies select by labels
    found = []
    for state in cluster.endpoints:
        one = there.get(state.address)
        if one is None or state.refused or state.tls not in ("mutual", "plaintext"):
            found.append(state)
            continue
        receiver = Receiver(
            namespace=one.namespace or service.namespace,
            name=one.workload,
            labels=one.labels,
            address=one.address,
            port=port.target_port or port.number,
            http=port.protocol.is_http,
        )
        key = (receiver.namespace, receiver.labels, state.tls)
        if key not in judged:
            judged[key] = _judged(view, caller, receiver, seen, server_name, state.tls, judge)
        found.append(_with(state, judged[key]))
    return replace(target, cluster=replace(cluster, endpoints=tuple(found)))


def _judged(
    view: View,
    caller: Caller,
    receiver: Receiver,
    request: Request | None,
    server_name: str,
    tls: str,
    judge: Judge,
) -> Access | str:
    mutual = tls == "mutual"
    identities: tuple[str, ...] | None = ()
    if mutual:
        identities = None if caller.identity is None else (caller.identity,)
    call = Incoming(
        mutual=mutual,
        identities=identities,
        address=caller.address,
        client=caller.client,
        server_name=server_name if mutual else "",
        request=request,
        judge=judge,
    )
    try:
        return access(view, receiver, call)
    except (Undetermined, regex.Undetermined) as error:
        return f"whether it takes it cannot be told: {error}"


def _with(state: EndpointState, found: Access | str) -> EndpointState:
    if isinstance(found, str):
        return replace(state, admits=found)
    policies = _joined(state.policies, found.origins)
    answered = f" ({found.status})" if found.status else ""
    if found.verdict is Verdict.DENY:
        near = found.misses[0].because if found.misses else ""
        return replace(state, policies=policies, refused=f"{found.because}{answered}", admits=near)
    asks = found.decision.asks if found.decision is not None else None
    return replace(
        state,
        policies=policies,
        admits=found.because if found.stage else "",
        asked=asks.provider if asks is not None else "",
    )


def _joined(first: tuple[Origin, ...], second: tuple[Origin, ...]) -> tuple[Origin, ...]:
    return tuple(dict.fromkeys((*first, *second)))
