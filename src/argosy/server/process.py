"""The process: `argosy server` from its settings, started and stopped in order.

Start: state directory and lock -> store -> authority -> first objects -> views -> gRPC ports -> API -> status ->
attestation socket -> server.json. What serves proxies opens only when the views are complete, so that a restart never
takes anything away from a proxy. Stop is the same backwards. Whatever cannot start is a Failure with a remedy, and
what had started before it is stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from starlette.routing import BaseRoute

import argosy
from argosy.apiserver import serving
from argosy.apiserver.access.audit_log import AuditLog
from argosy.apiserver.writing import Admission
from argosy.explain.analysis.applied import Warned
from argosy.identity.attestation import AttestationSocket
from argosy.identity.jwt_svids import JwtKeys
from argosy.identity.limits import LONGEST_MESSAGE
from argosy.model import ir
from argosy.model.proxy_start import start_of
from argosy.runtime import preflight
from argosy.runtime.errors import Failure
from argosy.runtime.files import raise_open_files
from argosy.runtime.hosts import is_wildcard
from argosy.runtime.locks import FileLock
from argosy.runtime.log import logger
from argosy.runtime.paths import ServerInfo, leave_runtime_dir, make_runtime_dir, private_dir
from argosy.server import (
    fleet,
    host_tokens,
    identities,
    join_tokens,
    joining,
    membership,
    operations,
    ports,
    status,
)
from argosy.server.advertise import LOOPBACK, Advertised
from argosy.server.advice import Advice
from argosy.server.analysis import Analysis
from argosy.server.api import ApiRole
from argosy.server.attend import AttendService
from argosy.server.attendance import Attendance
from argosy.server.bootstraps import Bootstraps
from argosy.server.certificates import Certificates
from argosy.server.collecting import give_back, settle_down
from argosy.server.defaults import write_access_objects, write_first_objects
from argosy.server.delivery import Delivery
from argosy.server.ends import Ends
from argosy.server.fetching import Fetcher
from argosy.server.fleet import Fleet, Operations, OperationsService, ServerRecord
from argosy.server.host_tokens import HostTokens
from argosy.server.identities import Identities
from argosy.server.identity_role import IdentityRole
from argosy.server.info import publish, withdraw
from argosy.server.issuance import Issuance
from argosy.server.join_tokens import JoinTokens
from argosy.server.joining import JoinService
from argosy.server.jwt_keys import PublishedKeys
from argosy.server.key_sets import KeySets
from argosy.server.leader import Leadership
from argosy.server.mesh_metrics import show_mesh
from argosy.server.metrics import Gauge, Metrics, Reading
from argosy.server.peers import Authenticated, Door, current_peer
from argosy.server.proxies import ProxySession, ProxyState, disconnected, with_credentials
from argosy.server.reconcile import Loop, Reconciler
from argosy.server.registration import Registrar
from argosy.server.reporting import Reporter
from argosy.server.settings import Address, Role, Settings
from argosy.server.tally import Tally
from argosy.server.telling import Telling
from argosy.server.trust import TrustKeeper
from argosy.store import open as stores
from argosy.store.base import Store, StoreError
from argosy.xds.registration import Trust as TrustMessage
from argosy.xds.server import AdsService, Peer
from argosy.xds.wire import Node

HOUSEKEEPING_EVERY = 5.0
MANY_DEPARTED = 500  # streams, after which memory is given back
DOOR_EVERY = 0.5
CATCH_UP_WITHIN = 2.0
STREAMS_END_WITHIN = 0.2  # seconds that calls have when the server stops; streams never end by themselves

log = logger("server")


class ControlPlane:
    """One server. `start` raises Failure; after it, `stop` must be called."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.info = ServerInfo(
            pid=0, version=argosy.__version__, trust_domain=settings.trust_domain, roles=()
        )
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Is given the exception when something that runs for ever ended."""
        self._stack = AsyncExitStack()
        self.api: ApiRole | None = None
        self._http: list[serving.Serving] = []
        self._ready = False
        self.door = Door()
        self._advertised = Advertised(settings.advertise)
        self.ca: Address | None = None  # where this process signs

    # --- start and stop ---

    async def start(self) -> None:
        try:
            await self._start()
        except StoreError as error:
            await self._stack.aclose()
            raise Failure(f"the store cannot be used: {error}", "then start again") from error
        except OSError as error:
            await self._stack.aclose()
            raise Failure(
                f"cannot start: {error}", "free some disk space, or choose another --state-dir"
            ) from error
        except BaseException:
            await self._stack.aclose()
            raise

    async def stop(self) -> None:
        log.info("stopping")
        self._ready = False
        await self._stack.aclose()
        log.info("stopped")

    async def _start(self) -> None:
        _check_machine()
        settings, state = self.settings, private_dir(self.settings.state)
        self._lock_roles(state)
        every = {Role.API: settings.api, Role.XDS: settings.xds, Role.CA: settings.ca}
        listening = {str(role): wanted for role, wanted in every.items() if role in settings.roles}
        for role, wanted in listening.items():
            ports.probe(role, wanted)
        ports.probe("status", settings.status)
        self.metrics = Metrics()
        server = membership.server_id(state)
        await self._open_store(server)
        self._advertised.warn(listening, log.warning)
        self.own = ports.OwnCertificate(self.authority, self._advertised.hosts(every.values()))
        await write_first_objects(self.store, time.time())
        await write_access_objects(self.store, time.time())
        roles = tuple(str(role) for role in Role if role in settings.roles)
        record = ServerRecord(
            id=f"{server}-{'.'.join(roles)}",
            version=argosy.__version__,
            roles=roles,
            started=time.time(),
            root=self.authority.holds_root,
        )
        self.fleet = Fleet(self.store, record, self.own)
        await self.fleet.load()
        self.trust = TrustKeeper(self.store, self.authority, state, self.fleet)
        self.trust.on_changed.append(self.own.renew_if_rotated)
        trusted_at = await self.trust.load()
        self.certificates = Certificates(self.store)
        self._task("certificates", self.certificates.run())
        self._task("old certificates", self.certificates.sweep_for_ever())
        self.join_tokens = JoinTokens(self.store)
        self.host_tokens = HostTokens(self.store)
        info: dict[str, str] = {}
        if Role.CA in settings.roles or Role.XDS in settings.roles:
            await self._start_identity()
        if Role.XDS in settings.roles:
            await self._start_views()
        if Role.CA in settings.roles:
            info["ca"] = str(await self._start_ca())
        if Role.XDS in settings.roles:
            info["xds"] = str(await self._start_xds())
        addresses = {name: info.get(name, "") for name in ("ca", "xds")}
        self.fleet.own = msgspec.structs.replace(record, **addresses)
        self._stack.callback(leave_runtime_dir, state)  # once its sockets are gone
        self._stack.push_async_callback(self._stop_http)
        if Role.API in settings.roles:
            info |= await self._start_api()
        info["status"] = await self._start_status()
        self.fleet.own = msgspec.structs.replace(self.fleet.own, api=info.get("api", ""))
        if Role.CA in settings.roles:
            info["attest_socket"] = await self._start_attestation()
        self.ends = Ends(
            self.authority, lambda: self.attend.credentials() if Role.XDS in settings.roles else {}
        )
        self.ends.show(self.metrics)
        self._task("fleet", self.fleet.run())
        self._task("trust", self.trust.follow(trusted_at))
        self._task("rotation", self.trust.run())
        self._task("housekeeping", self._keep_house())
        self._write_info(info)
        self._ready = True
        log.info(
            "ready", state=str(state), roles=",".join(self.info.roles), version=argosy.__version__, **info
        )

    # --- the parts ---

    def _lock_roles(self, state: Path) -> None:
        """One process a role: a second one on the same directory is told who has it."""
        for role in Role:
            if role in self.settings.roles:
                lock = FileLock(state / f"server-{role}.lock")
                lock.acquire(
                    f"another server runs on {state} with the role {role}",
                    "stop it, choose other --roles, or another --state-dir",
                )
                self._stack.callback(lock.release)

    async def _open_store(self, server: str) -> None:
        """The store, and the authority of the mesh that it belongs to."""
        settings, state = self.settings, self.settings.state
        if settings.join is not None and not (state / "ca").is_dir():
            token = join_tokens.parse(settings.join_token, "the join token that was given")
            await joining.join(settings, token)
        url = settings.store or stores.url_of(state)

        async def belong(store: Store) -> None:
            if stores.path_of(url) is not None:
                await self._check_alone(store, server)
            self.authority = await membership.member(store, settings, server)

        self.store: Store = await stores.open_store(url, state, settings.secrets_key_file, belong)
        self._stack.push_async_callback(self.store.close)

    async def _check_alone(self, store: Store, server: str) -> None:
        """A file of a database belongs to one state directory: its servers share a host, and lock their roles there."""
        others, _ = await fleet.read(store)
        for other in others.values():
            if Role.XDS in self.settings.roles and other.xds and not other.id.startswith(f"{server}-"):
                raise Failure(
                    f"another server ({other.xds}) serves the proxies of this store",
                    "stop it, and start this one 10 s later; or leave the role out: --roles api; several servers "
                    "share a store of etcd alone (docs/replicas.md)",
                )

    async def _start_identity(self) -> None:
        jwts = PublishedKeys(self.store, self.fleet.own.id)
        if Role.XDS in self.settings.roles:  # for whoever has a certificate, at the port for these alone
            jwts.keys = JwtKeys(self.settings.state / "ca")
        issuance = Issuance(self.settings.state, self.authority, self.certificates, self.fleet.own.id)
        self._stack.push_async_callback(asyncio.to_thread, issuance.log.close)
        self.identity = IdentityRole(
            self.store, self.authority, self.host_tokens, self._addresses, self._task, self.metrics, jwts
        )
        self.identity.service.on_issued = issuance.issued
        await self.identity.start()

    def _addresses(self) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Where this process signs ("": nowhere); where servers sign, and where they serve proxies, the one to turn to
        first in front."""
        own = str(self.ca) if self.ca is not None else ""
        signing = tuple(dict.fromkeys(ca for ca in (own, *(one.ca for one in self.fleet.servers)) if ca))
        serving = self.fleet.xds_addresses() or (str(self._advertised.address(self.settings.xds)),)
        return own, signing, serving

    async def _start_views(self) -> None:
        mesh = ir.Mesh(trust_domain=self.authority.trust_domain)
        self.reconciler = Reconciler(mesh, self.metrics, environment=_environment())
        self.delivery = Delivery(self.reconciler, self._lost)
        self.operations = Operations(self.fleet, self._states, self.delivery.deliver)
        self.leadership = Leadership(self.store, self.fleet.own.id)
        self.attendance = Attendance(
            self.store, self.fleet.own.id, self.fleet.present, lambda: self.leadership.leads
        )
        telling, tally = Telling(self.fleet, self.leadership), Tally(self.fleet.peers)
        self.reporter = Reporter(
            self.store, self.reconciler, self.delivery, self.leadership, tally, telling.tell
        )
        self.registrar = Registrar(
            self.store,
            self.operations.deliver,
            self.attendance,
            servers=self.fleet.xds_addresses,
            starts=partial(start_of, self.reconciler.snapshot),
            caught_up=self._taken_in,
            bootstraps=Bootstraps(self.reconciler, self.reporter.touched),
        )
        self.asked = OperationsService(
            self._states,
            self.delivery.deliver,
            lambda told: telling.take(told, self.reporter),
            self.authority,
            self._warnings,
        )
        self.fleet.on_changed.append(self.reporter.fleet_changed)
        fetcher = Fetcher(self.settings.jwks_allow)
        self.key_sets = KeySets(
            self.store,
            self.reconciler.key_sets,
            self.leadership,
            fetcher.fetch,
            self.reporter.touched,
            self.settings.jwks_refresh,
        )
        self.key_sets.show(self.metrics)
        self.reporter.keys_of = self.key_sets.found
        self.reconciler.on_reconciled.append(self.key_sets.reconciled)
        loop = Loop(self.store, self.reconciler)
        running = self._task("reconcile", loop.run())
        synced = asyncio.ensure_future(loop.synced.wait())
        await asyncio.wait((running, synced), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            synced.cancel()
            await running
        self.fleet.on_changed.append(self.attendance.reconsider)
        self.leadership.on_changed.append(self.attendance.reconsider)
        self._task("attendance", self.attendance.follow(await self.attendance.expect_all()))
        self._task("leadership", self.leadership.run())
        self._task("losses", self.attendance.sweep_for_ever())
        self._task("status", self.reporter.run())
        self._task("keys", self.key_sets.run())
        show_mesh(self.metrics, self.reconciler, self.attendance, self.reporter, self.leadership)

    async def _start_grpc(
        self, name: str, wanted: Address, mutual: str, handlers: list[Any], longest: int | None = None
    ) -> Address:
        server = ports.grpc_server(handlers, longest)
        bound = ports.bind(server, name, wanted, ports.credentials(self.own, mutual))
        await server.start()
        self._stack.push_async_callback(server.stop, STREAMS_END_WITHIN)
        return self._advertised.address(bound)

    async def _start_ca(self) -> Address:
        handlers = []
        if self.authority.holds_root:
            handlers.append(JoinService(self.settings, self.authority, self.join_tokens).handler())
        served = self.identity.for_anybody(handlers)
        self.ca = await self._start_grpc("ca", self.settings.ca, "none", served, LONGEST_MESSAGE)
        return self.ca

    async def _start_xds(self) -> Address:
        async def resolve(node: Node, _: Peer) -> ProxySession:
            return self.reconciler.proxies.session(node, current_peer())

        known = partial(
            Authenticated,
            trust_domain=self.authority.trust_domain,
            door=self.door,
            denied=self.identity.issuing.denies,
        )
        self.attend = attend = AttendService(self.registrar, self._trusted)
        self.registrar.on_left = lambda entry: self.certificates.forget(entry.namespace, entry.name)
        self.fleet.on_changed.append(attend.servers_changed)
        self.trust.on_changed.append(attend.trust_changed)
        self._task("door", self._mind_door())
        self.identity.issuing.on_changed.append(lambda: self.door.expel(self.identity.issuing.denies))
        handlers = [
            known(AdsService(resolve, logger("xds")).handler()),
            known(attend.handler()),
            *self.identity.with_certificate(),
            self.asked.handler(),
        ]
        return await self._start_grpc("xds", self.settings.xds, "required", handlers)

    async def _start_api(self) -> dict[str, str]:
        """Its addresses, by the names of ServerInfo."""
        role = self.api = ApiRole(self.settings, self.store, self.authority, self.own)
        self._show_audit(role.audit_log)
        await role.access.load()
        self._task("access", role.access.run())
        app = role.app(self._admission(), self._operations())
        served = await role.serve(app)
        self._http += served
        self._task("collector", app.state.collector.run())
        url = f"https://{self._advertised.address(Address(self.settings.api.host, served[0].port))}"
        role.write_kubeconfig(url)
        self.trust.on_changed.append(lambda: role.write_kubeconfig(url))
        return {"api": url, "api_socket": str(role.socket())}

    def _show_audit(self, audit: AuditLog) -> None:
        show = self.metrics.show
        show("argosy_audit_written_total", "Lines of the audit log.", Reading(lambda: audit.written))
        show(
            "argosy_audit_lost_total",
            "Lines of the audit log that were lost because it could not be written.",
            Reading(lambda: audit.lost),
        )
        show("argosy_audit_waiting", "Lines that wait to be written.", Gauge(lambda: audit.waiting))

    def _admission(self) -> Admission:
        """Cross checks need the whole mesh, which only the xDS role holds."""
        if Role.XDS in self.settings.roles:
            return operations.admission(operations.found_here(self.reconciler.analysis, self._caught_up))
        advice = Advice(self.fleet)
        self._stack.push_async_callback(advice.close)
        alone = Analysis(ir.Mesh(trust_domain=self.authority.trust_domain))
        return operations.admission(operations.found_elsewhere(advice, self.store, alone))

    async def _warnings(self, obj: dict[str, Any], revision: int) -> Sequence[Warned]:
        """For a server that has no analysis."""
        await self._seen(revision)
        return self.reconciler.analysis.warnings(obj, time.time())

    async def _caught_up(self) -> None:
        await self._seen(await self.store.last_change())

    async def _taken_in(self) -> None:
        """Until what is stored by now is in the model, which gathers changes before it takes them in. Not for long: a
        proxy starts with what is known."""
        await _until_seen(self.reconciler, await self.store.last_change())

    async def _seen(self, stored: int) -> None:
        """Until the analysis has seen what is stored; not for long, as it is for warnings alone."""
        await _until_seen(self.reconciler.analysis, stored)

    def _operations(self) -> Sequence[BaseRoute]:
        if Role.XDS not in self.settings.roles:
            self.operations = Operations(self.fleet)
        return (
            *operations.routes(self.operations),
            *joining.routes(self.join_tokens, self.authority, self.fleet),
            *host_tokens.routes(
                self.host_tokens,
                lambda: self.authority.bundle,
                lambda: [one.ca for one in self.fleet.servers if one.ca],
                operations.PREFIX,
            ),
            *identities.routes(Identities(self.trust, self.certificates, self.operations, self.fleet)),
        )

    def _states(self) -> list[ProxyState]:
        """The proxies that are connected here, and those that are known and away."""
        states = self.reconciler.proxies.states()
        away = sorted(self._lost() - {state.name for state in states})
        said = self.attend.credentials()
        return [
            *(with_credentials(state, said.get(state.name), time.time()) for state in states),
            *map(disconnected, away),
        ]

    def _trusted(self) -> TrustMessage:
        """What agents are told."""
        authority = self.authority
        return TrustMessage(
            bundle=authority.bundle, version=authority.trust_version, issues=self.trust.trust.issues
        )

    async def _start_status(self) -> str:
        wanted = self.settings.status
        app = status.create_app(self.metrics, self._not_ready)
        served = await serving.serve(app, wanted.host, wanted.port, flag="--status-address", grace=1)
        self._http.append(served)
        here = LOOPBACK if is_wildcard(wanted.host) else wanted.host  # without TLS: for this host
        return f"http://{Address(here, served.port)}"

    async def _stop_http(self) -> None:
        await asyncio.gather(*(served.stop() for served in self._http))
        if self.api is not None:
            await asyncio.to_thread(self.api.audit_log.close)

    async def _start_attestation(self) -> str:
        state = self.settings.state
        path = self.settings.attest_socket or make_runtime_dir(state) / "attest.sock"
        self._stack.callback(leave_runtime_dir, state)
        served = AttestationSocket(path, self.identity.of_user)
        await served.start()
        self._stack.push_async_callback(served.stop)
        return str(path)

    def _write_info(self, info: dict[str, str]) -> None:
        state = self.settings.state
        self.info = ServerInfo(
            pid=os.getpid(),
            version=argosy.__version__,
            trust_domain=self.authority.trust_domain,
            roles=self.fleet.own.roles,
            api=info.get("api", ""),
            api_socket=info.get("api_socket", ""),
            ca=info.get("ca", ""),
            xds=info.get("xds", ""),
            status=info["status"],
            attest_socket=info.get("attest_socket", ""),
            pids=dict.fromkeys(self.fleet.own.roles, os.getpid()),
        )
        publish(state, self.info)
        self._stack.callback(withdraw, state, self.info.roles)

    # --- while it runs ---

    def _not_ready(self) -> str:
        return "" if self._ready else "starting, or stopping"

    def _lost(self) -> set[str]:
        """Names of workloads that are known and whose proxy may be away."""
        attendance = self.attendance
        return {f"{key.name}.{key.namespace}" for key in (*attendance.losses.since, *attendance.attending)}

    async def _keep_house(self) -> None:
        tidied = 0
        while True:
            await asyncio.sleep(HOUSEKEEPING_EVERY)
            await joining.renew_if_due(self.settings.state / "ca", self.authority, self.fleet)
            self.own.renew_if_due()
            if Role.CA in self.settings.roles or Role.XDS in self.settings.roles:
                await self.identity.keep_house()
            self.ends.look()
            if Role.XDS in self.settings.roles:
                self.reconciler.sweep()
                departed = self.reconciler.proxies.departed
                if departed - tidied >= MANY_DEPARTED:
                    tidied = departed
                    await asyncio.to_thread(give_back)

    async def _mind_door(self) -> None:
        while True:
            self.door.set(shut=self.fleet.cut_off)
            await asyncio.sleep(DOOR_EVERY)

    def _task(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Something that runs until the server stops; should it end before, the server ends with its error."""
        task = asyncio.create_task(work, name=name)

        def ended(done: asyncio.Task[None]) -> None:
            if not done.cancelled() and (error := done.exception()) and not self.failed.done():
                log.error("a part of the server failed", part=name, exc_info=error)
                self.failed.set_exception(error)

        async def cancel() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        task.add_done_callback(ended)
        self._stack.push_async_callback(cancel)
        return task


async def _until_seen(seer: Reconciler | Analysis, stored: int) -> None:
    """Until it has taken in what was stored by a revision, or CATCH_UP_WITHIN is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CATCH_UP_WITHIN):
            while seer.revision < stored:
                await asyncio.sleep(0.005)


def _environment() -> dict[str, str]:
    """What mesh settings may name: not what is Argosy's own, such as its passwords."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ARGOSY_")}


def _check_machine() -> None:
    """The server runs no Envoy, and on a full disk it starts for as long as the store can be read."""
    machine = msgspec.structs.replace(preflight.this_machine(), envoy=True, free=preflight.FREE_BYTES)
    if problems := preflight.examine(machine):
        lines = "".join(f"\n  - {problem.what}\n    {problem.remedy}" for problem in problems)
        raise Failure(f"this machine cannot run the server:{lines}")


async def run(settings: Settings) -> None:
    """Runs a server until SIGTERM or SIGINT. Raises Failure."""
    raise_open_files()
    settle_down()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    plane = ControlPlane(settings)
    starting = asyncio.create_task(plane.start())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    starting.result()
    try:
        await asyncio.wait((stopped, plane.failed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        await plane.stop()
    if plane.failed.done() and (error := plane.failed.exception()):
        raise Failure(
            f"the server ended: {error!r}", "look at the log above; starting it again is safe"
        ) from error
