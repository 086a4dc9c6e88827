"""The messages of the SPIFFE Workload API, made from their description: nothing is generated, and nothing of them is
in the pool that applications' own copies would share.

Facts: SPIFFE_Workload_API.md and workload.proto (no package; service SpiffeWorkloadAPI).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

SERVICE = "SpiffeWorkloadAPI"
_STRING, _MESSAGE, _BYTES = 9, 11, 12  # FieldDescriptorProto.Type
_ONE, _MANY = 1, 3  # FieldDescriptorProto.Label
_MAP_OF_BYTES = "map"
_STRUCT = ".google.protobuf.Struct"

FIELDS: dict[str, tuple[tuple[str, int, int, int, str], ...]] = {
    "X509SVIDRequest": (),
    "X509SVIDResponse": (
        ("svids", 1, _MESSAGE, _MANY, ".X509SVID"),
        ("crl", 2, _BYTES, _MANY, ""),
        ("federated_bundles", 3, _MESSAGE, _MANY, _MAP_OF_BYTES),
    ),
    "X509SVID": (
        ("spiffe_id", 1, _STRING, _ONE, ""),
        ("x509_svid", 2, _BYTES, _ONE, ""),
        ("x509_svid_key", 3, _BYTES, _ONE, ""),
        ("bundle", 4, _BYTES, _ONE, ""),
        ("hint", 5, _STRING, _ONE, ""),
    ),
    "X509BundlesRequest": (),
    "X509BundlesResponse": (
        ("crl", 1, _BYTES, _MANY, ""),
        ("bundles", 2, _MESSAGE, _MANY, _MAP_OF_BYTES),
    ),
    "JWTSVIDRequest": (("audience", 1, _STRING, _MANY, ""), ("spiffe_id", 2, _STRING, _ONE, "")),
    "JWTSVIDResponse": (("svids", 1, _MESSAGE, _MANY, ".JWTSVID"),),
    "JWTSVID": (
        ("spiffe_id", 1, _STRING, _ONE, ""),
        ("svid", 2, _STRING, _ONE, ""),
        ("hint", 3, _STRING, _ONE, ""),
    ),
    "JWTBundlesRequest": (),
    "JWTBundlesResponse": (("bundles", 1, _MESSAGE, _MANY, _MAP_OF_BYTES),),
    "ValidateJWTSVIDRequest": (("audience", 1, _STRING, _ONE, ""), ("svid", 2, _STRING, _ONE, "")),
    "ValidateJWTSVIDResponse": (
        ("spiffe_id", 1, _STRING, _ONE, ""),
        ("claims", 2, _MESSAGE, _ONE, _STRUCT),
    ),
}
"""Message -> (field, number, type, label, type of a message)."""


@cache
def message(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="argosy/workload.proto", syntax="proto3", dependency=["google/protobuf/struct.proto"]
    )
    for name, fields in FIELDS.items():
        described = file.message_type.add(name=name)
        for field, number, type, label, of in fields:
            if of == _MAP_OF_BYTES:
                entry = "".join(part.capitalize() for part in field.split("_")) + "Entry"
                of = f".{name}.{entry}"
                pair = described.nested_type.add(name=entry)
                pair.options.map_entry = True
                pair.field.add(name="key", number=1, type=_STRING, label=_ONE)
                pair.field.add(name="value", number=2, type=_BYTES, label=_ONE)
            described.field.add(name=field, number=number, type=type, label=label, type_name=of or None)
    pool.Add(file)
    return pool
