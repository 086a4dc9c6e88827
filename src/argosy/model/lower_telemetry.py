"""Telemetry to `TelemetryRule`.

Facts (Istio): one entry of tracing is used, and of that one provider; a Gateway of the Gateway API selects the proxies
with its label.
"""

from __future__ import annotations

from argosy.model.lower_envoy_filter import GATEWAY, GATEWAY_LABEL
from argosy.model.lower_http import pairs
from argosy.model.scope import Selector, SelectorUse
from argosy.model.telemetry import (
    ALL_METRICS,
    LoggingRule,
    MetricsRule,
    Side,
    Tag,
    TelemetryRule,
    TracingRule,
)
from argosy.resources.telemetry import AccessLogging, CustomTag, Metrics, Telemetry, Tracing, WorkloadMode

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
        metrics=tuple(rule for one in spec.metrics for rule in _metrics(one)),
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
            made for name, tag in sorted(one.custom_tags.items()) if (made := _tag(name, tag)) is not None
        )
        or None,
        by_request_id=one.use_request_id_for_trace_sampling,
    )


def _tag(name: str, tag: CustomTag) -> Tag | None:
    """None for one that says nothing: Envoy would refuse the listener."""
    if tag.environment is not None:
        return Tag(name=name, environment=tag.environment.name, default=tag.environment.default_value)
    if tag.header is not None:
        return Tag(name=name, header=tag.header.name, default=tag.header.default_value)
    if tag.formatter is not None:
        return Tag(name=name, formatter=tag.formatter.value)
    return Tag(name=name, literal=tag.literal.value) if tag.literal is not None else None


def _metrics(one: Metrics) -> tuple[MetricsRule, ...]:
    found = []
    for override in one.overrides:
        match = override.match
        if override.disabled is None or (match is not None and match.custom_metric is not None):
            continue
        metric = match.metric.value if match is not None and match.metric is not None else ALL_METRICS
        found.append(MetricsRule(_sides(match.mode) if match else BOTH, metric, override.disabled))
    return tuple(found)
