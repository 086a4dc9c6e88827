"""Facts: the units in which the model changes, and the reader that notes which of them a result was made from.

A fact is (kind, name). Whatever reads the Snapshot does so through a `Reader`, which records each fact it gave out;
so the reverse index fact -> resource is exact, and a dependency cannot be forgotten.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class FactKind(StrEnum):
    HOSTS = (
        "hosts"  # name "": the set of hostnames (services); "virtual": those that only VirtualServices name
    )
    SERVICE = "service"  # name: hostname; ports, addresses, resolution, visibility, identities
    ENDPOINTS = "endpoints"  # name: hostname; who serves it, and health
    ROUTES = "routes"  # name: host as configuration writes it (maybe `*.suffix`); VirtualServices for it
    DESTINATION = "destination"  # name: host as configuration writes it; DestinationRules for it
    GATEWAY = "gateway"  # namespace/name: what that Gateway says
    BOUND = "bound"  # namespace/name, as VirtualServices name a gateway: which of them are bound to it
    VIRTUAL_SERVICE = (
        "virtual-service"  # namespace/name of one bound to gateways: its HTTP routes, and for whom
    )
    CONNECTIONS = "connections"  # as BOUND: the tcp and tls routes of the VirtualServices bound to it
    GATEWAY_SERVERS = (
        "gateway-servers"  # id of a selector, or "" for none: servers of the Gateways that have it
    )
    AUTO_PASSTHROUGH = "auto-passthrough"  # as GATEWAY_SERVERS; the hosts that are passed on by server name
    WORKLOAD = "workload"  # name: namespace/name; its own entry (ports, labels)
    PEER_AUTHENTICATION = (
        "peer-authentication"  # name: of a group of policies, see `rules.PeerAuthenticationRule.group`
    )
    AUTHORIZATION = "authorization"  # name: of a group of policies, see `attachment.groups`
    REQUEST_AUTHENTICATION = "request-authentication"  # name: of a group of policies, see `attachment.groups`
    KEY_SET = "key-set"  # name: where it is fetched, see `tokens.KeySource.name`
    ENVOY_FILTERS = "envoy-filters"  # name: of a group of EnvoyFilters, see `rules.EnvoyFilterRule.groups`
    ENVOY_FILTER = "envoy-filter"  # namespace/name: what that EnvoyFilter says
    TELEMETRY = "telemetry"  # name: of a group of Telemetry objects, see `TelemetryRule.groups`
    SELECTORS = "selectors"  # name "": the selectors that decide scopes (sourceLabels, workloadSelector)
    SECRET = "secret"  # name: namespace/name  # noqa: S105
    SIDECAR = "sidecar"  # namespace/name: what that Sidecar says
    TARGETS = "targets"  # name: hostname; the VirtualServices that lead to it
    LOOKED_UP = "looked-up"  # name "": whether proxies look up the hosts of any service (DYNAMIC_DNS)
    MESH = "mesh"  # name "": mesh settings


class Fact(NamedTuple):
    kind: FactKind
    name: str = ""
