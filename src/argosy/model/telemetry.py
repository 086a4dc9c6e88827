"""What proxies report and where to: the providers of the mesh, what Telemetry objects say, and what comes of both.

Facts (Istio): of the root namespace, the workload's namespace and the workload itself the oldest object each counts, in
this order; what comes later says it anew. Providers that a step names are in force in place of those before; without
any, the mesh's defaults are. A gateway is a client.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from argosy.model import metrics
from argosy.model.ir import Mesh
from argosy.model.metrics import PROMETHEUS, Metrics, MetricsRule
from argosy.model.providers import FileLog, ServiceLog, Tag, Tracer
from argosy.model.scope import Selector


class Side(StrEnum):
    CLIENT = "CLIENT"
    SERVER = "SERVER"


class LoggingRule(Struct, frozen=True, kw_only=True):
    sides: tuple[Side, ...]
    providers: tuple[str, ...] = ()
    disabled: bool = False
    expression: str = ""  # CEL; "": every request


class TracingRule(Struct, frozen=True, kw_only=True):
    """What is None is as before."""

    sides: tuple[Side, ...]
    provider: str = ""
    sampling: float | None = None
    disabled: bool | None = None
    tags: tuple[Tag, ...] | None = None
    by_request_id: bool | None = None
    own_tags: bool | None = None  # Istio's
    propagates: bool | None = None


class MetricsEntry(Struct, frozen=True):
    providers: tuple[str, ...]  # (): those of the mesh
    rules: tuple[tuple[tuple[Side, ...], MetricsRule], ...]


class TelemetryRule(Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    created: str = ""
    selectors: tuple[Selector, ...] | None = None  # ANY; None: the whole namespace
    logging: tuple[LoggingRule, ...] = ()
    tracing: tuple[TracingRule, ...] = ()
    metrics: tuple[MetricsEntry, ...] = ()

    @property
    def age(self) -> tuple[str, str, str]:
        return (self.created, self.name, self.namespace)

    @property
    def groups(self) -> frozenset[str]:
        """Of the objects that the same proxies look at: those of a whole namespace, or of a selector."""
        if self.selectors is None:
            return frozenset((self.namespace,))
        return frozenset(selector.id for selector in self.selectors)


# --- what comes of it -----------------------------------------------------------------------------------------------


class Log(Struct, frozen=True):
    to: FileLog | ServiceLog
    expression: str = ""


class Tracing(Struct, frozen=True, kw_only=True):
    to: Tracer
    sampling: float  # percent
    tags: tuple[Tag, ...] = ()
    by_request_id: bool = True
    own_tags: bool = True
    propagates: bool = True
    max_tag_length: int | None = None


class Telemetry(Struct, frozen=True, kw_only=True):
    """Of one side of a proxy."""

    logs: tuple[Log, ...] = ()
    tracing: Tracing | None = None
    metrics: Metrics = metrics.AS_USUAL


def resolve(steps: Sequence[TelemetryRule], mesh: Mesh, side: Side) -> Telemetry:
    """`steps`: the objects that hold for a proxy, from the mesh's to its own."""
    return Telemetry(
        logs=_logs([rule.logging for rule in steps if rule.logging], mesh, side),
        tracing=_tracing([one for rule in steps for one in rule.tracing[:1]], mesh, side),
        metrics=metrics.resolve(_metrics((one for rule in steps for one in rule.metrics), side)),
    )


MESH = ""
"""The provider that `accessLogFile` is."""

BUILT_IN = "envoy"
"""A provider that is always there: standard output, in the form of the mesh, unless it says its own."""

STDOUT = "/dev/stdout"


def _logs(steps: Sequence[Sequence[LoggingRule]], mesh: Mesh, side: Side) -> tuple[Log, ...]:
    names = mesh.log_providers or (MESH,)
    said: dict[str, LoggingRule] = {}
    for step in steps:
        for rule in step:
            if side not in rule.sides:
                continue
            names = rule.providers or names
            said |= dict.fromkeys(names, rule)
        own = [name for rule in step if side in rule.sides for name in rule.providers]
        names = tuple(dict.fromkeys(own)) or names
    form = FileLog(path=mesh.access_log_file, json=mesh.access_log_json, format=mesh.access_log_format)
    providers: dict[str, FileLog | ServiceLog] = {BUILT_IN: replace(form, path=STDOUT)}
    for name, to in mesh.providers:
        if isinstance(to, FileLog):
            like = form if name == BUILT_IN and not to.format else to
            providers[name] = replace(to, json=like.json, format=like.format)
        elif isinstance(to, ServiceLog):
            providers[name] = to
    if form.path:
        providers[MESH] = form
    found = []
    for name in names:
        last = said.get(name)
        if name in providers and not (last and last.disabled):
            found.append(Log(providers[name], last.expression if last else ""))
    return tuple(found)


def _tracing(steps: Iterable[TracingRule], mesh: Mesh, side: Side) -> Tracing | None:
    merged = TracingRule(sides=(), provider=next(iter(mesh.tracing_providers), ""))
    any_said = bool(mesh.tracing_providers)
    for rule in steps:
        if side not in rule.sides:
            continue
        any_said = True
        changes = {
            name: value
            for name in ("sampling", "disabled", "tags", "by_request_id", "own_tags", "propagates")
            if (value := getattr(rule, name)) is not None
        }
        merged = replace(merged, provider=rule.provider or merged.provider, **changes)
    to = dict(mesh.providers).get(merged.provider) if merged.provider else mesh.tracer
    if not (any_said or mesh.tracer) or merged.disabled or not isinstance(to, Tracer):
        return None
    sampling = mesh.trace_sampling if merged.sampling is None else merged.sampling
    own_tags = mesh.trace_own_tags if not any_said else merged.own_tags is not False
    return Tracing(
        to=to,
        sampling=100.0 if to.sampler is not None else sampling,
        tags=merged.tags or mesh.trace_tags,
        by_request_id=merged.by_request_id is not False,
        own_tags=own_tags,
        propagates=merged.propagates is not False,
        max_tag_length=to.max_tag_length or mesh.trace_tag_length,
    )


def _metrics(entries: Iterable[MetricsEntry], side: Side) -> Iterator[MetricsRule]:
    """What is said for Prometheus. Entries for other providers are theirs alone."""
    for entry in entries:
        if entry.providers and PROMETHEUS not in entry.providers:
            continue
        yield from (rule for sides, rule in entry.rules if side in sides)
