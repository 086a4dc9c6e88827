"""The certificate of a host that joined with a token: renewed for as long as the agent runs, as a workload's is."""

from __future__ import annotations

from pathlib import Path

from argosy.agent import joined, servers
from argosy.agent.certificates import Certificate, Subject
from argosy.agent.joined import Joined
from argosy.agent.link import Link
from argosy.identity.client import Svid
from argosy.identity.proofs import HOSTS
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger

log = logger("agent")


async def keep(state: Path, of: Joined) -> None:
    """Renews for ever; at once over where there is nothing to renew."""
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

    async def warn(what: str, remedy: str) -> None:
        log.error("the host's own certificate", reason=what, remedy=remedy)

    subject = Subject(namespace=HOSTS, service_account=of.host, workload=of.host, app=of.host, version="")
    await Certificate(state, subject, svid, link, renewed, warn).run()
