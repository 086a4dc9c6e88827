"""Pieces of Envoy's API that every kind of resource is made of: packed extensions, durations, addresses, ADS sources.

Everything is serialised deterministically: equal keys give equal bytes in every process.
"""

from __future__ import annotations

from typing import Any as Json

from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, extension_pb2, protocol_pb2
from envoy.extensions.http.header_formatters.preserve_case.v3 import preserve_case_pb2
from google.protobuf import any_pb2, duration_pb2, struct_pb2, wrappers_pb2
from google.protobuf.message import Message
from xds.type.v3 import typed_struct_pb2

from argosy.translate.resource import TYPE

UNLIMITED = 4294967295  # 2^32 - 1: Istio's default for every circuit breaker
INBOUND = base_pb2.TrafficDirection.INBOUND
OUTBOUND = base_pb2.TrafficDirection.OUTBOUND


def pack(message: Message) -> any_pb2.Any:
    return any_pb2.Any(
        type_url=TYPE + message.DESCRIPTOR.full_name, value=message.SerializeToString(deterministic=True)
    )


def typed_struct(type_name: str, value: dict[str, Json]) -> any_pb2.Any:
    """A message newer than our protobuf classes, by name and JSON.
    Envoy: any `typed_config` may be an xds.type.v3.TypedStruct."""
    body = struct_pb2.Struct()
    body.update(value)
    return pack(typed_struct_pb2.TypedStruct(type_url=TYPE + type_name, value=body))


def extension(name: str, message: Message) -> extension_pb2.TypedExtensionConfig:
    return extension_pb2.TypedExtensionConfig(name=name, typed_config=pack(message))


def milliseconds(value: int) -> duration_pb2.Duration:
    return duration_pb2.Duration(seconds=value // 1000, nanos=value % 1000 * 1_000_000)


def uint32(value: int) -> wrappers_pb2.UInt32Value:
    return wrappers_pb2.UInt32Value(value=value)


def true() -> wrappers_pb2.BoolValue:
    return wrappers_pb2.BoolValue(value=True)


def false() -> wrappers_pb2.BoolValue:
    return wrappers_pb2.BoolValue(value=False)


def preserved_case() -> protocol_pb2.Http1ProtocolOptions.HeaderKeyFormat:
    """HTTP/1 headers are called as they came, where Envoy writes lower case."""
    formatter = preserve_case_pb2.PreserveCaseFormatterConfig()
    return protocol_pb2.Http1ProtocolOptions.HeaderKeyFormat(
        stateful_formatter=extension("preserve_case", formatter)
    )


def address(host: str, port: int) -> address_pb2.Address:
    """A TCP address, or a Unix socket where `host` is `unix://path`."""
    if host.startswith("unix://"):
        return address_pb2.Address(pipe=address_pb2.Pipe(path=host.removeprefix("unix://")))
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port))


def network(cidr: str) -> address_pb2.CidrRange:
    prefix, _, length = cidr.partition("/")
    return address_pb2.CidrRange(address_prefix=prefix, prefix_len=uint32(int(length)))


def internal_address(listener: str, endpoint_id: str = "") -> address_pb2.Address:
    """The address of an internal listener (Envoy: needs the bootstrap extension `internal_listener`)."""
    return address_pb2.Address(
        envoy_internal_address=address_pb2.EnvoyInternalAddress(
            server_listener_name=listener, endpoint_id=endpoint_id
        )
    )


def ads() -> config_source_pb2.ConfigSource:
    """From the same ADS stream. No time-out: what uses it waits until it is there, so that no request meets a proxy
    that knows half of its configuration."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        resource_api_version=config_source_pb2.ApiVersion.V3,
        initial_fetch_timeout=duration_pb2.Duration(),
    )


def metadata(namespace: str, values: dict[str, Json]) -> base_pb2.Metadata:
    out = base_pb2.Metadata()
    out.filter_metadata[namespace].update(values)
    return out
