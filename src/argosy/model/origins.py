"""Which objects each host's service was made from, both ways. For messages and status, never for results."""

from __future__ import annotations

from collections.abc import Iterable

from argosy.model.updates import Ref


class Origins:
    __slots__ = ("_hosts", "_refs")

    def __init__(self) -> None:
        self._refs: dict[str, tuple[Ref, ...]] = {}
        self._hosts: dict[Ref, tuple[str, ...]] = {}

    def refs(self, hostname: str) -> tuple[Ref, ...]:
        return self._refs.get(hostname, ())

    def hosts(self, ref: Ref) -> tuple[str, ...]:
        return self._hosts.get(ref, ())

    def put(self, hostname: str, refs: Iterable[Ref]) -> None:
        new = tuple(refs)
        if self._refs.get(hostname) == new:
            return
        self.remove(hostname)
        self._refs[hostname] = new
        for ref in new:
            self._hosts[ref] = tuple(sorted((*self.hosts(ref), hostname)))

    def remove(self, hostname: str) -> None:
        for ref in self._refs.pop(hostname, ()):
            rest = tuple(host for host in self._hosts[ref] if host != hostname)
            if rest:
                self._hosts[ref] = rest
            else:
                del self._hosts[ref]
