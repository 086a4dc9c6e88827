"""An identity and how it is written into a certificate, and read back out of one.

URI SAN: the SPIFFE identity, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, as Istio's.
DNS SAN: `<version>.<app>.<workload>.<namespace>.workload.mesh`, for the metrics of the other side.

Namespace, service account and workload must be names as Kubernetes has them, so that they are read back exactly; app
and version are labels, free text, and are bent into a DNS label.
"""

from __future__ import annotations

import re

from cryptography import x509
from msgspec import Struct

from argosy.identity.protocol import SERVER_DNS_NAME, WORKLOAD_DNS_SUFFIX

UNKNOWN = "unknown"  # Istio's word for a label that is not set
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_VERSION_LENGTH = (
    46  # with three labels of 63 and the suffix the whole name stays within the 253 of a DNS name
)


class Identity(Struct, frozen=True, kw_only=True):
    """Who a workload is (trust domain, namespace, service account) and which one it is."""

    trust_domain: str
    namespace: str
    service_account: str
    workload: str
    app: str = ""
    version: str = ""

    @property
    def spiffe_id(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"


class Peer(Struct, frozen=True, kw_only=True):
    """What a verified certificate proves."""

    identity: Identity
    not_before: float  # Unix time
    not_after: float


class NotAnIdentity(ValueError):
    """A certificate without the names of a workload, or a name that cannot be written into one; says which."""


def dns_label(text: str, length: int = 63) -> str:
    """A label value as a DNS label: what does not belong becomes `-`; nothing becomes `unknown`."""
    bent = re.sub(r"[^A-Za-z0-9-]", "-", text)[:length].strip("-")
    return bent or UNKNOWN


def dns_san(identity: Identity) -> str:
    version, app = dns_label(identity.version, _VERSION_LENGTH), dns_label(identity.app)
    return f"{version}.{app}.{identity.workload}.{identity.namespace}.{WORKLOAD_DNS_SUFFIX}"


def check(identity: Identity) -> None:
    """Raises NotAnIdentity where a part could not be read back exactly from a certificate."""
    for field in ("namespace", "workload"):
        if not _LABEL.fullmatch(value := getattr(identity, field)):
            raise NotAnIdentity(
                f"{field}: {value!r} is not a DNS label: use lower-case letters, digits and '-', 63 at the most"
            )
    account = identity.service_account
    if len(account) > 253 or not _SUBDOMAIN.fullmatch(account):
        raise NotAnIdentity(
            f"service_account: {account!r} is not a DNS name: use lower-case letters, digits, '-' and '.'"
        )


def parse_spiffe_id(uri: str) -> tuple[str, str, str]:
    """(trust domain, namespace, service account). Raises NotAnIdentity."""
    found = re.fullmatch(r"spiffe://([^/]+)/ns/([^/]+)/sa/([^/]+)", uri)
    if not found:
        raise NotAnIdentity(
            f"{uri!r} is not of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT"
        )
    return found[1], found[2], found[3]


def peer_of(certificate_pem: bytes) -> Peer:
    """Who holds a certificate that TLS has already verified. Raises NotAnIdentity."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise NotAnIdentity("the certificate has no subject alternative name") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:  # SPIFFE: an X.509-SVID has exactly one URI
        raise NotAnIdentity(f"the certificate has {len(uris)} URI names, not one")
    trust_domain, namespace, service_account = parse_spiffe_id(uris[0])
    suffix = "." + WORKLOAD_DNS_SUFFIX
    workloads = [name for name in names.get_values_for_type(x509.DNSName) if name.endswith(suffix)]
    if len(workloads) != 1:
        raise NotAnIdentity(
            f"the certificate has {len(workloads)} names under {WORKLOAD_DNS_SUFFIX}, not one"
        )
    parts = workloads[0].removesuffix(suffix).split(".")
    if len(parts) != 4 or parts[3] != namespace:
        raise NotAnIdentity(f"{workloads[0]!r} does not name a workload of namespace {namespace}")
    return Peer(
        identity=Identity(
            trust_domain=trust_domain,
            namespace=namespace,
            service_account=service_account,
            workload=parts[2],
            app=parts[1],
            version=parts[0],
        ),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
    )


def is_control_plane(certificate_pem: bytes) -> bool:
    """Whether a certificate that TLS has already verified is the control plane's own: it has the name that no workload
    can hold. Raises NotAnIdentity where it cannot be read."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise NotAnIdentity(f"the certificate has no names: {error}") from None
    return SERVER_DNS_NAME in names.get_values_for_type(x509.DNSName)
