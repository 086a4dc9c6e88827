"""Annotations in Istio's name: that they exist, stand on the right kind of object, and have a value that can be read.

# Istio: analyzers/annotations
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.explain.analysis import parts
from argosy.explain.analysis.annotation_table import ANNOTATIONS, ANY, VALUES
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.world import Item, World

KINDS = ("Namespace", "Service", "Pod", "Deployment")
INJECT = "sidecar.istio.io/inject"


def of_object(_world: World, item: Item) -> Iterator[Finding]:
    for name, value in item.annotations.items():
        if not _of_istio(name):
            continue
        field = f"metadata.annotations[{name}]"
        known = ANNOTATIONS.get(name)
        if known is None:
            yield found("UnknownAnnotation", item, field, annotation=name)
            continue
        if known.deprecated and not (name == INJECT and INJECT in item.labels):
            yield found("DeprecatedAnnotation", item, field, annotation=name, instead=known.instead)
        if ANY in known.kinds:
            continue
        if item.kind not in known.kinds:
            yield found("MisplacedAnnotation", item, field, annotation=name, kinds=parts.joined(known.kinds))
        elif name in VALUES and (problem := VALUES[name](value)):
            yield found("InvalidAnnotation", item, field, annotation=name, value=value, problem=problem)


def _of_istio(name: str) -> bool:
    return name == "kubernetes.io/ingress.class" or name.partition("/")[0].endswith("istio.io")


ANALYZERS = (
    Analyzer(
        name="annotations.K8sAnalyzer",
        description="Istio's annotations on Namespaces, Services, Pods and Deployments",
        names=("UnknownAnnotation", "DeprecatedAnnotation", "MisplacedAnnotation", "InvalidAnnotation"),
        kinds=KINDS,
        rules=(of_object,),
    ),
)
