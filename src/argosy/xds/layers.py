"""What one stream sees: views over one another. A name in an earlier layer hides the same name in later ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from argosy.xds.subscription import Subscription
from argosy.xds.types import Resource
from argosy.xds.view import View, Watcher


class Layers:
    """Several views read as one."""

    __slots__ = ("views",)

    def __init__(self, views: Iterable[View]) -> None:
        self.views = tuple(views)

    def find(self, type_url: str, name: str) -> Resource | None:
        for view in self.views:
            if (resource := view.get(type_url, name)) is not None:
                return resource
        return None

    def knows(self, type_url: str) -> bool:
        """Whether the names that are there are all the names of the type."""
        return all(view.knows(type_url) for view in self.views)

    def denies(self, type_url: str, name: str) -> bool:
        """Whether the name is known not to exist."""
        return all(view.denies(type_url, name) for view in self.views)

    def names(self, type_url: str) -> set[str]:
        return _names(type_url, self.views)

    def position(self, type_url: str) -> int:
        """The position of the type's last change."""
        found = 0
        for view in self.views:
            at = view.position(type_url)
            if at > found:
                found = at
        return found

    def changed_at(self, type_url: str, name: str) -> int:
        found = 0
        for view in self.views:
            at = view.changed_at(type_url, name)
            if at > found:
                found = at
        return found

    def changed_since(self, type_url: str, position: int) -> Iterator[str]:
        """Names that changed after the position, but for those whose change an earlier layer hides."""
        for index, view in enumerate(self.views):
            hiding = self.views[:index]
            for name in view.changed_since(type_url, position):
                if not any(one.get(type_url, name) for one in hiding):
                    yield name

    def attach(self, watcher: Watcher) -> None:
        for view in self.views:
            view.attach(watcher)

    def detach(self, watcher: Watcher, kept: Sequence[View] = ()) -> None:
        for view in self.views:
            if view not in kept:
                view.detach(watcher)


def _names(type_url: str, views: Iterable[View]) -> set[str]:
    """The names of the type in any of the views."""
    return {name for view in views for name in view.names(type_url)}


def differing(old: Layers, new: Layers) -> list[View]:
    """The views through which the two may differ: all, where those that both have stand in another order."""
    kept = [view for view in old.views if view in new.views]
    if kept != [view for view in new.views if view in old.views]:
        return [*old.views, *new.views]
    return [view for view in (*old.views, *new.views) if view not in kept]


def names_read(type_url: str, subscription: Subscription, views: Iterable[View]) -> set[str]:
    """Names in the views that the subscription asks for."""
    if subscription.wildcard:
        return _names(type_url, views)
    return {name for name in subscription.names if any(view.get(type_url, name) for view in views)}
