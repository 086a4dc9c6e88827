"""Whether a workload takes a call, as its sidecar decides it: by PeerAuthentication whether it may speak at all, by
RequestAuthentication whether its tokens are good, by AuthorizationPolicy whether it may do this.

Rule: the first that refuses decides. What is not known of a call is never guessed: Undetermined, where it decides.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from argosy.explain import arrival, tokens
from argosy.explain.authorization import Decision, Ruled, Verdict, asked, decide
from argosy.explain.called import SPIFFE, Called
from argosy.explain.http import Routed
from argosy.explain.inbound import received
from argosy.explain.outcome import Miss, Origin, Redirected, Unrouted
from argosy.explain.request import Request, Seen, Trust, seen
from argosy.explain.tokens import Judge, Refused
from argosy.explain.view import View
from argosy.model import ir
from argosy.model.hostnames import is_address
from argosy.model.scope import ProxyType

PEER, REQUEST, POLICY = "PeerAuthentication", "RequestAuthentication", "AuthorizationPolicy"


class Receiver(Struct, frozen=True, kw_only=True):
    """A port of a workload that has a sidecar."""

    namespace: str
    name: str = ""
    labels: ir.Pairs = ()
    address: str = ""
    port: int  # of the workload
    http: bool = False

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}"


class Incoming(Struct, frozen=True, kw_only=True):
    """A call as it is sent to a workload."""

    mutual: bool  # mutual TLS of the mesh; else plaintext
    identities: tuple[str, ...] | None = ()  # URIs of the certificate; None: it is not known which
    address: str = ""  # that it comes from; "": not known
    client: str | None = (
        None  # the original client's, ""; not known; None: as x-forwarded-for says, else `address`
    )
    server_name: str = ""
    request: Request | None = None  # None: it is not HTTP
    token: str = ""  # to be put where a rule looks for it
    judge: Judge = Judge()


class Access(Struct, frozen=True, omit_defaults=True, rename="camel"):
    verdict: Verdict
    because: str
    stage: str = ""  # which kind of object decides; "": nothing refuses it, and nothing had to allow it
    status: int = (
        0  # that a refused request is answered with; 0: its connection is closed, or it is not refused
    )
    origins: tuple[Origin, ...] = ()  # what decides
    misses: tuple[Miss, ...] = ()  # the rules that came closest to the contrary
    token: str = ""  # what became of its token
    decision: Decision | None = None  # of AuthorizationPolicies, where they are asked

    @property
    def allowed(self) -> bool:
        return self.verdict is not Verdict.DENY


def access(view: View, to: Receiver, call: Incoming) -> Access:
    """Of a view of any proxy. Raises Undetermined and regex.Undetermined."""
    reader = view.reader
    mode = reader.peer_mtls(to.namespace, to.labels, to.port)
    peer = reader.peer_origin(to.namespace, to.labels, to.port)
    by_peer = (view.origin(peer),) if peer is not None else ()
    why = received("mutual" if call.mutual else "plaintext", mode)
    if why:
        return Access(Verdict.DENY, why, PEER, 0, by_peer)
    nameless = call.identities is not None and not any(one.startswith(SPIFFE) for one in call.identities)
    if mode is ir.MtlsMode.STRICT and to.http and nameless:
        return Access(
            Verdict.DENY,
            "PeerAuthentication is STRICT, and the certificate has no SPIFFE identity",
            PEER,
            403,
            by_peer,
        )
    return _asked(view, to, call)


def _asked(view: View, to: Receiver, call: Incoming) -> Access:
    """Facts (Istio): who is asked from outside (CUSTOM) is asked before anybody looks at tokens."""
    reader = view.reader
    policies = reader.authorization(to.namespace, to.labels)
    called = Called(
        identities=call.identities,
        address=call.address,
        remote=call.address if call.client is None else call.client,
        port=to.port,
        to=to.address,
        server_name=call.server_name,
    )
    asks, authenticated = asked(policies, called), ""
    if call.request is not None and to.http:
        arrived = arrival.passed(arrival.custom(reader.mesh(), ProxyType.SIDECAR), call.request)
        if isinstance(arrived, Routed):
            return _turned_away(arrived)
        rules, http = reader.token_rules(to.namespace, to.labels), seen(arrived, Trust.ALL)
        http = tokens.without_told(rules, tokens.presented(call.token, rules, http) if call.token else http)
        called = replace(
            called, http=http, remote=_remote(http, call.address) if call.client is None else call.client
        )
        asks = asked(policies, called)
        found = tokens.authenticated(rules, http, call.judge)
        if isinstance(found, Refused):
            named = tuple(view.origin(ref) for ref in reader.token_origins(to.namespace, to.labels))
            decision = Decision(Verdict.DENY, found.because, asks=asks.by)
            return Access(Verdict.DENY, found.because, REQUEST, found.status, named, decision=decision)
        called = replace(called, http=found.seen, token=found.claims)
        authenticated = (
            found.because if rules or not call.token else "no RequestAuthentication looks at its token"
        )
    return _decided(view, decide(policies, called, asks), called, authenticated)


def _decided(view: View, decision: Decision, called: Called, token: str) -> Access:
    by = decision.by or decision.asks
    return Access(
        verdict=decision.verdict,
        because=decision.because,
        stage=POLICY if by is not None or not decision.allowed else "",
        status=403 if called.http is not None and not decision.allowed else 0,
        origins=(_origin(view, by),) if by is not None else (),
        misses=tuple(
            Miss("policy", one.policy, one.says(), (_origin(view, one),)) for one in decision.misses
        ),
        token=token,
        decision=decision,
    )


def _turned_away(routed: Routed) -> Access:
    verdict = routed.verdict
    if isinstance(verdict, Redirected):
        return Access(Verdict.DENY, f"it is redirected to {verdict.location}", "path", verdict.status)
    because, status = (verdict.because, verdict.status) if isinstance(verdict, Unrouted) else ("", 400)
    return Access(Verdict.DENY, because, "path", status)


def _origin(view: View, by: Ruled) -> Origin:
    namespace, _, name = by.policy.partition("/")
    return view.origin((POLICY, namespace, name), f"spec.rules[{by.rule}]")


def _remote(http: Seen, address: str) -> str:
    """Facts (Envoy): a sidecar believes the last address in x-forwarded-for, if it is one."""
    said = "".join(http.headers.get("x-forwarded-for", ()))
    last = said.rpartition(",")[2].strip(" \t")
    return last if is_address(last) else address
