"""Whose tokens (JWT) a workload takes (RequestAuthentication): a list of rules, each for one issuer.

Rules of the meaning (Istio): a rule looks for tokens at its places, and is *satisfied* where there are some and ALL of
them are valid, *missing* where there are none. Where some rule is `required`, each of these must be satisfied, and of
the others none may have found an invalid token. Where none is, it is enough that ANY rule is satisfied, or that none
has found an invalid token. What fails is answered with 401. A request without tokens passes, and has no identity.

A token is valid where its issuer is the rule's (none: any), it is signed by a key of the rule's set, the time is within
`nbf` and `exp` (a minute either way), and `aud` has ANY of the rule's audiences (none: every token).
"""

from __future__ import annotations

from msgspec import Struct


class TokenHeader(Struct, frozen=True, gc=False, order=True):
    """A header in which tokens are looked for: what follows `prefix`; a header without it has none."""

    name: str
    prefix: str = ""


class ClaimHeader(Struct, frozen=True, gc=False, order=True):
    """A claim of a valid token that becomes a header, whatever the client said there. A dot leads into a claim."""

    header: str
    claim: str


class TokenRule(Struct, frozen=True, kw_only=True):
    """`keys`: the key set as JSON; "": there is none yet, and every token of the rule is invalid."""

    issuer: str = ""  # "": any
    audiences: tuple[str, ...] = ()  # ANY; (): every
    keys: str = ""
    headers: tuple[TokenHeader, ...] = ()  # where tokens are; lower case
    params: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()
    payload_header: str = ""  # in which the application gets the payload; "": in none
    claim_headers: tuple[ClaimHeader, ...] = ()
    forward: bool = False  # whether the token stays in the request
    space_delimited: tuple[str, ...] = ()  # claims that are lists written with spaces, besides DELIMITED
    required: bool = False

    @property
    def told_headers(self) -> tuple[str, ...]:
        """In which the application learns of the token: what stands there else is taken out."""
        payload = (self.payload_header,) if self.payload_header else ()
        return (*payload, *(one.header for one in self.claim_headers))


DELIMITED = ("scope", "permission")
"""Claims that are lists written with spaces for every rule (Istio)."""

AUTHORIZATION = TokenHeader("authorization", "Bearer ")
ACCESS_TOKEN = "access_token"  # noqa: S105  the name of a query parameter
"""Where tokens are looked for if a rule says nothing: the header, and the query parameter."""
