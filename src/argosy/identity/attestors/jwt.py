"""Type `jwt`: tokens of any issuer. Selectors: `iss`, `sub`, `aud`, and the claims that the object names.

A token is good for as long as it lives, however often it is shown: that is its issuer's bargain. Give it to nobody
but the server, and let it live briefly.
"""

from __future__ import annotations

from collections.abc import Iterable

from argosy.identity.attestors import keys, tokens
from argosy.identity.attestors.base import Plugin, Settings
from argosy.identity.attestors.sources import TokenSource
from argosy.resources.identity import JwtAttestor


class JwtVerifier:
    def __init__(self, of: Settings) -> None:
        self.spec: JwtAttestor = of.settings
        self.clock = of.clock
        self.keys: keys.Keys = (
            keys.Given(self.spec.jwks)
            if self.spec.jwks
            else keys.Fetched(self.spec.issuer, self.spec.jwks_uri, self.spec.ca_bundle)
        )

    async def verify(self, proof: str, nonce: str) -> Iterable[str]:
        claims = tokens.verified(proof, await self.keys.for_token(proof))
        tokens.check_claims(claims, self.spec.issuer, self.spec.audiences, self.clock())
        found = [f"{name}={value}" for name in ("iss", "sub") for value in tokens.claim(claims, name)]
        found += [f"aud={one}" for one in tokens.audiences_of(claims) if one in self.spec.audiences]
        for one in self.spec.claims:
            found += [f"{one.key or one.claim}={value}" for value in tokens.claim(claims, one.claim)]
        return found


PLUGIN = Plugin(verifier=JwtVerifier, gatherer=TokenSource)
