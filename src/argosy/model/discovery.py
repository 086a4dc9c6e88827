"""Which namespaces the mesh sees: MeshConfig's discoverySelectors on the labels of Namespace objects.

Rule: what stands in a namespace that is not seen is kept out of model and registry as a whole, services, workloads and
configuration alike. Facts (Istio): one selector that fits is enough; without selectors every namespace is seen; a
namespace without an object is not. Unlike Istio's, the root namespace is always seen: its policies are the mesh's, and
to label namespaces must not take them away.
"""

from __future__ import annotations

from collections.abc import Iterable

from argosy.model import ir
from argosy.resources.core import ConfigMap, Namespace
from argosy.resources.meta import Object
from argosy.resources.selector import LabelSelector

NAME_LABEL = "kubernetes.io/metadata.name"
"""Which Kubernetes gives to every namespace."""


class Discovery:
    def __init__(self, mesh: ir.Mesh) -> None:
        self._mesh = mesh
        self._labels: dict[str, dict[str, str]] = {}  # namespace -> labels

    @property
    def selectors(self) -> tuple[LabelSelector, ...]:
        return self._mesh.discovery

    def settings(self, mesh: ir.Mesh) -> None:
        self._mesh = mesh

    def namespace(self, name: str, labels: dict[str, str] | None) -> None:
        """`labels` None: it is gone."""
        if labels is None:
            self._labels.pop(name, None)
        else:
            self._labels[name] = {NAME_LABEL: name, **labels}

    def sees(self, namespace: str) -> bool:
        if not self.selectors or namespace in ("", self._mesh.root_namespace):
            return True
        labels = self._labels.get(namespace)
        return labels is not None and any(one.selects(labels) for one in self.selectors)


def seen(found: Iterable[Object], mesh: ir.Mesh) -> list[Object]:
    """Of objects that are all there is, those that the mesh sees; its settings among them, whatever they say."""
    objects = list(found)
    discovery = Discovery(mesh)
    for one in objects:
        if isinstance(one, Namespace):
            discovery.namespace(one.metadata.name, one.metadata.labels)
    return [one for one in objects if isinstance(one, ConfigMap) or discovery.sees(one.metadata.namespace)]
