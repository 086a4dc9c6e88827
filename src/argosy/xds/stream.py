"""The server's side of one delta ADS stream, without I/O: requests in, responses out, time as an argument.

Used by the server towards agents and by the agent towards Envoy. Rules:

* At most one unacknowledged response per type. While it is out, changes only mark names as owed.
* Make before break follows the tables in `types.py`: what names a cluster waits for the clusters, removals wait for
  what may still name the removed. Waits for additions end after `hold` seconds; removals wait as long as it takes.
* `follow`: once a cluster is sent, its endpoints must be subscribed and acknowledged before listeners and routes go.
* A refused (name, version) is not sent again; the rest of a refused response is (`verdict.py`). A refused listener or
  route keeps the clusters that its last good version may name.
* A name that does not exist is answered as removed, so that nobody waits for it. What a partial layer does not know yet
  is not answered.
* Positions (see `view.py`) answer "does the client run what this update brought, or something newer": `standing`.

Protocol: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-docs/xds_protocol#incremental-xds
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from argosy.xds.gate import HOLD, INTRODUCTION, Gate
from argosy.xds.layers import Layers, differing, names_read
from argosy.xds.subscription import BROUGHT, NEVER, WILDCARD, Flight, Standing, Subscription
from argosy.xds.types import FOLLOWED_BY, UNANSWERED, Nack, Resource, rank
from argosy.xds.verdict import TypeStatus, acknowledge, refuse, status_of
from argosy.xds.view import View
from argosy.xds.wire import Request, Response

__all__ = ["HOLD", "INTRODUCTION", "Standing", "Stream", "TypeStatus"]


class Stream:
    """One stream over layers of views; a name in an earlier layer hides the same name in later ones."""

    def __init__(
        self,
        layers: Sequence[View],
        *,
        hold: float = HOLD,
        refuses: Callable[[str], bool] | None = None,
        astray: Callable[[str], Collection[str]] | None = None,
    ) -> None:
        """What is known of the client from earlier streams: `refuses(type_url)`, whether it refuses a resource of the
        type; `astray(type_url)`, names of which it may run another version than it tells (`astray` below)."""
        self._layers = Layers(layers)
        self._astray_before = astray
        self._wake: Callable[[], None] | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._order: tuple[str, ...] = ()
        self._gate = Gate(self._subscriptions, self.find, self.known, hold, refuses)
        # (type, name) that goes out although the client will bring the same version along
        self._repeats: set[tuple[str, str]] = set()
        self._nonce = 0
        self._unseen = True  # whether a layer may have changed since all types were looked at
        self.resumed = 0
        """Resources that were not sent because the client brought the same version along."""
        self.sent_resources = 0
        self.sent_removals = 0
        self._layers.attach(self)

    # -- what the views see of it

    def changed(self, type_url: str, names: Collection[str]) -> None:
        self._unseen = True
        subscription = self._subscriptions.get(type_url)
        if subscription is not None and (not names or subscription.wants_any(names)):
            self.mark_dirty()

    def catch_up(self, type_url: str) -> None:
        if subscription := self._subscriptions.get(type_url):
            self._collect(type_url, subscription)

    @property
    def deadline(self) -> float | None:
        """When `next_response` may give something although nothing happened; valid after it gave None."""
        return self._gate.deadline

    @property
    def may_owe(self) -> bool:
        """Whether `next_response` may give something."""
        for one in self._subscriptions.values():
            if one.owed or one.greet:
                return True
        return self._unseen

    def mark_dirty(self) -> None:
        """Something may have to be sent: the shell is woken."""
        if self._wake is not None:
            self._wake()

    def on_wake(self, wake: Callable[[], None] | None) -> None:
        """Who is told that something may have to be sent. Must be quick: it is called within a view's update."""
        self._wake = wake

    def close(self) -> None:
        """The stream is over; it lets go of its views."""
        self._wake = None
        self._layers.detach(self)

    # -- layers

    @property
    def layers(self) -> tuple[View, ...]:
        return self._layers.views

    def find(self, type_url: str, name: str) -> Resource | None:
        return self._layers.find(type_url, name)

    def _absent(self, type_url: str, subscription: Subscription, name: str) -> bool:
        """Whether a name that no layer has is known not to exist."""
        if subscription.wildcard and self._layers.knows(type_url):
            return True
        return self._layers.denies(type_url, name)

    def set_layers(self, layers: Sequence[View]) -> None:
        """The proxy sees other views from now on: only what differs is sent."""
        old, new = self._layers, Layers(layers)
        for type_url, subscription in self._subscriptions.items():
            self._collect(type_url, subscription)
        touched = differing(old, new)
        before = {
            type_url: {
                name: self.find(type_url, name) for name in names_read(type_url, subscription, touched)
            }
            for type_url, subscription in self._subscriptions.items()
        }
        old.detach(self, kept=new.views)
        self._layers = new
        self._unseen = True
        new.attach(self)
        for type_url, subscription in self._subscriptions.items():
            for name, was in before[type_url].items():
                resource = self.find(type_url, name)
                if (was and was.version) != (resource and resource.version):
                    self._owe_change(type_url, subscription, name)
            subscription.seen = max(subscription.seen, self._layers.position(type_url))
        self.mark_dirty()

    # -- what came in

    def on_request(self, request: Request, now: float) -> Flight | None:
        """Takes in a request: an ACK or NACK of the response that is out, and changes of the subscription. Returns the
        response that it acknowledged."""
        type_url = request.type_url
        self._gate.begin(now)
        subscription = self._subscriptions.get(type_url)
        first = subscription is None
        if subscription is None:
            subscription = self._subscribe_type(type_url)
        flight = subscription.flight
        acknowledged = None
        if flight is not None and request.response_nonce == flight.nonce:
            subscription.flight = None
            if request.HasField("error_detail"):
                for name in refuse(subscription, flight, request, now):
                    self._gate.release(type_url, name)
            else:
                acknowledge(subscription, flight)
                acknowledged = flight
        if first:
            subscription.resume = self._brought(request)
        subscribe = list(request.resource_names_subscribe)
        unsubscribe = list(request.resource_names_unsubscribe)
        if first and not subscribe:
            subscribe = [WILDCARD]  # legacy: a first request that names nothing asks for everything
        if subscribe or unsubscribe:
            self._on_change(type_url, subscription, subscribe, unsubscribe)
        if first:
            subscription.resume = subscription.resume or {}  # an emptied dict keeps its size
            self._repeats = {one for one in self._repeats if one[0] != type_url}
        return acknowledged

    def _brought(self, request: Request) -> dict[str, str]:
        """Versions the client brought along; the empty one, which is none that is sent, stands for an unknown one."""
        brought = dict(request.initial_resource_versions)
        if self._astray_before is not None:
            for name in self._astray_before(request.type_url):
                if name in brought or request.type_url not in UNANSWERED:
                    brought[name] = ""
        return brought

    def _subscribe_type(self, type_url: str) -> Subscription:
        subscription = self._subscriptions[type_url] = Subscription()
        subscription.seen = self._layers.position(type_url)
        self._order = tuple(sorted(self._subscriptions, key=rank))
        return subscription

    def _on_change(
        self, type_url: str, subscription: Subscription, subscribe: Sequence[str], unsubscribe: Sequence[str]
    ) -> None:
        self._collect(type_url, subscription)
        was_wildcard = subscription.wildcard
        again = {name for name in subscribe if subscription.wants(name)}
        subscription.change(subscribe, unsubscribe)
        for name in subscribe:
            if name in again:
                self._repeat(type_url, subscription, name)
            elif name != WILDCARD:
                self._on_asked(type_url, subscription, name)
        if subscription.wildcard:
            for name in unsubscribe:  # still covered by the wildcard, or else the client must forget it
                if name != WILDCARD:
                    self._owe_change(type_url, subscription, name)
        if subscription.wildcard and not was_wildcard:
            subscription.greet = True
            if self._layers.knows(type_url):
                self._on_known(type_url, subscription)

    def _on_asked(self, type_url: str, subscription: Subscription, name: str) -> None:
        """The client subscribed to the name: it gets it, or the answer that there is none."""
        resource = self.find(type_url, name)
        if resource is not None:
            self._compare(type_url, subscription, resource)
        elif not self._absent(type_url, subscription, name):
            subscription.waiting[name] = None
            if (type_url, name) in self._repeats:
                subscription.resume.pop(name, None)
        elif subscription.resume.pop(name, None) is not None:
            subscription.owe(name, BROUGHT)
        elif type_url in UNANSWERED:
            subscription.waiting[name] = None
        else:
            subscription.owe(name, NEVER)

    def _compare(self, type_url: str, subscription: Subscription, resource: Resource) -> None:
        """The client gets a resource, unless it brought the same version along."""
        brought = subscription.resume.pop(resource.name, None)
        if brought == resource.version and (type_url, resource.name) not in self._repeats:
            self.resumed += 1
        elif brought is None:
            subscription.owe(resource.name, NEVER)
        else:
            subscription.owe(resource.name, BROUGHT)
            subscription.uncertain[resource.name] = frozenset({brought})

    def _on_known(self, type_url: str, subscription: Subscription) -> None:
        """All names of a wildcard subscription are known now: what the client brought along is compared with them."""
        for name in self._layers.names(type_url):
            resource = self.find(type_url, name)
            in_flight = subscription.flight is not None and name in subscription.flight.versions
            if resource is not None and name not in subscription.owed and not in_flight:
                self._compare(type_url, subscription, resource)
        for name in subscription.resume:
            if self.find(type_url, name) is None:
                subscription.owe(name, BROUGHT)
        subscription.resume = {}

    # -- what is owed

    def _owe_change(self, type_url: str, subscription: Subscription, name: str) -> None:
        """The name changed in some layer, as far as the client is concerned."""
        if not subscription.wants(name):
            return
        resource = self.find(type_url, name)
        if name in subscription.waiting:
            del subscription.waiting[name]
            self._on_asked(type_url, subscription, name)
        elif resource is not None and name in subscription.resume:
            self._compare(type_url, subscription, resource)
        elif resource is not None or self._absent(type_url, subscription, name):
            subscription.resume.pop(name, None)
            subscription.owe(name, subscription.seen)

    def _collect(self, type_url: str, subscription: Subscription) -> None:
        """Turns changes of the layers into names that are owed."""
        position = self._layers.position(type_url)
        if position > subscription.seen:
            for name in self._layers.changed_since(type_url, subscription.seen):
                self._owe_change(type_url, subscription, name)
            subscription.seen = position
        if subscription.greet and subscription.resume and self._layers.knows(type_url):
            self._on_known(type_url, subscription)

    # -- what goes out

    def next_response(self, now: float) -> Response | None:
        """The next response to send, or None; call it until None after every request and wake-up."""
        self._gate.deadline = None
        if self._unseen:
            self._unseen = False
            for type_url, subscription in self._subscriptions.items():
                self._collect(type_url, subscription)
        for type_url in self._order:
            subscription = self._subscriptions[type_url]
            if not subscription.owed and not subscription.greet:
                subscription.held_since = None
            elif subscription.flight is None and (response := self._respond(type_url, subscription, now)):
                return response
        return None

    def _respond(self, type_url: str, subscription: Subscription, now: float) -> Response | None:
        if subscription.greet and not self._layers.knows(type_url):
            return None
        names: Collection[str] = subscription.owed
        while subscription.trials:
            names = [name for name in subscription.trials[0] if name in subscription.owed]
            if names:
                break
            del subscription.trials[0]
            names = subscription.owed
        resources, removed = self._select(type_url, subscription, names)
        removed = [
            name
            for name in removed
            if subscription.owed[name] == NEVER or not self._gate.removal_follows(type_url, name)
        ]
        if removed and self._gate.removals_wait(type_url, now):
            removed = [name for name in removed if subscription.owed[name] == NEVER]
        if not resources and not removed and not subscription.greet:
            subscription.held_since = None
            return None
        if self._gate.additions_wait(type_url, now):
            return None
        return self._send(type_url, subscription, resources, removed, now)

    def _select(
        self, type_url: str, subscription: Subscription, names: Collection[str]
    ) -> tuple[list[Resource], list[str]]:
        """What of the owed names is to be added and what removed; the rest is owed no more: refused versions, and names
        that have no answer."""
        resources: list[Resource] = []
        removed: list[str] = []
        for name in tuple(names):
            resource = self.find(type_url, name)
            if resource is None:
                asked = subscription.owed[name] == NEVER and type_url in UNANSWERED
                if self._absent(type_url, subscription, name) and not asked:
                    removed.append(name)
                else:
                    del subscription.owed[name]
                    subscription.waiting[name] = None
            elif subscription.rejected.get(name) == resource.version:
                del subscription.owed[name]
            else:
                resources.append(resource)
        return resources, removed

    def _send(
        self,
        type_url: str,
        subscription: Subscription,
        resources: Sequence[Resource],
        removed: Sequence[str],
        now: float,
    ) -> Response:
        names = [*(resource.name for resource in resources), *removed]
        known = {name: subscription.owed.pop(name) for name in names}
        for name in names:
            subscription.rejected.pop(name, None)
        if not subscription.owed:
            subscription.owed = {}  # an emptied dict keeps its size: 20 KB for 1,000 names
        if subscription.trials:
            del subscription.trials[0]
        subscription.greet = False
        subscription.held_since = None
        self._nonce += 1
        nonce = str(self._nonce)
        subscription.flight = Flight(nonce, subscription.seen, now, tuple(resources), removed, known)
        subscription.sent = subscription.seen
        self._expect_follows(type_url, resources, known, now)
        self.sent_resources += len(resources)
        self.sent_removals += len(removed)
        return Response(
            type_url=type_url,
            nonce=nonce,
            version=str(subscription.seen),
            resources=tuple(resources),
            removed=tuple(removed),
        )

    def _expect_follows(
        self, type_url: str, resources: Iterable[Resource], known: dict[str, int], now: float
    ) -> None:
        following = FOLLOWED_BY.get(type_url)
        if following is None:
            return
        endpoints = self._subscriptions.get(following)
        for resource in resources:
            follow = resource.follow or resource.name
            if resource.follow is not None:
                self._gate.expect(following, follow, resource.name, now)
            if endpoints is not None and endpoints.wants(follow):
                self._repeat(following, endpoints, follow)
            elif endpoints is None and known[resource.name] != NEVER:
                self._repeats.add((following, follow))

    def _repeat(self, type_url: str, subscription: Subscription, name: str) -> None:
        """The client gets the name once more: it asks again, or it has a changed cluster that is warm only once its
        endpoints came again (which Envoy does not ask for)."""
        if self.find(type_url, name) is not None:
            known = self.known(type_url, subscription, name)
            subscription.owe(name, subscription.seen if known is None else known)
        elif not self._absent(type_url, subscription, name):
            subscription.resume.pop(name, None)  # once known it goes out, whatever version the client brought
            subscription.waiting[name] = None
        elif type_url not in UNANSWERED:
            subscription.owe(name, NEVER)

    # -- how the client stands

    def standing(self, type_url: str, name: str, position: int | None = None) -> Standing:
        """Whether the client runs what an update at `position` (what `View.update` gave) brought for the name, or
        something newer; without `position`, whether it runs what the views hold now."""
        subscription = self._subscriptions.get(type_url)
        if subscription is None or not subscription.wants(name):
            return Standing.UNSUBSCRIBED
        resource = self.find(type_url, name)
        if resource is not None and subscription.rejected.get(name) == resource.version:
            return Standing.REJECTED
        if name in subscription.resume or (subscription.greet and not self._layers.knows(type_url)):
            return Standing.PENDING
        if resource is None and not self._absent(type_url, subscription, name):
            return Standing.PENDING
        known = self.known(type_url, subscription, name)
        return (
            Standing.ACKNOWLEDGED if known is None or (position and known >= position) else Standing.PENDING
        )

    def known(self, type_url: str, subscription: Subscription, name: str) -> int | None:
        """Up to which position the client is current for the name; None: up to now."""
        flight = subscription.flight
        if flight is None and not subscription.owed and not self._unseen:
            return None
        if flight is not None and name in flight.known:
            return flight.known[name]
        if name in subscription.owed:
            return subscription.owed[name]
        changed = self._layers.changed_at(type_url, name)
        return subscription.seen if changed > subscription.seen else None

    def fall_back(self, type_url: str, name: str) -> None:
        """The client refused a version, and the views hold the last one again that it acknowledged, or none. It goes
        out where the client may run anything else; otherwise the client simply keeps what it has."""
        subscription = self._subscriptions.get(type_url)
        if subscription is None:
            return
        self._collect(type_url, subscription)
        resource = self.find(type_url, name)
        may_run = subscription.uncertain.get(name, frozenset())
        if resource is None:
            subscription.owed.pop(name, None)
        elif may_run <= {resource.version}:
            subscription.owed.pop(name, None)
            subscription.uncertain.pop(name, None)
        else:
            subscription.owe(name, NEVER if may_run == {None} else BROUGHT)
            self.mark_dirty()

    def astray(self, type_url: str) -> set[str]:
        """Names of which the client may run something else than it will tell when it connects again."""
        return one.astray() if (one := self._subscriptions.get(type_url)) is not None else set()

    def forgive(self, type_url: str, name: str) -> None:
        """What the client refused is not offered any more, and what it kept is what the views hold."""
        if subscription := self._subscriptions.get(type_url):
            subscription.rejected.pop(name, None)
        self.mark_dirty()

    def holds_back_removal(self, type_url: str, name: str) -> bool:
        """Whether the name is gone and the client, which may have it, was not told yet."""
        subscription = self._subscriptions.get(type_url)
        return subscription is not None and name in subscription.owed and self.find(type_url, name) is None

    def is_current(self, type_url: str, names: Iterable[str]) -> bool:
        """Whether the client runs what the views hold now, for those of the names that it subscribes to."""
        good = (Standing.ACKNOWLEDGED, Standing.UNSUBSCRIBED)
        return all(self.standing(type_url, name) in good for name in names)

    def acknowledged(self, type_url: str, name: str) -> str | None:
        """The version the client runs, where that is the current one; None where it is another, or none."""
        resource = self.find(type_url, name)
        if resource is None or self.standing(type_url, name) is not Standing.ACKNOWLEDGED:
            return None
        return resource.version

    def subscribed(self, type_url: str) -> tuple[frozenset[str], bool]:
        """(names asked for, whether everything is)."""
        subscription = self._subscriptions.get(type_url)
        return (subscription.names, subscription.wildcard) if subscription else (frozenset(), False)

    def types(self) -> tuple[str, ...]:
        return self._order

    def nack(self, type_url: str, name: str) -> Nack | None:
        """The last NACK of the type, where the name's current version is refused."""
        subscription = self._subscriptions.get(type_url)
        return subscription.nack if subscription and name in subscription.rejected else None

    def settled(self) -> bool:
        """Whether nothing is to be sent or unacknowledged, but for removals that are held back."""
        for type_url, subscription in self._subscriptions.items():
            self._collect(type_url, subscription)
            if subscription.flight is not None or subscription.greet:
                return False
            if any(known == NEVER or self.find(type_url, name) for name, known in subscription.owed.items()):
                return False
        return True

    def status(self) -> tuple[TypeStatus, ...]:
        """How each subscribed type stands, in the order of delivery."""
        return tuple(status_of(one, self._subscriptions[one], self._layers) for one in self._order)
