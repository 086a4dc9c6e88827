"""Fault injection: idle in the chain, configured per route."""

from __future__ import annotations

from envoy.extensions.filters.common.fault.v3 import fault_pb2 as common_fault_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import any_pb2

from argosy.model.ir import Fault
from argosy.translate import wire

NAME = "envoy.filters.http.fault"


def http_filter() -> http_connection_manager_pb2.HttpFilter:
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=wire.pack(fault_pb2.HTTPFault()))


def per_route(fault: Fault) -> any_pb2.Any:
    out = fault_pb2.HTTPFault()
    if fault.delay is not None:
        out.delay.CopyFrom(
            common_fault_pb2.FaultDelay(
                fixed_delay=wire.milliseconds(fault.delay.duration), percentage=percent(fault.delay.percent)
            )
        )
    if fault.abort is not None:
        out.abort.percentage.CopyFrom(percent(fault.abort.percent))
        if fault.abort.grpc_status is not None:
            out.abort.grpc_status = fault.abort.grpc_status
        else:
            out.abort.http_status = fault.abort.http_status or 503
    return wire.pack(out)


def percent(value: float) -> percent_pb2.FractionalPercent:
    """Envoy: a millionth is the finest step."""
    return percent_pb2.FractionalPercent(
        numerator=round(value * 10_000), denominator=percent_pb2.FractionalPercent.MILLION
    )
