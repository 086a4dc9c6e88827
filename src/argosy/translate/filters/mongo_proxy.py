"""What a port that speaks MongoDB's protocol is counted by, before its bytes go on: operations, collections, replies.

Facts (Istio): a port of the protocol Mongo has it, whatever its routes lead to; Redis and MySQL are bytes. What the
filter does not understand it no longer looks at, and the connection goes on.
# Envoy: extensions.filters.network.mongo_proxy.v3.MongoProxy; its statistics begin with `mongo.PREFIX.`
"""

from __future__ import annotations

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.mongo_proxy.v3 import mongo_proxy_pb2

from argosy.model.ir import Protocol
from argosy.translate import wire

NAME = "envoy.filters.network.mongo_proxy"


def network_filters(protocol: Protocol, stat_prefix: str) -> tuple[listener_components_pb2.Filter, ...]:
    """What stands before the TCP proxy of a port."""
    if protocol is not Protocol.MONGO:
        return ()
    config = mongo_proxy_pb2.MongoProxy(stat_prefix=stat_prefix)
    return (listener_components_pb2.Filter(name=NAME, typed_config=wire.pack(config)),)
