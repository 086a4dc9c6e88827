"""What a server does for identities: registrations and attestors as they are stored, proofs verified, certificates
signed.

Both the CA port (for whoever has no certificate yet) and the xDS port (for whoever has) are served by the same
service, so a token that one of them gave counts at the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeAlias

import grpc

from argosy.identity.attesting import AttestationService
from argosy.identity.authority import Authority
from argosy.identity.issuing import NotPermitted, permitted
from argosy.identity.jwt_service import JwtService
from argosy.identity.limits import Limited, Limiter, by_identity
from argosy.identity.names import Identity
from argosy.identity.proofs import HOSTS, Proven, Tokens, knows_host, unix_user
from argosy.identity.protocol import AttestResponse
from argosy.identity.service import CertificateAuthorityService
from argosy.server.attestors import Attestors
from argosy.server.host_tokens import HostTokens
from argosy.server.issuing_policies import IssuingPolicies
from argosy.server.jwt_keys import PublishedKeys
from argosy.server.metrics import Metrics, Reading
from argosy.server.registrations import Registrations
from argosy.store.base import Store, StoreError

Handler: TypeAlias = "grpc.GenericRpcHandler[Any, Any]"
StartTask = Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]]


class IdentityRole:
    """`addresses()`: where this process signs ("": nowhere), where servers sign, and where they serve proxies."""

    def __init__(
        self,
        store: Store,
        authority: Authority,
        host_tokens: HostTokens,
        addresses: Callable[[], tuple[str, tuple[str, ...], tuple[str, ...]]],
        task: StartTask,
        metrics: Metrics,
        jwt_keys: PublishedKeys,
    ) -> None:
        self.authority = authority
        self.addresses = addresses
        self.tokens = Tokens()
        self.registrations = Registrations(store)
        self.attestors = Attestors(store, host_tokens, time.time)
        host_tokens.problem = self._host_problem
        self.issuing = IssuingPolicies(store)
        self.service = CertificateAuthorityService(authority, self.tokens, self.registrations.current)
        self.service.policies = self.issuing.current
        self.attestation = AttestationService(
            self.attestors,
            self.answer,
            self._host_problem,
            authority.trust_domain,
        )
        self.limiter = Limiter()
        self.of_proven = Limiter()
        self.jwt_keys = jwt_keys
        self._task = task
        self._show(metrics)

    async def start(self) -> None:
        """Raises StoreError."""
        await self.jwt_keys.publish()
        self._task("registrations", self.registrations.follow(await self.registrations.load()))
        self._task("issuing policies", self.issuing.follow(await self.issuing.load()))
        self._task("attestors", self.attestors.follow(await self.attestors.load()))

    def for_anybody(self, more: Iterable[Handler] = ()) -> list[Handler]:
        """For the CA port, at which anybody may knock: with `more`, all behind one limiter."""
        handlers = [self.service.with_token(), self.attestation.with_proof(), *more]
        return [Limited(handler, self.limiter) for handler in handlers]

    def with_certificate(self) -> list[Handler]:
        """For the xDS port: nobody there can use up what others have."""
        handlers = [self.service.with_certificate(), self.attestation.with_certificate()]
        if self.jwt_keys.keys is not None:
            handlers.append(JwtService(self.jwt_keys.keys, self.service, self._bundle).handler())
        return [Limited(handler, self.of_proven, by_identity) for handler in handlers]

    async def keep_house(self) -> None:
        await self.jwt_keys.renew_if_due()

    async def _bundle(self) -> str:
        try:
            return await self.jwt_keys.bundle()
        except StoreError as error:
            raise OSError(f"the store cannot be read: {error}") from error

    def of_user(self, uid: int) -> AttestResponse:
        """For a user of this host, whom the kernel has named."""
        return self.answer(unix_user(uid))

    def answer(self, proven: Proven) -> AttestResponse:
        token, expires_at = self.tokens.issue(proven)
        ca, signing, serving = self.addresses()
        return AttestResponse(
            token=token,
            expires_at=expires_at,
            trust_domain=self.authority.trust_domain,
            bundle=self.authority.bundle,
            issues=self.authority.issuer.fingerprint,
            trust_version=self.authority.trust_version,
            ca_address=ca,
            xds_address=serving[0],
            xds_addresses=serving,
            ca_addresses=signing,
        )

    def _host_problem(self, host: str) -> str:
        """Why a host may not ask for its workloads; "" where it may."""
        if not knows_host(host, self.registrations.current()):
            return f"no IdentityRegistration names the host {host} any more"
        domain = self.authority.trust_domain
        who = Identity(trust_domain=domain, namespace=HOSTS, service_account=host, workload=host)
        try:
            permitted(who, self.authority.default_ttl, self.issuing.current())
        except NotPermitted as error:
            return str(error)
        return ""

    def _show(self, metrics: Metrics) -> None:
        service, counts = self.service, self.attestation.counts
        for name, help, reading in (
            ("certificates_issued", "Certificates signed.", lambda: service.issued),
            (
                "certificates_refused",
                "Requests for a certificate that were refused.",
                lambda: service.refused,
            ),
            ("attested", "Proofs of identity that were accepted.", lambda: counts.attested),
            ("attestations_refused", "Proofs of identity that were refused.", lambda: counts.refused),
            (
                "ca_turned_away",
                "Calls of the CA port that were turned away: too many, or too many refused.",
                lambda: self.limiter.turned_away,
            ),
        ):
            metrics.show(f"argosy_{name}_total", help, Reading(reading))
