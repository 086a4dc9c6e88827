"""How an object stands with the proxies, in figures; and the conditions that say so on the object itself.

    Accepted     True   Accepted         it is in force; the message names what of it is not (fields without effect)
                 False  Invalid          it is not: what it said before stays in force, where it said anything
    ResolvedRefs True   ResolvedRefs     what it names is there, and can be used
                 False  InvalidCertificateRef   a Secret is missing or broken, or serves no longer; the message names it
                 False  (name of a message of the analysis)   something else that it names is not there
    Warned       True   (name of a message of the analysis)   it is in force, and something about it will not do what it
                                         seems to: another object wants the same, say. The message names both
                 False  NothingFound     (where there was something before) there is nothing any more
    Programmed   True   Programmed       every affected proxy runs it
                 True   NoSubscribers    no proxy uses anything of it: whoever comes to use it gets it
                 False  Pending          somebody has not answered yet
                 False  Rejected         a proxy refused what was made of it, in the proxy's own words
                 False  NotAccepted      there is nothing to run

Affected are the proxies that subscribe to a resource to which the object contributed. `NoSubscribers` is True because
whoever waits for the condition waits for nothing: `argosy apply --wait` returns then, too. Which Secrets a Gateway
means depends on the proxies that serve it: they are judged for those that are connected.

# Kubernetes: meta/v1 Condition; Gateway API: the condition types Accepted, Programmed and ResolvedRefs
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from argosy.server.analysis import Found
from argosy.server.verdict import State, Verdict

Json = dict[str, Any]

ACCEPTED, PROGRAMMED, RESOLVED_REFS, WARNED = "Accepted", "Programmed", "ResolvedRefs", "Warned"
OURS = frozenset((ACCEPTED, PROGRAMMED, RESOLVED_REFS, WARNED))
INVALID_CERTIFICATE = "InvalidCertificateRef"
NAMES_SHOWN = 5
LONGEST_MESSAGE = 4096  # Kubernetes allows 32,768


class Figure(Struct, frozen=True, kw_only=True):
    """One object, as one server or all of them see it."""

    generation: int
    invalid: str = ""  # why it is not in force
    limits: tuple[str, ...] = ()  # what of it has no effect
    references: tuple[str, ...] | None = None  # what is wrong with the objects it names; None: it names none
    found: tuple[Found, ...] | None = (
        None  # by the analysis, which the leader makes; None: it looks at no such object
    )
    programmed: int = 0
    waiting: tuple[str, ...] = ()  # proxies
    unnamed: int = 0  # proxies that are waited for besides
    refusals: tuple[str, ...] = ()  # `PROXY refused TYPE NAME: MESSAGE`
    refused_by: int = 0

    @property
    def affected(self) -> int:
        return self.programmed + len(self.waiting) + self.unnamed + self.refused_by

    @property
    def size(self) -> int:
        """About how many characters it is, in a message."""
        texts = (self.invalid, *self.limits, *(self.references or ()), *self.waiting, *self.refusals)
        return 300 + sum(len(text) for text in texts)

    @property
    def open(self) -> bool:
        """Whether a proxy's next word may change it."""
        return bool(self.waiting or self.refusals)


def figure_of(
    generation: int,
    verdict: Verdict,
    limits: Sequence[str] = (),
    references: tuple[str, ...] | None = None,
    found: tuple[Found, ...] | None = None,
) -> Figure:
    """`verdict`: how the connected proxies stand to the object now."""
    refusers = {one.proxy for one in verdict.rejected}
    waiting = tuple(name for name in verdict.pending if name not in refusers)
    return Figure(
        generation=generation,
        invalid=verdict.reason if verdict.state is State.REJECTED and not verdict.rejected else "",
        limits=tuple(limits),
        references=references,
        found=found,
        programmed=len(set(verdict.proxies) - refusers),
        waiting=waiting,
        refusals=tuple(
            f"{one.proxy} refused {one.type} {one.resource}: {one.message}" for one in verdict.rejected
        ),
        refused_by=len(refusers),
    )


def brief(figure: Figure) -> Figure:
    """What another server needs to know: names and words only as far as they are shown."""
    return msgspec.structs.replace(
        figure,
        waiting=figure.waiting[:NAMES_SHOWN],
        unnamed=figure.unnamed + len(figure.waiting[NAMES_SHOWN:]),
        refusals=tuple(text[:LONGEST_MESSAGE] for text in figure.refusals[:NAMES_SHOWN]),
        limits=tuple(text[:LONGEST_MESSAGE] for text in figure.limits[:NAMES_SHOWN]),
        invalid=figure.invalid[:LONGEST_MESSAGE],
        references=None
        if figure.references is None
        else tuple(text[:LONGEST_MESSAGE] for text in figure.references[:NAMES_SHOWN]),
    )


def merged(figures: Iterable[Figure], missing: Sequence[str] = ()) -> Figure:
    """One figure of what several servers see: each counts the proxies that are connected to it.

    A server that has not seen the newest generation yet is waited for, whatever its proxies run; so are those that have
    not said anything of the object (`missing`: what they are called).
    """
    every = list(figures)
    newest = max(one.generation for one in every)
    current = [one for one in every if one.generation == newest]
    behind = ("another server",) * (len(every) - len(current)) + tuple(missing)
    return Figure(
        generation=newest,
        invalid=next((one.invalid for one in current if one.invalid), ""),
        limits=tuple(dict.fromkeys(text for one in current for text in one.limits)),
        references=_references(current),
        found=next((one.found for one in current if one.found is not None), None),
        programmed=sum(one.programmed for one in current),
        waiting=tuple(name for one in current for name in one.waiting) + behind,
        unnamed=sum(one.unnamed for one in current),
        refusals=tuple(text for one in current for text in one.refusals),
        refused_by=sum(one.refused_by for one in current),
    )


def conditions(figure: Figure, before: Sequence[Json], now: str) -> list[Json]:
    """All conditions of the object: those of others as they are, ours of now. `now` is RFC 3339."""
    wanted = (_accepted(figure), *_resolved(figure), *_warned(figure, before), _programmed(figure))
    ours = [_condition(one, figure.generation, before, now) for one in wanted]
    return [one for one in before if not (isinstance(one, dict) and one.get("type") in OURS)] + ours


def with_conditions(body: Json, figure: Figure, now: str) -> Json:
    """The object with its conditions and `status.observedGeneration`; the same object where nothing changes."""
    status = body.get("status")
    status = status if isinstance(status, dict) else {}
    before = status.get("conditions")
    after = conditions(figure, before if isinstance(before, list) else [], now)
    return body | {"status": status | {"conditions": after, "observedGeneration": figure.generation}}


def _accepted(figure: Figure) -> tuple[str, str, str, str]:
    if figure.invalid:
        return ACCEPTED, "False", "Invalid", figure.invalid
    limits = f"without effect: {'; '.join(figure.limits)}" if figure.limits else ""
    return ACCEPTED, "True", "Accepted", limits


def _references(figures: Iterable[Figure]) -> tuple[str, ...] | None:
    found = [one.references for one in figures if one.references is not None]
    return tuple(dict.fromkeys(text for texts in found for text in texts)) if found else None


Wanted = tuple[str, str, str, str]
"""(type, status, reason, message)."""


def _resolved(figure: Figure) -> tuple[Wanted, ...]:
    """Of an object that the analysis looks at, and of one that names Secrets."""
    if figure.references is None and figure.found is None:
        return ()
    found = [one for one in figure.found or () if one.reference]
    texts = [*(figure.references or ()), *(one.text for one in found)]
    if not texts:
        return ((RESOLVED_REFS, "True", RESOLVED_REFS, ""),)
    of_secret = bool(figure.references) or found[0].secret
    return ((RESOLVED_REFS, "False", INVALID_CERTIFICATE if of_secret else found[0].reason, _joined(texts)),)


def _warned(figure: Figure, before: Sequence[Json]) -> tuple[Wanted, ...]:
    found = [one for one in figure.found or () if not one.reference]
    if found:
        return ((WARNED, "True", found[0].reason, _joined([one.text for one in found])),)
    there = any(isinstance(one, dict) and one.get("type") == WARNED for one in before)
    return ((WARNED, "False", "NothingFound", ""),) if there else ()


def _joined(texts: Sequence[str]) -> str:
    more = len(texts) - NAMES_SHOWN
    return "; ".join((*texts[:NAMES_SHOWN], f"and {more} more") if more > 0 else texts)


def _programmed(figure: Figure) -> tuple[str, str, str, str]:
    run = f"{figure.programmed} of {figure.affected} affected proxies run it"
    if figure.invalid:
        return PROGRAMMED, "False", "NotAccepted", "what is not accepted is not given to proxies"
    if figure.refusals:
        return PROGRAMMED, "False", "Rejected", "; ".join((run, *figure.refusals[:NAMES_SHOWN]))
    if figure.waiting:
        shown = ", ".join(figure.waiting[:NAMES_SHOWN])
        more = max(0, len(figure.waiting) - NAMES_SHOWN) + figure.unnamed
        rest = f" and {more} more" if more else ""
        return PROGRAMMED, "False", "Pending", f"{run}; waiting for {shown}{rest}"
    if not figure.affected:
        return PROGRAMMED, "True", "NoSubscribers", "no connected proxy uses it"
    return PROGRAMMED, "True", "Programmed", run


def _condition(wanted: tuple[str, str, str, str], generation: int, before: Sequence[Json], now: str) -> Json:
    kind, status, reason, message = wanted
    old = next((one for one in before if isinstance(one, dict) and one.get("type") == kind), {})
    since = old.get("lastTransitionTime") if old.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
        "lastTransitionTime": since or now,
        "observedGeneration": generation,
    }
