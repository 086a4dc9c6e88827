"""What is the own of a host that joined: its certificate, renewed while the agent runs, as a workload's is, and
the roots by which it knows the servers, which follow those of the mesh.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from argosy.agent import joined, servers
from argosy.agent.certificates import Certificate, Subject, readable
from argosy.agent.joined import Joined
from argosy.agent.link import Link
from argosy.identity.client import Svid
from argosy.identity.proofs import HOSTS
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.xds.registration import Trust

ASK_EVERY = 30.0

log = logger("agent")


class Host:
    """Of a host that joined."""

    def __init__(self, state: Path, of: Joined) -> None:
        self._state = state
        self._of = of
        self._certificate: Certificate | None = None

    async def keep(self) -> None:
        """Renews for ever; at once over where there is nothing to renew."""
        state, of = self._state, self._of
        if not of.host:
            return
        try:
            svid = joined.own(state, of)
        except Failure as failure:
            log.error("this host is no part of the mesh any more", reason=failure.what, remedy=failure.remedy)
            return
        link = Link(lambda: servers.addresses(state), svid)

        async def renewed(svid: Svid) -> None:
            svid.save(joined.svid_file(state))
            link.present(svid)
            joined.pin(state, svid.bundle)

        async def warn(what: str, remedy: str) -> None:
            log.error("the host's own certificate", reason=what, remedy=remedy)

        subject = Subject(namespace=HOSTS, service_account=of.host, workload=of.host, app=of.host, version="")
        self._certificate = Certificate(state, subject, svid, link, renewed, warn, trusted=renewed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._certificate.run())
            tasks.create_task(self._ask())

    async def _ask(self) -> None:
        """A host without workloads has no stream on which it would be told which roots the mesh trusts."""
        while True:
            await asyncio.sleep(ASK_EVERY)
            with contextlib.suppress(Failure):
                answer = (await joined.prove(self._state, self._of)).answer
                if answer.issues:
                    told = Trust(bundle=answer.bundle, version=answer.trust_version, issues=answer.issues)
                    await self.heard(told)

    async def heard(self, trust: Trust) -> None:
        """Which roots the mesh trusts, as a server says. No stream tells the server that the host has them: a new
        certificate does."""
        if self._certificate is not None:
            before = self._certificate.svid.bundle
            await self._certificate.trust(trust.bundle, trust.version, trust.issues, trust.within)
            if self._certificate.svid.bundle != before:
                self._certificate.renew_within(trust.within)
        elif readable(trust.bundle):
            joined.pin(self._state, trust.bundle)
