"""Type `kubernetes`: service-account tokens of a cluster. Selectors: `ns`, `sa`, and of bound tokens `pod`,
`pod-uid`, `node`.

Asked of the cluster (TokenReview), which knows too whether the pod and the account are still there; or, where nobody
may be asked, judged by the cluster's keys. Facts: kubernetes.io/docs/reference/access-authn-authz/authentication
(users are called system:serviceaccount:NAMESPACE:NAME; a reviewer that names audiences must find one of them in the
answer).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from argosy.identity.attestors import keys, tokens
from argosy.identity.attestors.base import Plugin, Settings, Unproven
from argosy.identity.attestors.sources import TokenSource
from argosy.resources.identity import KubernetesAttestor

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
TOKEN_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # a path
_USER = "system:serviceaccount:"
_EXTRA = {"pod-name": "pod", "pod-uid": "pod-uid", "node-name": "node"}


def account(user: str) -> tuple[str, str]:
    """(namespace, name). Raises Unproven where the user is no service account."""
    namespace, _, name = user.removeprefix(_USER).partition(":")
    if not user.startswith(_USER) or not namespace or not name or ":" in name:
        raise Unproven(f"{user[:120]!r} is no service account")
    return namespace, name


class Reviewed:
    """Asks the cluster."""

    def __init__(self, of: Settings) -> None:
        self.spec: KubernetesAttestor = of.settings
        self._credential = of.credential
        self._context = keys.tls(self.spec.ca_bundle)
        if not self._credential:
            raise ValueError(f"the Secret {self.spec.credential_name} has no token")

    async def verify(self, proof: str, nonce: str) -> Iterable[str]:
        tokens.header(proof)
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": proof, "audiences": list(self.spec.audiences)},
        }
        url = self.spec.server.rstrip("/") + REVIEWS
        headers = {"authorization": f"Bearer {self._credential}"}
        try:
            async with asyncio.timeout(keys.ANSWER_WITHIN), keys.client(self._context) as connection:
                answer = json.loads(await keys.body(connection, "POST", url, json=review, headers=headers))
        except (httpx.HTTPError, TimeoutError, OSError, ValueError, RecursionError) as error:
            reason = str(error)[:200] or type(error).__name__
            raise Unproven(f"{self.spec.server} does not review tokens now: {reason}") from error
        return self._found(answer.get("status") if isinstance(answer, dict) else None)

    def _found(self, status: Any) -> list[str]:
        if not isinstance(status, dict) or status.get("authenticated") is not True:
            reason = str((status or {}).get("error", "")) if isinstance(status, dict) else ""
            raise Unproven(f"the cluster does not know the token: {reason[:200] or 'no reason given'}")
        if not set(_texts(status.get("audiences"))) & set(self.spec.audiences):
            raise Unproven("the cluster does not say that the token is for us")
        user = status.get("user")
        if not isinstance(user, dict):
            raise Unproven("the cluster does not say whose the token is")
        namespace, name = account(str(user.get("username", "")))
        found = [f"ns={namespace}", f"sa={name}"]
        extra = user.get("extra")
        for key, ours in _EXTRA.items():
            values = extra.get(f"authentication.kubernetes.io/{key}") if isinstance(extra, dict) else None
            found += [f"{ours}={value}" for value in _texts(values)]
        return found


class Offline:
    """Judges by the cluster's keys: a pod that has gone since counts until its token ends."""

    def __init__(self, of: Settings) -> None:
        self.spec: KubernetesAttestor = of.settings
        self.clock = of.clock
        self.keys = keys.Given(self.spec.jwks)

    async def verify(self, proof: str, nonce: str) -> Iterable[str]:
        claims = tokens.verified(proof, await self.keys.for_token(proof))
        tokens.check_claims(claims, self.spec.issuer, self.spec.audiences, self.clock())
        namespace, name = account(str(claims.get("sub", "")))
        found = [f"ns={namespace}", f"sa={name}"]
        bound = claims.get("kubernetes.io")
        for path, ours in ((("pod", "name"), "pod"), (("pod", "uid"), "pod-uid"), (("node", "name"), "node")):
            inner = bound.get(path[0]) if isinstance(bound, Mapping) else None
            value = inner.get(path[1]) if isinstance(inner, Mapping) else None
            if isinstance(value, str):
                found.append(f"{ours}={value}")
        return found


def _texts(values: object) -> list[str]:
    return [one for one in values if isinstance(one, str)] if isinstance(values, list) else []


def verifier(of: Settings) -> Reviewed | Offline:
    return Reviewed(of) if of.settings.server else Offline(of)


PLUGIN = Plugin(verifier=verifier, gatherer=lambda given: TokenSource(given, TOKEN_FILE))
