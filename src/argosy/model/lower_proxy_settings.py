"""MeshConfig's defaultConfig, as far as proxies get it while they run, to `ProxySettings`.

Facts (Istio): a certificate's details that are given are all there are; the server's name is written where it has a
value, and left as it comes where it is disabled.
"""

from __future__ import annotations

from typing import Any

import msgspec

from argosy.model.errors import LoweringError
from argosy.model.proxy_settings import CertificateDetails, ForwardedCertificate, ProxySettings
from argosy.resources import proxy_settings as written


def lower(config: dict[str, Any], field: str) -> ProxySettings:
    try:
        said = msgspec.convert(config, written.ProxySettings, str_keys=True)
    except msgspec.ValidationError as error:
        raise LoweringError(field, str(error)) from error
    topology = said.gateway_topology or written.GatewayTopology()
    headers = said.proxy_headers or written.ProxyHeaders()
    return ProxySettings(
        trusted_proxies=topology.num_trusted_proxies,
        gateway_certificate=_certificate(topology.forward_client_cert_details),
        proxy_protocol=topology.proxy_protocol is not None,
        sidecar_certificate=_certificate(headers.forwarded_client_cert),
        sidecar_details=_details(headers.set_current_client_cert_details),
        request_id=not (headers.request_id and headers.request_id.disabled),
        server=_server(headers.server),
        forwarded_port=bool(headers.x_forwarded_port and headers.x_forwarded_port.enabled),
        debug_headers=not (headers.envoy_debug_headers and headers.envoy_debug_headers.disabled),
    )


def _certificate(said: written.ForwardClientCertDetails) -> ForwardedCertificate:
    if said is written.ForwardClientCertDetails.UNDEFINED:
        return ForwardedCertificate.SANITIZE_SET
    return ForwardedCertificate(said.value)


def _details(said: written.SetCurrentClientCertDetails | None) -> CertificateDetails | None:
    if said is None:
        return None
    return CertificateDetails(
        subject=bool(said.subject),
        cert=bool(said.cert),
        chain=bool(said.chain),
        dns=bool(said.dns),
        uri=bool(said.uri),
    )


def _server(said: written.Server | None) -> str | None:
    if said is None or not (said.disabled or said.value):
        return None
    return "" if said.disabled else said.value
