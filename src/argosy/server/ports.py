"""The gRPC ports: CA (server-authenticated TLS) and xDS (mutual TLS), with the control plane's own certificate.

The certificate is renewed without a restart: gRPC asks for it at each handshake, the API server takes the new files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

import grpc

from argosy.identity.authority import Authority, ServerCertificate
from argosy.runtime.certificates import BadRequest, pem
from argosy.runtime.errors import Failure
from argosy.runtime.files import open_files
from argosy.runtime.preflight import listener
from argosy.server.settings import Address
from argosy.xds.server import server_options

OF_FILES = 0.75  # of the files that may be open: for the connections of one port


class OwnCertificate:
    """The control plane's certificate, renewed at half of its life."""

    def __init__(self, authority: Authority, hosts: Iterable[str] = ()) -> None:
        self.authority = authority
        self.hosts = tuple(hosts)
        self.current: ServerCertificate = authority.server_certificate(self.hosts)
        self.on_renewed: list[Callable[[ServerCertificate], None]] = []

    def renew_if_due(self) -> None:
        if self.authority.clock() >= self.current.renew_after:
            with contextlib.suppress(BadRequest):  # the authority has expired, which is told elsewhere
                self.renew()

    def renew_if_rotated(self) -> None:
        """What the authority issues with has changed: of the old one nothing is shown any more."""
        if not self.current.chain.endswith(pem(self.authority.issuer.chain[-1])):
            self.renew()

    def renew(self) -> None:
        """Raises BadRequest where the authority itself has expired."""
        self.current = self.authority.server_certificate(self.hosts)
        for tell in self.on_renewed:
            tell(self.current)

    def grpc_configuration(self) -> grpc.ServerCertificateConfiguration:
        pair = (self.current.key.encode(), self.current.chain.encode())
        return grpc.ssl_server_certificate_configuration([pair], self.authority.bundle.encode())


def credentials(own: OwnCertificate, mutual: str) -> grpc.ServerCredentials:
    """`mutual`: `required` or `none`, whether clients must hold a certificate of the mesh."""
    last = (own.current, own.authority.bundle)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC at each handshake, in one of its threads; None: as before."""
        nonlocal last
        if (own.current, own.authority.bundle) == last:
            return None
        last = (own.current, own.authority.bundle)
        return own.grpc_configuration()

    return grpc.dynamic_ssl_server_credentials(
        own.grpc_configuration(),
        fetch,  # type: ignore[arg-type]  # None is allowed (gRPC L24), the stubs do not know
        require_client_authentication=mutual == "required",
    )


def grpc_server(
    handlers: Iterable[grpc.GenericRpcHandler[Any, Any]], longest: int | None = None
) -> grpc.aio.Server:
    """It takes so many connections that the store, and the API, always have files left. `longest`: bytes of a
    message, where less than usual will do."""
    options = dict(server_options(connections=int(open_files() * OF_FILES)))
    if longest is not None:
        options["grpc.max_receive_message_length"] = longest
    server = grpc.aio.server(options=list(options.items()))
    server.add_generic_rpc_handlers(tuple(handlers))
    return server


def bind(server: grpc.aio.Server, name: str, wanted: Address, secrets: grpc.ServerCredentials) -> Address:
    """Binds the server; the address with the port it really has. Raises Failure where it is taken."""
    probe(name, wanted)  # gRPC would say less, and on standard error
    try:
        port = server.add_secure_port(str(wanted), secrets)
    except RuntimeError as error:
        raise Failure(f"cannot listen on {wanted} for {name}: {error}", _remedy(name)) from error
    return Address(wanted.host, port)


def probe(name: str, wanted: Address) -> None:
    """Raises Failure where nobody can listen there now; names who does, where that can be seen."""
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    try:
        socket.create_server((wanted.host, wanted.port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            holder = f" by {who}" if (who := listener(wanted.port)) else ""
            raise Failure(f"port {wanted.port} on {wanted.host} is taken{holder}", _remedy(name)) from error
        raise Failure(f"cannot listen on {wanted} for {name}: {_reason(error)}", _remedy(name)) from error


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)  # without what asyncio adds to it


def _remedy(name: str) -> str:
    option = f"--{name}-address"
    return f"end what listens there, or choose another with {option} (port 0: any free one)"
