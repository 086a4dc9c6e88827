"""ADD of listeners, clusters and extension configurations: resources that nothing else leads to."""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.listener.v3 import listener_pb2
from google.protobuf.message import Message
from msgspec import Struct

from argosy.model.envoy_patches import EnvoyPatch, Operation, Part, PlacedPatch, Side
from argosy.translate.generator import generator
from argosy.translate.patches.patched import follow_of
from argosy.translate.patches.values import PatchError, shared_value
from argosy.translate.resource import CLUSTER, EXTENSION, LISTENER

_KINDS: dict[Part, tuple[str, type[Message]]] = {
    Part.LISTENER: (LISTENER, listener_pb2.Listener),
    Part.CLUSTER: (CLUSTER, cluster_pb2.Cluster),
    Part.EXTENSION_CONFIG: (EXTENSION, extension_pb2.TypedExtensionConfig),
}

Place = tuple[str, str]
"""(type URL, name)."""


class AdditionKey(Struct, frozen=True, kw_only=True):
    name: str
    patch: EnvoyPatch
    follow: str | None = None


@generator
def addition(key: AdditionKey) -> Message:
    return shared_value(key.patch, _KINDS[key.patch.part][1])


def of(
    patches: tuple[PlacedPatch, ...], sides: tuple[Side, ...]
) -> tuple[dict[Place, tuple[PlacedPatch, AdditionKey]], dict[PlacedPatch, str]]:
    """What is added, the first of a name; and what cannot be, with the reason."""
    found: dict[Place, tuple[PlacedPatch, AdditionKey]] = {}
    failed: dict[PlacedPatch, str] = {}
    for one in patches:
        patch = one.patch
        if patch.operation is not Operation.ADD or patch.part not in _KINDS:
            continue
        if patch.side not in (Side.ANY, *sides):
            continue
        type_url, kind = _KINDS[patch.part]
        try:
            message = shared_value(patch, kind)
            name = str(getattr(message, "name", ""))
            if not name:
                raise PatchError("patch.value.name: is missing; name what is added")
        except PatchError as error:
            failed[one] = str(error)
            continue
        follow = follow_of(message) if isinstance(message, cluster_pb2.Cluster) else None
        found.setdefault((type_url, name), (one, AdditionKey(name=name, patch=patch, follow=follow)))
    return found, failed
