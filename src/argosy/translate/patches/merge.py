"""MERGE: protobuf's merge, as Istio does it.

Scalars are replaced, messages merged field by field, lists get more items, entries of maps are replaced as a whole;
durations, wrappers and packed messages (Any) are values and are replaced. What a filter or a transport socket is
configured with is unpacked and merged where the types agree (`configuration`).
# Istio: pkg/proto/merge, util.MergeAnyWithAny
"""

from __future__ import annotations

from typing import Any

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from argosy.resources.semantics import envoy_parts
from argosy.translate import wire
from argosy.translate.patches.values import PatchError

_VALUES = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Any",
        "Duration",
        "Timestamp",
        "BoolValue",
        "BytesValue",
        "DoubleValue",
        "FloatValue",
        "Int32Value",
        "Int64Value",
        "StringValue",
        "UInt32Value",
        "UInt64Value",
    )
)


def merge(into: Message, more: Message) -> None:
    """Both of one type."""
    for field, given in more.ListFields():
        held = getattr(into, field.name)
        if _is_map(field):
            _merge_map(held, given)
        elif field.is_repeated:
            held.extend(given)
        elif field.message_type is None:
            setattr(into, field.name, given)
        elif field.message_type.full_name in _VALUES:
            held.CopyFrom(given)
        else:
            held.SetInParent()
            merge(held, given)


def _is_map(field: FieldDescriptor) -> bool:
    inner = field.message_type
    return bool(field.is_repeated and inner is not None and inner.GetOptions().map_entry)


def _merge_map(held: Any, given: Any) -> None:
    for key, item in given.items():
        if isinstance(item, Message):
            held[key].CopyFrom(item)
        else:
            held[key] = item


def configuration(into: Packed, more: Packed) -> None:
    """Merges what is packed. Raises PatchError where the types differ, or are not known here."""
    if into.type_url != more.type_url:
        raise PatchError(
            f"patch.value: is a {_name(more)}, and what is there is a {_name(into)}: use REPLACE"
        )
    kind = envoy_parts.message_class(_name(into))
    if kind is None:
        raise PatchError(f"patch.value: {_name(into)} is no type that this version knows: use REPLACE")
    held, given = kind.FromString(into.value), kind.FromString(more.value)
    merge(held, given)
    into.CopyFrom(wire.pack(held))


def _name(packed: Packed) -> str:
    return packed.type_url.rpartition("/")[2]
