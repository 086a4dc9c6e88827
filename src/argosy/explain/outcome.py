"""What becomes of a request: one tree of frozen structs, as `argosy explain -o json` prints it.

`verdict` says where it ends; `steps` by which decisions it came there, in order; `misses` what came close.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.model.ir import Pairs


class Origin(Struct, frozen=True, omit_defaults=True):
    """A place in what people wrote. `file` and `line` are there where it was read from files."""

    kind: str
    namespace: str
    name: str
    field: str = ""
    file: str = ""
    line: int = 0

    @property
    def label(self) -> str:
        named = f"{self.kind} {self.namespace}/{self.name}" + (f" {self.field}" if self.field else "")
        return f"{named} ({self.file}:{self.line})" if self.file else named


class Step(Struct, frozen=True, omit_defaults=True):
    """One decision: `stage` is listener, virtual host, route, delegate, …"""

    stage: str
    name: str
    because: str = ""
    origins: tuple[Origin, ...] = ()


class Miss(Struct, frozen=True, omit_defaults=True):
    """What might have taken the request, and the first reason why it did not."""

    stage: str
    name: str
    because: str
    origins: tuple[Origin, ...] = ()


# --- where it ends --------------------------------------------------------------------------------------------------


class EndpointState(Struct, frozen=True, omit_defaults=True):
    address: str
    healthy: bool
    workload: str = ""  # namespace/name
    locality: str = ""
    tls: str = ""  # mutual | plaintext | originated
    mode: str = ""  # what its PeerAuthentication takes: STRICT, PERMISSIVE, DISABLE; "": it has no sidecar
    policies: tuple[Origin, ...] = ()  # that have their say there
    refused: str = ""  # why it would not take the connection, or the request
    admits: str = ""  # by which policy it takes it, or which came closest to that; or why that cannot be told
    asked: str = ""  # the provider (CUSTOM) that must let it in, too
    through: tuple[str, ...] = ()  # gateways of its network, any of which passes the connection on


class ClusterState(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A cluster as its caller has it. `missing` says why there is none; requests to it are answered 503."""

    name: str
    host: str = ""
    port: int = 0
    subset: str = ""
    missing: str = ""
    protocol: str = ""  # HTTP/1.1 | HTTP/2 | as the client speaks | TCP
    load_balancer: str = ""
    tls: str = ""
    limits: tuple[str, ...] = ()  # connection pool and circuit breakers, in words
    outlier_detection: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()  # Service, DestinationRule
    endpoints: tuple[EndpointState, ...] = ()

    @property
    def answers(self) -> bool:
        """Whether anybody can be there: a cluster that finds its endpoints by itself may have some."""
        by_itself = not self.endpoints and not self.missing and not self.host
        return by_itself or any(one.healthy and not one.refused for one in self.endpoints)

    @property
    def silence(self) -> str:
        """Why nobody answers; "" where somebody does."""
        if self.answers:
            return ""
        refusing = next((one.refused for one in self.endpoints if one.healthy and one.refused), "")
        return f"refused: {refusing}" if refusing else "nobody there"


class HeaderChanges(Struct, frozen=True, omit_defaults=True):
    """What is done at once to the headers of an answer: what goes, goes first; then what is set, then what is added."""

    removed: tuple[str, ...] = ()
    set: Pairs = ()
    added: Pairs = ()

    def of(self, headers: Pairs) -> Pairs:
        gone = {name.lower() for name in (*self.removed, *(name for name, _ in self.set))}
        kept = tuple(pair for pair in headers if pair[0].lower() not in gone)
        last = {name.lower(): value for name, value in self.set}
        return (*kept, *last.items(), *((name.lower(), value) for name, value in self.added))


class Target(Struct, frozen=True, omit_defaults=True):
    """One of the clusters among which a request is dealt, and what is sent there."""

    cluster: ClusterState
    weight: int = 1
    percent: float = 100.0
    authority: str = ""
    path: str = ""
    headers: Pairs = ()  # of the sender, after what the configuration does with them
    response: tuple[HeaderChanges, ...] = ()  # one after the other, to what it answers
    notes: tuple[str, ...] = ()  # what is not evaluated here


class Replied(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """How the proxy itself answers: a status, and to who speaks gRPC its status beside it."""

    status: int
    grpc_status: int | None = None


class Mirrored(Struct, frozen=True):
    cluster: ClusterState
    percent: float


class Retries(Struct, frozen=True, omit_defaults=True, rename="camel"):
    attempts: int
    on: tuple[str, ...]
    per_try_timeout_ms: int = 0

    def repeats(self, status: int | None) -> bool:
        """Whether an attempt is followed by another that ends with a status; None: with the connection, after the
        request was sent. Facts (Envoy): a reset counts as 5xx and as gateway-error."""
        on = set(self.on)
        if status is None:
            return bool(on & {"5xx", "gateway-error", "reset"})
        return (
            ("5xx" in on and status >= 500)
            or ("gateway-error" in on and status in (502, 503, 504))
            or ("retriable-4xx" in on and status == 409)
            or str(status) in on
        )


class Forwarded(Struct, frozen=True, omit_defaults=True, rename="camel", tag_field="is", tag="forwarded"):
    targets: tuple[Target, ...]
    timeout_ms: int = 0  # 0: none
    retries: Retries | None = None
    mirrors: tuple[Mirrored, ...] = ()
    hash_on: tuple[str, ...] = ()
    unserved: Replied = Replied(503)  # where nobody is there, with the headers of an answer of theirs


class Redirected(Struct, frozen=True, omit_defaults=True, rename="camel", tag_field="is", tag="redirected"):
    status: int
    location: str
    response: tuple[HeaderChanges, ...] = ()
    grpc_status: int | None = None


class Answered(Struct, frozen=True, omit_defaults=True, rename="camel", tag_field="is", tag="answered"):
    """By the proxy itself, as somebody wrote it."""

    status: int
    body: str = ""  # to who speaks gRPC: the message
    response: tuple[HeaderChanges, ...] = ()
    grpc_status: int | None = None
    location: str = ""


class Unrouted(Struct, frozen=True, omit_defaults=True, rename="camel", tag_field="is", tag="unrouted"):
    """By the proxy, because nothing says where it should go. `status` 0: the connection is closed."""

    status: int
    because: str
    grpc_status: int | None = None


class Undecided(Struct, frozen=True, tag_field="is", tag="undecided"):
    """What cannot be told from here."""

    because: str


Verdict = Forwarded | Redirected | Answered | Unrouted | Undecided


class FaultState(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What is done to a share of the requests before the verdict holds for the rest. An abort has the headers of an
    answer of those whom the request would have been sent to."""

    delay_ms: int = 0
    delay_percent: float = 0.0
    abort_status: int = 0
    abort_grpc_status: int | None = None
    abort_percent: float = 0.0


class Outcome(Struct, frozen=True, omit_defaults=True):
    sender: str
    request: str
    verdict: Verdict
    steps: tuple[Step, ...] = ()
    misses: tuple[Miss, ...] = ()
    fault: FaultState | None = None
    notes: tuple[str, ...] = ()

    @property
    def arrives(self) -> bool:
        """Whether somebody gets it, or an answer was written for it."""
        match self.verdict:
            case Forwarded(targets=targets):
                aborted = self.fault is not None and self.fault.abort_percent >= 100
                return not aborted and any(target.cluster.answers for target in targets)
            case Redirected() | Answered():
                return True
            case _:
                return False
