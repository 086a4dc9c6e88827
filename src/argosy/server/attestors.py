"""The attestors of this moment: Attestor objects of the root namespace as verifiers, and the join tokens of hosts.

An object that cannot be used proves nothing, and says why in the log; what it was before does not go on holding. The
Secret that an attestor names is read when a proof comes, so that a new one counts at once; it never stands in a log.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import msgspec

from argosy.identity.attestors import Unproven, Verifier, named, plugin
from argosy.identity.attestors.base import Settings
from argosy.identity.proofs import Proven
from argosy.resources.identity import RESERVED, Attestor, AttestorSpec
from argosy.resources.meta import Object
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.server.defaults import ROOT_NAMESPACE
from argosy.server.following import Following
from argosy.server.host_tokens import ATTESTOR, HostTokens
from argosy.store.base import Key, Store, StoreError

RESOURCE = "identity.argosy.dev/attestors"

log = logger("identity")


class Attestors(Following):
    resource = RESOURCE

    def __init__(self, store: Store, tokens: HostTokens, clock: Callable[[], float]) -> None:
        super().__init__(store)
        self.tokens = tokens
        self.clock = clock
        self._specs: dict[str, AttestorSpec] = {}
        self._made: dict[str, tuple[AttestorSpec, str, Verifier]] = {}

    def put(self, key: Key, obj: Object) -> None:
        if key.namespace != ROOT_NAMESPACE or key.name in RESERVED or not isinstance(obj, Attestor):
            log.error(
                "Attestor not used: it must stand in the root namespace", name=f"{key.namespace}/{key.name}"
            )
            return
        if self._specs.get(key.name) != obj.spec:  # a status that changes is none to us
            self._specs[key.name] = obj.spec
            self._made.pop(key.name, None)
            log.info("attestor", name=key.name, type=obj.spec.type)

    def drop(self, key: Key) -> None:
        if key.namespace == ROOT_NAMESPACE and self._specs.pop(key.name, None) is not None:
            self._made.pop(key.name, None)
            log.info("attestor gone", name=key.name)

    async def verify(self, attestor: str, proof: str, nonce: str, peer: str) -> Proven:
        """Raises Unproven."""
        if attestor == ATTESTOR:
            return await self.tokens.use(proof, peer)
        spec = self._specs.get(attestor)
        if spec is None:
            raise Unproven(f"there is no Attestor {ROOT_NAMESPACE}/{attestor[:80]}")
        verifier = self._verifier(attestor, spec, await self._credential(spec))
        return Proven(selectors=named(attestor, await verifier.verify(proof, nonce)))

    def _verifier(self, name: str, spec: AttestorSpec, credential: str) -> Verifier:
        made = self._made.get(name)
        if made is not None and made[:2] == (spec, credential):
            return made[2]
        given: Any = (
            getattr(spec, spec.type, None) if spec.type in ("jwt", "kubernetes", "x509") else spec.parameters
        )
        settings = Settings(name=name, settings=given, credential=credential, clock=self.clock)
        try:
            if given is None:
                raise ValueError(f"spec.{spec.type} is missing")
            verifier = plugin(spec.type).verifier(settings)
        except (ValueError, Failure) as error:
            raise Unproven(f"Attestor {ROOT_NAMESPACE}/{name} is of no use: {error}") from error
        self._made[name] = (spec, credential, verifier)
        return verifier

    async def _credential(self, spec: AttestorSpec) -> str:
        """Raises Unproven."""
        name = spec.kubernetes.credential_name if spec.kubernetes is not None else ""
        if not name:
            return ""
        try:
            stored = await self.store.get(Key("/secrets", ROOT_NAMESPACE, name))
            body = msgspec.json.decode(stored.body) if stored else {}
            text = (body.get("data") or {}).get("token", "")
            return base64.b64decode(text, validate=True).decode("ascii").strip()
        except (
            StoreError,
            msgspec.MsgspecError,
            binascii.Error,
            UnicodeDecodeError,
            AttributeError,
        ) as error:
            raise Unproven(
                f"the Secret {ROOT_NAMESPACE}/{name} cannot be read: {type(error).__name__}"
            ) from error
