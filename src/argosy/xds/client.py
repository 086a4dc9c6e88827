"""The client's side of one delta ADS stream, without I/O: what to ask, what came, what to answer.

Used by the agent towards the server and by the tests as a fake Envoy. Acknowledging is the user's act: the agent does
it once Envoy has acknowledged. After a reconnect the first request of each type carries the versions that the user
still holds, so that nothing unchanged is sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from argosy.xds.subscription import WILDCARD
from argosy.xds.types import rank
from argosy.xds.wire import Node, Received, Request, request


class _Type:
    __slots__ = ("add", "again", "answers", "names", "opened", "remove", "unanswered")

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.add: set[str] = set()  # the server was not told of these on this stream
        self.again: set[str] = set()  # it was told, and is asked once more
        self.remove: set[str] = set()
        self.answers: list[tuple[str, str | None, Collection[str]]] = []  # (nonce, error, offenders)
        self.opened = False  # whether the type's first request was made on this stream
        self.unanswered: set[str] = set()  # nonces


def _nothing(type_url: str) -> Mapping[str, str]:
    return {}


class Client:
    """One stream. `versions(type_url)` gives name -> version of what the user holds, asked once per type and stream."""

    def __init__(self, node: Node, versions: Callable[[str], Mapping[str, str]] = _nothing) -> None:
        self._node = node
        self._versions = versions
        self._types: dict[str, _Type] = {}
        self._introduced = False
        self.is_connected = False

    def connected(self) -> None:
        """A new stream begins: every subscribed type is asked for again, with its versions."""
        self._introduced = False
        self.is_connected = True
        for one in self._types.values():
            one.opened = False
            one.add, one.again, one.remove = set(one.names), set(), set()
            one.answers.clear()
            one.unanswered.clear()

    def disconnected(self) -> None:
        self.is_connected = False

    def subscribed(self, type_url: str) -> frozenset[str]:
        """Names asked for; `*` is everything."""
        one = self._types.get(type_url)
        return frozenset(one.names) if one else frozenset()

    def types(self) -> tuple[str, ...]:
        return tuple(self._types)

    def subscribe(self, type_url: str, names: Iterable[str]) -> None:
        """Asks for names (`*`: for all); what is asked for already is not asked again."""
        one = self._types.setdefault(type_url, _Type())
        fresh = set(names) - one.names
        one.names |= fresh
        one.add |= fresh
        one.remove -= fresh

    def resubscribe(self, type_url: str, names: Iterable[str]) -> None:
        """Asks for names again that are subscribed, one by one or by `*`: the server sends them anew."""
        one = self._types.setdefault(type_url, _Type())
        wanted = set(names)
        one.again |= wanted - one.add
        one.remove -= wanted
        if WILDCARD not in one.names:
            one.names |= wanted

    def unsubscribe(self, type_url: str, names: Iterable[str]) -> None:
        one = self._types.setdefault(type_url, _Type())
        gone = set(names) & one.names
        one.names -= gone
        one.remove |= gone - one.add if one.opened else set()
        one.add -= gone
        one.again -= gone

    def on_response(self, received: Received) -> Received:
        """Takes in a response, which must be answered with `ack` or `nack` by its nonce."""
        self._types.setdefault(received.type_url, _Type()).unanswered.add(received.nonce)
        return received

    def ack(self, type_url: str, nonce: str) -> None:
        """The response is in use. A nonce of an earlier stream is ignored."""
        self._answer(type_url, nonce, None)

    def nack(self, type_url: str, nonce: str, message: str, offenders: Collection[str] = ()) -> None:
        """The response, or resources of it, cannot be used: `offenders`, or else those that `message` mentions."""
        self._answer(type_url, nonce, message, offenders)

    def _answer(self, type_url: str, nonce: str, error: str | None, offenders: Collection[str] = ()) -> None:
        one = self._types.setdefault(type_url, _Type())
        if nonce in one.unanswered:
            one.unanswered.discard(nonce)
            one.answers.append((nonce, error, offenders))

    def next_request(self) -> Request | None:
        """The next request to send, or None; call it until None after every change."""
        if not self.is_connected:
            return None
        for type_url in sorted(self._types, key=rank):
            if (message := self._request(type_url, self._types[type_url])) is not None:
                return message
        return None

    def _request(self, type_url: str, one: _Type) -> Request | None:
        if not (one.add or one.again or one.remove or one.answers):
            return None
        versions: Mapping[str, str] = {}
        if not one.opened:
            held = self._versions(type_url)
            versions = (
                held if WILDCARD in one.names else {name: held[name] for name in one.names & held.keys()}
            )
        nonce, error, offenders = one.answers.pop(0) if one.answers else ("", None, ())
        message = request(
            type_url,
            subscribe=one.add | one.again,
            unsubscribe=one.remove,
            versions=versions,
            nonce=nonce,
            error=error,
            offenders=offenders,
            node=None if self._introduced else self._node,
        )
        one.opened = self._introduced = True
        one.add, one.again, one.remove = set(), set(), set()
        return message
