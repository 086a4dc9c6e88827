"""The protocol of the shop's inventory: `shop.Inventory/Stock` over gRPC, its messages described here in code.

message StockRequest  { int32 product = 1; }
message StockResponse { int32 pieces = 1; string warehouse = 2; string caller = 3; }
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

METHOD = "/shop.Inventory/Stock"
INT32, STRING = (
    descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
)
MESSAGES = {
    "StockRequest": (("product", INT32),),
    "StockResponse": (("pieces", INT32), ("warehouse", STRING), ("caller", STRING)),
}


def described() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="shop/inventory.proto", package="shop", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            message.field.add(
                name=field, number=number, type=kind, label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
            )
    return file


POOL = descriptor_pool.DescriptorPool()
POOL.Add(described())
StockRequest: Any = message_factory.GetMessageClass(POOL.FindMessageTypeByName("shop.StockRequest"))
StockResponse: Any = message_factory.GetMessageClass(POOL.FindMessageTypeByName("shop.StockResponse"))
