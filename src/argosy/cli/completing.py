"""What the shell offers at TAB: kinds, names of objects, namespaces, contexts, forms of output.

Rule: whatever fails, nothing is offered, nothing is said, and it takes no longer than BOUND_SECONDS. What was
typed before (--context, --kubeconfig, --state-dir, -n) is minded.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import typer

BOUND_SECONDS = 2.0
BOUND = "ARGOSY_COMPLETION_SECONDS"
"""The variable of the environment that says another."""
MOST = 1000
"""Names that are offered; no shell shows more."""


def among(*values: str) -> Callable[[str], list[str]]:
    """One of these; those that go on (`jsonpath=…`) as far as they are known."""
    known = [value.removesuffix("…") for value in values]

    def complete(incomplete: str) -> list[str]:
        return [value for value in known if value.startswith(incomplete)]

    return complete


def kinds(incomplete: str) -> list[str]:
    """By their plurals; by their short names where that is what was begun."""
    from argosy.resources.kinds import KINDS

    before, comma, begun = incomplete.rpartition(",")
    offered = [kind for kind in KINDS if not kind.virtual]
    found = dict.fromkeys(kind.plural for kind in offered if kind.plural.startswith(begun))
    if begun:
        names = ((kind.kind, kind.singular, *kind.short_names) for kind in offered)
        found |= dict.fromkeys(name for each in names for name in each if name.startswith(begun))
        found.pop(begun, None)
        found |= {begun: None} if any(begun in (kind.plural, *kind.short_names) for kind in offered) else {}
    return [f"{before}{comma}{name}" for name in found]


def objects(ctx: typer.Context, incomplete: str) -> list[str]:
    """A kind first, then names of that kind; after KIND/ the names with it."""
    words = [word for name in ("what", "kind", "names") for word in _words(ctx.params.get(name))]
    called, slash, begun = incomplete.partition("/")
    if slash:
        return [f"{called}/{name}" for name in _names(ctx, called, begun)]
    if not words:
        return kinds(incomplete)
    if "/" in words[0]:
        return [f"{kind}/" for kind in kinds(incomplete)]
    return [name for name in _names(ctx, words[0], incomplete) if name not in words]


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, "namespaces", incomplete)


def contexts(ctx: typer.Context, incomplete: str) -> list[str]:
    found: list[str] = []
    with _quietly():
        from argosy.apiserver import kubeconfig
        from argosy.cli.connect import kubeconfigs

        whole = kubeconfig.merged(
            [kubeconfig.read(path) for path in kubeconfigs(_state_dir(ctx)) if path.exists()]
        )
        found = [str(one["name"]) for one in kubeconfig.contexts(whole)]
    return [name for name in found if name.startswith(incomplete)]


def _names(ctx: typer.Context, called: str, begun: str) -> list[str]:
    found: list[str] = []
    with _quietly():
        from argosy.apiserver.client import path_of
        from argosy.cli.connect import api, kind_called

        kind = kind_called(called)
        with api(_state_dir(ctx), timeout=_bound()) as client:
            everywhere = bool(ctx.params.get("everywhere"))
            namespace = ctx.params.get("namespace") or client.connection.namespace
            path = path_of(kind, None if everywhere else namespace)
            listed = client.request("GET", path, params={"limit": str(MOST)})
        found = [str(item["metadata"]["name"]) for item in listed["items"]]
    return [name for name in found if name.startswith(begun)]


def _words(value: Any) -> list[str]:
    return [value] if isinstance(value, str) and value else list(value or ())


def _state_dir(ctx: typer.Context) -> str:
    """What follows the command counts; else what stands before it; else the environment, which both have."""
    given = [str(each.params.get("state_dir") or "") for each in (ctx, ctx.find_root())]
    return next((each for each in given if each != os.environ.get("ARGOSY_STATE_DIR", "")), given[0])


def _bound() -> float:
    with suppress(ValueError):
        return max(0.01, float(os.environ[BOUND])) if BOUND in os.environ else BOUND_SECONDS
    return BOUND_SECONDS


@contextmanager
def _quietly() -> Iterator[None]:
    """Until an error, or the end of the time."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _bound())
    try:
        yield
    except Exception:  # noqa: S110  # whatever it is, it is not for the line that is being typed
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
