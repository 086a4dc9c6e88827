"""What the Envoy that the evaluator is held against is, is told, and asks its resolver."""

from __future__ import annotations

from typing import Any

from envoy.config.core.v3 import health_check_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2

from argosy.model import ir
from argosy.model.locality import NETWORK
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.resource import Resource
from tests.e2e.explained_edges import GATEWAY_LABELS, WILD
from tests.e2e.explained_mesh import ADDRESS, CLIENT_NAMESPACE, HOME, LABELS
from tests.e2e.own_address import OWN_ADDRESS


def scope_at(snapshot: Snapshot, entry: str) -> Scope:
    gateway = entry == "gateway"
    return scope_of(
        Reader(snapshot),
        type=ProxyType.ROUTER if gateway else ProxyType.SIDECAR,
        interception=Interception.REDIRECT if entry.startswith("captured") else Interception.EXPLICIT,
        namespace=CLIENT_NAMESPACE,
        labels=(*GATEWAY_LABELS, (NETWORK, HOME)) if gateway else LABELS,
        workload=None
        if gateway
        else ir.Workload(name="client", namespace=CLIENT_NAMESPACE, address=ADDRESS, network=HOME),
    )


def addresses(name: str) -> tuple[str, ...]:
    return (OWN_ADDRESS,) if OWN_ADDRESS is not None and name.endswith(WILD) else ()


def socket_address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def healthy(made: Resource) -> frozenset[str]:
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(value_of(made))
    return frozenset(
        f"{one.endpoint.address.socket_address.address}:{one.endpoint.address.socket_address.port_value}"
        for locality in assignment.endpoints
        for one in locality.lb_endpoints
        if one.health_status in (health_check_pb2.UNKNOWN, health_check_pb2.HEALTHY)
    )


def value_of(made: Resource) -> bytes:
    data: bytes = discovery_pb2.Resource.FromString(made.frame).resource.value
    return data
