"""CLUSTER: merged and removed. (ADD makes a resource of its own: see `additions`.)"""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2

from argosy.model.envoy_patches import Operation, Part
from argosy.translate.patches.merge import configuration, merge
from argosy.translate.patches.run import Run
from argosy.translate.patches.values import keeps_name, value


def apply(out: cluster_pb2.Cluster, run: Run) -> bool:
    """False: it is removed."""
    for index, patch in run.of(Part.CLUSTER):
        if patch.operation is Operation.REMOVE:
            run.applied.add(index)
            return False
        if patch.operation is Operation.MERGE:
            with run.making(index):
                more = value(patch, cluster_pb2.Cluster)
                keeps_name(out.name, more.name)
                if more.HasField("transport_socket"):
                    _merge_socket(out, more.transport_socket)
                    more.ClearField("transport_socket")
                merge(out, more)
    return True


def _merge_socket(out: cluster_pb2.Cluster, more: base_pb2.TransportSocket) -> None:
    """Facts (Istio): where endpoints choose among several, into the first of the same name, or nowhere; one of another
    name is replaced."""
    if out.transport_socket_matches:
        choices = [one.transport_socket for one in out.transport_socket_matches]
        held = next((one for one in choices if one.name == more.name), None)
        if held is not None:
            merge_same_socket(held, more)
    elif out.transport_socket.name == more.name:
        merge_same_socket(out.transport_socket, more)
    else:
        out.transport_socket.CopyFrom(more)


def merge_same_socket(held: base_pb2.TransportSocket, more: base_pb2.TransportSocket) -> None:
    """Both of one name."""
    if held.HasField("typed_config") and more.HasField("typed_config"):
        configuration(held.typed_config, more.typed_config)
    else:
        merge(held, more)
