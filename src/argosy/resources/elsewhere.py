"""Kinds of Kubernetes of which a mesh never holds an object: what runs, and what a cluster gives it.

Clients of Kubernetes ask for them all the same: `kubectl apply --prune` lists each of its own kinds, and fails at the
first that the server does not know. So they are found and listed, and their lists are empty; a write is refused with
`REASON`. They belong to no category, and what is made from the mesh's kinds knows nothing of them: the collector, say,
must not take the owner of an object for gone that lives in a cluster.
# Kubernetes: kubectl pkg/util/prune, the default allowlist (the same from 1.29 to 1.37)
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from argosy.resources.kind import Kind
from argosy.resources.meta import Object

REASON = "Argosy holds the mesh's configuration; workloads, and what a cluster gives them, are elsewhere"


class Elsewhere(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A kind of Kubernetes that clients look for. There are no such objects here, and none can be written: Argosy holds
    the mesh's configuration; workloads, and what a cluster gives them, are elsewhere."""

    spec: dict[str, Any] = field(default_factory=dict)
    """As in Kubernetes."""
    status: dict[str, Any] = field(default_factory=dict)
    """As in Kubernetes."""


def _kind(group: str, kind: str, plural: str, short_name: str = "", *, namespaced: bool = True) -> Kind:
    return Kind(
        group=group,
        versions=("v1",),
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        short_names=(short_name,) if short_name else (),
        namespaced=namespaced,
        builtin=True,
        virtual=True,
        read_only=True,
        why_read_only=REASON,
        struct=Elsewhere,
    )


KINDS = (
    _kind("", "Pod", "pods", "po"),
    _kind("", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc"),
    _kind("", "PersistentVolume", "persistentvolumes", "pv", namespaced=False),
    _kind("", "ReplicationController", "replicationcontrollers", "rc"),
    _kind("apps", "DaemonSet", "daemonsets", "ds"),
    _kind("apps", "Deployment", "deployments", "deploy"),
    _kind("apps", "ReplicaSet", "replicasets", "rs"),
    _kind("apps", "StatefulSet", "statefulsets", "sts"),
    _kind("batch", "CronJob", "cronjobs", "cj"),
    _kind("batch", "Job", "jobs"),
)
