"""What is kept of each certificate that this server signs: a line in the issued log, and the record of who holds it.

    D/issued.log, issued.log.1 … issued.log.4      JSON, a line each; 0600; each of at most MOST_BYTES

Rule: nothing here holds up the answer to a workload. The log is this server's own; the records are everybody's.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from argosy.apiserver.access.audit_log import AuditLog
from argosy.identity.authority import Authority
from argosy.identity.names import Identity
from argosy.identity.protocol import SignResponse
from argosy.identity.trust import fingerprint
from argosy.runtime.log import logger
from argosy.server.certificates import Certificates, Held

FILE = "issued.log"
MOST_BYTES = 16 << 20
KEEP = 4


class Issuance:
    """Raises Failure where the log cannot be opened."""

    def __init__(self, state: Path, authority: Authority, certificates: Certificates, server: str) -> None:
        self.authority = authority
        self.certificates = certificates
        self.server = server
        self.log = AuditLog(state / FILE, logger("issued"), most_bytes=MOST_BYTES, keep=KEEP)

    def issued(self, identity: Identity, response: SignResponse, proof: str) -> None:
        issuer = self.authority.issuer
        held = Held(
            identity=identity.spiffe_id,
            namespace=identity.namespace,
            workload=identity.workload,
            service_account=identity.service_account,
            serial=response.serial,
            issued_at=self.authority.clock(),
            not_after=response.not_after,
            root=issuer.fingerprint,
            issuer=f"{issuer.issuing.serial_number:x}",
            issuer_ends=issuer.ends,
            trusts=tuple(fingerprint(one) for one in self.authority.trusted),
            proof=proof,
            server=self.server,
        )
        self.certificates.put(held)
        self.log.write(lambda: msgspec.json.encode(held), size=500)
