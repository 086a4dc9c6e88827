"""What a client's verdict, an ACK or a NACK, does to a subscription, and how the subscription stands then, for people.

Who is to blame for a NACK: whom it lists (our own relay does), else whom its message mentions. Where that is nobody,
halves of the response are tried until the bad one is alone. Of the others of a refused response the client may run
some: Envoy takes clusters and listeners one by one, and of other types what stood before the bad one, without noting
their versions. They are sent again.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.xds.blame import mentioned
from argosy.xds.layers import Layers
from argosy.xds.subscription import NEVER, Flight, Subscription
from argosy.xds.types import Nack
from argosy.xds.wire import Request, blamed


class TypeStatus(Struct, frozen=True, kw_only=True):
    """One type of one stream, for people. `sent` and `acknowledged` are positions of views."""

    type_url: str
    subscribed: int
    wildcard: bool
    sent: int
    acknowledged: int
    synced: bool
    rejected: dict[str, str]  # name -> version
    nack: Nack | None


def acknowledge(subscription: Subscription, flight: Flight) -> None:
    """The client runs what came."""
    subscription.acknowledged = flight.position
    if subscription.trials and not subscription.owed:
        subscription.trials = []
    for name in flight.versions:
        subscription.uncertain.pop(name, None)
        if name in subscription.owed:
            subscription.owed[name] = flight.position


def refuse(subscription: Subscription, flight: Flight, request: Request, now: float) -> list[str]:
    """The client refused a response; returns the names that it refused for good, which may be none as yet."""
    message = request.error_detail.message.strip()  # Envoy ends some of its messages with a line break
    added = [name for name, version in flight.versions.items() if version is not None]
    guilty = blamed(request, added) or mentioned(message, added)
    offenders = guilty or added
    if not guilty and len(added) > 1:
        half = len(added) // 2
        subscription.trials[:0] = [added[:half], added[half:]]
        offenders = []
    for name in offenders:
        version = flight.versions[name]
        if version is not None and subscription.wants(name):
            subscription.rejected[name] = version
    _doubt(subscription, flight, offenders)
    subscription.nack = Nack(message=message, names=tuple(offenders or added), at=now)
    if not added:
        return []  # only removals: there is nothing that could be kept back
    for name in flight.versions:
        if name not in offenders and subscription.wants(name):
            subscription.owe(name, flight.known[name])
    for name in flight.versions:
        if name in subscription.owed:
            subscription.owed[name] = min(subscription.owed[name], flight.known[name])
    return offenders


def _doubt(subscription: Subscription, flight: Flight, offenders: list[str]) -> None:
    """Notes what the client may run after a NACK besides what it last acknowledged."""
    for name, version in flight.versions.items():
        if not subscription.wants(name):
            continue
        may_run = set(subscription.uncertain.get(name, ())) | {version}
        if name in offenders:
            may_run.discard(version)
        if flight.known[name] == NEVER:
            may_run.add(None)
        if may_run:
            subscription.uncertain[name] = frozenset(may_run)
        else:
            subscription.uncertain.pop(name, None)


def status_of(type_url: str, subscription: Subscription, layers: Layers) -> TypeStatus:
    """How the type stands on the stream."""
    count = len(layers.names(type_url)) if subscription.wildcard else len(subscription.names)
    busy = subscription.flight is not None or bool(subscription.owed) or subscription.greet
    current = layers.position(type_url) <= subscription.seen
    return TypeStatus(
        type_url=type_url,
        subscribed=count,
        wildcard=subscription.wildcard,
        sent=subscription.sent,
        acknowledged=subscription.acknowledged,
        synced=current and not busy and not subscription.rejected,
        rejected=dict(subscription.rejected),
        nack=subscription.nack,
    )
