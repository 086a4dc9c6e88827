"""The views that proxies see, as `xds` serves them, kept equal to what the compiler builds.

A view lives while a proxy holds it, and lingers a while after, so that a stream that is opened anew (a renewed
certificate, a short loss) finds it unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from argosy.model.facts import Fact
from argosy.model.scope import Scope
from argosy.server import collecting
from argosy.translate.compiler import Compiler
from argosy.translate.graph import Changes, ViewBuild
from argosy.translate.proxy import Proxy
from argosy.xds.view import View

LINGER = 60.0

Slot = tuple[View, str, str]
"""(view, type URL, name)."""


class _Mirror:
    __slots__ = ("build", "free_since", "holders", "view")

    def __init__(self, build: ViewBuild) -> None:
        self.build = build
        self.view = View()
        self.holders = 0
        self.free_since = 0.0
        for type_url, resources in build.resources.items():
            self.view.update(type_url, resources.values())


class Held:
    """What one session holds."""

    __slots__ = ("_own", "_shared", "proxy")

    def __init__(self, proxy: Proxy, own: _Mirror, shared: _Mirror) -> None:
        self.proxy = proxy
        self._own = own
        self._shared = shared

    @property
    def layers(self) -> tuple[View, View]:
        """Its own view hides the shared one."""
        return self._own.view, self._shared.view

    @property
    def mirrors(self) -> tuple[_Mirror, _Mirror]:
        return self._own, self._shared


class Views:
    def __init__(self, compiler: Compiler, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.compiler = compiler
        self.monotonic = monotonic
        self._shared: dict[Scope, _Mirror] = {}
        self._own: dict[Proxy, _Mirror] = {}
        self._by_build: dict[ViewBuild, _Mirror] = {}

    def hold(self, proxy: Proxy) -> Held:
        """The views of a proxy, built where nobody holds them yet; to be given back by `let_go`."""
        shared = self._shared.get(proxy.scope)
        if shared is None:
            with collecting.paused():
                shared = self._shared[proxy.scope] = self._mirror(self.compiler.shared(proxy.scope))
        own = self._own.get(proxy)
        if own is None:
            own = self._own[proxy] = self._mirror(self.compiler.own(proxy))
        shared.holders += 1
        own.holders += 1
        return Held(proxy, own, shared)

    def let_go(self, held: Held) -> None:
        for mirror in held.mirrors:
            mirror.holders -= 1
            mirror.free_since = self.monotonic()

    def _mirror(self, build: ViewBuild) -> _Mirror:
        mirror = self._by_build[build] = _Mirror(build)
        return mirror

    def sweep(self) -> bool:
        """Drops what nobody has held for a while; whether there was anything."""
        now, before = self.monotonic(), len(self._by_build)
        for proxy, mirror in tuple(self._own.items()):
            if self._is_over(mirror, now):
                del self._own[proxy]
        for scope, mirror in tuple(self._shared.items()):
            if self._is_over(mirror, now):
                del self._shared[scope]
        return len(self._by_build) < before

    def living(self) -> set[View]:
        return {mirror.view for mirror in self._by_build.values()}

    def _is_over(self, mirror: _Mirror, now: float) -> bool:
        """Whether it has lingered for long enough; then the compiler lets go of it."""
        if mirror.holders or now - mirror.free_since < LINGER:
            return False
        del self._by_build[mirror.build]
        self.compiler.release(mirror.build)
        return True

    def update(self, changes: Iterable[tuple[ViewBuild, Changes]]) -> int:
        """Takes in what a compilation changed; says how many resources that are."""
        count = 0
        for build, by_type in changes:
            mirror = self._by_build.get(build)
            if mirror is None:
                continue
            for type_url, (upserts, removals) in by_type.items():
                count += len(upserts) + len(removals)
                mirror.view.update(type_url, upserts.values(), removals)
        return count

    def slots(self, facts: set[Fact]) -> set[Slot]:
        """The resources made from any of these facts."""
        return {
            (self._by_build[build].view, type_url, name)
            for build, type_url, name in self.compiler.slots_for(facts)
            if build in self._by_build
        }

    def counts(self) -> tuple[int, int]:
        """(shared views, own views)."""
        return len(self._shared), len(self._own)
