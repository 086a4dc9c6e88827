"""Parts of MeshConfig's defaultConfig (ProxyConfig) that proxies get while they run.

# Istio: mesh/v1alpha1/proxy.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct


class ForwardClientCertDetails(StrEnum):
    UNDEFINED = "UNDEFINED"
    SANITIZE = "SANITIZE"
    FORWARD_ONLY = "FORWARD_ONLY"
    APPEND_FORWARD = "APPEND_FORWARD"
    SANITIZE_SET = "SANITIZE_SET"
    ALWAYS_FORWARD_ONLY = "ALWAYS_FORWARD_ONLY"


class GatewayTopology(Struct, frozen=True, kw_only=True, rename="camel"):
    num_trusted_proxies: Annotated[int, Meta(ge=0, le=4294967295)] = 0
    forward_client_cert_details: ForwardClientCertDetails = ForwardClientCertDetails.UNDEFINED
    proxy_protocol: dict[str, Any] | None = None


class Switch(Struct, frozen=True, kw_only=True, rename="camel"):
    disabled: bool = False


class Server(Struct, frozen=True, kw_only=True, rename="camel"):
    disabled: bool = False
    value: str = ""


class Enabled(Struct, frozen=True, kw_only=True, rename="camel"):
    enabled: bool = False


class SetCurrentClientCertDetails(Struct, frozen=True, kw_only=True, rename="camel"):
    subject: bool | None = None
    cert: bool | None = None
    chain: bool | None = None
    dns: bool | None = None
    uri: bool | None = None


class ProxyHeaders(Struct, frozen=True, kw_only=True, rename="camel"):
    forwarded_client_cert: ForwardClientCertDetails = ForwardClientCertDetails.UNDEFINED
    set_current_client_cert_details: SetCurrentClientCertDetails | None = None
    request_id: Switch | None = None
    server: Server | None = None
    envoy_debug_headers: Switch | None = None
    x_forwarded_port: Enabled | None = None


class ProxySettings(Struct, frozen=True, kw_only=True, rename="camel"):
    gateway_topology: GatewayTopology | None = None
    proxy_headers: ProxyHeaders | None = None
