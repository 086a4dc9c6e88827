"""The wire between the reporters of the servers: an other server's figures go to the leader, and the leader takes them.

Rule: what is told belongs to a term. A leader takes nothing that was meant for another term, and nothing of a server
that is no longer one of the fleet.
"""

from __future__ import annotations

import grpc

from argosy.server.figures import Figure
from argosy.server.fleet import ANSWER_WITHIN, Fleet, TellFigures
from argosy.server.leader import Leadership
from argosy.server.reporting import Reporter, Untold
from argosy.store.base import Key


class Telling:
    def __init__(self, fleet: Fleet, leadership: Leadership) -> None:
        self.fleet = fleet
        self.leadership = leadership

    async def tell(self, figures: tuple[tuple[Key, Figure], ...], whole: bool) -> None:
        """To the leader. Raises Untold."""
        leader = next((one for one in self.fleet.others if one.id == self.leadership.leader), None)
        if leader is None:
            raise Untold("nobody leads, as far as this server knows")
        told = TellFigures(self.fleet.own.id, self.leadership.term, figures, whole)
        try:
            answer = await self.fleet.ask(leader, told, ANSWER_WITHIN)
        except (grpc.RpcError, TimeoutError, OSError) as error:
            raise Untold(f"{leader.xds} does not answer: {error!r}"[:300]) from error
        if answer != b"true":
            raise Untold(f"{leader.xds} does not take it")

    def take(self, told: TellFigures, reporter: Reporter) -> bool:
        """As the leader; whether it was taken."""
        leadership = self.leadership
        if not leadership.leads or told.term != leadership.term or told.server not in self.fleet.peers():
            return False
        reporter.take(told.server, told.figures, told.whole)
        return True
