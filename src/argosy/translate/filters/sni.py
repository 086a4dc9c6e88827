"""AUTO_PASSTHROUGH: connections go to the cluster that their server name is the name of.

Only names of the form `outbound_.PORT_.SUBSET_.HOST` are let through: their clusters pass bytes on as they come, to
endpoints that take mesh TLS alone. A client that names another cluster would else be let in with the gateway's
identity.
"""

from __future__ import annotations

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as filter_pb2
from envoy.extensions.filters.network.sni_cluster.v3 import sni_cluster_pb2

from argosy.translate import wire

PREFIX = "outbound_."


def to_its_cluster(stat_prefix: str) -> tuple[listener_components_pb2.Filter, ...]:
    """What stands before the TCP proxy."""
    permission = rbac_pb2.Permission()
    permission.requested_server_name.prefix = PREFIX
    allowed = rbac_pb2.Policy(permissions=[permission], principals=[rbac_pb2.Principal(any=True)])
    checks = filter_pb2.RBAC(
        stat_prefix=stat_prefix,
        rules=rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW, policies={"names-of-clusters": allowed}),
    )
    return (
        listener_components_pb2.Filter(name="envoy.filters.network.rbac", typed_config=wire.pack(checks)),
        listener_components_pb2.Filter(
            name="envoy.filters.network.sni_cluster", typed_config=wire.pack(sni_cluster_pb2.SniCluster())
        ),
    )
