"""TLS settings: of a client (DestinationRule) and of a server (Gateway).

# Istio: ValidateTLS, validateTLSOptions
"""

from __future__ import annotations

from argosy.resources.networking.destination_rule import ClientTLSMode, ClientTLSSettings
from argosy.resources.networking.gateway import ServerTLSMode, ServerTLSSettings, TLSProtocol
from argosy.resources.semantics import digests
from argosy.resources.semantics.findings import Findings

_FROM_FILES = (ServerTLSMode.SIMPLE, ServerTLSMode.MUTUAL, ServerTLSMode.OPTIONAL_MUTUAL)
_OLD = (TLSProtocol.TLSV1_0, TLSProtocol.TLSV1_1)
_VERSIONS = list(TLSProtocol)
MAX_CERTIFICATES = 2  # one RSA, one ECDSA
# Envoy (BoringSSL): the suites that can be configured; TLS 1.3's are fixed
CIPHER_SUITES = frozenset(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "ECDHE-PSK-AES128-CBC-SHA",
        "ECDHE-PSK-AES256-CBC-SHA",
        "ECDHE-PSK-CHACHA20-POLY1305",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "PSK-AES128-CBC-SHA",
        "PSK-AES256-CBC-SHA",
        "DES-CBC3-SHA",
    )
)


def check_client(path: str, tls: ClientTLSSettings | None, findings: Findings) -> None:
    if tls is None:
        return
    files = {
        "clientCertificate": tls.client_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
        "caCrl": tls.ca_crl,
    }
    originates = tls.mode in (ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL)
    if tls.insecure_skip_verify and originates:
        verifying = {"caCertificates": tls.ca_certificates, "subjectAltNames": tls.subject_alt_names}
        if tls.mode == ClientTLSMode.SIMPLE:
            verifying["credentialName"] = tls.credential_name
        for name, value in verifying.items():
            if value:
                findings.error(
                    f"{path}.{name}", "verifies what insecureSkipVerify does not; keep one of them"
                )
    if tls.credential_name and originates:
        for name, value in files.items():
            if value:
                findings.error(f"{path}.{name}", "comes from credentialName, which is set; keep one of them")
        return
    if tls.mode == ClientTLSMode.MUTUAL:
        for name in ("clientCertificate", "privateKey"):
            if not files[name]:
                findings.error(
                    f"{path}.{name}", "is missing, which mode MUTUAL needs; give it, or credentialName"
                )


def check_server(path: str, tls: ServerTLSSettings | None, findings: Findings) -> None:
    if tls is None:
        return
    _versions(path, tls, findings)
    _ciphers(path, tls, findings)
    _digests(path, tls, findings)
    given = {
        "serverCertificate": tls.server_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
        "caCrl": tls.ca_crl,
        "credentialName": tls.credential_name,
        "credentialNames": tls.credential_names,
        "caCertCredentialName": tls.ca_cert_credential_name,
        "tlsCertificates": tls.tls_certificates,
    }
    if tls.mode == ServerTLSMode.ISTIO_MUTUAL:
        for name, value in given.items():
            if value and name != "caCrl":
                findings.error(
                    f"{path}.{name}", "is not for mode ISTIO_MUTUAL, which has the mesh's; remove it"
                )
    elif tls.mode in (ServerTLSMode.PASSTHROUGH, ServerTLSMode.AUTO_PASSTHROUGH):
        for name, value in given.items():
            if value:
                findings.warn(
                    f"{path}.{name}", f"is ignored: mode {tls.mode} does not terminate TLS; remove it"
                )
    else:
        _certificates(path, tls, findings)


def _certificates(path: str, tls: ServerTLSSettings, findings: Findings) -> None:
    """SIMPLE and the MUTUALs: a certificate from exactly one place, and whose clients to trust."""
    sources = [
        name
        for name, value in (
            ("credentialName", tls.credential_name),
            ("credentialNames", tls.credential_names),
            ("serverCertificate", tls.server_certificate and tls.private_key),
            ("tlsCertificates", tls.tls_certificates),
        )
        if value
    ]
    if len(sources) > 1:
        findings.error(path, f"has {' and '.join(sources)}; give the certificate in one of them")
    for name, count in (
        ("credentialNames", len(tls.credential_names)),
        ("tlsCertificates", len(tls.tls_certificates)),
    ):
        if count > MAX_CERTIFICATES:
            findings.warn(
                f"{path}.{name}",
                f"has {count}; {tls.mode} uses the first {MAX_CERTIFICATES} (one RSA, one ECDSA)",
            )
    if tls.credential_name or tls.credential_names:
        return
    if tls.tls_certificates:
        for i, certificate in enumerate(tls.tls_certificates):
            at = f"{path}.tlsCertificates[{i}]"
            _pair(at, str(tls.mode), certificate.server_certificate, certificate.private_key, findings)
    else:
        _pair(path, str(tls.mode), tls.server_certificate, tls.private_key, findings)
    if tls.mode != ServerTLSMode.SIMPLE and not (tls.ca_certificates or tls.ca_cert_credential_name):
        findings.error(
            f"{path}.caCertificates", f"is missing, which mode {tls.mode} needs; give it, or credentialName"
        )
    if tls.ca_crl and tls.mode == ServerTLSMode.SIMPLE:
        findings.error(
            f"{path}.caCrl", "is not for mode SIMPLE, which verifies no client; remove it or use MUTUAL"
        )


def _pair(path: str, mode: str, certificate: str, key: str, findings: Findings) -> None:
    for name, value in (("serverCertificate", certificate), ("privateKey", key)):
        if not value:
            findings.error(
                f"{path}.{name}", f"is missing, which mode {mode} needs; give it, or credentialName"
            )


def _versions(path: str, tls: ServerTLSSettings, findings: Findings) -> None:
    if tls.min_protocol_version in _OLD and not tls.cipher_suites:
        findings.warn(
            f"{path}.minProtocolVersion",
            f"{tls.min_protocol_version} has no ciphers by default; give cipherSuites that fit it",
        )
    low, high = tls.min_protocol_version, tls.max_protocol_version
    if TLSProtocol.TLS_AUTO not in (low, high) and _VERSIONS.index(low) > _VERSIONS.index(high):
        findings.warn(
            f"{path}.minProtocolVersion", f"{low} is above maxProtocolVersion {high}; no version is left"
        )


def _digests(path: str, tls: ServerTLSSettings, findings: Findings) -> None:
    for i, text in enumerate(tls.verify_certificate_spki):
        if not digests.is_spki(text):
            wrong = "is no SHA-256 in base64, so that no client has it"
            findings.warn(f"{path}.verifyCertificateSpki[{i}]", f"{text[:80]!r} {wrong}; correct it")
    for i, text in enumerate(tls.verify_certificate_hash):
        if not digests.is_certificate_hash(text):
            wrong = "is no SHA-256 in hexadecimal, so that no client has it"
            findings.warn(f"{path}.verifyCertificateHash[{i}]", f"{text[:80]!r} {wrong}; correct it")


def _ciphers(path: str, tls: ServerTLSSettings, findings: Findings) -> None:
    seen: set[str] = set()
    for i, suite in enumerate(tls.cipher_suites):
        if suite == "ALL" or not suite[:1].isalnum():
            continue  # of BoringSSL's language of lists, as -SHA
        if suite not in CIPHER_SUITES:
            findings.warn(
                f"{path}.cipherSuites[{i}]", f"{suite[:80]!r} is not a cipher suite of Envoy's; it is ignored"
            )
        elif suite in seen:
            findings.warn(f"{path}.cipherSuites[{i}]", f"{suite!r} is there twice; remove one")
        seen.add(suite)
