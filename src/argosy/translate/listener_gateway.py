"""Listeners of a gateway: one a port that Gateway servers name, with the routes of that port by RDS."""

from __future__ import annotations

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from msgspec import Struct

from argosy.translate import connection_manager, names, wire
from argosy.translate.connection_manager import ConnectionManager, Place
from argosy.translate.filters import access_log
from argosy.translate.generator import generator


class GatewayListenerKey(Struct, frozen=True, kw_only=True):
    address: str
    bind: int  # the port really bound
    port: int  # the port that Gateways speak of
    log: access_log.AccessLog = access_log.OFF

    @property
    def name(self) -> str:
        return f"{self.address}_{self.port}"


@generator
def gateway_listener(key: GatewayListenerKey) -> listener_pb2.Listener:
    manager = ConnectionManager(
        place=Place.GATEWAY,
        route=names.gateway_route(key.port),
        stat_prefix=f"gateway_{key.port}",
        log=key.log,
    )
    return listener_pb2.Listener(
        name=key.name,
        address=wire.address(key.address, key.bind),
        traffic_direction=wire.OUTBOUND,
        enable_reuse_port=wire.false(),
        filter_chains=[
            listener_components_pb2.FilterChain(filters=[connection_manager.network_filter(manager)])
        ],
    )
