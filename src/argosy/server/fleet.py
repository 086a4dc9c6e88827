"""The servers of one mesh: who is there, and what they ask each other.

Every server holds a record of itself in the store (`store.holding`), which goes when it does. They share nothing else.
What concerns all proxies (how do they stand, has a change arrived) is asked of every server that serves proxies, over
the xDS port with the control plane's own certificate, which no workload can hold; one that does not answer is named.

    /argosy.operations.v1.Operations/Ask    Question -> answer, JSON by msgspec
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
import msgspec
from msgspec import Struct

from argosy.explain.analysis.applied import Warned
from argosy.identity import client as identity
from argosy.identity.authority import Authority
from argosy.identity.names import NotAnIdentity, is_control_plane
from argosy.runtime.certificates import BadRequest
from argosy.runtime.log import logger
from argosy.server.figures import Figure
from argosy.server.ports import OwnCertificate
from argosy.server.proxies import ProxyState
from argosy.server.verdict import Deliver, Verdict, merged
from argosy.store.base import Compacted, EventType, Key, Store, Stored, StoreError
from argosy.store.holding import keep_present

ASK = "/argosy.operations.v1.Operations/Ask"
RESOURCE = "/internal/servers"
PRESENT = 10.0  # seconds after which a server that is not heard of is gone
RETRY_AFTER = 1.0
ANSWER_WITHIN = 5.0
ASK_AGAIN_AFTER = 0.5
CUT_OFF_AFTER = 3.0  # seconds after the others may take it for gone
LONGEST_QUESTION = 4 << 20  # holds any object that the API takes

log = logger("fleet")


class ServerRecord(Struct, frozen=True, kw_only=True):
    """What a server says of itself."""

    id: str
    version: str
    roles: tuple[str, ...]
    api: str = ""  # https://host:port
    ca: str = ""  # host:port
    xds: str = ""  # host:port
    started: float = 0.0  # Unix time
    root: bool = False  # whether it holds the root of the mesh, and so lets other servers in


class AskProxies(Struct, frozen=True, tag="proxies"):
    """Answer: list[ProxyState]."""


class AskDelivery(Struct, frozen=True, tag="delivery"):
    """Answer: Verdict."""

    key: Key
    revision: int
    timeout: float


class TellFigures(Struct, frozen=True, tag="figures"):
    """To the leader: how objects stand with the proxies of `server`. Answer: whether it was taken, in that term."""

    server: str
    term: int
    figures: tuple[tuple[Key, Figure], ...]
    whole: bool  # with this it has told everything


class AskWarnings(Struct, frozen=True, tag="warnings"):
    """What the analysis finds about an object that is being applied, once it has seen what is stored by `revision`.
    Answer: list[Warned]."""

    object: msgspec.Raw
    revision: int


class AskIssuing(Struct, frozen=True, tag="issuing"):
    """An issuing certificate for a server of the fleet, whose own nears its end, or that needs one below the root of
    this fingerprint. Answer: PEM."""

    csr: str
    root: str = ""  # "": below which the asked one issues now


Question = AskProxies | AskDelivery | TellFigures | AskIssuing | AskWarnings
Take = Callable[[TellFigures], bool]
Warn = Callable[[dict[str, Any], int], Awaitable[Sequence[Warned]]]

_questions: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)
_proxies = msgspec.json.Decoder(list[ProxyState])
_verdict = msgspec.json.Decoder(Verdict)


async def read(store: Store) -> tuple[dict[Key, ServerRecord], int]:
    """The servers that are present, and the revision to watch from. Raises StoreError."""
    listing = await store.list(RESOURCE)
    found = ((stored.key, _record(stored)) for stored in listing.items)
    return {key: record for key, record in found if record}, listing.revision


def _record(stored: Stored) -> ServerRecord | None:
    try:
        return msgspec.json.decode(stored.body, type=ServerRecord)
    except msgspec.MsgspecError as error:
        log.warning("record of a server not readable", server=stored.key.name, error=str(error))
        return None


class Fleet:
    """The other servers of the mesh, as the store knows them. `own` may change until `run` is called."""

    def __init__(self, store: Store, own: ServerRecord, certificate: OwnCertificate) -> None:
        self.store = store
        self.own = own
        self.certificate = certificate
        self.records: dict[Key, ServerRecord] = {}
        self.on_changed: list[Callable[[], None]] = []
        self._absent_since: float | None = None

    @property
    def cut_off(self) -> bool:
        """Whether this server has not been able to say for a while that it is there, and others serve proxies."""
        since = self._absent_since
        return since is not None and time.monotonic() - since > CUT_OFF_AFTER and bool(self.peers())

    @property
    def others(self) -> tuple[ServerRecord, ...]:
        return tuple(one for one in self.records.values() if one.id != self.own.id)

    @property
    def servers(self) -> tuple[ServerRecord, ...]:
        """All, this one first."""
        return (self.own, *self.others)

    def peers(self) -> dict[str, str]:
        """The others that serve proxies: id -> address."""
        return {one.id: one.xds for one in self.others if one.xds}

    def present(self) -> frozenset[str]:
        """The ids of all."""
        return frozenset(one.id for one in self.servers)

    def xds_addresses(self) -> tuple[str, ...]:
        """Of those that serve proxies, this one first."""
        return tuple(one.xds for one in self.servers if one.xds)

    async def load(self) -> int:
        """Reads who is there; the revision to watch from. Raises StoreError."""
        self.records, revision = await read(self.store)
        return revision

    async def run(self) -> None:
        """Is present, and follows who else is, for ever."""
        key = Key(RESOURCE, "", self.own.id)
        with contextlib.suppress(StoreError):
            # Of an instance that was killed: who has our roles, and their locks, is us.
            await self.store.delete(key)

        def told(held: bool) -> None:
            task = asyncio.current_task()
            self._absent_since = None if held else self._absent_since or time.monotonic()
            if held:
                log.debug("present", server=self.own.id)
            elif task is None or not task.cancelling():
                log.warning("the other servers may take this one for gone", server=self.own.id)

        await asyncio.gather(
            keep_present(self.store, key, lambda: msgspec.json.encode(self.own), PRESENT, told),
            self._follow(),
        )

    async def _follow(self) -> None:
        while True:
            try:
                revision = await self.load()
                self._tell()
                async for event in self.store.watch(revision, RESOURCE):
                    if event.type is EventType.DELETED:
                        if gone := self.records.pop(event.stored.key, None):
                            log.info("server gone", server=gone.id, xds=gone.xds)
                    else:
                        self._put(event.stored)
                    self._tell()
            except Compacted:
                continue
            except StoreError:
                await asyncio.sleep(RETRY_AFTER)

    def _put(self, stored: Stored) -> None:
        if record := _record(stored):
            self.records[stored.key] = record

    def _tell(self) -> None:
        for tell in self.on_changed:
            tell()

    async def ask(self, server: ServerRecord, question: Question, timeout: float) -> bytes:
        """Raises grpc.RpcError, TimeoutError, OSError."""
        async with self.channel(server.xds) as channel:
            return await ask_on(channel, question, timeout)

    def channel(self, address: str) -> grpc.aio.Channel:
        """To the xDS port of another server."""
        pair = self.certificate.current
        return identity.channel(address, self.certificate.authority.bundle, pair.chain, pair.key)


async def ask_on(channel: grpc.aio.Channel, question: Question, timeout: float) -> bytes:
    """Raises grpc.RpcError."""
    call = channel.unary_unary(ASK, request_serializer=None, response_deserializer=None)
    answer: bytes = await call(msgspec.json.encode(question), timeout=timeout)
    return answer


# --- what is asked of all -------------------------------------------------------------------------------------------


class Operations:
    """What people ask of the mesh, answered by all the servers that serve proxies.

    `proxies` and `deliver` are this server's own part; None where it serves no proxies.
    """

    def __init__(
        self,
        fleet: Fleet,
        proxies: Callable[[], list[ProxyState]] | None = None,
        deliver: Deliver | None = None,
    ) -> None:
        self.fleet = fleet
        self._proxies = proxies
        self._deliver = deliver
        self._silent: set[str] = set()  # ids of those that did not answer last

    def _peers(self) -> tuple[ServerRecord, ...]:
        return tuple(one for one in self.fleet.others if one.xds)

    async def proxies(self) -> tuple[list[ProxyState], tuple[str, ...]]:
        """(every proxy, by name; servers that did not answer). One that is connected anywhere is connected."""
        answers, silent = await self._ask_all(AskProxies(), ANSWER_WITHIN)
        found: dict[str, ProxyState] = {}
        lists = [_proxies.decode(answer) for answer in answers]
        if self._proxies is not None:
            lists.append(self._proxies())
        for state in (state for one in lists for state in one):
            if state.name not in found or state.connected_since > found[state.name].connected_since:
                found[state.name] = state
        return [found[name] for name in sorted(found)], silent

    async def deliver(self, key: Key, revision: int, timeout: float) -> Verdict:
        """How a change stands with all proxies after at most `timeout` seconds.

        A server that does not answer may have died: it is asked again until it answers or is no longer one of them, as
        its proxies come to the others meanwhile. What stands at the end is said with its name.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout
        while True:
            left = max(0.0, deadline - clock())
            asked = self._ask_all(AskDelivery(key, revision, left), left + ANSWER_WITHIN)
            if self._deliver is None:
                answers, silent = await asked
                own: tuple[Verdict, ...] = ()
            else:
                (answers, silent), here = await asyncio.gather(asked, self._deliver(key, revision, left))
                own = (here,)
            if not silent or clock() + ASK_AGAIN_AFTER >= deadline:
                return merged((*own, *(_verdict.decode(answer) for answer in answers)), silent)
            await asyncio.sleep(ASK_AGAIN_AFTER)

    async def _ask_all(self, question: Question, timeout: float) -> tuple[list[bytes], tuple[str, ...]]:
        peers = self._peers()
        if not peers:
            return [], ()
        answers = await asyncio.gather(
            *(self.fleet.ask(peer, question, timeout) for peer in peers), return_exceptions=True
        )
        silent = []
        for peer, answer in zip(peers, answers, strict=True):
            if not isinstance(answer, BaseException):
                self._silent.discard(peer.id)
                continue
            silent.append(peer.xds)
            if peer.id not in self._silent:  # said once: it is asked again and again
                self._silent.add(peer.id)
                log.warning("server does not answer", server=peer.id, xds=peer.xds, error=repr(answer)[:300])
        return [answer for answer in answers if isinstance(answer, bytes)], tuple(silent)


class OperationsService:
    """The answers of this server, for the other servers alone."""

    def __init__(
        self,
        proxies: Callable[[], list[ProxyState]],
        deliver: Deliver,
        take: Take = lambda _: False,
        authority: Authority | None = None,
        warn: Warn | None = None,
    ) -> None:
        self._authority = authority
        self._warn = warn
        self._proxies = proxies
        self._deliver = deliver
        self._take = take

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        service, _, method = ASK.removeprefix("/").partition("/")
        return grpc.method_handlers_generic_handler(
            service, {method: grpc.unary_unary_rpc_method_handler(self._serve)}
        )

    async def _serve(self, body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        with contextlib.suppress(NotAnIdentity):
            certificates = context.auth_context().get("x509_pem_cert") or ()
            if is_control_plane(next(iter(certificates), b"")):
                return msgspec.json.encode(await self._answer(body, context))
        log.warning("question refused", peer=context.peer())
        return await context.abort(grpc.StatusCode.PERMISSION_DENIED, "this is for the servers of the mesh")

    async def _answer(self, body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> object:
        try:
            if len(body) > LONGEST_QUESTION:
                raise msgspec.ValidationError(f"more than {LONGEST_QUESTION} bytes")
            question = _questions.decode(body)
        except msgspec.MsgspecError as error:
            return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a question: {error}")
        if isinstance(question, AskProxies):
            return self._proxies()
        if isinstance(question, TellFigures):
            return self._take(question)
        if isinstance(question, AskIssuing):
            return await self._sign(question, context)
        if isinstance(question, AskWarnings):
            return await self._warned(question, context)
        return await self._deliver(question.key, question.revision, question.timeout)

    async def _warned(
        self, question: AskWarnings, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> Sequence[Warned]:
        obj = msgspec.json.decode(question.object)
        if self._warn is None or not isinstance(obj, dict):
            return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no object, or no analysis here")
        return await self._warn(obj, question.revision)

    async def _sign(self, question: AskIssuing, context: grpc.aio.ServicerContext[bytes, bytes]) -> str:
        try:
            if self._authority is None:
                raise BadRequest("this server signs nothing")
            signed = self._authority.sign_issuing(question.csr, question.root)
        except BadRequest as error:
            return str(await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error)))
        log.info("issuing certificate signed for another server", peer=context.peer())
        return signed
