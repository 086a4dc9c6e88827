"""The certificate of a host that joined with a token: renewed for as long as the agent runs, as a workload's is; and
the roots that the mesh trusts, asked for every `LOOK_EVERY`, as a host without workloads is told nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from argosy.agent import joined, servers
from argosy.agent.certificates import Certificate, Subject
from argosy.agent.joined import Joined
from argosy.agent.link import Link
from argosy.identity.client import Svid
from argosy.identity.proofs import HOSTS
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger

LOOK_EVERY = 60.0
RENEWED_WITHIN = 30.0  # seconds, below another root

log = logger("agent")


async def keep(state: Path, of: Joined) -> None:
    """For ever; at once over where there is nothing to keep."""
    if not of.host:
        return
    try:
        svid = joined.own(state, of)
    except Failure as failure:
        log.error("this host is no part of the mesh any more", reason=failure.what, remedy=failure.remedy)
        return
    link = Link(lambda: servers.addresses(state), svid)

    async def present(svid: Svid) -> None:
        svid.save(joined.svid_file(state))
        link.present(svid)

    async def warn(what: str, remedy: str) -> None:
        log.error("the host's own certificate", reason=what, remedy=remedy)

    subject = Subject(namespace=HOSTS, service_account=of.host, workload=of.host, app=of.host, version="")
    certificate = Certificate(state, subject, svid, link, present, warn, trusted=present)
    looking = asyncio.create_task(_look(state, of, certificate))
    try:
        await certificate.run()
    finally:
        looking.cancel()


async def _look(state: Path, of: Joined, certificate: Certificate) -> None:
    """What the mesh trusts, for ever."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        try:
            answer = (await joined.prove(state, joined.load(state) or of)).answer
        except Failure as failure:
            log.info("the roots of the mesh are not known anew", reason=failure.what)
            continue
        await certificate.trust(answer.bundle, answer.trust_version, answer.issues, RENEWED_WITHIN)
