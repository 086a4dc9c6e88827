"""Telemetry: providers, sampling, tags, filters.

# Istio: ValidateTelemetry, CRD rules
"""

from __future__ import annotations

from argosy.resources.semantics import attachment, expressions, format_strings, headers, names
from argosy.resources.semantics.findings import Findings
from argosy.resources.telemetry import CustomTag, Metrics, MetricsOverrides, TagOperation, Telemetry, Tracing


def check(obj: Telemetry, findings: Findings) -> None:
    spec = obj.spec
    attachment.check(spec.selector, spec.target_ref, spec.target_refs, findings)
    if len(spec.tracing) > 1:
        findings.warn(
            "spec.tracing", f"has {len(spec.tracing)} entries; multiple tracing is not supported: keep one"
        )
    for index, tracing in enumerate(spec.tracing):
        _tracing(f"spec.tracing[{index}]", tracing, findings)
    for index, metrics in enumerate(spec.metrics):
        _metrics(f"spec.metrics[{index}]", metrics, findings)
    for index, logging in enumerate(spec.access_logging):
        if logging.filter is not None:
            at = f"spec.accessLogging[{index}].filter.expression"
            findings.error(at, expressions.problem(logging.filter.expression))


def _tracing(path: str, tracing: Tracing, findings: Findings) -> None:
    if len(tracing.providers) > 1:
        findings.warn(
            f"{path}.providers",
            f"has {len(tracing.providers)}; multiple providers are not supported: keep one",
        )
    for name, tag in tracing.custom_tags.items():
        if not name:
            findings.error(f"{path}.customTags", "has a tag without a name; name it")
        _tag(f"{path}.customTags[{name!r}]", tag, findings)


def _tag(path: str, tag: CustomTag, findings: Findings) -> None:
    fields = {
        "literal": tag.literal,
        "environment": tag.environment,
        "header": tag.header,
        "formatter": tag.formatter,
    }
    if not findings.at_most_one(path, fields):
        findings.warn(
            path, "says nothing, and is left out; give it literal, environment, header or formatter"
        )
    if tag.header is not None:
        findings.error(f"{path}.header.name", headers.sendable(tag.header.name))
    if tag.formatter is not None:
        findings.error(f"{path}.formatter.value", format_strings.in_header(tag.formatter.value))


def _metrics(path: str, metrics: Metrics, findings: Findings) -> None:
    findings.error(f"{path}.reportingInterval", names.duration(metrics.reporting_interval))
    for index, override in enumerate(metrics.overrides):
        _override(f"{path}.overrides[{index}]", override, findings)


def _override(path: str, override: MetricsOverrides, findings: Findings) -> None:
    match = override.match
    if match is not None and match.metric is not None and match.custom_metric is not None:
        findings.error(f"{path}.match", "has metric and customMetric; keep one of them")
    for name, tag in override.tag_overrides.items():
        at = f"{path}.tagOverrides[{name!r}]"
        if not name:
            findings.warn(f"{path}.tagOverrides", "has a tag without a name; name it")
        if tag.operation == TagOperation.UPSERT and not tag.value:
            findings.error(f"{at}.value", "must be set when operation is UPSERT; give it, or REMOVE the tag")
        elif tag.operation == TagOperation.REMOVE and tag.value:
            findings.error(f"{at}.value", "must not be set when operation is REMOVE; remove it")
        elif tag.value:
            findings.error(f"{at}.value", expressions.problem(tag.value))
