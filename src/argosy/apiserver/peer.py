"""Who is at the other end of a connection, as far as TLS and the kernel know: in the ASGI scope of every request."""

from __future__ import annotations

import socket
import struct
from asyncio import BaseTransport

from msgspec import Struct

PEER = "argosy.peer"
"""Key of the ASGI scope: a Peer."""
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Peer(Struct, frozen=True):
    certificate: bytes | None = (
        None  # DER; signed by one of the authorities that the server trusts for clients
    )
    uid: int | None = None  # on a Unix socket: the user that connected

    @classmethod
    def of(cls, transport: BaseTransport) -> Peer:
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            return cls(certificate=tls.getpeercert(binary_form=True) or None)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family == socket.AF_UNIX:
            data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            return cls(uid=int(_CREDENTIALS.unpack(data)[1]))
        return cls()
