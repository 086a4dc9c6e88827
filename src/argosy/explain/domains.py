"""Which virtual host an authority belongs to.

# Envoy: config.route.v3.VirtualHost.domains: exact, then the longest `*.suffix`, then the longest `prefix.*`, then `*`
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Generic, TypeVar

from argosy.explain.matching import lower
from argosy.explain.request import host_of

V = TypeVar("V")


class Domains(Generic[V]):
    def __init__(self, domains: Iterable[tuple[str, V]], *, ignores_port: bool = False) -> None:
        self._exact: dict[str, tuple[str, V]] = {}
        suffixes: dict[str, tuple[str, V]] = {}
        prefixes: dict[str, tuple[str, V]] = {}
        self._rest: tuple[str, V] | None = None
        self._ignores_port = ignores_port
        for domain, value in domains:
            key = lower(domain)
            if key == "*":
                self._rest = self._rest or (domain, value)
            elif key.startswith("*"):
                suffixes.setdefault(key[1:], (domain, value))
            elif key.endswith("*"):
                prefixes.setdefault(key[:-1], (domain, value))
            else:
                self._exact.setdefault(key, (domain, value))
        self._suffixes = sorted(suffixes.items(), key=lambda item: -len(item[0]))
        self._prefixes = sorted(prefixes.items(), key=lambda item: -len(item[0]))

    def find(self, authority: str) -> tuple[str, V] | None:
        """(domain, what has it)."""
        host = lower(host_of(authority) if self._ignores_port else authority)
        if host in self._exact:
            return self._exact[host]
        for suffix, found in self._suffixes:
            if len(host) > len(suffix) and host.endswith(suffix):
                return found
        for prefix, found in self._prefixes:
            if len(host) > len(prefix) and host.startswith(prefix):
                return found
        return self._rest

    def near(self, authority: str) -> tuple[tuple[str, V], ...]:
        """Domains of the same host under other ports, and names whose first label is the same."""
        host = lower(host_of(authority))
        label = host.partition(".")[0]
        return tuple(
            found
            for key, found in sorted(self._exact.items())
            if host_of(key) == host or (label and host_of(key).partition(".")[0] == label)
        )

    def alike(self, authority: str) -> tuple[tuple[str, V], ...]:
        """Domains that are spelt much like it, the most alike first."""
        return tuple(
            self._exact[key] for key in get_close_matches(lower(authority), self._exact, n=5, cutoff=0.8)
        )
