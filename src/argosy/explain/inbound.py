"""What the receiving sidecar makes of a connection: whether its PeerAuthentication takes it."""

from __future__ import annotations

from argosy.model.ir import MtlsMode


def received(tls: str, mode: MtlsMode | None) -> str:
    """Why it is refused; "" where it is taken. `mode` None: there is no sidecar to ask."""
    if tls == "plaintext" and mode is MtlsMode.STRICT:
        return "PeerAuthentication is STRICT and the connection is plaintext"
    if tls == "mutual" and mode is None:
        return "it has no sidecar, and the connection is mesh mutual TLS"
    if tls == "mutual" and mode is MtlsMode.DISABLE:
        return "PeerAuthentication is DISABLE and the connection is mesh mutual TLS"
    if tls == "originated" and mode is MtlsMode.STRICT:
        return "PeerAuthentication is STRICT, and the TLS that the DestinationRule asks for is not the mesh's"
    return ""
