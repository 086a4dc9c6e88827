"""Tracing as MeshConfig's defaultConfig has it: where no Telemetry and no provider says more.

Facts (Istio): without a provider, `enableTracing` sends spans to the collector of defaultConfig. Sampling, tags and the
length of paths hold for providers, too, where these and Telemetry say nothing of their own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from argosy.model import ir
from argosy.model.lower_providers import ZIPKIN_PATH
from argosy.model.lower_telemetry import tag
from argosy.model.providers import Collector, Tag, Tracer, TracerKind
from argosy.resources.meshconfig import MeshConfig
from argosy.resources.telemetry import CustomTag


def tracer(config: MeshConfig) -> Tracer | None:
    written = _tracing(config)
    if not config.enable_tracing:
        return None
    for name, kind, path in (("zipkin", TracerKind.ZIPKIN, ZIPKIN_PATH), ("datadog", TracerKind.DATADOG, "")):
        if (to := _collector(written.get(name))) is not None:
            return Tracer(kind=kind, to=to, path=path)
    return None


def _collector(written: Any) -> Collector | None:
    address = written.get("address") if isinstance(written, dict) else None
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    return Collector(host, int(port)) if host and port.isdigit() else None


def tags(config: MeshConfig) -> tuple[Tag, ...]:
    written = _tracing(config).get("customTags")
    found = []
    for name, one in sorted(written.items()) if isinstance(written, dict) else ():
        try:
            found.append(tag(str(name), msgspec.convert(one, CustomTag)))
        except msgspec.ValidationError:
            continue
    return tuple(one for one in found if one is not None)


def own_tags(config: MeshConfig) -> bool:
    return _tracing(config).get("enableIstioTags") is not False


def sampling(config: MeshConfig) -> float:
    """Facts (Istio): what is no percentage is the default."""
    written = _tracing(config).get("sampling")
    if isinstance(written, bool) or not isinstance(written, int | float) or not 0 <= written <= 100:
        return ir.Mesh().trace_sampling
    return float(written) or ir.Mesh().trace_sampling


def tag_length(config: MeshConfig) -> int | None:
    written = _tracing(config).get("maxPathTagLength")
    return written if isinstance(written, int) and 0 < written < 2**32 else None


def mesh_id(config: MeshConfig) -> str:
    written = (config.default_config or {}).get("meshId")
    return written if isinstance(written, str) else ""


def _tracing(config: MeshConfig) -> dict[str, Any]:
    written = (config.default_config or {}).get("tracing")
    return written if isinstance(written, dict) else {}
