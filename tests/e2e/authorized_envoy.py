"""One real Envoy that is the sidecar of a workload, under one set of policies after another.

Its listeners, clusters and routes stay; what changes comes by ECDS, as `translate` makes it, so connections stay open
from one set to the next. A request that is let in is answered here; a listener of its own tells when a set is in force
(its route is sent behind the filters, and one worker takes both in this order).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.config.core.v3 import extension_pb2
from envoy.config.route.v3 import route_pb2
from envoy.service.auth.v3 import external_auth_pb2

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.resources.meta import Object
from argosy.translate import names
from argosy.translate.compiler import Compiler
from argosy.translate.generator import resource
from argosy.translate.proxy import Proxy
from argosy.translate.resource import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SECRET, Resource
from tests.e2e.authorized_call import PORTS, Call
from tests.e2e.authorized_policies import LABELS, PROVIDER, ROOT, SHOP
from tests.e2e.explained_told import value_of
from tests.e2e.translate_envoy import OFTEN, Ads, Authority, bootstrap, launched
from tests.ports import free_ports

NAME = "web-v1"
REFUSED = 409
"""What the provider answers whom it refuses: nobody else does."""
CONSENTS = "x-consents"
HELLO = b"hello, is anybody there?"
CHECK = "/envoy.service.auth.v3.Authorization/Check"
CLOSED = (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError)

Mutation = Callable[[extension_pb2.TypedExtensionConfig], None]


@dataclass
class Answer:
    """`status` of a connection that is not HTTP: 200, or 0 where it was closed."""

    status: int
    details: str = ""  # response_code_details of the access log
    line: dict[str, Any] = field(default_factory=dict)


class Provider:
    """Who is asked: lets in who says so in a header, or is known to come from an address."""

    def __init__(self) -> None:
        self.consenting: set[tuple[str, int]] = set()
        self.asked = 0
        self.server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            self.check,
            request_deserializer=external_auth_pb2.CheckRequest.FromString,
            response_serializer=external_auth_pb2.CheckResponse.SerializeToString,
        )
        _, service, method = CHECK.split("/")
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def check(self, request: external_auth_pb2.CheckRequest, _: Any) -> external_auth_pb2.CheckResponse:
        self.asked += 1
        attributes = request.attributes
        peer = attributes.source.address.socket_address
        found = external_auth_pb2.CheckResponse()
        by_header = attributes.request.http.headers.get(CONSENTS) == "yes"
        if not by_header and (peer.address, peer.port_value) not in self.consenting:
            found.status.code = 7
            found.denied_response.status.code = REFUSED
        return found


class Lab:
    def __init__(self, folder: Path, application: int, provider: Provider) -> None:
        self.folder, self.provider = folder, provider
        self.ads = Ads(folder / "ads.sock")
        self.authority = Authority()
        self.log, self.read = folder / "access.log", 0
        self.admin, self.marker, *bound = free_ports(2 + len(PORTS))
        self.bound = dict(zip(PORTS, bound, strict=True))
        self.application = application
        self.mutate: Mutation | None = None
        self.number = self.sent = 0
        self.snapshot = Snapshot(ir.Mesh())
        self.process: subprocess.Popen[bytes] | None = None
        self.contexts: dict[tuple[str, ...], ssl.SSLContext] = {}
        self.open: dict[Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self.tally: Counter[str] = Counter()
        self.ads.push(ROUTE, {"marker": _answering("marker", "0")}, set())
        self.ads.push(
            SECRET, self.authority.secrets("spiffe://cluster.local/ns/shop/sa/web", "web.test"), set()
        )

    # --- configuration ----------------------------------------------------------------------------------------------

    def modelled(self, objects: list[Object]) -> Snapshot:
        """Of the workload, the provider and these objects."""
        mesh = {
            "accessLogFile": str(self.log),
            "accessLogEncoding": "JSON",
            "trustDomainAliases": ["old.test"],
            "extensionProviders": [
                {
                    "name": PROVIDER,
                    "envoyExtAuthzGrpc": {"service": f"asked.{ROOT}.svc.cluster.local", "port": 9191},
                }
            ],
        }
        snapshot = Snapshot(ir.Mesh())
        settings = {"name": "istio", "namespace": ROOT}
        data = {"mesh": json.dumps(mesh)}
        snapshot.put_config(
            decode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": settings, "data": data})
        )
        port = ir.ServicePort(name="grpc", number=9191, protocol=ir.Protocol.GRPC)
        host = f"asked.{ROOT}.svc.cluster.local"
        snapshot.put_service(ir.Service(hostname=host, name="asked", namespace=ROOT, ports=(port,)))
        snapshot.put_endpoints(
            host, (ir.Endpoint(address="127.0.0.1", port=self.provider.port, port_name="grpc"),)
        )
        snapshot.put_workload(
            ir.Workload(
                name=NAME,
                namespace=SHOP,
                service_account="web",
                address="127.0.0.1",
                labels=LABELS,
                ports=tuple(
                    ir.WorkloadPort(
                        name=f"p{number}",
                        workload=number,
                        bind=self.bound[number],
                        application=self.application,
                        protocol=ir.Protocol.HTTP if http else ir.Protocol.TCP,
                    )
                    for number, http in PORTS.items()
                ),
            )
        )
        for one in objects:
            snapshot.put_config(one)
        assert not snapshot.rejected, snapshot.rejected
        return snapshot

    async def apply(self, objects: list[Object]) -> None:
        """Returns when these are in force, and no others."""
        self.number += 1
        self.snapshot = self.modelled(objects)
        wanted = self._resources(self.snapshot)
        for kind in (CLUSTER, ENDPOINT, EXTENSION, ROUTE, LISTENER):
            held = self.ads.resources.get(kind, {})
            fresh = {
                name: one
                for name, one in wanted[kind].items()
                if name not in held or held[name].version != one.version
            }
            gone = held.keys() - wanted[kind].keys() - ({"marker"} if kind == ROUTE else set())
            if fresh or gone:
                self.ads.push(kind, fresh, set(gone))
        if self.process is None:
            await self._start()
        await until(self.ads.settled, "Envoy answers all that was sent")
        assert not self.ads.refused, self.ads.refused
        self.ads.push(ROUTE, {"marker": _answering("marker", str(self.number))}, set())

        async def in_force() -> bool:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.marker)
            writer.write(b"GET / HTTP/1.1\r\nHost: marker\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer.endswith(f"\r\n{self.number}".encode())

        await until(in_force, "the policies are in force")

    def _resources(self, snapshot: Snapshot) -> dict[str, dict[str, Resource]]:
        compiler = Compiler(snapshot)
        workload = snapshot.workloads[SHOP, NAME]
        scope = scope_of(Reader(snapshot), namespace=SHOP, labels=LABELS, workload=workload)
        found: dict[str, dict[str, Resource]] = {}
        proxy = Proxy(namespace=SHOP, name=NAME, scope=scope, labels=LABELS)
        for view in (compiler.shared(scope), compiler.own(proxy)):
            for kind, made in view.resources.items():
                found.setdefault(kind, {}).update(made)
        assert not compiler.errors, compiler.errors
        found[ROUTE] = {name: _answering(name, "in") for name in found[ROUTE] if name.startswith("inbound|")}
        found[LISTENER] = {name: one for name, one in found[LISTENER].items() if name.startswith("inbound_")}
        if self.mutate is not None:
            found[EXTENSION] = {name: self._mutated(name, one) for name, one in found[EXTENSION].items()}
        return {kind: found.get(kind, {}) for kind in (CLUSTER, ENDPOINT, EXTENSION, ROUTE, LISTENER)}

    def _mutated(self, name: str, made: Resource) -> Resource:
        message = extension_pb2.TypedExtensionConfig.FromString(value_of(made))
        assert self.mutate is not None
        self.mutate(message)
        return resource(name, message)

    def _launch(self) -> None:
        made = bootstrap(self.folder, {"listeners": [_marker(self.marker)]}, self.admin)
        self.process = launched(self.folder, made, *OFTEN)

    async def _start(self) -> None:
        self._launch()

        async def listening() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "envoy.log").read_text()
            assert not self.ads.refused, self.ads.refused
            for port in self.bound.values():
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
            return True

        await until(listening, "Envoy listens")

    def stop(self) -> None:
        for _, writer in self.open.values():
            writer.transport.abort()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.ads.stop()

    # --- calls ------------------------------------------------------------------------------------------------------

    async def ask(self, calls: list[Call]) -> list[Answer]:
        first = self.sent
        self.sent += len(calls)
        answers: list[Answer] = []
        for index, call in enumerate(calls):
            answers.append(
                await (self._request if call.http else self._connection)(call, f"r{first + index}")
            )
        waiting = {f"r{first + index}": answers[index] for index, call in enumerate(calls) if call.http}
        waiting = {name: one for name, one in waiting.items() if one.status != 400}

        def logged() -> bool:
            with self.log.open("rb") as file:
                file.seek(self.read)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self.read += len(whole)
            for line in whole.splitlines():
                entry = msgspec.json.decode(line)
                if (answer := waiting.pop(entry.get("request_id") or "", None)) is not None:
                    answer.line, answer.details = entry, entry.get("response_code_details") or ""
            return not waiting

        if waiting:
            await until(logged, "every request is logged", 20)
        return answers

    async def _request(self, call: Call, number: str) -> Answer:
        key = (call.port, call.identities, call.source, call.server_name)
        for last in (False, True):
            try:
                async with asyncio.timeout(30):
                    if key not in self.open:
                        self.open[key] = await self._connect(call)
                    return await _exchange(*self.open[key], call, number)
            except CLOSED:
                if (held := self.open.pop(key, None)) is not None:
                    held[1].transport.abort()
                if last:
                    return Answer(0)
        raise AssertionError

    async def _connection(self, call: Call, _: str) -> Answer:
        """Envoy asks when the first bytes come, as many as a TLS record's head has."""
        writer = None
        try:
            async with asyncio.timeout(30):
                reader, writer = await self._connect(call)
                writer.write(HELLO)
                return Answer(200 if await reader.readexactly(len(HELLO)) == HELLO else 0)
        except CLOSED:
            return Answer(0)
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _connect(self, call: Call) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls = self._context(call.identities) if call.identities else None
        (own,) = free_ports(1) if not call.http else (0,)
        if own and call.consents:
            self.provider.consenting.add((call.source, own))
        elif own:
            self.provider.consenting.discard((call.source, own))
        return await asyncio.open_connection(
            "127.0.0.1",
            self.bound[call.port],
            local_addr=(call.source, own),
            ssl=tls,
            server_hostname=call.server_name if tls else None,
        )

    def _context(self, identities: tuple[str, ...]) -> ssl.SSLContext:
        if identities not in self.contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols([names.MESH_ALPN])
            path = self.folder / f"client-{len(self.contexts)}.pem"
            path.write_bytes(_issued(self.authority, identities))
            context.load_cert_chain(path)
            self.contexts[identities] = context
        return self.contexts[identities]


def _issued(authority: Authority, identities: tuple[str, ...]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    uris = [x509.UniformResourceIdentifier(one) for one in identities]
    certificate = authority._build(x509.Name([]), key, x509.SubjectAlternativeName(uris))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + private


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: Call, number: str
) -> Answer:
    lines = [f"{call.method} {call.path} HTTP/1.1", f"Host: {call.authority}", f"X-Request-Id: {number}"]
    lines += [f"{CONSENTS}: yes"] if call.consents else []
    lines += [f"{name}: {value}" for name, value in call.headers]
    lines += ["Content-Length: 0"] if call.method != "GET" else []
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = int(head.split(" ")[1])
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
    }
    await reader.readexactly(int(headers.get("content-length", "0")))
    if headers.get("connection") == "close":
        writer.close()
    return Answer(status)


def _answering(name: str, body: str) -> Resource:
    message = route_pb2.RouteConfiguration(name=name)
    route = message.virtual_hosts.add(name="all", domains=["*"]).routes.add()
    route.match.prefix = ""
    route.direct_response.status = 200
    route.direct_response.body.inline_string = body
    return resource(name, message)


def _marker(port: int) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "marker",
        "rds": {"route_config_name": "marker", "config_source": {"ads": {}, "resource_api_version": "V3"}},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}],
    }
    return {
        "name": "marker",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


async def until(condition: Callable[[], Any], what: str, timeout: float = 60) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    last: object = None
    while loop.time() < deadline:
        try:
            found = condition()
            last = await found if asyncio.iscoroutine(found) else found
            if last:
                return
        except OSError as error:
            last = error
        await asyncio.sleep(0.004)
    raise AssertionError(f"{what}: not within {timeout} s; last: {last!r}")


@contextlib.asynccontextmanager
async def lab(folder: Path) -> AsyncIterator[Lab]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(64):
                writer.write(data)
        writer.close()

    application = await asyncio.start_server(echo, "127.0.0.1", 0)
    provider = Provider()
    await provider.server.start()
    found = Lab(folder, application.sockets[0].getsockname()[1], provider)
    try:
        yield found
    finally:
        found.stop()
        await provider.server.stop(None)
        application.close()
