"""Where requests of one sender go.

sender = sidecar(snapshot, "shop", "productpage-v1")
Evaluator(snapshot, sender).outcome(Request(authority="reviews:9080"))
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from argosy.explain.admitted import Caller, admitted
from argosy.explain.called import spiffe
from argosy.explain.declared import Upstreams
from argosy.explain.edge import Edge
from argosy.explain.http import Routed
from argosy.explain.outbound import Outbound
from argosy.explain.outcome import Forwarded, Outcome
from argosy.explain.request import Request, Spoken
from argosy.explain.tokens import Judge
from argosy.explain.view import Locate, View, nowhere
from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot

ANY_TIME = Judge()


class Sender(Struct, frozen=True):
    name: str  # as messages name it
    scope: Scope
    address: str = ""  # from which its connections come, where a workload has that name
    identity: str | None = None  # its SPIFFE identity; None: it is not known who it is
    upstreams: Upstreams = ()  # explicit: what its local ports lead to


class NoSuchSender(LookupError):
    """The message says which there are."""


def sidecar(
    snapshot: Snapshot,
    namespace: str,
    name: str,
    labels: ir.Pairs,
    interception: Interception = Interception.EXPLICIT,
) -> Sender:
    workload = snapshot.workloads.get((namespace, name))
    scope = scope_of(
        Reader(snapshot), interception=interception, namespace=namespace, labels=labels, workload=workload
    )
    if workload is None:
        return Sender(f"{namespace}/{name}", scope)
    return Sender(f"{namespace}/{name}", scope, workload.address, _identity(snapshot, workload))


def _identity(snapshot: Snapshot, workload: ir.Workload) -> str:
    return spiffe(snapshot.mesh.trust_domain, workload.namespace, workload.service_account)


def gateway(snapshot: Snapshot, namespace: str, labels: ir.Pairs) -> Sender:
    """A gateway with these labels: the workload that has them, where there is one (its services tell which ports are
    listened on), else one that is thought of."""
    wanted = frozenset(labels)
    running = (one for _, one in sorted(snapshot.workloads.items()) if wanted.issubset(one.labels))
    workload = next(running, None)
    scope = scope_of(
        Reader(snapshot),
        type=ProxyType.ROUTER,
        namespace=workload.namespace if workload is not None else namespace,
        labels=workload.labels if workload is not None else labels,
        workload=workload,
    )
    words = ",".join(f"{key}={value}" for key, value in labels)
    name = f"gateway {scope.namespace} {words}".rstrip()
    if workload is None:
        return Sender(name, scope)
    return Sender(name, scope, workload.address, _identity(snapshot, workload))


def named(snapshot: Snapshot, name: str, namespace: str, interception: Interception) -> Sender:
    """The sidecar that `NAME`, `NAME.NAMESPACE` or `NAMESPACE/NAME` means: a workload, else any of a service. Raises
    NoSuchSender."""
    first, slash, rest = name.partition("/")
    wanted: list[tuple[str, str]] = []
    if slash:
        wanted.append((first, rest))
    else:
        wanted.append((namespace, name))
        short, dot, owner = name.partition(".")
        if dot:
            wanted.append((owner.partition(".")[0], short))
    for key in wanted:
        workload = snapshot.workloads.get(key)
        if workload is None:
            service = next(
                (one for one in snapshot.services.values() if (one.namespace, one.name) == key), None
            )
            serving = snapshot.endpoints.get(service.hostname, ()) if service is not None else ()
            workload = next(
                (
                    found
                    for one in serving
                    if (found := snapshot.workloads.get((one.namespace, one.workload)))
                ),
                None,
            )
        if workload is not None:
            return sidecar(snapshot, workload.namespace, workload.name, workload.labels, interception)
    known = ", ".join(f"{space}/{one}" for space, one in sorted(snapshot.workloads)[:20])
    raise NoSuchSender(
        f"no workload or service {name} in the mesh" + (f"; there are: {known}" if known else "")
    )


class Evaluator:
    """For any number of requests of one sender, as long as the snapshot does not change."""

    def __init__(
        self, snapshot: Snapshot, sender: Sender, locate: Locate = nowhere, judge: Judge = ANY_TIME
    ) -> None:
        self.sender = sender
        self.judge = judge
        self.view = View(snapshot, sender.scope, locate)
        self._made = (snapshot, locate)
        router = sender.scope.type is ProxyType.ROUTER
        self.side: Edge | Outbound = Edge(self.view) if router else Outbound(self.view, sender.upstreams)

    def declaring(self, upstreams: Upstreams) -> Evaluator:
        """The same of a sender that has these upstreams."""
        snapshot, locate = self._made
        return Evaluator(snapshot, replace(self.sender, upstreams=upstreams), locate, self.judge)

    def evaluate(self, request: Request) -> Routed:
        if not request.source:
            request = replace(request, source=self.sender.address)
        return self.side.evaluate(request)

    def as_spoken(self, request: Request) -> Request:
        """What `host:port` alone means: a request where the port speaks HTTP, else a connection."""
        return replace(request, spoken=self.side.spoken_at(request))

    def everywhere(self, method: str = "GET", headers: ir.Pairs = ()) -> tuple[Request, ...]:
        """A request for each host and port that the sender knows."""
        return tuple(
            self.as_spoken(Request(authority=authority, method=method, headers=headers, port=port))
            for authority, port in self.side.everywhere()
        )

    def outcome(self, request: Request) -> Outcome:
        routed = self.evaluate(request)
        verdict = routed.verdict
        if isinstance(verdict, Forwarded):
            verdict = admitted(self.view, self._caller(request), request, verdict, self.judge)
        return Outcome(
            sender=self.sender.name,
            request=described(request),
            verdict=verdict,
            steps=routed.steps,
            misses=routed.misses,
            fault=routed.fault,
            notes=(*routed.notes, *self._patches()),
        )

    def _caller(self, request: Request) -> Caller:
        router = self.view.scope.type is ProxyType.ROUTER
        return Caller(
            identity=self.sender.identity,
            address=self.sender.address,
            client=request.source if router else None,
        )

    def _patches(self) -> tuple[str, ...]:
        """EnvoyFilters change what Envoy is told, and what becomes of requests may change with it."""
        patches = self.view.reader.envoy_filters(self.view.scope)
        named = ", ".join(dict.fromkeys(f"{one.namespace}/{one.name}" for one in patches))
        return (f"what EnvoyFilters do to this proxy is not told here: {named}",) if named else ()


def described(request: Request) -> str:
    match request.spoken:
        case Spoken.HTTP:
            return f"{request.method} http://{request.authority}{request.path}"
        case Spoken.TLS:
            return f"TLS to {request.host}:{request.port}"
        case Spoken.TCP:
            return f"TCP to {request.host}:{request.port}"
