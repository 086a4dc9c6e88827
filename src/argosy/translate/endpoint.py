"""ClusterLoadAssignments: the healthy endpoints of a cluster, by priority and locality.

Metadata: `envoy.transport_socket_match: {tlsMode: istio}` where mutual TLS is taken (automatic mTLS), and
`istio: {workload: "workload;namespace;app;version;"}` for telemetry. An endpoint's bytes are cached and joined: one
that moves costs the join of its neighbours, not their building.
"""

from __future__ import annotations

from functools import lru_cache

from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2
from msgspec import Struct

from argosy.translate import wire
from argosy.translate.generator import Encoded, field, generator


class EndpointKey(Struct, frozen=True, gc=False, kw_only=True, order=True):
    address: str
    port: int
    weight: int = 1
    mtls: int = 0  # 1: takes mesh mutual TLS
    workload: str = ""  # "workload;namespace;app;version;" or ""


class LocalityKey(Struct, frozen=True, kw_only=True, order=True):
    priority: int = 0  # those of a higher number are for when the others fail
    locality: str = ""  # region/zone/subzone
    share: int = 0  # of the requests, in place of the endpoints' weights; 0: these
    endpoints: tuple[EndpointKey, ...] = ()

    @property
    def weight(self) -> int:
        return self.share or min(sum(endpoint.weight for endpoint in self.endpoints), wire.UNLIMITED)


class LoadAssignmentKey(Struct, frozen=True, kw_only=True):
    name: str  # the cluster
    localities: tuple[LocalityKey, ...] = ()


@generator
def load_assignment(key: LoadAssignmentKey) -> Encoded:
    # Envoy: config.endpoint.v3.ClusterLoadAssignment: cluster_name = 1, endpoints = 2
    data = field(1, key.name.encode()) + b"".join(field(2, _locality(group)) for group in key.localities)
    return Encoded("envoy.config.endpoint.v3.ClusterLoadAssignment", data)


def locality(group: LocalityKey) -> endpoint_components_pb2.LocalityLbEndpoints:
    return endpoint_components_pb2.LocalityLbEndpoints.FromString(_locality(group))


def _locality(group: LocalityKey) -> bytes:
    out = endpoint_components_pb2.LocalityLbEndpoints(
        load_balancing_weight=wire.uint32(group.weight), priority=group.priority
    )
    if group.locality:
        region, zone, sub_zone, *_ = [*group.locality.split("/"), "", ""]
        out.locality.CopyFrom(base_pb2.Locality(region=region, zone=zone, sub_zone=sub_zone))
    # LocalityLbEndpoints: lb_endpoints = 2
    joined = b"".join(_endpoint(endpoint) for endpoint in group.endpoints)
    head: bytes = out.SerializeToString(deterministic=True)
    return head + joined


@lru_cache(maxsize=65536)
def _endpoint(key: EndpointKey) -> bytes:
    out = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=wire.address(key.address, key.port)),
        load_balancing_weight=wire.uint32(key.weight),
    )
    if key.mtls:
        matched = out.metadata.filter_metadata["envoy.transport_socket_match"]
        matched.fields["tlsMode"].string_value = "istio"
    if key.workload:
        out.metadata.filter_metadata["istio"].fields["workload"].string_value = key.workload
    return field(2, out.SerializeToString(deterministic=True))
