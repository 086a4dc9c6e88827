"""How a port's traffic is handled, by its declared protocol."""

from __future__ import annotations

from enum import StrEnum

from argosy.model.ir import Protocol
from argosy.translate.cluster import Application


class Handling(StrEnum):
    HTTP = "HTTP"
    TCP = "TCP"
    DETECT = "DETECT"  # not declared: looked at as it comes (where the client speaks first)
    NONE = "NONE"  # UDP: not proxied


def outbound_handling(protocol: Protocol) -> Handling:
    if protocol is Protocol.UDP:
        return Handling.NONE
    if protocol is Protocol.UNSUPPORTED:
        return Handling.DETECT
    return Handling.HTTP if protocol.is_http else Handling.TCP


def inbound_handling(protocol: Protocol) -> Handling:
    """Inside mesh TLS nothing can be looked at before a chain is chosen: what is not declared is bytes."""
    handling = outbound_handling(protocol)
    return Handling.TCP if handling is Handling.DETECT else handling


def inbound_application(protocol: Protocol) -> Application:
    """What a sidecar speaks to its own application."""
    if protocol.is_http2:
        return Application.HTTP2
    return Application.HTTP1 if protocol.is_http else Application.TCP
