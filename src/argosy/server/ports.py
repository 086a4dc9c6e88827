"""The gRPC ports: CA (server-authenticated TLS) and xDS (mutual TLS), with the control plane's own certificate.

The certificate is renewed without a restart: gRPC asks for it at each handshake, and the API server's TLS context takes
a new one in place.
"""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc

from argosy.identity.authority import Authority, ServerCertificate
from argosy.runtime.errors import Failure
from argosy.server.settings import Address
from argosy.xds.server import server_options


class OwnCertificate:
    """The control plane's certificate, renewed at half of its life."""

    def __init__(self, authority: Authority, hosts: Iterable[str] = ()) -> None:
        self.authority = authority
        self.hosts = tuple(hosts)
        self.current: ServerCertificate = authority.server_certificate(self.hosts)
        self.on_renewed: list[Callable[[ServerCertificate], None]] = []

    def renew_if_due(self) -> None:
        if self.authority.clock() >= self.current.renew_after:
            self.current = self.authority.server_certificate(self.hosts)
            for tell in self.on_renewed:
                tell(self.current)

    def grpc_configuration(self) -> grpc.ServerCertificateConfiguration:
        pair = (self.current.key.encode(), self.current.chain.encode())
        return grpc.ssl_server_certificate_configuration([pair], self.authority.bundle.encode())

    def context(self) -> ssl.SSLContext:
        """For HTTPS; follows renewals."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load(context, self.current)
        self.on_renewed.append(lambda renewed: _load(context, renewed))
        return context


def _load(context: ssl.SSLContext, certificate: ServerCertificate) -> None:
    # ssl reads certificates from files alone; the folder is ours (0700) and gone at once.
    with tempfile.TemporaryDirectory(prefix="argosy-") as folder:
        chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
        chain.write_text(certificate.chain)
        key.write_text(certificate.key)
        context.load_cert_chain(chain, key)


def credentials(own: OwnCertificate, mutual: str) -> grpc.ServerCredentials:
    """`mutual`: `required` or `none`, whether clients must hold a certificate of the mesh."""
    last = own.current

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC at each handshake, in one of its threads; None: as before."""
        nonlocal last
        if own.current is last:
            return None
        last = own.current
        return own.grpc_configuration()

    return grpc.dynamic_ssl_server_credentials(
        own.grpc_configuration(),
        fetch,  # type: ignore[arg-type]  # None is allowed (gRPC L24), the stubs do not know
        require_client_authentication=mutual == "required",
    )


def grpc_server(handlers: Iterable[grpc.GenericRpcHandler[Any, Any]]) -> grpc.aio.Server:
    server = grpc.aio.server(options=server_options())
    server.add_generic_rpc_handlers(tuple(handlers))
    return server


def bind(server: grpc.aio.Server, name: str, wanted: Address, secrets: grpc.ServerCredentials) -> Address:
    """Binds the server; the address with the port it really has. Raises Failure where it is taken."""
    listening(name, wanted).close()  # gRPC would say less, and on standard error
    try:
        port = server.add_secure_port(str(wanted), secrets)
    except RuntimeError as error:
        raise Failure(f"cannot listen on {wanted} for {name}: {error}", _remedy(name)) from error
    if not port:
        raise Failure(f"cannot listen on {wanted} for {name}", _remedy(name))
    return Address(wanted.host, port)


def listening(name: str, wanted: Address) -> socket.socket:
    """A bound socket. Raises Failure that names the port and the option."""
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    try:
        bound = socket.create_server((wanted.host, wanted.port), family=family, backlog=1024)
    except OSError as error:
        raise Failure(f"cannot listen on {wanted} for {name}: {_reason(error)}", _remedy(name)) from error
    return bound


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)  # without what asyncio adds to it


def _remedy(name: str) -> str:
    option = f"--{name}-address"
    return f"stop what listens there, or choose another: {option} 127.0.0.1:0 takes any free port"
