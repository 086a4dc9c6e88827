"""A call as the proxy of the workload that is called sees it, and which values an attribute of policies has in it.

Facts (Envoy 1.40, tried): the peer's identities are the URIs in its certificate, and ANY of them counts; without mutual
TLS there are none. What a header that is sent several times holds are several values.

# Istio: security.istio.io/v1 AuthorizationPolicy, conditions; SPIFFE ID, 2.1
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from argosy.explain.request import Claims, Seen
from argosy.model.ir.policies import Attribute, Condition

SPIFFE = "spiffe://"
_TRUST_DOMAIN = re.compile("([^/]+)/")
_NAMESPACE = re.compile("[^/]+/ns/([^/]+)/")
_ACCOUNT = re.compile("[^/]+/ns/([^/]+)/sa/([^/]+)$")


def spiffe(trust_domain: str, namespace: str, account: str) -> str:
    """The identity of a service account."""
    return f"{SPIFFE}{trust_domain}/ns/{namespace}/sa/{account}"


class RequestPrincipal(Struct, frozen=True):
    issuer: str
    subject: str | None  # None: the token names none

    def __str__(self) -> str:
        return self.issuer if self.subject is None else f"{self.issuer}/{self.subject}"


class Account(Struct, frozen=True):
    """A service account, by the identity that it is of."""

    principal: str

    def __str__(self) -> str:
        found = _ACCOUNT.match(self.principal)
        return f"{found[1]}/{found[2]}" if found else self.principal


Value = str | RequestPrincipal | Account


class Called(Struct, frozen=True, kw_only=True):
    """`None`, and "" of an address: it is not known; what asks for it cannot be told."""

    identities: tuple[str, ...] | None = ()  # URIs of the peer's certificate; (): no mutual TLS
    address: str = ""  # that the connection comes from
    remote: str = ""  # of the original client
    port: int  # of the workload
    to: str = ""  # the address that it is sent to
    server_name: str = ""  # in the TLS hello; "": there is none
    http: Seen | None = None  # None: a connection that is not HTTP
    token: Claims | None = None  # the claims of a token that was verified; None: there is none


class Undetermined(ValueError):
    """What decides is not known. The message says what is missing."""


def values_of(condition: Condition, called: Called) -> tuple[Value, ...]:
    """All the values that the condition's attribute has; (): it is not there. Raises Undetermined."""
    match condition.attribute:
        case Attribute.SOURCE_PRINCIPAL:
            return tuple(one.removeprefix(SPIFFE) for one in _identities(called))
        case Attribute.SOURCE_NAMESPACE:
            return tuple(found[1] for found in _of_identities(_NAMESPACE, called))
        case Attribute.SOURCE_SERVICE_ACCOUNT:
            return tuple(Account(one.removeprefix(SPIFFE)) for one in _identities(called))
        case Attribute.SOURCE_TRUST_DOMAIN:
            return tuple(found[1] for found in _of_identities(_TRUST_DOMAIN, called))
        case Attribute.SOURCE_IP:
            return (_known(called.address, "the address that it comes from"),)
        case Attribute.REMOTE_IP:
            return (_known(called.remote, "the address of the original client"),)
        case Attribute.DESTINATION_IP:
            return (_known(called.to, "the address that it is sent to"),)
        case Attribute.DESTINATION_PORT:
            return (str(called.port),)
        case Attribute.SNI:
            return (called.server_name,) if called.server_name else ()
        case Attribute.METADATA:
            raise Undetermined(f"what Envoy's filters say ({'/'.join(condition.key)}) is not known")
        case _:
            return tuple(_of_request(condition, called))


def _known(value: str, what: str) -> str:
    if not value:
        raise Undetermined(f"{what} is not known, and a policy asks for it")
    return value


def _of_identities(form: re.Pattern[str], called: Called) -> Iterator[re.Match[str]]:
    for one in _identities(called):
        if found := form.match(one.removeprefix(SPIFFE)):
            yield found


def _identities(called: Called) -> tuple[str, ...]:
    if called.identities is None:
        raise Undetermined("the caller's service account is not known, and a policy asks for it")
    return tuple(one for one in called.identities if one.startswith(SPIFFE))


def _of_request(condition: Condition, called: Called) -> Iterator[Value]:
    seen = called.http
    if seen is None:
        return
    token = called.token or {}
    match condition.attribute:
        case Attribute.HOST:
            yield seen.authority
        case Attribute.METHOD:
            yield seen.method
        case Attribute.PATH:
            yield seen.path_only
        case Attribute.HEADER:
            yield from _header(condition.key[0].lower(), seen)
        case Attribute.REQUEST_PRINCIPAL:
            if isinstance(token.get("iss"), str):
                yield RequestPrincipal(token["iss"], token.get("sub"))
        case Attribute.AUDIENCES:
            yield from texts(token.get("aud"))
        case Attribute.PRESENTER:
            yield from texts(token.get("azp"))
        case Attribute.CLAIM:
            yield from texts(_within(token, condition.key))


COMPUTED = ("x-forwarded-client-cert",)
"""Headers that the proxy writes before it asks policies."""


def _header(name: str, seen: Seen) -> tuple[str, ...]:
    if name in COMPUTED or (name == "x-request-id" and name not in seen.headers):
        raise Undetermined(f"the proxy writes {name} by itself, and a policy asks for it")
    special = {":authority": seen.authority, "host": seen.authority, ":method": seen.method, ":path": seen.path,
               ":scheme": seen.scheme}  # fmt: skip
    return (special[name],) if name in special else seen.headers.get(name, ())


def _within(claims: Claims, path: tuple[str, ...]) -> Any:
    found: Any = claims
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def texts(value: Any) -> Iterator[str]:
    """Of a claim: itself, or what its list holds. Numbers, booleans and what is nested are no text."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield one
