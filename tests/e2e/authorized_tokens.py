"""Random RequestAuthentications, and requests with tokens that their rules take, or nearly take."""

from __future__ import annotations

from typing import Any

from tests.e2e.authorized_call import Call, Choices
from tests.tokens import BEFORE, LATER, Key, key, key_set, unsigned

Spec = dict[str, Any]

ISSUERS: dict[str, Key] = {
    "https://a.test": key(kid="a"),
    "https://a.test/x": key("RS256", kid="x"),
    "b": key("EdDSA"),
}
STRANGER = key(kid="stranger")
SUBJECTS = ("alice", "alice/2", "bob", "")
AUDIENCES = ("shop", "https://shop/", "other", "shop2")
PARTIES = ("app", "app-2")
VALUES: tuple[Any, ...] = (
    "admin", "admin dev", "dev", "", ["admin", "dev"], ["dev"], [], 7, 7.5, True, None, {"role": "admin"},
    {"role": ["dev", "admin"]}, [["admin"]],
)  # fmt: skip
CLAIMS = ("groups", "scope", "realm", "other.one")
TEXTS = ("admin", "dev", "admin dev", "adm", "7", "true", "read")
PRINCIPALS = ("https://a.test", *(f"{issuer}/{one}" for issuer in ISSUERS for one in SUBJECTS if one))

TOKEN_SOURCES = {"requestPrincipals": PRINCIPALS}
TOKEN_CONDITIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "request.auth.principal": ("requestPrincipals", PRINCIPALS),
    "request.auth.audiences": ("", AUDIENCES),
    "request.auth.presenter": ("", PARTIES),
    "request.auth.claims[groups]": ("", TEXTS),
    "request.auth.claims[scope]": ("", TEXTS),
    "request.auth.claims[realm][role]": ("", TEXTS),
    "request.auth.claims[other.one]": ("", TEXTS),
    "request.auth.claims[iss]": ("", tuple(ISSUERS)),
    "request.headers[x-sub]": ("", ("alice", "bob", "forged")),
    "request.headers[x-groups]": ("", TEXTS),
    "request.headers[authorization]": ("", ("Bearer ey", "Bearer")),
}
OWN_HEADERS = (("x-jwt", ""), ("x-jwt", "Token "), ("Authorization", "Bearer "))


class Tokens(Choices):
    def request_authentication(self, name: str, place: Spec) -> Spec:
        """`place`: metadata and spec, as far as they say whose it is."""
        return {
            "apiVersion": "security.istio.io/v1",
            "kind": "RequestAuthentication",
            "metadata": {**place["metadata"], "name": name},
            "spec": {**place["spec"], "jwtRules": [self.jwt_rule() for _ in range(self.one(1, 1, 2, 3))]},
        }

    def jwt_rule(self) -> Spec:
        issuer = self.one(*ISSUERS)
        rule: Spec = {"issuer": issuer, "jwks": key_set(ISSUERS[issuer])}
        if self.chance(10):
            rule["jwks"] = key_set(*ISSUERS.values(), STRANGER)
        if self.chance(30):
            rule["audiences"] = [self.one(*AUDIENCES) for _ in range(self.one(1, 2))]
        if self.chance(20):
            name, prefix = self.one(*OWN_HEADERS)
            rule["fromHeaders"] = [{"name": name, **({"prefix": prefix} if prefix else {})}]
        if self.chance(15):
            rule["fromParams"] = [self.one("token", "access_token")]
        if self.chance(15):
            rule["fromCookies"] = ["session"]
        if self.chance(30):
            rule["forwardOriginalToken"] = True
        if self.chance(30):
            rule["outputClaimToHeaders"] = [
                {"header": "x-sub", "claim": "sub"},
                {"header": "x-groups", "claim": "groups"},
            ]
        if self.chance(20):
            rule["spaceDelimitedClaims"] = ["groups"]
        if self.chance(20):
            rule["presence"] = "REQUIRED"
        return rule

    # --- tokens -----------------------------------------------------------------------------------------------------

    def token(self, wanted: Spec) -> str:
        """`wanted`: claims that it has."""
        issuer = self.one(*ISSUERS)
        issuer = next((one for one in ISSUERS if one == wanted.get("iss")), issuer)
        claims: Spec = {"iss": issuer, "sub": self.one(*SUBJECTS), "exp": LATER}
        if self.chance(10):
            del claims["sub"]
        if self.chance(70):
            claims["aud"] = self.one(*AUDIENCES, list(AUDIENCES[:2]), list(AUDIENCES[2:]))
        if self.chance(30):
            claims["azp"] = self.one(*PARTIES)
        for name in CLAIMS:
            if self.chance(50):
                claims[name] = self.one(*VALUES)
        if self.chance(5):
            claims[self.one("exp", "nbf")] = self.one(BEFORE, LATER)
        if self.chance(4):
            return str(self.one("", "x", "a.b.c", unsigned(claims)))
        claims |= wanted
        by = STRANGER if self.chance(5) else ISSUERS[issuer]
        return by.token(claims)

    def claim(self, name: str, value: str, call: Call) -> None:
        """What a policy asks for of tokens, for the token of a call."""
        text = value.replace("*", self.one("", "x"))
        match name:
            case "requestPrincipals" | "request.auth.principal":
                issuer, _, subject = value.rpartition("/")
                call.claims["iss"] = self.one(
                    *[one for one in ISSUERS if issuer.replace("*", "") in one] or ISSUERS
                )
                call.claims["sub"] = subject.replace("*", self.one("", "x")) or "alice"
            case "request.auth.audiences":
                call.claims["aud"] = self.one(text, [text, "shop"])
            case "request.auth.presenter":
                call.claims["azp"] = text
            case _:
                path = name.removeprefix("request.auth.claims[").removesuffix("]").split("][")
                found: Any = self.one(text, [text, "x"], f"{text} x")
                for part in reversed(path[1:]):
                    found = {part: found}
                call.claims[path[0]] = found

    def carry(self, call: Call, token: str) -> None:
        """With the token where some rule may look for it."""
        match self.one(*["bearer"] * 6, "own", "param", "cookie", "preflight"):
            case "bearer":
                call.headers.append(("Authorization", f"Bearer {token}"))
            case "own":
                name, prefix = self.one(*OWN_HEADERS)
                call.headers.append((name, prefix + token))
            case "param":
                mark = "&" if "?" in call.path else "?"
                call.path += f"{mark}{self.one('token', 'access_token')}={token}"
            case "cookie":
                call.headers.append(("Cookie", f"a=b; session={token}"))
            case "preflight":
                call.method = "OPTIONS"
                call.headers += [("Origin", "https://c.test"), ("Access-Control-Request-Method", "GET")]
                call.headers.append(("Authorization", f"Bearer {token}"))
        if self.chance(20):
            call.headers.append(("x-sub", "forged"))
