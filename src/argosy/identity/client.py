"""The agent's side: prove the user, make a key and a CSR, have it signed, keep it; and the channel that uses it.

The private key is made here and never leaves the host. The control plane is recognised by its DNS name in a certificate
of the mesh's own root, whatever address it has; proxy variables of the environment are ignored.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from argosy.identity import standing
from argosy.identity.names import NotAnIdentity, Peer, peer_of
from argosy.identity.protocol import (
    ATTEST,
    CHALLENGE,
    SERVER_DNS_NAME,
    SIGN,
    AttestRequest,
    AttestResponse,
    ChallengeRequest,
    ChallengeResponse,
    ProveRequest,
    SignRequest,
    SignResponse,
)
from argosy.identity.trust import fingerprint, root_of
from argosy.runtime.errors import Failure
from argosy.runtime.paths import write_private
from argosy.runtime.pings import pings

LONGEST_ANSWER = 256 * 1024


class Unreachable(Failure):
    """The control plane does not answer now: try again later."""


class Refused(Failure):
    """The control plane answered no: trying again changes nothing until somebody changes something."""


class Svid(Struct, frozen=True, kw_only=True):
    """A workload's certificate and key (a SPIFFE X.509-SVID) and the roots it trusts."""

    chain: str  # PEM, leaf first, without the root
    key: str  # PEM, PKCS #8
    bundle: str  # PEM: the roots
    not_before: float  # Unix time
    not_after: float
    renew_after: float
    trust_version: int = 0  # of the bundle: of two, that of the higher version holds

    @property
    def root(self) -> str:
        """The fingerprint of the root that the certificate is below; "" where it is none of the bundle."""
        found = root_of(self.chain, x509.load_pem_x509_certificates(self.bundle.encode()))
        return fingerprint(found) if found is not None else ""

    @property
    def serial(self) -> str:
        """Hexadecimal."""
        return f"{x509.load_pem_x509_certificate(self.chain.encode()).serial_number:x}"

    def peer(self) -> Peer:
        """What the certificate proves. Raises NotAnIdentity."""
        return peer_of(self.chain.encode())

    def save(self, path: Path) -> None:
        """One file, 0600, replaced as a whole, so that key and certificate always belong together."""
        try:
            write_private(path, msgspec.json.encode(self))
        except OSError as error:
            raise Failure(f"cannot write {path}: {error.strerror}", "free some disk space") from error


def load(path: Path) -> Svid | None:
    """What `Svid.save` wrote; None where there is nothing, or nothing that can be used."""
    try:
        svid = msgspec.json.decode(path.read_bytes(), type=Svid)
        svid.peer()
        x509.load_pem_x509_certificates(svid.bundle.encode())
        serialization.load_pem_private_key(svid.key.encode(), password=None)
    except (FileNotFoundError, msgspec.MsgspecError, NotAnIdentity, ValueError, TypeError):
        return None
    return svid


def svid(response: SignResponse, key: str) -> Svid:
    """Raises Refused where the certificate is not for this key: it would be of no use."""
    leaf = x509.load_pem_x509_certificate(response.chain[0].encode())
    held = serialization.load_pem_private_key(key.encode(), password=None)
    if leaf.public_key() != held.public_key():
        raise Refused(
            "the authority signed another key than the one asked for", "restart the server and the agent"
        )
    return Svid(
        chain="".join(response.chain),
        key=key,
        bundle=response.bundle,
        not_before=response.not_before,
        not_after=response.not_after,
        renew_after=response.renew_after,
        trust_version=response.trust_version,
    )


def new_key_and_csr() -> tuple[str, str]:
    """(private key, CSR), both PEM. The CSR names nobody: who it is for is proven, not claimed."""
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_pem.decode(), csr.public_bytes(serialization.Encoding.PEM).decode()


async def attest(socket_path: str | os.PathLike[str], timeout: float = 5) -> AttestResponse:
    """Proves this process's user to the server of this host. Raises Unreachable, Refused."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(os.fspath(socket_path), limit=LONGEST_ANSWER)
            try:
                listener = standing.peer_uid(writer.get_extra_info("socket"))
                if why := standing.doubt(Path(socket_path), listener):
                    raise Refused(
                        f"{socket_path}: it is not sure that the server listens there: {why}",
                        "start the server with --attest-socket in a directory in which only its user can write, "
                        "as /run/argosy",
                    )
                writer.write(msgspec.json.encode(AttestRequest()) + b"\n")
                await writer.drain()
                line = await reader.readuntil(b"\n")
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unreachable(
            f"no server answers on {socket_path}: {reason}", "start one with: argosy server"
        ) from error
    try:
        response = msgspec.json.decode(line, type=AttestResponse)
    except msgspec.MsgspecError as error:
        raise Refused(f"{socket_path} answers with something else than an attestation: {error}") from error
    if response.error:
        raise Refused(f"the server does not attest this process: {response.error}")
    return response


async def attest_remotely(
    connection: grpc.aio.Channel,
    attestor: str,
    gather: Callable[[str], Awaitable[str]],
    *,
    challenged: bool = True,
    timeout: float = 20,
) -> AttestResponse:
    """Proves identity by an attestor, on a channel to the CA port; where the connection's certificate is the proof, on
    one to the xDS port and not `challenged`. Raises Unreachable, Refused, and what `gather` raises."""
    try:
        nonce = ""
        if challenged:
            answer = await _call(connection, CHALLENGE, ChallengeRequest(), timeout)
            nonce = msgspec.json.decode(answer, type=ChallengeResponse).nonce
        request = ProveRequest(attestor=attestor, proof=await gather(nonce), nonce=nonce)
        return msgspec.json.decode(await _call(connection, ATTEST, request, timeout), type=AttestResponse)
    except grpc.aio.AioRpcError as error:
        details = error.details() or error.code().name
        if error.code() is grpc.StatusCode.PERMISSION_DENIED:
            raise Refused(
                f"the server does not take the proof of {attestor}: {details}",
                "its operator finds the reason there",
            ) from error
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            raise Refused(
                "what answers there takes no proofs",
                "is it the CA port of a server of this version or newer?",
            ) from error
        raise Unreachable(
            f"the proof of {attestor} is not taken yet: {details}", "it is tried again"
        ) from error
    except msgspec.MsgspecError as error:
        raise Refused(f"the server answers with something else than an attestation: {error}") from error


async def _call(connection: grpc.aio.Channel, method: str, message: Struct, timeout: float) -> bytes:
    call = connection.unary_unary(method, request_serializer=None, response_deserializer=None)
    answer: bytes = await call(msgspec.json.encode(message), timeout=timeout)
    return answer


def channel(address: str, bundle: str, chain: str = "", key: str = "") -> grpc.aio.Channel:
    """A channel to the control plane at `host:port`: server-authenticated, or mutual TLS with `chain` and `key`."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=bundle.encode(),
        private_key=key.encode() or None,
        certificate_chain=chain.encode() or None,
    )
    options = [
        ("grpc.ssl_target_name_override", SERVER_DNS_NAME),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),  # another certificate must be another connection
        *pings(20, 10),
        ("grpc.initial_reconnect_backoff_ms", 200),
        # Also the time that a connection has to come about, TLS and all: a busy or far server needs more than a moment.
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.max_receive_message_length", -1),
    ]
    return grpc.aio.secure_channel(address, credentials, options=options)


async def sign(
    connection: grpc.aio.Channel, request: SignRequest, token: str = "", timeout: float = 10
) -> SignResponse:
    """Has a CSR signed: on a channel to the CA port with a token, on one to the xDS port with the certificate alone.

    Raises Unreachable, Refused.
    """
    call = connection.unary_unary(SIGN, request_serializer=None, response_deserializer=None)
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    try:
        answer = await call(msgspec.json.encode(request), metadata=metadata, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        details = error.details() or error.code().name
        account = f"{request.namespace}/{request.service_account}"
        if error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED):
            raise Refused(f"no certificate for service account {account}: {details}") from error
        raise Unreachable(f"no certificate for {account} yet: {details}", "it is asked for again") from error
    response: SignResponse = msgspec.json.decode(answer, type=SignResponse)
    return response
