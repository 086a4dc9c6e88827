"""Connections to a gateway for TLS and TCP, for the evaluator against real Envoy: its listeners, its clients, and what
they ask for."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from msgspec.structs import replace

from argosy.explain.declared import Upstream
from argosy.explain.destination import PASSED_ON
from argosy.explain.request import Certified, ClientCertificate, Request, Spoken
from argosy.model import ir
from argosy.model.providers import FileLog
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.translate import edge, names
from argosy.translate.filters import access_log
from argosy.translate.filters.access_log import Layer, Log
from argosy.translate.generator import resource
from argosy.translate.listener_gateway import GatewayListenerKey
from argosy.translate.options import Options
from argosy.translate.resource import Resource
from tests.e2e.explained_clients import Answer, Client
from tests.e2e.explained_edges import CREDENTIAL, FILES, OF_MESH, OF_OUTSIDE, SUFFIX, UNKNOWN
from tests.e2e.explained_mesh import CLIENT_NAMESPACE, Mesh
from tests.e2e.explained_requests import Generator
from tests.e2e.explained_upstreams import FAILS
from tests.e2e.translate_envoy import Authority
from tests.ports import free_ports

NOBODYS = f"{PASSED_ON}80_._.nobody.{SUFFIX}"
SOURCES = ("127.0.0.1", "127.1.0.9")
"""Addresses that a client here can have: one of them is in a network that the generator knows."""
CLOSED = (OSError, asyncio.IncompleteReadError)


class Whose(StrEnum):
    """Who has signed a client's certificate."""

    NOBODY = "nobody"  # there is none
    MESH = "mesh"
    OUTSIDE = "outside"  # those whom the gateway's servers name
    STRANGER = "stranger"


def shown(whose: Whose, mode: str) -> ClientCertificate:
    """To a server of this mode."""
    if whose is Whose.NOBODY:
        return ClientCertificate.NONE
    trusted = whose is (Whose.MESH if mode == ir.ServerTlsMode.ISTIO_MUTUAL else Whose.OUTSIDE)
    return ClientCertificate.TRUSTED if trusted else ClientCertificate.UNTRUSTED


def secrets(authority: Authority) -> dict[str, Resource]:
    """The certificate of the gateway's servers, and the authorities of their clients; as Secrets and as files."""
    chain, key = authority.issue("spiffe://cluster.local/ns/default/sa/gateway", "gateway.test")
    found: dict[str, Resource] = {}
    for own, clients in (
        (names.credential(CLIENT_NAMESPACE, CREDENTIAL), names.authorities(CLIENT_NAMESPACE, CREDENTIAL)),
        (
            names.certificate_files(FILES["serverCertificate"], FILES["privateKey"]),
            names.authority_file(FILES["caCertificates"], ""),
        ),
    ):
        pair = secret_pb2.Secret(name=own)
        pair.tls_certificate.certificate_chain.inline_bytes = chain
        pair.tls_certificate.private_key.inline_bytes = key
        roots = secret_pb2.Secret(name=clients)
        roots.validation_context.trusted_ca.inline_bytes = authority.pem()
        found |= {one.name: resource(one.name, one) for one in (pair, roots)}
    return found


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


def logged(message: listener_pb2.Listener, log: Path) -> listener_pb2.Listener:
    """With its connections and requests in the access log, as those of the other listeners are."""
    file = (Log(FileLog(path=str(log), json=True)),)
    for chain in message.filter_chains:
        config = chain.filters[-1].typed_config
        http = chain.filters[-1].name == "envoy.filters.network.http_connection_manager"
        kind = HttpConnectionManager if http else TcpProxy
        made = kind.FromString(config.value)
        made.access_log.extend(access_log.loggers(file, Layer.HTTP if http else Layer.TCP))
        config.value = made.SerializeToString()
    return message


class Callers:
    """Clients with certificates of the mesh, of outside, of strangers, and with none."""

    def __init__(self, folder: Path, mesh: Authority, outside: Authority) -> None:
        self.open: list[asyncio.StreamWriter] = []
        self.files: dict[Whose, Path] = {}
        self.certified: dict[Whose, Certified] = {}
        for whose, by, (identity, name) in (
            (Whose.MESH, mesh, OF_MESH),
            (Whose.OUTSIDE, outside, OF_OUTSIDE),
            (Whose.STRANGER, Authority(), OF_MESH),
        ):
            chain, key = by.issue(identity, name)
            self.files[whose] = folder / f"{whose}.pem"
            self.files[whose].write_bytes(chain + key)
            made = x509.load_pem_x509_certificate(chain)
            public = made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            self.certified[whose] = Certified(
                names=(identity, name),
                spki=base64.b64encode(hashlib.sha256(public).digest()).decode(),
                digest=made.fingerprint(hashes.SHA256()).hex(),
            )

    def _context(self, request: Request) -> ssl.SSLContext:
        """Whom it reaches is the question, so it takes every server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        whose = next((one for one, known in self.certified.items() if known == request.certified), None)
        if whose is not None:
            context.load_cert_chain(self.files[whose])
        if request.hello.startswith(PASSED_ON):
            context.set_alpn_protocols([names.MESH_ALPN])
        return context

    async def send(self, request: Request, port: int, agent: str) -> tuple[Answer, str]:
        """What comes back over a connection of its own (status 0: nothing), and the client's address and port, which no
        other has until `close`."""
        tls = self._context(request) if request.spoken is Spoken.TLS else None
        own = ""
        try:
            async with asyncio.timeout(30):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1",
                    port,
                    local_addr=(request.source, 0),
                    ssl=tls,
                    server_hostname=request.hello if tls else None,
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


def wanted(
    generator: Generator, mesh: Mesh, reader: Reader, scope: Scope, known: list[str]
) -> Iterator[Request]:
    """Some for each port of a gateway that is not plain HTTP's. `known`: server names of mesh clients."""
    for listener in reader.gateway_listeners(scope):
        if listener.kind is ir.ListenerKind.HTTP:
            continue
        hosts = [name for server in listener.servers for name in server.server_names]
        for server in listener.servers:
            if server.passes:
                hosts += [name for route in reader.gateway_tls(scope, server) for name in route.sni_hosts]
        for _ in range(15):
            name = str(generator.one(*hosts, UNKNOWN)).replace("*", "any", 1)
            request = generator.request(mesh, "gateway")
            tls = listener.kind is ir.ListenerKind.TLS and not generator.chance(8)
            name = name if name != "any" else UNKNOWN
            hello: str | None = None
            if any(one.tls and one.tls.mode is ir.ServerTlsMode.AUTO_PASSTHROUGH for one in listener.servers):
                hello = generator.one(None, *["known"] * 4)
                hello = generator.one(*known, NOBODYS) if hello else None
            elif generator.chance(25):
                hello = generator.one("", "", *hosts).replace("*", "any", 1)
            yield replace(
                request,
                authority=name,
                server_name=hello,
                headers=tuple(pair for pair in request.headers if pair[0] != FAILS),
                spoken=Spoken.TLS if tls else Spoken.TCP,
                port=listener.port,
                source=generator.one(*SOURCES),
            )


def to_upstream(generator: Generator, mesh: Mesh, upstream: Upstream) -> Request:
    """As the application asks at the local port: by whatever authority."""
    request = generator.request(mesh, "captured")
    return replace(
        request,
        authority=generator.one(request.authority, f"127.0.0.1:{upstream.bind}", "localhost"),
        headers=tuple(pair for pair in request.headers if pair[0] != FAILS),
        address="127.0.0.1",
        port=upstream.bind,
        source="127.0.0.1",
    )
