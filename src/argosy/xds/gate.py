"""What must wait for what: make before break, as decisions about one stream.

Additions wait for clusters and endpoints that they may name, for at most `hold` seconds; removals wait, as long as it
takes, for what may still name the removed. The tables are in `types.py`; this file knows how to read them.
"""

from __future__ import annotations

from collections.abc import Callable

from argosy.xds.subscription import NEVER, Subscription
from argosy.xds.types import FOLLOWED_BY, HELD_BY, REMOVED_AFTER, Resource

HOLD = 10.0
"""Seconds that additions wait for what they depend on."""
INTRODUCTION = 2.0
"""Seconds after a stream's first request in which a client that reconnects tells what else it has: until then removals
wait for types that were not heard of."""

Find = Callable[[str, str], Resource | None]
Known = Callable[[str, Subscription, str], int | None]


class Gate:
    """Looks at the subscriptions of a stream (never changes what they owe) and says what has to wait."""

    def __init__(
        self,
        subscriptions: dict[str, Subscription],
        find: Find,
        known: Known,
        hold: float,
        refuses: Callable[[str], bool] | None,
    ) -> None:
        self._subscriptions = subscriptions
        self._find = find
        self._known = known
        self._hold = hold
        self._refuses = refuses
        self._follows: dict[tuple[str, str], tuple[str, float]] = {}  # (type, follow) -> (who, deadline)
        self._began: float | None = None
        self.deadline: float | None = None
        """When a wait ends, of those that were met since it was set to None."""

    def begin(self, now: float) -> None:
        """A request came: the first one starts the time for introductions."""
        if self._began is None:
            self._began = now

    def expect(self, type_url: str, name: str, who: str, now: float) -> None:
        """`who` was sent: the client will ask for the name, and additions wait until it has it."""
        self._follows[type_url, name] = (who, now + self._hold)

    def release(self, type_url: str, who: str) -> None:
        """`who` was refused: nothing follows it."""
        following = FOLLOWED_BY.get(type_url)
        for key, (name, _) in tuple(self._follows.items()):
            if name == who and key[0] == following:
                del self._follows[key]

    def _busy(self, type_url: str) -> bool:
        subscription = self._subscriptions.get(type_url)
        return subscription is not None and (subscription.flight is not None or bool(subscription.owed))

    def removals_wait(self, type_url: str, now: float) -> bool:
        for other in REMOVED_AFTER.get(type_url, ()):
            if self._refuses is not None and self._refuses(other):
                return True
            subscription = self._subscriptions.get(other)
            if subscription is None:
                end = (now if self._began is None else self._began) + INTRODUCTION
                if now < end:
                    self._call_again(end)
                    return True
            elif subscription.rejected or self._busy(other):
                return True
        return False

    def removal_follows(self, type_url: str, name: str) -> bool:
        """Whether what leads to the resource, by its name, is still to be removed."""
        leading = next((one for one, following in FOLLOWED_BY.items() if following == type_url), None)
        subscription = self._subscriptions.get(leading) if leading else None
        if leading is None or subscription is None or self._find(leading, name) is not None:
            return False
        flight = subscription.flight
        if flight is not None and name in flight.versions:
            return flight.versions[name] is None  # one that is being added may wait for this very answer
        return name in subscription.owed

    def _call_again(self, at: float) -> None:
        self.deadline = at if self.deadline is None else min(self.deadline, at)

    def additions_wait(self, type_url: str, now: float) -> bool:
        """Whether the type is held; moves `deadline` to where the hold ends."""
        subscription = self._subscriptions[type_url]
        if not (self._blocked(type_url) or (type_url in HELD_BY and self._awaits_follow(now))):
            subscription.held_since = None
            return False
        if subscription.held_since is None:
            subscription.held_since = now
        end = subscription.held_since + self._hold
        if now >= end:
            return False
        self._call_again(end)
        return True

    def _blocked(self, type_url: str) -> bool:
        for other in HELD_BY.get(type_url, ()):
            subscription = self._subscriptions.get(other)
            if subscription is not None and (
                subscription.flight is not None or subscription.held_since is not None
            ):
                return True
        return type_url in HELD_BY and any(self._unanswered(other) for other in FOLLOWED_BY.values())

    def _unanswered(self, type_url: str) -> bool:
        """Whether the client has asked for some name of the type and has nothing yet."""
        subscription = self._subscriptions.get(type_url)
        if subscription is None:
            return False
        flight = subscription.flight
        return (
            bool(subscription.waiting)
            or NEVER in subscription.owed.values()
            or (flight is not None and NEVER in flight.known.values())
        )

    def _awaits_follow(self, now: float) -> bool:
        for key, (who, deadline) in tuple(self._follows.items()):
            if now >= deadline or self._followed(*key, who):
                del self._follows[key]
        if not self._follows:
            self._follows = {}  # an emptied dict keeps its size: 36 KB a stream for 1,000 clusters
        return bool(self._follows)

    def _followed(self, type_url: str, name: str, who: str) -> bool:
        """Whether the client has some version of what follows `who`, or no use for it any more."""
        leading = next(one for one, following in FOLLOWED_BY.items() if following == type_url)
        if self._find(leading, who) is None:
            return True
        subscription = self._subscriptions.get(type_url)
        if subscription is None or not subscription.wants(name):
            return False
        known = self._known(type_url, subscription, name)
        return name not in subscription.waiting and (known is None or known > NEVER)
