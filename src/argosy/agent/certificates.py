"""A workload's certificate: proven and asked for at the start, renewed long before it ends.

Rule: a renewal that fails is tried again, at first soon, then seldom, for as long as the certificate lives and after;
what a person should know is told before it bites, once, and when it is over. The first proof is the Unix user (the
server's attestation socket); a renewal's proof is the certificate of now, and where that has ended, the user again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from argosy.agent import joined, servers
from argosy.agent.joined import Proof
from argosy.agent.link import Link
from argosy.identity import client as identity
from argosy.identity.client import Svid, Unreachable
from argosy.identity.protocol import AttestResponse, SignRequest
from argosy.identity.trust import fingerprints
from argosy.runtime.certificates import CLOCK_SKEW
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.runtime.paths import ServerInfo, other_server, runtime_dir, server_info, write_private

FIRST_RETRY, LONGEST_RETRY = 1.0, 300.0
LOOK_EVERY = 10.0  # seconds
MOST_SKEW = 60.0  # seconds, which certificates allow for
SET_CLOCK = "set the clocks right, and keep them so: timedatectl set-ntp true"

log = logger("agent")


class Subject(Struct, frozen=True, kw_only=True):
    """Whom a certificate is asked for."""

    namespace: str
    service_account: str
    workload: str
    app: str
    version: str

    def request(self, csr: str) -> SignRequest:
        return SignRequest(
            csr=csr,
            namespace=self.namespace,
            service_account=self.service_account,
            workload=self.workload,
            app=self.app,
            version=self.version,
        )


async def prove(state: Path) -> Proof:
    """Proves who this is: on a host that joined as it joined, elsewhere this process's user to the server of this host.

    Raises Unreachable, Refused, and Failure where there is nothing to prove it with.
    """
    if (host := joined.load(state)) is not None:
        return await joined.prove(state, host)
    info = server_info(state)
    socket = info.attest_socket if info and info.attest_socket else str(runtime_dir(state) / "attest.sock")
    answer = await identity.attest(socket)
    servers.remember(state, answer.xds_addresses)
    _remember(state, info, answer)
    return Proof(answer=answer, address=answer.ca_address, bundle=answer.bundle)


def _remember(state: Path, info: ServerInfo | None, proof: AttestResponse) -> None:
    """Another user's server writes nothing here: where it is, is known from its answers."""
    if info is None or info.pid:
        return
    now = msgspec.structs.replace(
        info, trust_domain=proof.trust_domain, ca=proof.ca_address, xds=proof.xds_address
    )
    if now != info:
        write_private(other_server(state), msgspec.json.encode(now))


async def issue(proof: Proof, subject: Subject) -> Svid:
    """A new key and its certificate, by the token of a proof. Raises Unreachable, Refused."""
    key, csr = identity.new_key_and_csr()
    async with identity.channel(proof.address, proof.bundle, proof.chain, proof.key) as channel:
        return identity.svid(await identity.sign(channel, subject.request(csr), proof.answer.token), key)


async def first(
    state: Path, subject: Subject, progress: Callable[[str], Awaitable[None]], patience: float
) -> Svid:
    """A certificate from nothing; waits `patience` seconds for a control plane that does not answer yet.

    Raises Failure: what was tried, and the remedy.
    """
    deadline = time.monotonic() + patience
    waiting = False
    while True:
        try:
            return await issue(await prove(state), subject)
        except Unreachable as failure:
            if time.monotonic() > deadline:
                raise Failure(
                    failure.what, joined.remedy(state) or "start the server: argosy server"
                ) from failure
            if not waiting:
                waiting = True
                await progress(f"waiting for the control plane ({failure.what})")
        await asyncio.sleep(0.2)


def clock_skew(svid: Svid, now: float) -> float:
    """Seconds that this host is ahead of who signed the certificate, just now: it begins a minute before that."""
    return now - (svid.not_before + CLOCK_SKEW)


def shortest_wait(svid: Svid) -> float:
    """Seconds between two renewals, at least: a tenth of a life, an hour at the most."""
    return min((svid.not_after - svid.not_before) / 10, 3600.0)


def readable(bundle: str) -> bool:
    """Whether there is a root in it: no bundle would cut a workload off."""
    try:
        return bool(fingerprints(bundle))
    except ValueError:
        return False


def wait_before_renewal(svid: Svid, now: float, chance: float) -> float:
    """Seconds until a renewal is due: at `renew_after`, up to a tenth of the remaining life later, so that workloads
    that started together do not renew together. `chance` is in [0, 1)."""
    spread = max(0.0, svid.not_after - svid.renew_after) * 0.1 * chance
    return max(0.0, svid.renew_after + spread - now)


def wait_before_retry(attempt: int, svid: Svid, now: float, chance: float) -> float:
    """Seconds before the attempt after `attempt` failures: doubling, but at least ten in what life is left."""
    left = max(0.0, svid.not_after - now)
    wait = min(FIRST_RETRY * 2.0 ** min(attempt - 1, 20), LONGEST_RETRY, max(left / 10, FIRST_RETRY))
    return wait * (0.5 + chance / 2)


class Certificate:
    """Keeps one workload's certificate fresh. `renewed` is told of each new one, `warn` what a person should know."""

    def __init__(
        self,
        state: Path,
        subject: Subject,
        svid: Svid,
        link: Link,
        renewed: Callable[[Svid], Awaitable[None]],
        warn: Callable[[str, str], Awaitable[None]],
        trusted: Callable[[Svid], Awaitable[None]] | None = None,
        troubled: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._subject = subject
        self._link = link
        self._renewed = renewed
        self._warn = warn
        self._trusted = trusted
        self._troubled = troubled
        self._skewed = False
        self._again = False  # whether it is asked for at once
        self._soon = math.inf  # seconds of the event loop's clock at which it is renewed early
        self._changed = asyncio.Event()
        self.svid = svid
        self.problem = ""

    def ask_for(self, subject: Subject) -> None:
        """Whom it is for from now on. Another one than before is asked for at once."""
        if subject != self._subject:
            self._subject, self._again = subject, True
            self._changed.set()

    async def trust(self, bundle: str, version: int, issues: str, within: float) -> None:
        """The roots of the mesh, as a server says. A certificate below another root than the mesh issues below now is
        renewed early, at some moment of the next `within` seconds. An older version than is known says nothing."""
        if version < self.svid.trust_version:
            return
        if bundle != self.svid.bundle and readable(bundle):
            self.svid = msgspec.structs.replace(self.svid, bundle=bundle, trust_version=version)
            log.info("trust changed", workload=self._subject.workload, version=version)
            if self._trusted is not None:
                await self._trusted(self.svid)
        if issues and self.svid.root != issues:
            self.renew_within(within)

    def proven(self, proof: AttestResponse) -> None:
        """The server of this host tells what it trusts. Where the certificate is below none of these roots, the mesh
        has another root by now, and takes it no more: it is asked for anew."""
        if readable(proof.bundle) and self.svid.root not in fingerprints(proof.bundle):
            self.renew_within(1.0)

    def renew_within(self, seconds: float) -> None:
        """Early, at some moment of these seconds."""
        at = asyncio.get_running_loop().time() + seconds * random.random()  # noqa: S311
        if at < self._soon:
            self._soon = at
            self._changed.set()

    async def run(self) -> None:
        """Renews for ever."""
        wait = self._until_due()
        while True:
            await self._wait(time.time() + wait)
            self._soon, self._again = math.inf, False
            await self._renew()
            # Not at once, whatever the clock says: one that is a day ahead would ask for certificates all the time.
            wait = max(self._until_due(), shortest_wait(self.svid))

    def _until_due(self) -> float:
        return wait_before_renewal(self.svid, time.time(), random.random())  # noqa: S311

    async def _wait(self, due: float) -> None:
        """Looks at the clock of the day again and again: timers stand still while a host sleeps."""
        clock = asyncio.get_running_loop().time
        while not self._again and (left := min(due - time.time(), self._soon - clock())) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_EVERY)):
                    await self._changed.wait()
            self._changed.clear()

    async def _renew(self) -> None:
        attempt = 0
        while True:
            try:
                self.svid = await self._asked()
            except Failure as failure:
                attempt += 1
                await self._failed(attempt, failure)
                chance = random.random()  # noqa: S311
                await asyncio.sleep(wait_before_retry(attempt, self.svid, time.time(), chance))
                continue
            self.problem = ""
            await self._check_clock()
            self._troubled()
            log.info("certificate renewed", workload=self._subject.workload, until=int(self.svid.not_after))
            await self._renewed(self.svid)
            return

    async def _asked(self) -> Svid:
        if time.time() < self.svid.not_after:
            try:
                return self._newest(await self._by_certificate())
            except Failure as failure:
                # The certificate is not taken (another root, say), or only the CA answers: the user is who it was.
                log.info("not renewed by certificate", workload=self._subject.workload, reason=failure.what)
        return await issue(await prove(self._state), self._subject)

    def _newest(self, svid: Svid) -> Svid:
        """With the roots of now: another server may not have heard of them yet."""
        if svid.trust_version >= self.svid.trust_version:
            return svid
        return msgspec.structs.replace(svid, bundle=self.svid.bundle, trust_version=self.svid.trust_version)

    async def _by_certificate(self) -> Svid:
        key, csr = identity.new_key_and_csr()
        try:
            async with self._link.open() as channel:
                return identity.svid(await identity.sign(channel, self._subject.request(csr)), key)
        except (OSError, ValueError) as error:
            raise Unreachable(f"no connection to the control plane: {error}") from error

    async def _check_clock(self) -> None:
        """What the two clocks differ by is seen when a certificate comes."""
        skew = clock_skew(self.svid, time.time())
        if abs(skew) <= MOST_SKEW:
            self._skewed = False
            return
        what = (
            f"the clock of this host is {_span(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the control plane's: "
            "certificates seem expired, or not valid yet"
        )
        self.problem = what
        if not self._skewed:
            self._skewed = True
            log.warning("clocks differ", workload=self._subject.workload, seconds=int(skew))
            await self._warn(what, SET_CLOCK)

    async def _failed(self, attempt: int, failure: Failure) -> None:
        left = self.svid.not_after - time.time()
        remedy = SET_CLOCK if _about_time(failure.what) else failure.remedy
        self.problem = failure.what + (" (do the clocks agree?)" if remedy is SET_CLOCK else "")
        self._troubled()
        if attempt == 1:
            log.warning("certificate not renewed", workload=self._subject.workload, reason=failure.what)
        if attempt == 2:
            when = f"in {_span(left)}" if left > 0 else f"{_span(-left)} ago"
            verb = "ends" if left > 0 else "ended"
            await self._warn(f"the certificate {verb} {when} and cannot be renewed: {self.problem}", remedy)


def _about_time(words: str) -> bool:
    """Whether TLS failed for a certificate that is not of now (BoringSSL's words)."""
    return "not yet valid" in words or "certificate has expired" in words


def _span(seconds: float) -> str:
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{int(seconds)} s"
