"""Patches as people write them, short, and what becomes of a resource with them."""

from __future__ import annotations

import re
from typing import Any

import yaml
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from argosy.model.envoy_patches import EnvoyPatch
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.resources.semantics import envoy_parts
from argosy.translate.generator import resource
from argosy.translate.patches.patched import Patched, PatchKey, patched
from argosy.translate.patches.subject import Subject

Json = dict[str, Any]
TYPES = "type.googleapis.com/envoy.extensions"
MANAGER = "envoy.filters.network.http_connection_manager"
MANAGER_TYPE = f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"


def lowered(*patches: Json | str) -> tuple[EnvoyPatch, ...]:
    """Patches (a dict or YAML) as the model has them."""
    written = [yaml.safe_load(one) if isinstance(one, str) else one for one in patches]
    body = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "e", "namespace": "default"},
        "spec": {"configPatches": written},
    }
    snapshot = Snapshot()
    snapshot.put_config(decode(body))
    assert not snapshot.rejected
    return tuple(one.patch for one in Reader(snapshot).envoy_filters(Scope()))


def outcome(type_url: str, message: Message, subject: Subject, *patches: Json | str) -> Patched:
    made = resource(getattr(message, "name", "") or "r", message)
    return patched(PatchKey(made=made, type_url=type_url, subject=subject, patches=lowered(*patches)))


def after(type_url: str, message: Message, subject: Subject, *patches: Json | str) -> Json | None:
    """The resource with patches, all of which can be made, as protobuf JSON; None where it is removed."""
    found = outcome(type_url, message, subject, *patches)
    assert found.failed == ()
    if found.made is None:
        return None
    packed = discovery_pb2.Resource.FromString(found.made.frame).resource
    told: Json = json_format.MessageToDict(packed, preserving_proto_field_name=True)
    told.pop("@type")
    return told


def message(kind: type[Message], text: str) -> Any:
    """A message from YAML, whatever types are packed in it."""
    for name in re.findall(r"type\.googleapis\.com/([\w.]+)", text):
        assert envoy_parts.message_class(name) is not None, name
    return json_format.ParseDict(yaml.safe_load(text), kind())
