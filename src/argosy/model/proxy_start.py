"""What a proxy is started with: MeshConfig's defaultConfig, ProxyConfig objects, and what the workload says itself.

Facts (Istio): a field that is said again replaces what was said, but for proxyMetadata, which is merged by its names.
In this order: the mesh, the root namespace's ProxyConfig, the namespace's, the workload's annotation, the ProxyConfig
that selects the workload. Of several the oldest counts. It holds when a proxy is started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from argosy.model.ir import Pairs
from argosy.resources.networking import ProxyConfig
from argosy.resources.proxy_start import ProxyStart, read, typed

if TYPE_CHECKING:
    from argosy.model.snapshot import Snapshot

_MERGED = "proxyMetadata"


class ProxyConfigRule(Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    created: str = ""
    labels: Pairs | None = None  # ALL of them; None: every workload
    concurrency: int | None = None
    environment: Pairs = ()

    @property
    def age(self) -> tuple[str, str, str]:
        return (self.created, self.name, self.namespace)

    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = {} if self.concurrency is None else {"concurrency": self.concurrency}
        return found | ({_MERGED: dict(self.environment)} if self.environment else {})


def lower(obj: ProxyConfig) -> ProxyConfigRule:
    """Facts (Istio): a selector without labels selects nothing, and is for nobody."""
    meta, spec = obj.metadata, obj.spec
    return ProxyConfigRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        labels=None if spec.selector is None else tuple(sorted(spec.selector.match_labels.items())),
        concurrency=spec.concurrency,
        environment=tuple(sorted(spec.environment_variables.items())),
    )


def merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Later layers have precedence."""
    found: dict[str, Any] = {}
    for layer in layers:
        together = {**(found.get(_MERGED) or {}), **(layer.get(_MERGED) or {})}
        found |= layer
        if together:
            found[_MERGED] = together
    return found


def start_of(
    snapshot: Snapshot, namespace: str, labels: Mapping[str, str], annotations: Iterable[str] = ()
) -> ProxyStart:
    """What a workload's proxy is started with. `annotations`: ProxyConfigs in YAML, the last one has precedence.

    Raises ValueError for an annotation that cannot be used.
    """
    mesh = snapshot.mesh
    configs = snapshot.proxy_configs.by_namespace
    has = labels.items()
    layers: list[Mapping[str, Any]] = [msgspec.json.decode(mesh.default_config or "{}")]
    for place in dict.fromkeys((mesh.root_namespace, namespace)):
        layers += [rule.said() for rule in configs.get(place) if rule.labels is None][:1]
    layers += [read(text) for text in annotations]
    layers += [rule.said() for rule in configs.get(namespace) if rule.labels and has >= set(rule.labels)][:1]
    return typed(merged(layers))
