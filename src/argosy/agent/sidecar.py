"""Everything that runs beside one application: Envoy, its configuration, the certificate, the registration.

The supervisor says when; this module knows how they depend on each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from argosy.agent import bootstrap_patches, ports, servers, spec
from argosy.agent.bootstrap import Bootstrap, bootstrap, node_id
from argosy.agent.certificates import Certificate
from argosy.agent.delivery import Delivery, Outlet
from argosy.agent.envoy import Envoy, write_bootstrap
from argosy.agent.jwt_tokens import JwtTokens
from argosy.agent.latest import Latest
from argosy.agent.link import Link
from argosy.agent.ports import Ports
from argosy.agent.processes import ProcessId
from argosy.agent.protocol import EnvoyRestarted, Registered, Started, Warned
from argosy.agent.protocol import Event as Message
from argosy.agent.registration import Registration
from argosy.agent.workload import Folder, Record, State
from argosy.identity.client import Svid
from argosy.identity.trust import fingerprints
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.xds import registration as wire
from argosy.xds.registration import Trust
from argosy.xds.start import BootstrapPatch, ProxyStart, RefusedPatch

_TAKEN = re.compile(r"cannot bind '[^']*:(\d+)': Address already in use")

log = logger("agent")


class Place(Struct, frozen=True):
    """What the workloads of one agent share."""

    state: Path
    agent: Path  # D/agent
    runtime: Path
    ports: Ports
    outlet: Outlet
    metrics_address: str  # http://127.0.0.1:port
    max_connections: int
    heard: Callable[[Trust], Awaitable[None]] | None = (
        None  # which roots the mesh trusts, for what is the host's own
    )


class Owner(Protocol):
    """Whose sidecar it is."""

    @property
    def record(self) -> Record: ...

    def save(self, **changes: object) -> None: ...

    async def tell(self, message: Message) -> None: ...

    def started(self) -> Started: ...

    def refused(self, refusal: wire.Refused) -> None:
        """The server does not take the registration."""

    async def settled(self, announced: bool) -> None:
        """The server confirmed an announcement, or a withdrawal."""


class Sidecar:
    """The sidecar of one workload. `runtime`: the folder of its sockets."""

    def __init__(self, place: Place, owner: Owner, folder: Folder, runtime: Path) -> None:
        self.place = place
        self.owner = owner
        self.folder = folder
        self.runtime = runtime
        self.envoy = Envoy(
            owner.record.name,
            folder,
            runtime / "admin.sock",
            prepare=self._prepare,
            changed=lambda id: owner.save(envoy=id),
            restarted=self._restarted,
        )
        self.link: Link | None = None
        self.delivery: Delivery | None = None
        self.certificate: Certificate | None = None
        self.registration: Registration | None = None
        self.svid: Latest[Svid | None] = Latest(None)
        """Its certificate of now, for whoever follows it."""
        self.tokens = JwtTokens()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._node = ""
        self._remarks: set[str] = set()
        self._told = asyncio.Event()  # what its Envoy is started with
        self._asked: ProxyStart | None = None  # what was tried last
        self._accepted: tuple[BootstrapPatch, ...] = ()
        self._refusals: tuple[RefusedPatch, ...] = ()

    # --- Envoy ---

    def _bootstrap(self) -> Bootstrap:
        return spec.bootstrap_of(
            self.owner.record,
            str(self.runtime / "admin.sock"),
            str(self.place.outlet.socket),
            self.place.max_connections,
        )

    def _prepare(self) -> ProxyStart:
        of = self._bootstrap()
        config = bootstrap(of)
        write_bootstrap(self.folder.bootstrap, config)
        if of.start.patches:
            try:
                self.folder.patched_bootstrap.write_bytes(bootstrap_patches.merged(config, of.start.patches))
            except bootstrap_patches.Unfit as unfit:
                log.error("bootstrap patches left out", workload=of.name, reason=str(unfit))
                return msgspec.structs.replace(of.start, patches=())
        return of.start

    async def _restarted(self, reason: str, pid: int) -> None:
        restarts = self.owner.record.restarts + 1
        self.owner.save(restarts=restarts)
        await self.owner.tell(EnvoyRestarted(restarts=restarts, reason=reason, pid=pid))

    async def adopt_envoy(self, id: ProcessId) -> None:
        """Takes over the Envoy of an earlier agent, or starts another where it has ended."""
        if not await self.envoy.adopt(id):
            with contextlib.suppress(Failure):  # `watch` tries again
                self.envoy.start()
            await self._restarted("it ended while no agent ran", self.envoy.pid)
        self.watch()

    def watch(self) -> None:
        """From now on Envoy is restarted when it ends."""
        self._beside("envoy", self.envoy.watch())

    async def until_serving(self) -> None:
        """Waits until it is registered, and Envoy has what it needs. Raises Failure where Envoy ends, or a port cannot
        be had."""
        if self.registration is not None:
            await self.registration.registered.wait()
            await self._told.wait()
        if self.envoy.process is None:
            self.envoy.start()
        while True:
            expected = spec.listening_ports(self.owner.record)
            serving = asyncio.create_task(self.envoy.until_serving(expected))
            try:
                while not (taken := self._taken()):
                    if (await asyncio.wait((serving,), timeout=0.3))[0]:
                        return serving.result()
            finally:
                serving.cancel()
            await self._move(taken)

    def _taken(self) -> int:
        """A port that Envoy could not bind, as it says; 0 for none."""
        for words in self.delivery.refused() if self.delivery else ():
            if found := _TAKEN.search(words):
                return int(found[1])
        return 0

    async def _move(self, taken: int) -> None:
        """Another port, another Envoy: the ports of its own listeners are part of its node."""
        record = spec.moved(self.owner.record, taken, self.place.ports)
        if record is None or self.certificate is None or self.link is None:
            raise Failure(
                f"port {taken} is taken by another program", "choose another, or stop what listens there"
            )
        log.warning("port taken", workload=record.name, port=taken)
        self.owner.save(
            ports=record.ports, upstreams=record.upstreams, outbound_proxy_port=record.outbound_proxy_port
        )
        await self.envoy.stop()
        self.folder.cache.unlink(missing_ok=True)
        self._deliver(self.certificate.svid, self.link)
        if self.registration is not None:
            self.registration.update(self._register())
        self.envoy.start()
        await self.owner.tell(self.owner.started())

    # --- the control plane ---

    def introduce(self, svid: Svid) -> None:
        """With its certificate the workload turns to the control plane: registration, renewals, and, once it is known
        what its Envoy is started with, configuration."""
        self.link = Link(self._servers, svid)
        self.svid.set(svid)
        if self.owner.record.state is not State.STARTING:
            self._deliver(svid, self.link)
        self.certificate = Certificate(
            self.place.state,
            spec.subject(self.owner.record),
            svid,
            self.link,
            self._renewed,
            self._warn,
            trusted=self._trusted,
            troubled=self._say_credentials,
        )
        self._beside("certificate", self.certificate.run())
        self.registration = Registration(
            self.link,
            spec.register_of(self.owner.record),
            on_registered=self._registered,
            on_refused=self._refused,
            on_settled=self.owner.settled,
            on_servers=lambda found: servers.remember(self.place.state, found),
            on_trust=self._told_trust,
        )
        self._beside("registration", self.registration.run())

    def _servers(self) -> tuple[str, ...]:
        """Where the servers are now, or were."""
        known = servers.addresses(self.place.state, self.owner.record.xds_address)
        if known and known[0] != self.owner.record.xds_address:
            self.owner.save(xds_address=known[0])
        return known

    def _deliver(self, svid: Svid, link: Link) -> None:
        if self._node:
            self.place.outlet.remove(self._node)
        of = self._bootstrap()
        self._node = node_id(of)
        self.delivery = Delivery(
            bootstrap(of)["node"], self.folder.cache, link, svid, self._rejected, self._held
        )
        self.place.outlet.add(self._node, self.delivery)
        self._beside("delivery", self.delivery.run())

    def _keep(self, svid: Svid) -> None:
        """On a full disk it lives in memory: only a new agent would begin with the one before."""
        try:
            svid.save(self.folder.svid)
        except Failure as failure:
            log.error("certificate not saved", workload=self.owner.record.name, reason=failure.what)

    async def _renewed(self, svid: Svid) -> None:
        self._keep(svid)
        self.svid.set(svid)
        if self.link is not None:
            self.link.present(svid)
        if self.delivery is not None:
            self.delivery.present(svid)
        if self.registration is not None:
            self.registration.renew()

    async def _told_trust(self, trust: wire.Trust) -> None:
        if self.place.heard is not None:
            await self.place.heard(trust)
        if self.certificate is not None:
            await self.certificate.trust(trust.bundle, trust.version, trust.issues, trust.within)
            self._say_credentials()

    async def _trusted(self, svid: Svid) -> None:
        """The same certificate, other roots: nothing is connected anew."""
        self._keep(svid)
        self.svid.set(svid)
        if self.link is not None:
            self.link.present(svid)
        if self.delivery is not None:
            self.delivery.trust(svid)

    def _held(self, _: Svid) -> None:
        self._say_credentials()

    def _say_credentials(self) -> None:
        """What Envoy holds, and why it is not renewed, to the server."""
        held = self.delivery.held if self.delivery is not None else None
        if held is None or self.registration is None or self.certificate is None:
            return
        self.registration.say_aside(
            wire.Credentials(
                serial=held.serial,
                root=held.root,
                trusts=fingerprints(held.bundle),
                not_before=held.not_before,
                not_after=held.not_after,
                problem=self.certificate.problem,
            )
        )

    async def _warn(self, what: str, remedy: str) -> None:
        await self.owner.tell(Warned(what=what, remedy=remedy))

    def _rejected(self) -> None:
        """What Envoy refuses has changed. A port of ours that somebody took while Envoy restarted: another one; who
        calls learns it from the registration."""
        record, taken = self.owner.record, self._taken()
        if "envoy" in self._tasks and any(port.bind == taken for port in record.ports):
            moved = spec.moved(record, taken, self.place.ports)
            if moved is not None and self.registration is not None:
                self.owner.save(ports=moved.ports)
                self.registration.update(self._register())
        for words in self.delivery.refused() if self.delivery else ():
            remedy = ports.remedy(words) if "cannot bind" in words else "correct the resource"
            self._beside(f"warn {words}", self._warn(f"the sidecar refuses {words}", remedy))

    async def _registered(self, answer: wire.Registered) -> None:
        record, start = self.owner.record, answer.start
        if start.patches:
            start = await self._judged(start)
        if record.start is not None:  # another layout of routes is other listeners: Envoy would drain them
            start = msgspec.structs.replace(start, parted=record.start.parted)
        if (record.start, record.labels, record.locality) != (start, answer.labels, answer.locality):
            # for the next Envoy
            self.owner.save(start=start, labels=answer.labels, locality=answer.locality)
        self._told.set()
        if self.certificate is not None:
            self.certificate.ask_for(spec.subject(self.owner.record))
        if self.delivery is None and self.certificate is not None and self.link is not None:
            self._deliver(self.certificate.svid, self.link)
        for remark in answer.remarks:
            if remark not in self._remarks:
                self._remarks.add(remark)
                await self._warn(remark, "")
        await self.owner.tell(Registered(entry=answer.entry, created_service=answer.created_service))

    async def _judged(self, start: ProxyStart) -> ProxyStart:
        """Without the patches that its Envoy does not accept; the server hears of these with the next registration,
        which is at once."""
        if start != self._asked:
            of = msgspec.structs.replace(self._bootstrap(), start=start)
            self._accepted, refused = await bootstrap_patches.judge(bootstrap(of), start, self.folder.path)
            self._asked = start
            for one in refused:
                await self._warn(
                    f"EnvoyFilter {one.namespace}/{one.name}, spec.configPatches[{one.index}]: {one.message}",
                    "",
                )
            if self.registration is not None and refused != self._refusals:
                self._refusals = refused
                self.registration.renew_as(self._register())
        return msgspec.structs.replace(start, patches=self._accepted)

    def _register(self) -> wire.Register:
        return msgspec.structs.replace(spec.register_of(self.owner.record), refused=self._refusals)

    async def _refused(self, refusal: wire.Refused) -> None:
        self.owner.refused(refusal)

    # --- the end ---

    async def stop(self) -> None:
        """Envoy ends, and what served it; the registration stays, to leave."""
        for name, task in self._tasks.items():
            if name != "registration":
                task.cancel()
        await self.envoy.stop()
        if self._node:
            self.place.outlet.remove(self._node)

    def let_go(self) -> None:
        """The agent ends: Envoy goes on alone."""
        for task in self._tasks.values():
            task.cancel()
        self.envoy.let_go()
        if self._node:
            self.place.outlet.remove(self._node)

    def _beside(self, name: str, work: Coroutine[object, object, None]) -> None:
        """Runs beside; what ran under the same name before ends."""
        if before := self._tasks.pop(name, None):
            before.cancel()
        task = asyncio.create_task(_logged(name, work))
        self._tasks[name] = task

        def ended(done: asyncio.Task[None]) -> None:
            if self._tasks.get(name) is done:
                del self._tasks[name]

        task.add_done_callback(ended)


async def _logged(name: str, work: Coroutine[object, object, None]) -> None:
    """A task that nobody awaits says why it ended."""
    try:
        await work
    except Exception:
        log.exception("ended", task=name.split(" ")[0])
        raise
