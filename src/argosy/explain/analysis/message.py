"""What the analysis says: a Finding is made by an analyzer, a Message is what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from argosy.explain.analysis.catalogue import BY_NAME, Level, MessageType

if TYPE_CHECKING:
    from argosy.explain.analysis.world import Item, World


class Finding(Struct, frozen=True):
    """One thing that is wrong with one object."""

    type: MessageType
    item: Item
    field: str  # `spec.http[0].route[1].destination.host`; "" is the whole object
    text: str

    @property
    def message(self) -> Message:
        origin = self.item
        return Message(
            code=self.type.code,
            level=self.type.level.label,
            origin=origin.origin,
            message=f"{self.field}: {self.text}" if self.field else self.text,
            documentation=self.type.documentation,
            name=self.type.name,
            field=self.field,
            file=origin.source,
            line=origin.line,
        )


SUPPRESS = "galley.istio.io/analyze-suppress"


def suppressed(finding: Finding) -> bool:
    """Whether the object says itself that it wants to hear nothing of this. # Istio: resource annotations"""
    codes = {code.strip() for code in finding.item.annotations.get(SUPPRESS, "").split(",")}
    return not codes.isdisjoint(("*", finding.type.code))


class Message(Struct, frozen=True, kw_only=True):
    """As `argosy analyze -o json` has it. The first four are a contract."""

    code: str
    level: str  # Info, Warning, Error
    origin: str  # `Gateway shop/edge`; `Gateway edge` where no namespace is written
    message: str
    documentation: str = ""
    name: str = ""  # of the message: ReferencedResourceNotFound
    field: str = ""
    file: str = ""  # as it was given; "": of the server
    line: int = 0  # from 1, of the field where it is known; 0: none


def found(name: str, item: Item, field: str = "", /, **facts: object) -> Finding:
    """`name`: of the message, as in the catalogue; `facts`: what its sentence needs."""
    type_ = BY_NAME[name]
    return Finding(type_, item, field, type_.template.format_map(facts))


Rule = Callable[["World", "Item"], "Iterator[Finding]"]
"""What is to be said of one object; it asks the World for topics and walks nothing."""


def nothing(_: World) -> Iterator[Finding]:
    return iter(())


class Analyzer(Struct, frozen=True, kw_only=True):
    """`rules` are for each object of the `kinds` by itself, and so hold at apply, too; `run` is over the whole World.
    `names`: of the messages it may find."""

    name: str  # Istio's: `virtualservice.GatewayAnalyzer`
    description: str
    names: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    run: Callable[[World], Iterator[Finding]] = nothing
    kubernetes: bool = False  # asks of pods and webhooks what a mesh without Kubernetes does not have

    def findings(self, world: World) -> Iterator[Finding]:
        for item in world.of(*self.kinds):
            for rule in self.rules:
                yield from rule(world, item)
        yield from self.run(world)

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(BY_NAME[name].code for name in self.names)


LEVELS = {level.label.lower(): level for level in Level}
