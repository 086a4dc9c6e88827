"""How far a rotation of the root is, and whether the next step would leave anybody behind.

Pure functions over what the servers say of themselves, the records of certificates, and what connected agents say of
their proxies. Rule: who is not known to be through is not through. A workload whose agent is away is judged by its
record, as its Envoy may go on alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from argosy.identity.trust import Phase, Trust
from argosy.server.certificates import Held
from argosy.server.fleet import ServerRecord
from argosy.server.proxies import ProxyState
from argosy.server.trust import Standing

OLDER = "its server is of an older version"


class Behind(Struct, frozen=True, kw_only=True):
    """Somebody who keeps the next step waiting."""

    name: str  # workload.namespace, or the id of a server
    why: str
    until: float = 0.0  # Unix time when its certificate ends, and it is through


class RotationReport(Struct, frozen=True, kw_only=True):
    phase: str  # "", trust or issue
    root: str  # fingerprint
    old: str = ""
    new: str = ""
    begun: float = 0.0  # Unix time
    since: float = 0.0
    version: int = 0
    servers: tuple[str, ...] = ()
    servers_behind: tuple[Behind, ...] = ()
    workloads: int = 0
    behind: tuple[Behind, ...] = ()
    silent: tuple[str, ...] = ()  # addresses of servers that do not answer

    @property
    def ready(self) -> bool:
        """Whether the next step leaves nobody behind."""
        return not (self.servers_behind or self.behind or self.silent)


def report(
    trust: Trust,
    servers: Sequence[ServerRecord],
    standings: Mapping[str, Standing],
    held: Iterable[Held],
    proxies: Iterable[ProxyState],
    silent: Sequence[str],
    now: float,
) -> RotationReport:
    rotation = trust.rotation
    if rotation is None:
        return RotationReport(phase="", root=trust.root, version=trust.version)
    connected = {state.name: state for state in proxies if state.connected}
    records = {one.name: one for one in held if one.not_after > now}
    behind = []
    for name in sorted(records.keys() | connected.keys()):
        one = _workload(name, records.get(name), connected.get(name), trust)
        if one is not None:
            behind.append(one)
    return RotationReport(
        phase=str(rotation.phase),
        root=trust.root,
        old=rotation.old,
        new=rotation.new,
        begun=rotation.begun,
        since=rotation.since,
        version=trust.version,
        servers=tuple(sorted(one.id for one in servers)),
        servers_behind=tuple(_servers(servers, standings, trust)),
        workloads=len(records.keys() | connected.keys()),
        behind=tuple(behind),
        silent=tuple(silent),
    )


def _servers(
    servers: Sequence[ServerRecord], standings: Mapping[str, Standing], trust: Trust
) -> Iterable[Behind]:
    rotation = trust.rotation
    assert rotation is not None  # noqa: S101
    for server in servers:
        standing = standings.get(server.id)
        if standing is None:
            yield Behind(name=server.id, why=OLDER)
        elif rotation.new not in standing.trusts:
            yield Behind(name=server.id, why="it does not trust the new root yet")
        elif rotation.new not in standing.ready:
            yield Behind(name=server.id, why="it has no issuing certificate below the new root")
        elif rotation.phase is Phase.ISSUE and standing.issues != rotation.new:
            yield Behind(name=server.id, why="it still issues below the old root")


def _workload(name: str, held: Held | None, state: ProxyState | None, trust: Trust) -> Behind | None:
    rotation = trust.rotation
    assert rotation is not None  # noqa: S101
    until = held.not_after if held else state.certificate_expires_at if state else 0.0
    said = state.credentials if state is not None else None
    if rotation.phase is Phase.TRUST:
        trusts = said.trusts if said is not None else held.trusts if held is not None else ()
        if rotation.new in trusts:
            return None
        why = "it does not trust the new root yet"
    else:
        # What was issued last may not have arrived: what its Envoy holds counts, where that is known.
        root = said.root if said is not None else held.root if held is not None else ""
        if root == rotation.new:
            return None
        why = "it holds a certificate of the old root"
    if said is not None and said.problem:
        why += f": {said.problem}"
    elif state is None:
        why += "; it is not connected"
    elif said is None:
        why += "; its agent is of an older version, and gets it when it renews"
    return Behind(name=name, why=why, until=until)
