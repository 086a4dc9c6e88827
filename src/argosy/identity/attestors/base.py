"""What an attestor is, on both sides, and where those of a type are found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

from msgspec import Struct

from argosy.runtime.errors import Failure

GROUP = "argosy.attestors"
LONGEST_PROOF = 32 << 10
MOST_SELECTORS, LONGEST_SELECTOR = 64, 1024

BUILT_IN = ("jwt", "kubernetes", "x509")


class Unproven(Exception):
    """The proof proves nothing. The message is for the log of the server; it holds no secret."""


class Verifier(Protocol):
    """The server's half, made once for an Attestor object."""

    async def verify(self, proof: str, nonce: str) -> Iterable[str]:
        """What the proof proves, as `KEY=VALUE`; `nonce` was given to whoever brings it, for this proof, and counts
        once. Raises Unproven."""
        ...


class Gatherer(Protocol):
    """The agent's half, made from the parameters of `argosy agent join`."""

    async def gather(self, nonce: str) -> str:
        """The proof of now. Raises Failure where there is none."""
        ...


class Settings(Struct, frozen=True, kw_only=True):
    """What a verifier is made of: an Attestor object, with the Secret that it names."""

    name: str
    settings: Any
    """Of a built-in type its struct of `resources/identity.py`; of a plugin the `parameters`."""
    credential: str = ""
    """What stands under `token` in the Secret of `credentialName`."""
    clock: Callable[[], float] = time.time


class Plugin(Struct, frozen=True, kw_only=True):
    """A type of attestor."""

    verifier: Callable[[Settings], Verifier]
    """Raises ValueError where the settings are of no use: the reason is for the log and the object's author."""
    gatherer: Callable[[Mapping[str, str]], Gatherer]
    """Raises Failure where the parameters are of no use."""


def plugin(type: str) -> Plugin:
    """The plugin of a type. Raises Failure where there is none: which there are, is in the remedy."""
    if type in BUILT_IN:
        found: Plugin = import_module(f"argosy.identity.attestors.{type}").PLUGIN
        return found
    offered = {point.name: point for point in entry_points(group=GROUP)}
    if type not in offered:
        known = ", ".join((*BUILT_IN, *sorted(set(offered) - set(BUILT_IN))))
        raise Failure(f"there is no attestor of type {type[:80]!r}", f"here are: {known}")
    loaded = offered[type].load()
    if not isinstance(loaded, Plugin):
        raise Failure(f"the entry point {GROUP}:{type} is no Plugin", "see docs/join-a-host.md")
    return loaded


def named(attestor: str, found: Iterable[str]) -> tuple[str, ...]:
    """Selectors: what an attestor found, with its name in front. Raises Unproven where that cannot be said."""
    selectors = []
    for each in found:
        key, equals, value = each.partition("=")
        if not (key and equals and value):
            continue  # an empty claim proves nothing
        selector = f"{attestor}:{key}={value}"
        if len(selector) > LONGEST_SELECTOR or not selector.isprintable():
            raise Unproven(f"{attestor}:{key[:80]} is longer than {LONGEST_SELECTOR}, or cannot be printed")
        selectors.append(selector)
    if len(selectors) > MOST_SELECTORS:
        raise Unproven(f"{attestor} proves {len(selectors)} things, more than {MOST_SELECTORS}")
    if not selectors:
        raise Unproven(f"{attestor} proves nothing")
    return tuple(dict.fromkeys(selectors))
