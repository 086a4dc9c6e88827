"""What the words of a command name: `vs`, `vs,dr`, `istio-io`, `vs reviews ratings`, `vs/reviews dr/reviews`.

The same for every command that takes KIND and NAME, and as kubectl has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient
    from argosy.resources.kinds import Kind

Json = dict[str, Any]


class Wanted(Struct, frozen=True):
    """Objects of one kind."""

    kind: Kind
    names: tuple[str, ...] = ()  # none: all of them


class Target(Struct, frozen=True):
    """One object."""

    kind: Kind
    namespace: str  # "": of the cluster
    name: str

    @property
    def label(self) -> str:
        """`VirtualService shop/reviews`."""
        from argosy.resources.meta import describe

        return describe(self.kind.kind, self.namespace, self.name)

    @property
    def subject(self) -> str:
        """As the operations API calls it: `VirtualService/shop/reviews`."""
        return "/".join(part for part in (self.kind.unique_name, self.namespace, self.name) if part)

    @property
    def printed(self) -> str:
        """As `-o name` has it, and as every command takes it: `virtualservice.networking.istio.io/reviews`."""
        return f"{prefix(self.kind)}{self.name}"

    def read(self, client: ApiClient) -> Json:
        return client.get(self.kind, self.name, self.namespace)


def prefix(kind: Kind) -> str:
    group = f".{kind.group}" if kind.group else ""
    return f"{kind.singular}{group}/"


def wanted(words: Sequence[str]) -> list[Wanted]:
    """Raises Failure (wrong usage)."""
    from argosy.cli.connect import kind_called, kinds_called

    if not words:
        raise Failure("which objects?", "KIND, KIND NAME or KIND/NAME, as in vs/reviews", code=2)
    if not any("/" in word for word in words):
        kinds = kinds_called(words[0])
        names = tuple(words[1:])
        if names and len(kinds) > 1:
            raise Failure(
                f"{words[0]}: several kinds, and names", "KIND/NAME for each, as in vs/reviews", code=2
            )
        return [Wanted(kind, names) for kind in kinds]
    found = []
    for word in words:
        called, slash, name = word.partition("/")
        if not (called and slash and name) or "/" in name:
            raise Failure(
                f"{word!r} beside KIND/NAME", "KIND/NAME for each, as in vs/reviews dr/reviews", code=2
            )
        found.append(Wanted(kind_called(called), (name,)))
    return found


def target(kind: Kind, namespace: str, name: str) -> Target:
    """`namespace`: that which is in force; a kind of the cluster has none."""
    return Target(kind, namespace if kind.namespaced else "", name)


def named(found: Sequence[Wanted], namespace: str) -> list[Target]:
    """Each of them by name. Raises Failure where one is not named."""
    for one in found:
        if not one.names:
            raise Failure(
                f"which {one.kind.plural}?", f"{one.kind.singular} NAME, or {one.kind.singular}/NAME", code=2
            )
    return [target(one.kind, namespace, name) for one in found for name in one.names]


def of_objects(kind: Kind, items: Sequence[Json]) -> Iterator[Target]:
    for item in items:
        metadata = item["metadata"]
        yield Target(kind, metadata.get("namespace", ""), metadata["name"])


class Choice(Struct, frozen=True):
    """Which objects a command is about: named, all of their kinds, those with some labels, or those of files."""

    wanted: tuple[Wanted, ...] = ()
    objects: tuple[Json, ...] = ()
    label_selector: str = ""
    everywhere: bool = False

    def targets(self, client: ApiClient, namespace: str) -> list[Target]:
        """`namespace`: where the command says no other. Asks the server for what is not named."""
        from argosy.apiserver.client import identify

        targets = [Target(*identify(obj, namespace)) for obj in self.objects]
        for one in self.wanted:
            if one.names:
                targets += named([one], namespace)
                continue
            where = namespace if one.kind.namespaced and not self.everywhere else None
            listed = client.list(one.kind, where, label_selector=self.label_selector)
            targets += of_objects(one.kind, listed.get("items") or [])
        return targets


def choice(
    words: Sequence[str],
    objects: Sequence[Json] | None,
    label_selector: str = "",
    *,
    every: bool = False,
    everywhere: bool = False,
) -> Choice:
    """`objects`: of files; None: no file is given. Raises Failure (wrong usage) where it is not clear which."""
    if objects is not None:
        if words or label_selector or every or everywhere:
            raise Failure("files beside names or selectors", "-f FILE, or KIND NAME", code=2)
        return Choice(objects=tuple(objects))
    found = tuple(wanted(words))
    selected = bool(label_selector or every)
    if any(one.names for one in found):
        if selected:
            raise Failure("names beside a selector", "give either of them", code=2)
        if everywhere:
            raise Failure("names, of all namespaces?", "name one namespace with -n", code=2)
    elif not selected:
        named(found, "")
    return Choice(found, (), label_selector, everywhere)
