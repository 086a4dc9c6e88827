"""Secrets that objects name for TLS: that they are there, and that what they hold can be used.

A Secret is judged for itself (`judged`), as the model judges it before a proxy gets it. What is kept of it in a World
that lives long is that judgement alone, without the values.
"""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from argosy.explain.analysis import parts
from argosy.explain.analysis.message import Finding, found
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import Item, World
from argosy.model import credentials
from argosy.model.credentials import AUTHORITIES, Data, Unfitting, Unusable

JUDGED = "judged"
"""The key of a Secret's judgement in the body that is kept of it."""


def named(
    world: World, item: Item, field: str, written: str, namespaces: Sequence[str], where: str
) -> Iterator[Finding]:
    """A Secret that is named for a certificate and its key. `namespaces`: in which it is looked for; `where`: these, in
    words."""
    namespaces, name = _place(written, namespaces)
    secrets = [secret for each in namespaces if (secret := world.get("Secret", each, name)) is not None]
    if not secrets and "Secret" not in world.hidden:
        yield _missing(item, field, written, namespaces, where)
    for secret in secrets:
        if problem := unusable(secret, world):
            yield _unusable(item, field, written, secret, problem)


def authorities(
    world: World, item: Item, field: str, written: str, namespaces: Sequence[str], where: str
) -> Iterator[Finding]:
    """A Secret that is named for the authorities that verify the other side: NAME-cacert, else NAME."""
    namespaces, name = _place(written, namespaces)
    places = [(each, (f"{name}{AUTHORITIES}", name)) for each in namespaces]
    secrets = [
        next((secret for one in names if (secret := world.get("Secret", each, one)) is not None), None)
        for each, names in places
    ]
    if not any(secrets) and "Secret" not in world.hidden:
        yield _missing(item, field, written, namespaces, where)
    for secret in filter(None, secrets):
        if problem := _problem(secret, "authorities", world):
            yield _unusable(item, field, written, secret, problem)


def _place(written: str, namespaces: Sequence[str]) -> tuple[Sequence[str], str]:
    name = written.removeprefix("kubernetes://")
    namespace, slash, rest = name.partition("/")
    return ([namespace], rest) if slash else (namespaces, name)


def _missing(item: Item, field: str, written: str, namespaces: Sequence[str], where: str) -> Finding:
    return found(
        "ReferencedResourceNotFound",
        item,
        field,
        value=written,
        missing=f"there is no such Secret in {parts.joined(namespaces)}, {where}",
        remedy="create it there, or correct the name",
    )


def _unusable(item: Item, field: str, written: str, secret: Item, problem: str) -> Finding:
    return found("InvalidGatewayCredential", item, field, value=written, secret=secret.owner, problem=problem)


def unusable(secret: Item, world: World) -> str:
    """Why nothing can be served with the Secret; "": it can."""
    return _problem(secret, "pair", world)


def _problem(secret: Item, purpose: str, world: World) -> str:
    """That a key fits its certificate is asked of a mesh alone, where proxies would refuse it. # Istio:
    analyzers/gateway (SecretAnalyzer) reads the certificate"""
    held = parts.mapping(parts.mapping(secret.body, JUDGED) or judged(secret.body), purpose)
    if problem := parts.text(held, "problem") or (world.complete and parts.text(held, "unfitting")):
        return problem
    if world.now and "certificates" in held:
        now = datetime.fromisoformat(world.now).timestamp()
        with warnings.catch_warnings(action="ignore"):
            return credentials.expired(parts.text(held, "certificates").encode(), now)
    return ""


def judged(body: Json) -> Json:
    """As a `pair`, and as `authorities`: what is wrong with it (`problem`, `unfitting`), or its `certificates` (they
    are public), in PEM."""
    plain = {
        key: base64.b64encode(value.encode()).decode()
        for key, value in parts.labels(body, "stringData").items()
    }
    data = tuple((parts.labels(body, "data") | plain).items())
    name = f"{parts.text(body, 'metadata', 'namespace')}/{parts.text(body, 'metadata', 'name')}"

    def of(asked: str) -> tuple[tuple[str, str], ...] | None:
        return data if asked == name else None

    with warnings.catch_warnings(action="ignore"):  # of oddities that serve well enough
        return {
            "pair": _judged(name, of, credentials.key_pair),
            "authorities": _judged(name, of, credentials.authorities),
        }


def _judged(
    name: str,
    data: Data,
    read: Callable[[str, Data], credentials.KeyPair] | Callable[[str, Data], credentials.Authorities],
) -> Json:
    try:
        return {"certificates": read(name, data).certificates.decode(errors="replace")}
    except Unfitting as error:
        return {"unfitting": _told(error, name), "certificates": error.certificates.decode(errors="replace")}
    except Unusable as error:
        return {"problem": _told(error, name)}


def _told(error: Unusable, secret: str) -> str:
    """The Secret is named beside it."""
    return str(error).removeprefix(f"Secret {secret}").removeprefix(":").strip()
