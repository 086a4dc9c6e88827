"""The SPIFFE Workload API: applications and other tools use the identity of their workload directly, and hold no
secret to get it.

    application ── R/workload.sock ──> front: who is it, by the kernel? ── from an address of its own ──> gRPC server
                                                         (that address, for as long as it is bound, is the workload)

Rule: the caller is what the kernel says of its process (`callers.py`), never what it says itself; and each call must
carry the header `workload.spiffe.io: true`, so that no web page can be made to ask. gRPC knows no credentials of a
Unix socket: so the front connects on its behalf from an abstract address that it made up, which nobody else can have
while the connection lives, and takes it out of its book before it closes. Whoever connects to the inner socket itself
has no name, and is nobody. What is new is pushed on the streams. Facts: SPIFFE_Workload_API.md,
SPIFFE_Workload_Endpoint.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from google.protobuf import json_format

from argosy.agent import callers
from argosy.agent.jwt_tokens import Denied, JwtBundles, Unavailable
from argosy.agent.workload_messages import SERVICE, message
from argosy.identity.attestors import Unproven
from argosy.identity.client import Svid
from argosy.identity.jwt_svids import check_audience
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger

if TYPE_CHECKING:
    from argosy.agent.link import Link
    from argosy.agent.supervisor import Workload

SOCKET, INNER = "workload.sock", "workload-in.sock"
HEADER = ("workload.spiffe.io", "true")
MOST_CONNECTIONS = 512
MOST_OF_ONE = 64  # connections of one workload, and of all who are none
LONGEST_MESSAGE = 32 << 10
BUNDLES_EVERY = 30.0
WITHOUT_CERTIFICATE = 5.0  # how long a workload that is just starting is waited for
_CHUNK = 64 << 10

log = logger("agent")
Context = grpc.aio.ServicerContext[bytes, bytes]


class WorkloadApi:
    """`workloads`: those of the agent, as they come and go."""

    def __init__(self, runtime: Path, workloads: Mapping[str, Workload]) -> None:
        self.socket = runtime / SOCKET
        self._inner = runtime / INNER
        self._workloads = workloads
        self._callers: dict[str, Workload] = {}  # by the peer as gRPC names it
        self._front: asyncio.Server | None = None
        self._server: grpc.aio.Server | None = None
        self._connections: Counter[str] = Counter()
        self.bundles = JwtBundles()

    # --- life ---

    async def start(self) -> None:
        """Raises Failure where a socket cannot be bound."""
        for path in (self.socket, self._inner):
            path.unlink(missing_ok=True)
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", LONGEST_MESSAGE),
                ("grpc.max_concurrent_streams", 64),
                ("grpc.max_allowed_incoming_connections", 2 * MOST_CONNECTIONS),
                ("grpc.so_reuseport", 0),
            ]
        )
        server.add_generic_rpc_handlers((self._handler(),))
        try:
            server.add_insecure_port(f"unix:{self._inner}")
            await server.start()
            self._front = await asyncio.start_unix_server(self._pass_on, str(self.socket), limit=_CHUNK)
            self.socket.chmod(0o600)
            self._inner.chmod(0o600)
        except (OSError, RuntimeError) as error:
            raise Failure(
                f"cannot listen on {self.socket}: {error}", "set XDG_RUNTIME_DIR to a short path"
            ) from error
        self._server = server

    async def stop(self) -> None:
        if self._front is not None:
            self._front.close()
        if self._server is not None:
            await self._server.stop(0)
        for path in (self.socket, self._inner):
            path.unlink(missing_ok=True)

    # --- the front ---

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        workload = self._owner(writer)
        whose = workload.record.name if workload is not None else ""
        if self._connections[whose] >= MOST_OF_ONE or self._connections.total() >= MOST_CONNECTIONS:
            log.warning("Workload API: too many connections", workload=whose)
            writer.close()
            return
        self._connections[whose] += 1
        name = f"argosy-{secrets.token_hex(16)}"
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            inner.setblocking(False)
            inner.bind(b"\0" + name.encode())
            if workload is not None:
                self._callers[f"unix-abstract:{name}"] = workload
            await asyncio.get_running_loop().sock_connect(inner, str(self._inner))
            from_server, to_server = await asyncio.open_unix_connection(sock=inner, limit=_CHUNK)
            await _exchange(reader, writer, from_server, to_server)
        except OSError as error:
            log.debug("Workload API: a connection ended", reason=str(error))
        finally:
            # First out of the book, then the address is free: nobody who takes it is taken for the caller.
            self._callers.pop(f"unix-abstract:{name}", None)
            inner.close()
            writer.close()
            self._connections[whose] -= 1
            if not self._connections[whose]:
                del self._connections[whose]

    def _owner(self, writer: asyncio.StreamWriter) -> Workload | None:
        try:
            return callers.owner(writer.get_extra_info("socket"), self._workloads.values())
        except callers.Nobody as error:
            log.warning("Workload API: the caller is no workload", reason=str(error))
            return None

    # --- the calls ---

    def _handler(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        streams: dict[str, Callable[[Any, Workload, Context], AsyncIterator[Any]]] = {
            "FetchX509SVID": self._x509_svids,
            "FetchX509Bundles": self._x509_bundles,
            "FetchJWTBundles": self._jwt_bundles,
        }
        calls: dict[str, Callable[[Any, Workload, Context], Awaitable[Any]]] = {
            "FetchJWTSVID": self._jwt_svid,
            "ValidateJWTSVID": self._validate,
        }
        requests = {
            "FetchX509SVID": "X509SVIDRequest",
            "FetchX509Bundles": "X509BundlesRequest",
            "FetchJWTBundles": "JWTBundlesRequest",
            "FetchJWTSVID": "JWTSVIDRequest",
            "ValidateJWTSVID": "ValidateJWTSVIDRequest",
        }

        def stream(name: str) -> Any:
            async def serve(body: bytes, context: Context) -> AsyncIterator[bytes]:
                asked, workload = await self._asked(requests[name], body, context)
                async for answer in streams[name](asked, workload, context):
                    yield answer.SerializeToString()

            return grpc.unary_stream_rpc_method_handler(serve)

        def call(name: str) -> Any:
            async def serve(body: bytes, context: Context) -> bytes:
                asked, workload = await self._asked(requests[name], body, context)
                answer: bytes = (await calls[name](asked, workload, context)).SerializeToString()
                return answer

            return grpc.unary_unary_rpc_method_handler(serve)

        served = {name: stream(name) for name in streams} | {name: call(name) for name in calls}
        return grpc.method_handlers_generic_handler(SERVICE, served)

    async def _asked(self, name: str, body: bytes, context: Context) -> tuple[Any, Workload]:
        """What is asked, and by whom; anything else ends the call."""
        if HEADER not in ((key, value) for key, value in context.invocation_metadata() or ()):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        workload = self._callers.get(context.peer())
        if workload is None or workload.done.is_set():
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
            raise AssertionError("abort returns never")
        try:
            return message(name).FromString(body), workload
        except Exception:  # protobuf: DecodeError
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a {name}")
            raise

    async def _x509_svids(self, _: Any, workload: Workload, context: Context) -> AsyncIterator[Any]:
        async for svid in self._certificates(workload, context):
            yield message("X509SVIDResponse")(svids=[x509_svid(svid)])

    async def _x509_bundles(self, _: Any, workload: Workload, context: Context) -> AsyncIterator[Any]:
        sent = b""
        async for svid in self._certificates(workload, context):
            if (bundle := der(svid.bundle)) != sent:
                sent = bundle
                domain = svid.peer().identity.trust_domain
                yield message("X509BundlesResponse")(bundles={f"spiffe://{domain}": bundle})

    async def _certificates(self, workload: Workload, context: Context) -> AsyncIterator[Svid]:
        """That of now, and each that follows, until the workload has gone."""
        sidecar, sent = workload.sidecar, None
        over = asyncio.create_task(workload.done.wait())
        try:
            while not workload.done.is_set():
                svid = sidecar.svid.value
                if svid is None and not await sidecar.svid.other_than(None, WITHOUT_CERTIFICATE):
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the workload has no certificate yet")
                elif svid is not None and svid != sent:
                    sent = svid
                    yield svid
                else:
                    following = asyncio.create_task(sidecar.svid.other_than(sent))
                    await asyncio.wait((following, over), return_when=asyncio.FIRST_COMPLETED)
                    following.cancel()
        finally:
            over.cancel()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the workload has left")

    async def _jwt_svid(self, asked: Any, workload: Workload, context: Context) -> Any:
        own = workload.record.identity
        try:
            check_audience(asked.audience)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if asked.spiffe_id not in ("", own):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
        link = await self._link(workload, context)
        with_reasons = _Ended(context)
        async with with_reasons:
            token = await workload.sidecar.tokens.token(link, asked.audience)
        return message("JWTSVIDResponse")(svids=[message("JWTSVID")(spiffe_id=own, svid=token)])

    async def _jwt_bundles(self, _: Any, workload: Workload, context: Context) -> AsyncIterator[Any]:
        sent: dict[str, str] = {}
        link = await self._link(workload, context)
        while not workload.done.is_set():
            async with _Ended(context):
                found = await self.bundles.get(link)
            if found != sent:
                sent = dict(found)
                yield message("JWTBundlesResponse")(
                    bundles={f"spiffe://{domain}": keys.encode() for domain, keys in sent.items()}
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BUNDLES_EVERY):
                    await workload.done.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the workload has left")

    async def _validate(self, asked: Any, workload: Workload, context: Context) -> Any:
        if not asked.audience or not asked.svid:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "audience and svid must be given")
        link = await self._link(workload, context)
        async with _Ended(context):
            claims = await self.bundles.validated(link, asked.svid, asked.audience)
        answer = message("ValidateJWTSVIDResponse")(spiffe_id=claims["sub"])
        json_format.ParseDict(claims, answer.claims)
        return answer

    async def _link(self, workload: Workload, context: Context) -> Link:
        if workload.sidecar.link is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the workload has no certificate yet")
            raise AssertionError("abort returns never")
        return workload.sidecar.link


class _Ended:
    """What goes wrong within it ends the call, with the code that the SPIFFE specification foresees."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case Unproven():
                await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            case Denied():
                await self._context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
            case Unavailable():
                await self._context.abort(grpc.StatusCode.UNAVAILABLE, str(error))


def x509_svid(svid: Svid) -> Any:
    key = serialization.load_pem_private_key(svid.key.encode(), password=None)
    return message("X509SVID")(
        spiffe_id=svid.peer().identity.spiffe_id,
        x509_svid=der(svid.chain),
        x509_svid_key=key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        bundle=der(svid.bundle),
    )


def der(pem: str) -> bytes:
    """Certificates, DER, one after the other."""
    found = x509.load_pem_x509_certificates(pem.encode())
    return b"".join(one.public_bytes(serialization.Encoding.DER) for one in found)


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader,
    other_writer: asyncio.StreamWriter,
) -> None:
    """Bytes both ways, until either side ends."""
    pumps = {
        asyncio.create_task(_pump(reader, other_writer)),
        asyncio.create_task(_pump(other_reader, writer)),
    }
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        other_writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
