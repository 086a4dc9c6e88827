"""A host that is no server's own and joined the mesh (`argosy agent join`): what it keeps, and how it proves itself
since.

    D/agent/joined.json   where the servers are, the roots, how it proves itself (Joined)           0600
    D/agent/host.svid     of a host that joined with a token: its own certificate and key           0600

With a token (good once) a host gets a certificate of its own, and that is its proof from then on; it renews itself
while the agent runs. With an attestor the proof is gathered anew each time, and there is nothing to renew.
"""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from argosy.agent import servers
from argosy.identity import attestors
from argosy.identity import client as identity
from argosy.identity.client import Svid, Unreachable
from argosy.identity.host_token import HostToken
from argosy.identity.proofs import HOSTS
from argosy.identity.protocol import AttestResponse, SignRequest
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.runtime.paths import other_server, private_dir, write_private

FORMAT = 1
JOIN_TOKEN, HOST = "join-token", "host"
JOIN_WITHIN = 30.0

log = logger("agent")


class Joined(Struct, frozen=True, kw_only=True):
    """`D/agent/joined.json`."""

    format: int = FORMAT
    host: str = ""  # its name, where it has a certificate of its own
    attestor: str = JOIN_TOKEN  # the name of the Attestor object
    type: str = ""  # of that attestor
    parameters: dict[str, str] = {}
    ca: str  # host:port, as it joined
    cas: tuple[str, ...] = ()  # of all servers, as one of them said last
    trust_domain: str
    bundle: str  # PEM: the roots
    address: str = ""  # of this host, towards the others
    at: float = 0.0  # Unix time


class Proof(Struct, frozen=True, kw_only=True):
    """An answer, and the connection on which its token is good: as `identity.client.channel` takes it."""

    answer: AttestResponse
    address: str
    bundle: str
    chain: str = ""
    key: str = ""


def load(state: Path) -> Joined | None:
    """None: of a host that did not join. Raises Failure for what cannot be used."""
    path = _file(state)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Joined)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise Failure(f"{path} is damaged: {error}", "join again: argosy agent join") from error
    if found.format > FORMAT:
        raise Failure(f"{path} was written by a newer version", "run that version")
    return found


def svid_file(state: Path) -> Path:
    return state / "agent" / "host.svid"


def remedy(state: Path) -> str:
    """What to do about servers that do not answer; "" on a host that did not join."""
    with contextlib.suppress(Failure):
        if (found := load(state)) is not None:
            return f"can {found.ca} be reached from here, and does the server run there?"
    return ""


# --- joining --------------------------------------------------------------------------------------------------------


async def with_token(state: Path, ca: str, token: HostToken, address: str) -> Joined:
    """Joins with a token, which is used up. Raises Failure."""
    key, csr = identity.new_key_and_csr()  # before the token is shown: what fails here costs nothing
    private_dir(private_dir(state) / "agent")
    async with identity.channel(ca, token.roots) as channel:

        async def proof(_: str) -> str:
            return token.proof

        try:
            answer = await identity.attest_remotely(channel, JOIN_TOKEN, proof, timeout=JOIN_WITHIN)
            request = host_request(token.host, csr)
            signed = await identity.sign(channel, request, answer.token, timeout=JOIN_WITHIN)
        except Failure as failure:
            raise _not_joined(ca, failure, f"argosy token create --host {token.host}") from failure
    identity.svid(signed, key).save(svid_file(state))
    found = Joined(
        host=token.host,
        ca=ca,
        trust_domain=answer.trust_domain,
        bundle=answer.bundle,
        address=address or address_towards(ca),
        at=time.time(),
    )
    return _keep(state, found, answer)


async def with_attestor(
    state: Path, ca: str, roots: str, attestor: str, type: str, parameters: dict[str, str], address: str
) -> Joined:
    """Joins by what the host's platform vouches for. `roots`: PEM. Raises Failure."""
    private_dir(private_dir(state) / "agent")
    found = Joined(
        attestor=attestor,
        type=type,
        parameters=parameters,
        ca=ca,
        trust_domain="",
        bundle=roots,
        address=address or address_towards(ca),
        at=time.time(),
    )
    try:
        answer = (await _gathered(found)).answer
    except Failure as failure:
        raise _not_joined(ca, failure, "") from failure
    return _keep(state, found, answer)


def host_request(host: str, csr: str) -> SignRequest:
    return SignRequest(csr=csr, namespace=HOSTS, service_account=host, workload=host, app=host, version="")


def address_towards(server: str) -> str:
    """The address by which this host reaches a server (`host:port`); "" where there is no way. No packet is sent."""
    name, _, port = server.rpartition(":")
    with contextlib.suppress(OSError, ValueError):
        found = socket.getaddrinfo(name.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        family, kind, _, _, where = found[0]
        with socket.socket(family, kind) as probe:
            probe.connect(where)
            return str(probe.getsockname()[0])
    return ""


def _not_joined(ca: str, failure: Failure, another: str) -> Failure:
    if "CERTIFICATE_VERIFY_FAILED" in failure.what or "handshake" in failure.what.lower():
        return Failure(
            f"{ca} is no server of the mesh whose root is pinned: it was told nothing ({failure.what})",
            "look at the address; or whoever answers there is somebody else",
        )
    if isinstance(failure, Unreachable):
        return Failure(failure.what, f"is {ca} the CA port of a server that runs (--ca-address there)?")
    again = f"; a token counts once, make another one there: {another}" if another else ""
    return Failure(f"{ca} does not let this host in: {failure.what}", f"{failure.remedy}{again}")


def _keep(state: Path, found: Joined, answer: AttestResponse) -> Joined:
    kept = msgspec.structs.replace(
        found, trust_domain=answer.trust_domain, bundle=answer.bundle, cas=answer.ca_addresses[: servers.MOST]
    )
    try:
        write_private(_file(state), msgspec.json.encode(kept))
    except OSError as error:
        raise Failure(f"cannot write {_file(state)}: {error.strerror}", "free some disk space") from error
    other_server(state).unlink(missing_ok=True)  # another user's server of this host is not asked any more
    servers.remember(state, answer.xds_addresses or (answer.xds_address,))
    return kept


def pin(state: Path, bundle: str) -> None:
    """The roots by which the servers are known from now on."""
    try:
        found = load(state)
        if found is not None and found.bundle != bundle:
            write_private(_file(state), msgspec.json.encode(msgspec.structs.replace(found, bundle=bundle)))
    except (OSError, Failure) as error:
        log.error("the roots of the mesh are not remembered", reason=str(error))


def _file(state: Path) -> Path:
    return state / "agent" / "joined.json"


# --- proving --------------------------------------------------------------------------------------------------------


async def prove(state: Path, of: Joined) -> Proof:
    """Raises Unreachable, Refused, and Failure where there is nothing to prove it with."""
    proof = await (_by_certificate(state, of) if of.host else _gathered(of))
    if (proof.answer.bundle, proof.answer.ca_addresses) != (of.bundle, of.cas):
        _keep(state, of, proof.answer)
    else:
        servers.remember(state, proof.answer.xds_addresses)
    return proof


def own(state: Path, of: Joined) -> Svid:
    """The certificate of the host. Raises Failure where there is none that counts: says how there is one again."""
    svid = identity.load(svid_file(state))
    again = f"join again: argosy agent join {of.ca}, with a new token (argosy token create --host {of.host})"
    if svid is None:
        raise Failure(f"the certificate of the host {of.host} is lost", again)
    if svid.not_after <= time.time():
        ended = time.strftime("%Y-%m-%d %H:%M", time.localtime(svid.not_after))
        raise Failure(
            f"the certificate of the host {of.host} ended at {ended}: it renews itself only while the agent runs",
            again,
        )
    return svid


async def _by_certificate(state: Path, of: Joined) -> Proof:
    svid = own(state, of)

    async def nothing(_: str) -> str:
        return ""

    last = Unreachable("no server of the mesh is known", f"join again: argosy agent join {of.ca}")
    for address in servers.addresses(state):
        try:
            async with identity.channel(address, svid.bundle, svid.chain, svid.key) as channel:
                answer = await identity.attest_remotely(channel, HOST, nothing, challenged=False, timeout=5)
        except Unreachable as failure:
            last = failure
            continue
        return Proof(answer=answer, address=address, bundle=svid.bundle, chain=svid.chain, key=svid.key)
    raise last


async def _gathered(of: Joined) -> Proof:
    gatherer = attestors.plugin(of.type).gatherer(of.parameters)
    addresses = tuple(dict.fromkeys((of.ca, *of.cas)))
    for number, address in enumerate(addresses, 1):
        try:
            async with identity.channel(address, of.bundle) as channel:
                answer = await identity.attest_remotely(channel, of.attestor, gatherer.gather, timeout=10)
        except Unreachable:
            if number == len(addresses):
                raise
            continue
        return Proof(answer=answer, address=answer.ca_address or address, bundle=answer.bundle)
    raise AssertionError("there is always the address that it joined at")
