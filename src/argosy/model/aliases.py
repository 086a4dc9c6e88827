"""Services that are only another name of a host: v1 Services of type ExternalName without ports.

Facts (Istio): requests for the names of an alias are requests for the service that it stands for, if that is in the
mesh; an alias of an alias stands for what that stands for.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.model import ir


class Aliases:
    def __init__(self) -> None:
        self._by_name: dict[str, ir.Service] = {}
        self._by_target: dict[str, set[str]] = {}

    def get(self, hostname: str) -> ir.Service | None:
        return self._by_name.get(hostname)

    def set(self, hostname: str, new: ir.Service | None) -> frozenset[str]:
        """The hosts that are another now, or have other names: the alias, and all that it stood and stands for."""
        old = self._by_name.get(hostname)
        if old == new:
            return frozenset()
        touched = {*self.chain(hostname)} if old is not None else set()
        if old is not None:
            del self._by_name[hostname]
            names = self._by_target[old.alias_of]
            names.discard(hostname)
            if not names:
                del self._by_target[old.alias_of]
        if new is not None:
            self._by_name[hostname] = new
            self._by_target.setdefault(new.alias_of, set()).add(hostname)
            touched |= {*self.chain(hostname)}
        return frozenset(touched | {hostname})

    def chain(self, hostname: str) -> Iterator[str]:
        """The host, and what it stands for, one after the other. A circle ends where it began."""
        seen = {hostname}
        yield hostname
        while (alias := self._by_name.get(hostname)) is not None and alias.alias_of not in seen:
            hostname = alias.alias_of
            seen.add(hostname)
            yield hostname

    def of(self, hostname: str) -> tuple[ir.Service, ...]:
        """All that stand for a host, sorted by name."""
        found: dict[str, ir.Service] = {}
        todo = [hostname]
        while todo:
            for name in self._by_target.get(todo.pop(), ()):
                if name not in found and name != hostname:
                    found[name] = self._by_name[name]
                    todo.append(name)
        return tuple(found[name] for name in sorted(found))
