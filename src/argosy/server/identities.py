"""What operators ask of the identities of a mesh, and how they move its root on, as routes of the API server.

    GET  …/trust                 Overview: roots, servers, how far a rotation is
    POST …/trust/rotation        Step -> RotationReport; 409 where the step does not follow, or would leave somebody
    behind GET  …/trust/csr             {"csr"}: for the issuing key of this server that waits for its certificate
    POST …/trust/issuing         {"chain"} -> {"root"}: the certificate for it
    GET  …/certificates          [CertificateRow, …] of all workloads
    GET  …/namespaces/NAMESPACE/certificates

Viewers may look; whatever changes something is an admin's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec
from cryptography import x509
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from argosy.apiserver.status import Refusal, bad_request
from argosy.identity import trust as trusts
from argosy.identity.trust import Phase, Trust, WrongStep, fingerprint
from argosy.runtime.certificates import BadRequest, pem
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.server.certificates import Certificates, Held
from argosy.server.fleet import Fleet, Operations
from argosy.server.operations import PREFIX, as_json, rows_of_all
from argosy.server.proxies import ProxyState
from argosy.server.rotation import RotationReport, report
from argosy.server.trust import Standing, TrustKeeper, short

LONGEST_REQUEST = 256 << 10
T = TypeVar("T")

log = logger("identity")


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    step: str  # begin, issue, drop or abort
    root: str = ""  # PEM, with begin: a root whose key is kept elsewhere
    here: bool = False  # with begin: this server makes the new root, though it does not hold the old one
    force: bool = False  # whoever is behind is left behind


class Chain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    chain: str  # PEM: the issuing certificate, and what leads from it to the root


class RootRow(Struct, frozen=True, kw_only=True):
    fingerprint: str
    subject: str
    not_after: float  # Unix time
    state: str  # in force, coming, going
    pem: str


class ServerRow(Struct, frozen=True, kw_only=True):
    server: str
    issues: str  # fingerprint of the root
    holds_root: bool
    ends: float  # Unix time: of what it issues with
    older: bool = False  # of a version that does not say


class Overview(Struct, frozen=True, kw_only=True):
    trust_domain: str
    server: str  # the one that answers
    roots: tuple[RootRow, ...]
    servers: tuple[ServerRow, ...]
    rotation: RotationReport


class CertificateRow(Struct, frozen=True, kw_only=True):
    """The certificate of a workload. Of one that signed before records were kept, less is known."""

    name: str  # workload.namespace
    namespace: str
    workload: str
    service_account: str
    identity: str
    serial: str
    root: str  # fingerprint
    issuer: str  # serial of the issuing certificate
    issuer_ends: float
    issued_at: float  # Unix time
    not_after: float
    proof: str
    server: str
    connected: bool
    late: bool  # half of its life is over: it is not renewed as it should be
    problem: str


class Identities:
    """The answers. `store` errors pass."""

    def __init__(
        self, keeper: TrustKeeper, certificates: Certificates, operations: Operations, fleet: Fleet
    ) -> None:
        self.keeper = keeper
        self.certificates = certificates
        self.operations = operations
        self.fleet = fleet

    async def overview(self) -> Overview:
        keeper, standings = self.keeper, await self.keeper.standings()
        trust = keeper.trust
        return Overview(
            trust_domain=trust.trust_domain,
            server=self.fleet.own.id,
            roots=tuple(_root_row(one, trust) for one in keeper.authority.trusted),
            servers=tuple(
                _server_row(one.id, standings.get(one.id))
                for one in sorted(self.fleet.servers, key=lambda one: one.id)
            ),
            rotation=await self.rotation(),
        )

    async def rotation(self) -> RotationReport:
        keeper = self.keeper
        await keeper.tell()
        proxies, silent = await self.operations.proxies()
        return report(
            keeper.trust,
            self.fleet.servers,
            await keeper.standings(),
            await self.certificates.all(),
            proxies,
            silent,
            keeper.authority.clock(),
        )

    async def step(self, asked: Step) -> RotationReport:
        """Raises WrongStep, ValueError, BadRequest, Failure, StoreError."""
        steps: dict[str, Callable[[Step], Awaitable[None]]] = {
            "begin": self._begin,
            "issue": partial(self._next, Phase.TRUST, self._issue),
            "drop": partial(self._next, Phase.ISSUE, trusts.drop),
            "abort": self._abort,
        }
        if asked.step not in steps:
            raise ValueError(f"step: {asked.step!r} is not begin, issue, drop or abort")
        await steps[asked.step](asked)
        return await self.rotation()

    async def _begin(self, asked: Step) -> None:
        keeper, authority = self.keeper, self.keeper.authority
        trusts.may_begin(keeper.trust)
        if not asked.root and authority.base.root_key is None and not asked.here:
            holders = ", ".join(server.id for server in self.fleet.others if server.root)
            where = f": ask one that does ({holders})" if holders else ""
            raise WrongStep(
                f"this server does not hold the root of the mesh{where}; --here makes the new root on this one; "
                "--root FILE takes one whose key is kept elsewhere"
            )
        new = asked.root or keeper.new_root()
        old, now = pem(authority.base.root), authority.clock()
        await keeper.change(lambda trust: trusts.begin(trust, old, new, now))
        keeper.begun()
        log.warning(
            "rotation of the root begun", new=short(str(keeper.trust.rotation and keeper.trust.rotation.new))
        )

    async def _next(self, phase: Phase, step: Callable[[Trust], Trust], asked: Step) -> None:
        now = await self.rotation()
        if now.phase != phase:
            raise WrongStep(f"the rotation is in the phase {now.phase or 'none'}")
        if not now.ready and not asked.force:
            count = len(now.behind) + len(now.servers_behind) + len(now.silent)
            raise WrongStep(f"{count} would be left behind (argosy identity rotate-root --status names them)")
        await self.keeper.change(step)
        log.warning("rotation of the root", step=asked.step, forced=asked.force and not now.ready)

    def _issue(self, trust: Trust) -> Trust:
        return trusts.issue(trust, self.keeper.authority.clock())

    async def _abort(self, _: Step) -> None:
        await self.keeper.change(trusts.abort)
        log.warning("rotation of the root given up")

    async def certificate_rows(self) -> tuple[list[CertificateRow], tuple[str, ...]]:
        """(of all workloads, by name; servers that do not answer)."""
        proxies, silent = await self.operations.proxies()
        records = {held.name: held for held in await self.certificates.all()}
        states = {state.name: state for state in proxies}
        now = self.keeper.authority.clock()
        names = sorted(records.keys() | {name for name, state in states.items() if state.connected})
        return [_certificate_row(name, records.get(name), states.get(name), now) for name in names], silent


def routes(identities: Identities) -> tuple[BaseRoute, ...]:
    async def overview(_: Request) -> Response:
        return as_json(await identities.overview())

    async def step(request: Request) -> Response:
        asked = await _body(request, Step)
        try:
            return as_json(await identities.step(asked))
        except WrongStep as error:
            raise conflict(str(error)) from error
        except (BadRequest, ValueError) as error:
            raise bad_request(str(error)) from error
        except Failure as failure:
            raise conflict(f"{failure.what} ({failure.remedy})") from failure

    async def csr(_: Request) -> Response:
        try:
            return as_json({"csr": identities.keeper.pending_csr(), "server": identities.fleet.own.id})
        except Failure as failure:
            raise conflict(f"{failure.what} ({failure.remedy})") from failure

    async def install(request: Request) -> Response:
        asked = await _body(request, Chain)
        try:
            root = identities.keeper.install(asked.chain)
        except BadRequest as error:
            raise bad_request(str(error)) from error
        except Failure as failure:
            raise conflict(f"{failure.what} ({failure.remedy})") from failure
        log.warning("issuing certificate installed", root=short(root))
        await identities.keeper.tell()
        return as_json({"root": root, "server": identities.fleet.own.id})

    async def certificates(request: Request) -> Response:
        return rows_of_all(request, *await identities.certificate_rows())

    return (
        Route(f"{PREFIX}/trust", overview, methods=["GET"]),
        Route(f"{PREFIX}/trust/rotation", step, methods=["POST"]),
        Route(f"{PREFIX}/trust/csr", csr, methods=["POST"]),
        Route(f"{PREFIX}/trust/issuing", install, methods=["POST"]),
        Route(f"{PREFIX}/certificates", certificates, methods=["GET"]),
        Route(f"{PREFIX}/namespaces/{{namespace}}/certificates", certificates, methods=["GET"]),
    )


def conflict(message: str) -> Refusal:
    return Refusal(409, message, reason="NotNow")


async def _body(request: Request, type: type[T]) -> T:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_REQUEST:
            raise bad_request(f"the request is longer than {LONGEST_REQUEST} bytes")
    try:
        return msgspec.json.decode(body, type=type)
    except msgspec.MsgspecError as error:
        raise bad_request(f"the body is no {type.__name__}: {error}") from error


def _root_row(root: x509.Certificate, trust: Trust) -> RootRow:
    mark, rotation = fingerprint(root), trust.rotation
    state = "in force"
    if rotation is not None:
        state = "going" if mark == rotation.old else "coming"
    return RootRow(
        fingerprint=mark,
        subject=root.subject.rfc4514_string(),
        not_after=root.not_valid_after_utc.timestamp(),
        state=state,
        pem=pem(root),
    )


def _server_row(id: str, standing: Standing | None) -> ServerRow:
    if standing is None:
        return ServerRow(server=id, issues="", holds_root=False, ends=0.0, older=True)
    return ServerRow(server=id, issues=standing.issues, holds_root=bool(standing.holds), ends=standing.ends)


def _certificate_row(name: str, held: Held | None, state: ProxyState | None, now: float) -> CertificateRow:
    workload, _, namespace = name.rpartition(".")
    said = state.credentials if state else None
    return CertificateRow(
        name=name,
        namespace=namespace,
        workload=workload,
        service_account=held.service_account if held else state.service_account if state else "",
        identity=held.identity if held else "",
        serial=held.serial if held else said.serial if said else "",
        root=held.root if held else said.root if said else "",
        issuer=held.issuer if held else "",
        issuer_ends=held.issuer_ends if held else 0.0,
        issued_at=held.issued_at if held else 0.0,
        not_after=held.not_after if held else state.certificate_expires_at if state else 0.0,
        proof=held.proof if held else "",
        server=held.server if held else "",
        connected=bool(state and state.connected),
        late=bool(said and said.late) or bool(held and now > (held.issued_at + held.not_after) / 2),
        problem=said.problem if said else "",
    )
