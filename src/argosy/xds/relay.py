"""The agent's heart, without I/O: what the server sends is cached, served to Envoy, and acknowledged once Envoy has.

Upstream it is a `Client` (an `Exchange` for `connection.Connection`), downstream one `Session` per stream of Envoy.

* Envoy's subscriptions are asked for upstream. What an earlier Envoy asked for is kept until the new one has settled.
* The server's response is acknowledged once Envoy acknowledged everything in it that it subscribes to; at once where no
  Envoy is connected, but then it is not *confirmed*. Where Envoy refused some, the server gets Envoy's words.
* A refused resource is replaced in the cache by the last confirmed one, so that a restarted Envoy gets what works; the
  refused version, should the server send it again, is refused without asking Envoy.
* The server's order is kept: it sends the next type when this one is acknowledged, and that is when Envoy has it.
* Local secrets (own key and roots) are a view of their own in front; their names are never asked upstream.
* `acknowledged_state` is what Envoy confirmed and what it refused, without secrets: for the disk. `restore` serves it
  with no server there.
* What the server removes, or Envoy lets go of, stays while the last good version of something may name it: until
  Envoy has confirmed all that may (by `REMOVED_AFTER`) and refuses none of it. So a new Envoy, even one that refuses
  what came while none was connected, gets a whole that worked.
* Endpoints that nobody will send are answered as none: one cluster without them would hold up a starting Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct

from argosy.xds import saved
from argosy.xds.blame import words
from argosy.xds.client import Client
from argosy.xds.ledger import LED_BY, Ledger
from argosy.xds.saved import SavedType, StateError
from argosy.xds.stream import HOLD, Standing, Stream, TypeStatus
from argosy.xds.subscription import WILDCARD
from argosy.xds.types import SECRET, CachedResource
from argosy.xds.view import PartialView, View
from argosy.xds.wire import Node, Received, Request, Response

__all__ = ["LOCAL_SECRETS", "SETTLE", "Relay", "RelaySession", "StateError"]

LOCAL_SECRETS = frozenset({"default", "ROOTCA"})
SETTLE = 30.0
"""Seconds after which an Envoy that owes no answer counts as settled: what it has not asked for is let go."""


class _Pending(Struct):
    """A response of the server that is not answered yet."""

    nonce: str
    names: set[str]  # not decided by Envoy yet
    refusals: dict[str, str]  # name -> Envoy's words


class Relay:
    """One workload's cache between the server and its Envoy."""

    def __init__(
        self,
        node: Node,
        local: View,
        *,
        local_names: Collection[str] = LOCAL_SECRETS,
        hold: float = HOLD,
        settle: float = SETTLE,
        on_status: Callable[[], None] | None = None,
    ) -> None:
        self.cache = PartialView()
        self.client = Client(node, self._upstream_versions)
        self.stale = False
        """Whether what is served comes from a restored state that no server has confirmed since."""
        self._ledger = Ledger()
        self._local = local
        self._local_names = frozenset(local_names)
        self._hold = hold
        self._settle_after = settle
        self._on_status = on_status
        self._stream: Stream | None = None
        self._since = 0.0  # when the first request of the present Envoy came
        self._settled = False
        self._overdue = False
        self._mirrored: dict[str, tuple[frozenset[str], bool]] = {}
        self._parting: dict[str, set[str]] = {}  # let go by Envoy, but something good may name them
        self._pending: dict[str, _Pending] = {}
        self._answered: dict[str, dict[str, str]] = {}  # name -> version acknowledged upstream
        self._wake_upstream: Callable[[], None] | None = None
        self._heard = False  # whether the server has spoken on the present stream

    @property
    def dirty(self) -> bool:
        """Whether `acknowledged_state` would differ from when it was last called."""
        return self._ledger.dirty

    @dirty.setter
    def dirty(self, value: bool) -> None:
        self._ledger.dirty = value

    # -- upstream: an Exchange

    def upstream_connected(self, wake: Callable[[], None]) -> None:
        self._wake_upstream = wake
        self._heard = False
        self._pending.clear()  # their nonces died with the old stream; the server sends again what was not answered
        self.client.connected()

    def upstream_disconnected(self) -> None:
        self._wake_upstream = None
        self._heard = False
        self.client.disconnected()
        self._pending.clear()

    def next_request(self) -> Request | None:
        return self.client.next_request()

    def _upstream_versions(self, type_url: str) -> Mapping[str, str]:
        """What is here. A version that was acknowledged to the server need not come again; of the rest it hears only
        the name, so that it sends it again, or removes it when nothing names it any more."""
        answered = self._answered.get(type_url, {})
        refused = self._ledger.refusals(type_url)  # even if it is the last good one again
        told = dict.fromkeys(refused, "")
        for resource in self.cache.resources(type_url):
            known = answered.get(resource.name) == resource.version and resource.name not in refused
            told[resource.name] = resource.version if known else ""
        return told

    def on_response(self, received: Received, now: float) -> None:
        """Caches what the server sent and passes it on to Envoy."""
        type_url = received.type_url
        self.client.on_response(received)
        self.stale, self._heard = False, True
        wanted = self.client.subscribed(type_url)
        everything = WILDCARD in wanted
        refusals: dict[str, str] = {}
        upserts: list[CachedResource] = []
        for resource in received.resources:
            refusal = self._ledger.refused.get((type_url, resource.name))
            if refusal is not None and refusal.version == resource.version:
                refusals[resource.name] = refusal.message
            elif everything or resource.name in wanted:
                upserts.append(resource)
                self._forgive(type_url, resource.name)
        self._ledger.stays(type_url, [resource.name for resource in upserts])
        gone = [name for name in received.removed if everything or name in wanted]
        for name in gone:
            self._forgive(type_url, name)
            self._answered.get(type_url, {}).pop(name, None)
        removed = self._ledger.removed(type_url, gone)
        names = {resource.name for resource in upserts} | set(removed)
        self._ledger.expect(type_url, names)
        self._pending[type_url] = _Pending(received.nonce, set(names), refusals)
        self.cache.update(type_url, upserts, removed)
        if everything:
            self.cache.settle(type_url)
        self._decide(type_url)
        self._answer(type_url)
        self._let_leave()

    def _version(self, type_url: str, name: str) -> str | None:
        resource = self.cache.get(type_url, name)
        return resource.version if resource else None

    # -- Envoy's verdict

    def _decide(self, type_url: str) -> None:
        """Looks at how Envoy stands to what is not confirmed."""
        unconfirmed = tuple(self._ledger.unconfirmed(type_url))
        stream = self._stream
        if not unconfirmed or stream is None:
            return
        stream.catch_up(type_url)
        for name in unconfirmed:
            standing = stream.standing(type_url, name)
            if standing is Standing.ACKNOWLEDGED:
                self._ledger.decided(type_url, name)
                self._confirm(type_url, name)
            elif standing is Standing.REJECTED:
                self._ledger.decided(type_url, name)
                self._refuse(type_url, name, stream)

    def _confirm(self, type_url: str, name: str) -> None:
        resource = self.cache.get(type_url, name)
        if resource is None:
            self._ledger.drop(type_url, name)
            self._ledger.dirty |= name in self.cache.denied(type_url)
        else:
            self._ledger.confirm(type_url, resource)

    def _let_leave(self) -> None:
        """Lets go of what was removed or not asked for any more, once nothing good can name it."""
        for type_url, gone in self._ledger.departures():
            self._ledger.expect(type_url, gone)
            self.cache.update(type_url, (), gone)
            self._decide(type_url)
        stream = self._stream
        for type_url in tuple(self._parting):
            if stream is not None and not self._ledger.awaits_users(type_url):
                parting = self._parting.pop(type_url)
                names, everything = stream.subscribed(type_url)
                if not everything:
                    self._let_go(type_url, parting - names)

    def _refuse(self, type_url: str, name: str, stream: Stream) -> None:
        resource = self.cache.get(type_url, name)
        nack = stream.nack(type_url, name)
        if resource is None or nack is None:
            return
        self._ledger.refuse(type_url, name, resource.version, nack.message)
        pending = self._pending.get(type_url)
        if pending is not None and name in pending.names:
            pending.refusals[name] = nack.message
        else:  # acknowledged while no Envoy was there: refused when it comes
            self.client.resubscribe(type_url, [name])
        good = self._ledger.good(type_url).get(name)
        if good is not None:
            self.cache.update(type_url, [good])
        else:
            self.cache.forget(type_url, [name])
        stream.fall_back(type_url, name)

    def _forgive(self, type_url: str, name: str) -> None:
        if self._ledger.forgive(type_url, name) is not None and self._stream is not None:
            self._stream.forgive(type_url, name)

    def _answer(self, type_url: str) -> None:
        """Answers the server's response once nothing in it waits for Envoy."""
        pending = self._pending.get(type_url)
        if pending is None:
            return
        unconfirmed = self._ledger.unconfirmed(type_url)
        stream = self._stream
        for name in tuple(pending.names):
            if (
                name in unconfirmed
                and stream
                and stream.standing(type_url, name) is not Standing.UNSUBSCRIBED
            ):
                continue
            pending.names.discard(name)
            self._note_answered(type_url, name, pending)
        if pending.names:
            return
        del self._pending[type_url]
        if pending.refusals:
            self.client.nack(type_url, pending.nonce, words(pending.refusals), tuple(pending.refusals))
        else:
            self.client.ack(type_url, pending.nonce)
        if self._wake_upstream:
            self._wake_upstream()
        if self._on_status:
            self._on_status()

    def on_sent(self, stream: Stream) -> None:
        """Envoy was sent all that may go now. A removal that is held back (until what uses it is gone) is not waited
        for: the server may have to send just what lets it go."""
        if stream is not self._stream:
            return
        for type_url, pending in tuple(self._pending.items()):
            self._decide(type_url)
            held_back = [name for name in pending.names if stream.holds_back_removal(type_url, name)]
            pending.names.difference_update(held_back)
            for name in held_back:
                self._note_answered(type_url, name, pending)
            self._answer(type_url)
        self._let_leave()

    def _note_answered(self, type_url: str, name: str, pending: _Pending) -> None:
        answered = self._answered.setdefault(type_url, {})
        version = self._version(type_url, name)
        if version is None:
            answered.pop(name, None)
        elif name not in pending.refusals:
            answered[name] = version

    # -- downstream: sessions for Envoy

    def session(self) -> RelaySession:
        """The machine for a new stream of Envoy; it replaces an older one."""
        return RelaySession(self)

    def attach(self, stream: Stream) -> None:
        """A stream of Envoy begins; an older one is dead, though nobody may have said so yet."""
        if self._stream is not None:
            self.detach(self._stream)
        self._stream = stream
        self._settled = self._overdue = False
        self._since = -1.0
        self._mirrored = {}
        self._parting = {}

    def detach(self, stream: Stream) -> None:
        """Envoy is gone: what waits for it is answered as cached, and stays unconfirmed."""
        stream.close()
        if stream is not self._stream:
            return
        for type_url in stream.types():
            self._ledger.stray(type_url, stream.astray(type_url))
        self._stream = None
        for type_url in tuple(self._pending):
            self._answer(type_url)

    def on_downstream(self, stream: Stream, request: Request, now: float) -> None:
        """A request of Envoy: a verdict, or a change of what it wants."""
        acknowledged = stream.on_request(request, now)
        if stream is not self._stream:
            return
        if self._since < 0:
            self._since = now
        type_url = request.type_url
        if acknowledged is not None:
            self._ledger.on_acknowledged(type_url, acknowledged, self.client.subscribed(type_url))
        elif request.HasField("error_detail"):
            self._ledger.dirty = True
        self._decide(type_url)
        self._answer(type_url)
        names, everything = stream.subscribed(type_url)
        gone = set(request.resource_names_unsubscribe) & self.client.subscribed(type_url) - names - {WILDCARD}
        if not everything and gone:  # what this Envoy lets go of itself need not wait until it has settled
            self._parting.setdefault(type_url, set()).update(gone)
        self._mirror(stream, type_url)
        self._do_without(request)
        self._let_leave()
        self.settle(now)
        if self._on_status:
            self._on_status()

    def _mirror(self, stream: Stream, type_url: str) -> None:
        """Asks upstream for what Envoy asks for."""
        wanted = stream.subscribed(type_url)
        if self._mirrored.get(type_url) == wanted:
            return
        self._mirrored[type_url] = wanted
        names, everything = wanted
        ask = set(names) | ({WILDCARD} if everything else set())
        if type_url == SECRET:
            ask -= self._local_names
        self.client.subscribe(type_url, ask)
        if self._settled:
            self._parting.setdefault(type_url, set()).update(self.client.subscribed(type_url) - ask)
        if self._wake_upstream:
            self._wake_upstream()

    def _do_without(self, request: Request) -> None:
        """Says that there are none of the endpoints that Envoy lacks and nobody will send: no server speaks, or Envoy
        has refused the only version. Else it waits for 15 s (`initial_fetch_timeout`), and all listeners with it. The
        server's word replaces that; before it, the server sends nothing that uses them."""
        leading = LED_BY.get(request.type_url)
        if leading is None or not self.cache.knows(leading):
            return
        asked = set(request.resource_names_subscribe) - request.initial_resource_versions.keys()
        lacking = [name for name in asked if self.cache.get(request.type_url, name) is None]
        refusals = self._ledger.refusals(request.type_url)
        self.cache.deny(request.type_url, [name for name in lacking if not self._heard or name in refusals])

    def settle(self, now: float) -> None:
        """Once a new Envoy has asked for what it needs, what only its predecessor needed is let go."""
        stream = self._stream
        if stream is None or self._settled or self._since < 0 or now < self._since + self._settle_after:
            return
        if not stream.settled():
            self._overdue = True  # the next request of Envoy tries again
            return
        self._settled = True
        for type_url in self.client.types():
            names, everything = stream.subscribed(type_url)
            wanted = set(names) | ({WILDCARD} if everything else set())
            self._let_go(type_url, self.client.subscribed(type_url) - wanted)

    def settle_deadline(self) -> float | None:
        """When `settle` is to be called."""
        if self._stream is None or self._settled or self._overdue or self._since < 0:
            return None
        return self._since + self._settle_after

    def _let_go(self, type_url: str, names: Collection[str]) -> None:
        if not names:
            return
        self.client.unsubscribe(type_url, names)
        rest = self.client.subscribed(type_url)
        if WILDCARD in rest:
            return  # the wildcard still covers them
        gone = set(names) - {WILDCARD}
        if WILDCARD in names:
            self.cache.unsettle(type_url)
            gone |= set(self.cache.names(type_url)) - rest
        self.cache.forget(type_url, gone)
        for name in gone:
            self._ledger.forget(type_url, name)
            self._answered.get(type_url, {}).pop(name, None)
            self._forgive(type_url, name)
        self._answer(type_url)
        if self._wake_upstream:
            self._wake_upstream()

    # -- what people and the disk see

    def new_stream(self) -> Stream:
        ledger = self._ledger
        return Stream(
            [self._local, self.cache], hold=self._hold, refuses=ledger.refuses, astray=ledger.astray
        )

    @property
    def connected(self) -> bool:
        """Whether an Envoy is connected."""
        return self._stream is not None

    def has_local(self) -> bool:
        """Whether an Envoy is connected, and runs the local secrets of now, as far as it asks for them."""
        return self._stream is not None and self._stream.is_current(SECRET, self._local_names)

    def is_idle(self) -> bool:
        """Whether Envoy has everything that is cached, and the server every answer."""
        return not self._pending and self._stream is not None and self._stream.settled()

    def status(self) -> tuple[TypeStatus, ...]:
        """How Envoy stands, per type."""
        return self._stream.status() if self._stream else ()

    def refused(self) -> dict[tuple[str, str], tuple[str, str]]:
        """(type, name) -> (version, Envoy's words) of what is refused at present."""
        return {key: (one.version, one.message) for key, one in self._ledger.refused.items()}

    def acknowledged_state(self) -> bytes:
        """What Envoy confirmed, without secrets; `restore` takes it. Clears `dirty`."""
        self._ledger.dirty = False
        types = sorted(set(self.client.types()) - {SECRET})
        return saved.encode([self._saved_type(type_url) for type_url in types])

    def _saved_type(self, type_url: str) -> SavedType:
        good, subscribed = self._ledger.good(type_url), self.client.subscribed(type_url)
        refusals = self._ledger.refusals(type_url)
        here = self._stream.astray(type_url) if self._stream else set()
        return SavedType(
            type_url=type_url,
            wildcard=WILDCARD in subscribed,
            frames=[good[name].frame for name in sorted(good)],
            absent=sorted(set(self.cache.denied(type_url)) & subscribed - good.keys()),
            refused=[(name, one.version, one.message) for name, one in sorted(refusals.items())],
            astray=sorted(here.union(self._ledger.astray(type_url))),
        )

    def restore(self, data: bytes) -> None:
        """Fills the empty cache from a saved state, before anyone is connected. Raises StateError."""
        for one, resources in saved.decode(data):
            self._restore_type(one, resources)
        self._ledger.dirty = False
        self.stale = True

    def _restore_type(self, one: SavedType, resources: Sequence[CachedResource]) -> None:
        type_url = one.type_url
        for resource in resources:
            self._ledger.confirm(type_url, resource)
        for name, version, message in one.refused:
            self._ledger.refuse(type_url, name, version, message)
        self._ledger.stray(type_url, one.astray)
        self._answered[type_url] = {resource.name: resource.version for resource in resources}
        self.cache.update(type_url, resources)
        self.cache.deny(type_url, one.absent)
        if one.wildcard:
            self.client.subscribe(type_url, [WILDCARD])
            self.cache.settle(type_url)
        else:
            refused = [name for name, _, _ in one.refused]
            self.client.subscribe(
                type_url, [*(resource.name for resource in resources), *one.absent, *refused]
            )


class RelaySession:
    """The `Session` of one stream of Envoy."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.stream = relay.new_stream()

    @property
    def deadline(self) -> float | None:
        moments = [at for at in (self.stream.deadline, self._relay.settle_deadline()) if at is not None]
        return min(moments, default=None)

    def connected(self, wake: Callable[[], None]) -> None:
        self.stream.on_wake(wake)
        self._relay.attach(self.stream)

    def on_request(self, request: Request, now: float) -> None:
        self._relay.on_downstream(self.stream, request, now)

    may_owe = True  # it answers the server in `next_response`

    def next_response(self, now: float) -> Response | None:
        self._relay.settle(now)
        response = self.stream.next_response(now)
        if response is None:
            self._relay.on_sent(self.stream)
        return response

    def disconnected(self) -> None:
        self._relay.detach(self.stream)
