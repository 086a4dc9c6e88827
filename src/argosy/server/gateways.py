"""What is found about a Gateway where it meets the proxies that serve it: Secrets that cannot be used, and servers that
stand back behind an older Gateway's.

Both depend on the proxies: a Secret is of a proxy's namespace, and Gateways meet where one proxy serves them.
"""

from __future__ import annotations

from collections.abc import Iterable

from argosy.model import credentials, ir
from argosy.model.credentials import KeyPair, Unusable
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.model.secrets import ANNOTATION
from argosy.model.snapshot import Snapshot
from argosy.translate import edge
from argosy.translate.secret import of_secret, place_of


def unusable_secrets(
    snapshot: Snapshot, scopes: Iterable[Scope], gateway: str, now: float
) -> tuple[str, ...] | None:
    """What is wrong with the Secrets that a Gateway (namespace/name) names, for the proxies of these scopes; None where
    it names none there. `now` is Unix time."""
    found: dict[str, None] = {}
    named = False
    for scope in sorted(scopes, key=lambda one: one.namespace):
        reader = Reader(snapshot)
        for server in _servers(reader, scope, gateway):
            for name in edge.secrets(scope, server, reader.mesh()):
                named = True
                if wrong := _wrong(reader, scope, name, now):
                    found[f"server {server.name}: {wrong}"] = None
    return tuple(found) if named else None


def _wrong(reader: Reader, scope: Scope, name: str, now: float) -> str:
    place = place_of(name)
    try:
        content = of_secret(scope, name, reader)
    except Unusable as error:
        return str(error)
    if content is None and place.partition("/")[0] != scope.namespace:
        return f"Secret {place} is not in the namespace of the gateway, {scope.namespace}; put it there"
    if content is None:
        return _missing(reader, scope, place)
    late = credentials.expired(content.certificates, now)
    what = "Secret" if isinstance(content, KeyPair) else "the authorities of Secret"
    return f"{what} {place}: {late}" if late else ""


def _missing(reader: Reader, scope: Scope, place: str) -> str:
    held = reader.secret(scope.namespace, place.partition("/")[2])
    if held is None or held.is_for(scope):
        return f"there is no Secret {place}; create it"
    for_whom = ", ".join(held.accounts or ()) or "nobody"
    return (
        f"Secret {place} is for {for_whom} alone, and a gateway runs as another service account; run it as "
        f"one of these, or add its own to the annotation {ANNOTATION}"
    )


def standing_back(snapshot: Snapshot, scopes: Iterable[Scope], gateway: str) -> tuple[str, ...]:
    """The servers of a Gateway (namespace/name) that are not served, and why."""
    refused = (
        one
        for scope in sorted(scopes, key=lambda one: one.namespace)
        for one in Reader(snapshot).gateways_refused(scope)
        if one.server.gateway == gateway
    )
    return tuple(dict.fromkeys(f"server {one.server.name}: {one.reason}" for one in refused))


def _servers(reader: Reader, scope: Scope, gateway: str) -> Iterable[ir.GatewayServer]:
    return (
        server
        for listener in reader.gateway_listeners(scope)
        for server in listener.servers
        if server.gateway == gateway
    )
