"""Telemetry to `TelemetryRule`.

Facts (Istio): one entry of tracing is used, and of that one provider; a Gateway of the Gateway API selects the proxies
with its label.
"""

from __future__ import annotations

from argosy.model.lower_envoy_filter import GATEWAY, GATEWAY_LABEL
from argosy.model.lower_http import pairs
from argosy.model.metrics import ALL_METRICS, MetricsRule, called, expression
from argosy.model.providers import Tag
from argosy.model.scope import Selector, SelectorUse
from argosy.model.telemetry import (
    LoggingRule,
    MetricsEntry,
    Side,
    TelemetryRule,
    TracingRule,
)
from argosy.resources.semantics import expressions
from argosy.resources.telemetry import (
    AccessLogging,
    CustomTag,
    Metrics,
    TagOperation,
    TagOverride,
    Telemetry,
    Tracing,
    WorkloadMode,
)

BOTH = (Side.CLIENT, Side.SERVER)


def lower(obj: Telemetry) -> TelemetryRule:
    meta, spec = obj.metadata, obj.spec
    return TelemetryRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        selectors=_selectors(obj),
        logging=tuple(_logging(one) for one in spec.access_logging),
        tracing=tuple(_tracing(one) for one in spec.tracing),
        metrics=tuple(_metrics(one) for one in spec.metrics),
    )


def _selectors(obj: Telemetry) -> tuple[Selector, ...] | None:
    namespace, spec = obj.metadata.namespace, obj.spec
    refs = spec.target_refs or ((spec.target_ref,) if spec.target_ref is not None else ())
    if refs:
        names = sorted({ref.name for ref in refs if (ref.group, ref.kind) == GATEWAY})
        return tuple(_selector(namespace, {GATEWAY_LABEL: name}) for name in names)
    if spec.selector is None or not spec.selector.match_labels:
        return None
    return (_selector(namespace, spec.selector.match_labels),)


def _selector(namespace: str, labels: dict[str, str]) -> Selector:
    return Selector(SelectorUse.TELEMETRY, pairs(labels), namespace)


def _sides(mode: WorkloadMode) -> tuple[Side, ...]:
    return BOTH if mode is WorkloadMode.CLIENT_AND_SERVER else (Side(mode.value),)


def _logging(one: AccessLogging) -> LoggingRule:
    return LoggingRule(
        sides=_sides(one.match.mode) if one.match else BOTH,
        providers=tuple(dict.fromkeys(ref.name for ref in one.providers)),
        disabled=bool(one.disabled),
        expression=one.filter.expression if one.filter else "",
    )


def _tracing(one: Tracing) -> TracingRule:
    return TracingRule(
        sides=_sides(one.match.mode) if one.match else BOTH,
        provider=one.providers[0].name if one.providers else "",
        sampling=one.random_sampling_percentage,
        disabled=one.disable_span_reporting,
        tags=tuple(
            made
            for name, one_tag in sorted(one.custom_tags.items())
            if (made := tag(name, one_tag)) is not None
        )
        or None,
        by_request_id=one.use_request_id_for_trace_sampling,
        own_tags=one.enable_istio_tags,
        propagates=None if one.disable_context_propagation is None else not one.disable_context_propagation,
    )


def tag(name: str, written: CustomTag) -> Tag | None:
    """None for one that says nothing: Envoy would refuse the listener."""
    if written.environment is not None:
        return Tag(name=name, environment=written.environment.name, default=written.environment.default_value)
    if written.header is not None:
        return Tag(name=name, header=written.header.name, default=written.header.default_value)
    if written.formatter is not None:
        return Tag(name=name, formatter=written.formatter.value)
    return Tag(name=name, literal=written.literal.value) if written.literal is not None else None


def _metrics(one: Metrics) -> MetricsEntry:
    rules = []
    for override in one.overrides:
        match = override.match
        metric = ALL_METRICS
        if match is not None and match.custom_metric is not None:
            metric = called(match.custom_metric)
        elif match is not None and match.metric is not None:
            metric = match.metric.value
        tags = (_override(name, one) for name, one in sorted(override.tag_overrides.items()))
        said = tuple(tag for tag in tags if tag is not None)
        rules.append((_sides(match.mode) if match else BOTH, MetricsRule(metric, override.disabled, said)))
    return MetricsEntry(tuple(ref.name for ref in one.providers), tuple(rules))


def _override(name: str, written: TagOverride) -> tuple[str, str] | None:
    """None: of a value that no proxy could make (`limits` says so)."""
    if written.operation is TagOperation.REMOVE:
        return name, ""
    if expressions.problem_of_value(written.value) is not None:
        return None
    return name, expression(expressions.value(written.value))
