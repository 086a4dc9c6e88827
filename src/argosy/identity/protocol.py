"""What agent and authority say to each other: messages (JSON by msgspec) and method names.

1. The agent connects to the *attestation socket* (Unix) and sends one line, `AttestRequest`. The server reads the
   caller's user from the kernel (SO_PEERCRED) and answers with a short-lived token bound to that user, the trust
   bundle and the addresses of the CA and xDS.
2. It sends a CSR over gRPC (`SIGN`) to the CA port (server-authenticated TLS) with the token in metadata
   `authorization: Bearer …`. What was proven (the Unix user) and the IdentityRegistration objects decide; what the
   CSR claims never does: the CA takes only the public key from it.
3. Renewals call the same method on the xDS port (mutual TLS): the current certificate is the proof, and only for
   exactly its own identity and workload.

Elsewhere than on a server's host, step 1 is a call of the CA port (`CHALLENGE` for a nonce, then `ATTEST`): with the
proof of an attestor (`attestors/`), one of them the join token of a host; its answer is the same. A host that has
joined holds a certificate of its own, and proves itself with that on the xDS port (`ATTEST`, attestor `host`).

A further server of the mesh makes an issuing key and asks one that holds the root (`JOIN`, on the CA port) with a join
token, which an operator gave it together with the root's certificate: so neither believes a stranger.

The certificate: URI SAN = SPIFFE identity; DNS SAN = `<version>.<app>.<workload>.<namespace>.workload.mesh`, each a
DNS label (see `dns_san`), assigned by the CA, so that the other side's metrics know the workload.
"""

from __future__ import annotations

from msgspec import Struct

SIGN = "/argosy.identity.v1.CertificateAuthority/Sign"
SIGN_JWT = "/argosy.identity.v1.JwtAuthority/Sign"
JWT_BUNDLES = "/argosy.identity.v1.JwtAuthority/Bundles"
CHALLENGE = "/argosy.identity.v1.Attestation/Challenge"
ATTEST = "/argosy.identity.v1.Attestation/Attest"
JOIN = "/argosy.identity.v1.Membership/Join"
SERVER_DNS_NAME = "argosy-server.istio-system.svc"
"""DNS SAN of the control plane's own certificate; no workload can hold it (theirs end in `.workload.mesh`)."""
WORKLOAD_DNS_SUFFIX = "workload.mesh"


class AttestRequest(Struct, frozen=True):
    protocol: int = 1


class AttestResponse(Struct, frozen=True, kw_only=True):
    token: str
    expires_at: float  # Unix time
    trust_domain: str
    bundle: str  # PEM: the roots
    ca_address: str  # host:port, server-authenticated TLS
    xds_address: str  # host:port, mutual TLS
    xds_addresses: tuple[str, ...] = ()  # of all servers, the one to turn to first in front
    ca_addresses: tuple[str, ...] = ()  # the same, of those that sign
    error: str = ""
    issues: str = ""  # fingerprint of the root below which certificates are issued; "": of an older server
    trust_version: int = 0  # of the bundle


class ChallengeRequest(Struct, frozen=True):
    protocol: int = 1


class ChallengeResponse(Struct, frozen=True, kw_only=True):
    nonce: str  # for one proof, within a minute, at this server


class ProveRequest(Struct, frozen=True, kw_only=True):
    """Answered with an AttestResponse."""

    protocol: int = 1
    attestor: str  # the name of an Attestor object; `join-token`, `host`
    proof: str = ""
    nonce: str = ""


class JwtRequest(Struct, frozen=True, kw_only=True):
    """A JWT-SVID for the holder of the connection's certificate."""

    protocol: int = 1
    audience: tuple[str, ...]


class JwtResponse(Struct, frozen=True, kw_only=True):
    token: str
    expires_at: float  # Unix time


class JwtBundlesResponse(Struct, frozen=True, kw_only=True):
    bundles: dict[str, str]  # trust domain -> JSON Web Key Set, in JSON


class SignRequest(Struct, frozen=True, kw_only=True):
    csr: str  # PEM, ECDSA P-256
    namespace: str
    service_account: str
    workload: str
    app: str
    version: str
    ttl: int = 0  # seconds asked for; 0: the CA's default; never more than its maximum


class SignResponse(Struct, frozen=True, kw_only=True):
    chain: tuple[str, ...]  # PEM, leaf first, without the root
    bundle: str  # PEM: the roots
    not_before: float  # Unix time
    not_after: float
    renew_after: float  # Unix time: when to renew (a quarter of the lifetime: 12 h of 48 h)
    serial: str = ""  # hexadecimal
    trust_version: int = 0  # of the bundle


class JoinRequest(Struct, frozen=True, kw_only=True):
    protocol: int = 1
    id: str  # of the token
    secret: str
    csr: str  # PEM, of the issuing key
    server: str  # what the new server is called


class JoinResponse(Struct, frozen=True, kw_only=True):
    """What makes a server one of the mesh: all of it secret but for the certificates."""

    issuing: str  # PEM: the issuing certificate
    trust_domain: str
    secrets_keys: str  # the file of the keys that Secrets are sealed with
    client_ca: str  # PEM: the authority of the API's clients
    client_ca_key: str  # PEM
    admin_token: str
