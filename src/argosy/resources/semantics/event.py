"""Event: it is where its object is.

Where its own namespace is still empty, in a file, that is for the command to say (`argosy apply -n shop`).

# Kubernetes: core/v1 legacyValidateEvent
"""

from __future__ import annotations

from argosy.resources.events import Event
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

_OF_THE_CLUSTER = ("", "default", "kube-system")


def check(obj: Event, findings: Findings) -> None:
    namespace, about = obj.metadata.namespace, obj.involved_object.namespace
    if about and namespace and about != namespace:
        findings.error(
            "involvedObject.namespace",
            f"{names.shown(about)} is not the namespace of the event ({names.shown(namespace)}); use the same",
        )
    elif not about and namespace not in _OF_THE_CLUSTER:
        findings.error(
            "involvedObject.namespace",
            f"is missing: events in {names.shown(namespace)} are about objects of that namespace; those about objects "
            "of the cluster stand in default",
        )
