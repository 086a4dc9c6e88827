"""Connections to a gateway for TLS and TCP, for the evaluator against real Envoy: its listeners, its clients, and what
they ask for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from msgspec.structs import replace

from argosy.explain.request import ClientCertificate, Request, Spoken
from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.translate import edge, names
from argosy.translate.generator import resource
from argosy.translate.listener_gateway import GatewayListenerKey
from argosy.translate.options import Options
from argosy.translate.resource import Resource
from tests.e2e.explained_clients import Answer, Client
from tests.e2e.explained_edges import CREDENTIAL, UNKNOWN
from tests.e2e.explained_mesh import CLIENT_NAMESPACE, Mesh
from tests.e2e.explained_requests import Generator
from tests.e2e.explained_upstreams import FAILS
from tests.e2e.translate_envoy import Authority
from tests.ports import free_ports

SOURCES = ("127.0.0.1", "127.1.0.9")
"""Addresses that a client here can have: one of them is in a network that the generator knows."""
CLOSED = (OSError, asyncio.IncompleteReadError)


def secrets(authority: Authority) -> dict[str, Resource]:
    """The certificate of the gateway's servers, and the authorities of their clients."""
    own = secret_pb2.Secret(name=names.credential(CLIENT_NAMESPACE, CREDENTIAL))
    chain, key = authority.issue("spiffe://cluster.local/ns/default/sa/gateway", "gateway.test")
    own.tls_certificate.certificate_chain.inline_bytes = chain
    own.tls_certificate.private_key.inline_bytes = key
    clients = secret_pb2.Secret(name=names.authorities(CLIENT_NAMESPACE, CREDENTIAL))
    clients.validation_context.trusted_ca.inline_bytes = authority.pem()
    return {one.name: resource(one.name, one) for one in (own, clients)}


def listeners(
    reader: Reader, scope: Scope, number: int, options: Options
) -> dict[tuple[str, int], GatewayListenerKey]:
    """(bind, port) as the Gateway says -> the listener that does not route plain HTTP."""
    made: dict[tuple[str, int], GatewayListenerKey] = {}
    for listener in reader.gateway_listeners(scope):
        chains = edge.chains(scope, listener, reader) if listener.kind is not ir.ListenerKind.HTTP else ()
        if chains:
            made[listener.bind, listener.port] = GatewayListenerKey(
                name=f"edge-{number}-{listener.port}",
                address="127.0.0.1",
                bind=0,
                chains=chains,
                inspects=listener.kind is ir.ListenerKind.TLS,
                options=options,
            )
    ports = free_ports(len(made)) if made else []
    return {at: replace(key, bind=port) for (at, key), port in zip(made.items(), ports, strict=True)}


class Callers:
    """Clients with a certificate that is trusted, with one that is not, and with none."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.open: list[asyncio.StreamWriter] = []
        self.contexts = {ClientCertificate.NONE: _context()}
        for kind, by in (
            (ClientCertificate.TRUSTED, authority),
            (ClientCertificate.UNTRUSTED, Authority()),
        ):
            file = folder / f"{kind}.pem"
            file.write_bytes(b"".join(by.issue("spiffe://cluster.local/ns/default/sa/caller", "caller.test")))
            self.contexts[kind] = _context()
            self.contexts[kind].load_cert_chain(file)

    async def send(self, request: Request, port: int, agent: str) -> tuple[Answer, str]:
        """What comes back over a connection of its own (status 0: nothing), and the client's address and port, which no
        other has until `close`."""
        tls = self.contexts[request.certificate] if request.spoken is Spoken.TLS else None
        own = ""
        try:
            async with asyncio.timeout(30):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1",
                    port,
                    local_addr=(request.source, 0),
                    ssl=tls,
                    server_hostname=request.host if tls else None,
                )
                self.open.append(writer)
                address, number = writer.get_extra_info("sockname")
                own = f"{address}:{number}"
                return await Client(port, by_proxy=False).exchange(reader, writer, request, agent), own
        except CLOSED:
            return Answer(0), own

    def close(self) -> None:
        for writer in self.open:
            writer.transport.abort()  # TLS within would wait for the other end's farewell
        self.open.clear()


def _context() -> ssl.SSLContext:
    """Whom it reaches is the question, so it takes every server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def wanted(generator: Generator, mesh: Mesh, reader: Reader, scope: Scope) -> Iterator[Request]:
    """Some for each port of a gateway that is not plain HTTP's."""
    for listener in reader.gateway_listeners(scope):
        if listener.kind is ir.ListenerKind.HTTP:
            continue
        hosts = [name for server in listener.servers for name in server.server_names]
        for server in listener.servers:
            if server.passes:
                hosts += [name for route in reader.gateway_tls(scope, server) for name in route.sni_hosts]
        for _ in range(10):
            name = str(generator.one(*hosts, UNKNOWN)).replace("*", "any", 1)
            request = generator.request(mesh, "gateway")
            tls = listener.kind is ir.ListenerKind.TLS and not generator.chance(8)
            yield replace(
                request,
                authority=name if name != "any" else UNKNOWN,
                headers=tuple(pair for pair in request.headers if pair[0] != FAILS),
                spoken=Spoken.TLS if tls else Spoken.TCP,
                port=listener.port,
                source=generator.one(*SOURCES),
                certificate=generator.one(*ClientCertificate) or ClientCertificate.NONE,
            )
