"""The proxies that are connected: who each is, which views it sees, how it stands.

Who a proxy is comes from its certificate alone; its labels from the WorkloadEntry of that name; its node metadata only
lays out its own listeners, and is what EnvoyFilters may ask for (`match.proxy`). Its layers are its own view and the
shared view of its scope. When its entry or the selectors in use change, it gets the layers of what it is now; only what
differs is sent.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from google.protobuf.json_format import MessageToDict
from msgspec import Struct

from argosy.identity.names import Peer
from argosy.model.facts import Fact, FactKind
from argosy.model.ir import Pairs
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.runtime.certificates import CLOCK_SKEW
from argosy.runtime.log import logger
from argosy.server.metrics import Metrics
from argosy.server.views import Held, Views
from argosy.translate.names import HTTP_PROXY
from argosy.translate.proxy import DeclaredUpstream, Proxy
from argosy.xds.node import METADATA_KEY, ProxyNode
from argosy.xds.registration import Credentials
from argosy.xds.server import Refused
from argosy.xds.stream import Stream
from argosy.xds.types import short
from argosy.xds.wire import Malformed, Node, Request, Response

MOST_PARTED = 8
LONGEST_TEXT = 256  # of a node's metadata that EnvoyFilters may ask for
MOST_TEXTS = 64  # of them
MOST_STREAMS = 16
"""Of one workload at once. One is usual, and two while it turns to another server; those of broken connections are
found within a minute. Each may be laid out as its node says, so that each may need views of its own."""
MOST_NAMES, LONGEST_NAME = 200_000, 2048
"""Of one type that a stream asks for, and bytes of a name."""
MOST_TYPES = 16
"""That a stream asks for; Envoy knows eight."""

log = logger("xds")


class TypeState(Struct, frozen=True, kw_only=True):
    type: str  # Cluster, Listener, …
    subscribed: int
    synced: bool
    version: str  # up to which change of the views the proxy has acknowledged
    rejected: dict[str, str]  # name -> version


class CredentialState(Struct, frozen=True, kw_only=True):
    """What the proxy holds, as its agent says: what Envoy has acknowledged."""

    serial: str  # hexadecimal
    root: str  # fingerprint of the root that its certificate is below
    trusts: tuple[str, ...]  # fingerprints
    not_before: float  # Unix time
    not_after: float
    problem: str  # why its certificate could not be renewed at the last attempt
    late: bool  # half of the certificate's life is over: it should have been renewed after a quarter


class ProxyState(Struct, frozen=True, kw_only=True):
    """One line of `proxy status`."""

    name: str  # workload.namespace
    namespace: str
    workload: str
    service_account: str
    type: str
    connected: bool
    connected_since: float  # Unix time
    synced: bool
    certificate_expires_at: float
    types: tuple[TypeState, ...]
    last_nack: str = ""
    last_nack_at: float = 0.0
    credentials: CredentialState | None = None  # None: of an agent that does not say


class ProxySession:
    """The machine of one stream, as `xds.server` drives it."""

    def __init__(self, proxies: Proxies, peer: Peer, node: ProxyNode, said: Pairs, held: Held) -> None:
        """`said`: the texts of its node's metadata."""
        self.proxies = proxies
        self.peer = peer
        self.name = f"{peer.identity.workload}.{peer.identity.namespace}"
        self.node = node
        self.said = said
        self.held = held
        self.stream = Stream(held.layers)
        self.connected_since = proxies.clock()
        self.last_nack = ""
        self.last_nack_at = 0.0
        self.asked: dict[str, int] = {}  # type -> how many names at the most

    @property
    def deadline(self) -> float | None:
        return self.stream.deadline

    def connected(self, wake: Callable[[], None]) -> None:
        self.stream.on_wake(wake)
        self.proxies.add(self)

    def on_request(self, request: Request, now: float) -> None:
        """Raises Malformed for what no proxy asks for, so that a stream costs a bounded amount of memory."""
        self._check(request)
        refused = request.HasField("error_detail")
        if refused:
            self.last_nack = f"{short(request.type_url)}: {request.error_detail.message}"
            self.last_nack_at = self.proxies.clock()
            self.proxies.metrics.nacks.add(type=short(request.type_url))
        self.stream.on_request(request, now)
        self.proxies.moved(self)
        if refused or request.resource_names_subscribe or request.resource_names_unsubscribe:
            self.proxies.changed(self)

    def _check(self, request: Request) -> None:
        asked = request.resource_names_subscribe
        if not asked and request.type_url in self.asked:
            return
        if request.type_url not in self.asked and len(self.asked) >= MOST_TYPES:
            raise Malformed(f"a stream asks for {MOST_TYPES} types at the most")
        given_up = len(request.resource_names_unsubscribe)
        names = max(self.asked.get(request.type_url, 0) - given_up, 0) + len(asked)
        if max(names, len(request.initial_resource_versions)) > MOST_NAMES:
            raise Malformed(f"a stream asks for {MOST_NAMES} resources of a type at the most")
        if any(len(name) > LONGEST_NAME for name in asked):
            raise Malformed(f"the name of a resource has {LONGEST_NAME} characters at the most")
        self.asked[request.type_url] = names

    @property
    def may_owe(self) -> bool:
        return self.stream.may_owe

    def next_response(self, now: float) -> Response | None:
        response = self.stream.next_response(now)
        if response is not None:
            kind = short(response.type_url)
            if response.resources:
                self.proxies.metrics.resources_sent.add(len(response.resources), type=kind)
            if response.removed:
                self.proxies.metrics.removals_sent.add(len(response.removed), type=kind)
        return response

    def disconnected(self) -> None:
        self.stream.close()
        self.proxies.remove(self)

    def state(self) -> ProxyState:
        identity = self.peer.identity
        types = tuple(
            TypeState(
                type=short(one.type_url),
                subscribed=one.subscribed,
                synced=one.synced,
                version=str(one.acknowledged),
                rejected=one.rejected,
            )
            for one in self.stream.status()
        )
        return ProxyState(
            name=self.name,
            namespace=identity.namespace,
            workload=identity.workload,
            service_account=identity.service_account,
            type=self.node.type,
            connected=True,
            connected_since=self.connected_since,
            synced=all(one.synced for one in types),
            certificate_expires_at=self.peer.not_after,
            types=types,
            last_nack=self.last_nack,
            last_nack_at=self.last_nack_at,
        )


class Proxies:
    """The registry of connected proxies. `on_moved` hears of each request, arrival and departure; `on_changed` only of
    what may concern many objects: arrivals, departures, changed subscriptions and refusals."""

    def __init__(
        self,
        snapshot: Snapshot,
        views: Views,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.snapshot = snapshot
        self.views = views
        self.metrics = metrics
        self.clock = clock
        self.sessions: dict[ProxySession, None] = {}
        self._streams: Counter[str] = Counter()  # of each workload
        self.departed = 0  # streams that ended, since the start
        self.on_moved: list[Callable[[ProxySession], None]] = []
        self.on_changed: list[Callable[[ProxySession], None]] = []

    # --- joining ---

    def session(self, node: Node, peer: Peer) -> ProxySession:
        """The session of a new stream. Raises Refused for metadata that is broken, and where there are too many."""
        name = f"{peer.identity.workload}.{peer.identity.namespace}"
        if self._streams[name] >= MOST_STREAMS:
            raise Refused(
                f"{name} has {MOST_STREAMS} streams open: close some, or wait until they are found dead"
            )
        described, said = proxy_node(node), texts(node)
        return ProxySession(self, peer, described, said, self.views.hold(self._proxy(peer, described, said)))

    def _proxy(self, peer: Peer, node: ProxyNode, said: Pairs) -> Proxy:
        """What the proxy is now, by its certificate, its entry and the selectors in use."""
        identity = peer.identity
        workload = self.snapshot.workloads.get((identity.namespace, identity.workload))
        # An entry of that name that runs as somebody else is not this proxy's.
        known = workload is not None and workload.service_account == identity.service_account
        labels = workload.labels if workload is not None and known else ()
        return Proxy(
            namespace=identity.namespace,
            name=identity.workload,
            scope=scope_of(
                Reader(self.snapshot),
                type=node.type,
                interception=node.interception,
                namespace=identity.namespace,
                labels=labels,
                metadata=said,
                workload=workload if known else None,
                parted=_parted(node),
                account=identity.service_account,
            ),
            labels=labels,
            outbound_port=node.outbound_port,
            upstreams=tuple(
                DeclaredUpstream(host=one.host, port=one.port, bind=one.bind) for one in node.upstreams
            ),
            bind_address=node.bind_address,
            port_map=tuple(sorted(node.port_map.items())),
            access_log=node.access_log,
        )

    def add(self, session: ProxySession) -> None:
        self.sessions[session] = None
        self._streams[session.name] += 1
        self.metrics.streams.add()
        log.info(
            "proxy connected",
            proxy=session.name,
            type=session.node.type,
            identity=session.peer.identity.spiffe_id,
        )
        self.moved(session)
        self.changed(session)

    def remove(self, session: ProxySession) -> None:
        self.sessions.pop(session, None)
        self._streams[session.name] -= 1
        if not self._streams[session.name]:
            del self._streams[session.name]
        self.departed += 1
        self.views.let_go(session.held)
        log.info("proxy disconnected", proxy=session.name)
        self.moved(session)
        self.changed(session)

    def moved(self, session: ProxySession) -> None:
        for tell in self.on_moved:
            tell(session)

    def changed(self, session: ProxySession) -> None:
        for tell in self.on_changed:
            tell(session)

    # --- following ---

    def follow(self, facts: Iterable[Fact]) -> None:
        """Gives other layers to the proxies that are something else since these facts changed."""
        names = set()
        for fact in facts:
            if fact.kind in (FactKind.SELECTORS, FactKind.MESH):
                affected: Iterable[ProxySession] = tuple(self.sessions)
                break
            if fact.kind is FactKind.WORKLOAD:
                names.add(fact.name)
        else:
            affected = [s for s in self.sessions if names and _entry_name(s) in names]
        for session in affected:
            proxy = self._proxy(session.peer, session.node, session.said)
            if proxy != session.held.proxy:
                before, session.held = session.held, self.views.hold(proxy)
                session.stream.set_layers(session.held.layers)
                self.views.let_go(before)

    # --- for people ---

    def connected_names(self) -> set[str]:
        return {session.name for session in self.sessions}

    def states(self) -> list[ProxyState]:
        """The newest session of each proxy, by name."""
        newest = {session.name: session for session in self.sessions}
        return [session.state() for _, session in sorted(newest.items())]


def is_late(held: Credentials, now: float) -> bool:
    """Whether half of the certificate's life is over. It begins a while before it is issued (`CLOCK_SKEW`)."""
    return now > (held.not_before + CLOCK_SKEW + held.not_after) / 2


def with_credentials(state: ProxyState, said: Credentials | None, now: float) -> ProxyState:
    """And what its agent says of what it holds."""
    if said is None:
        return state
    return msgspec.structs.replace(
        state,
        certificate_expires_at=said.not_after,
        credentials=CredentialState(
            serial=said.serial,
            root=said.root,
            trusts=said.trusts,
            not_before=said.not_before,
            not_after=said.not_after,
            problem=said.problem,
            late=is_late(said, now),
        ),
    )


def disconnected(name: str) -> ProxyState:
    """Of a proxy that is known (`workload.namespace`) and away."""
    workload, _, namespace = name.rpartition(".")
    return ProxyState(
        name=name,
        namespace=namespace,
        workload=workload,
        service_account="",
        type="",
        connected=False,
        connected_since=0.0,
        synced=False,
        certificate_expires_at=0.0,
        types=(),
    )


def _entry_name(session: ProxySession) -> str:
    return f"{session.peer.identity.namespace}/{session.peer.identity.workload}"


def _parted(node: ProxyNode) -> tuple[str, ...]:
    """Only what there can be: each combination has a view of its own."""
    return tuple(one for one in node.parted[:MOST_PARTED] if _may_be_parted(node, one))


def _may_be_parted(node: ProxyNode, route: str) -> bool:
    if node.type == ProxyType.ROUTER:
        protocol, _, port = route.partition(".")
        return protocol == "http" and port.isdigit()
    return route == HTTP_PROXY if node.interception == Interception.EXPLICIT else route.isdigit()


def proxy_node(node: Node) -> ProxyNode:
    """What a proxy says of itself. Raises Refused."""
    metadata: dict[str, Any] = MessageToDict(node.metadata)
    described = metadata.get(METADATA_KEY, {})
    try:
        # Every number in a protobuf Struct is a double, every key a text.
        said = msgspec.convert(_whole(described), ProxyNode, strict=False)
        ProxyType(said.type), Interception(said.interception)
        return said
    except ValueError as error:
        raise Refused(
            f"node.metadata[{METADATA_KEY!r}]: {error}; agent and server differ in version?"
        ) from error


def texts(node: Node) -> Pairs:
    """What its metadata says in plain texts (NAME, NAMESPACE, ISTIO_VERSION), sorted; the first of many."""
    found = sorted(
        (key, value.string_value)
        for key, value in node.metadata.fields.items()
        if value.HasField("string_value") and max(len(key), len(value.string_value)) <= LONGEST_TEXT
    )
    return tuple(found[:MOST_TEXTS])


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
