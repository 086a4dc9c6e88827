"""Type `x509`: a certificate of an authority that is there already, and a signature over the server's challenge by
its key.

The certificate alone proves nothing, as everybody may see it; the challenge counts once. Selectors: `cn`, `o`, `ou`,
`dns`, `uri`, `email`, `serial` (hexadecimal), `sha256` (of the certificate), `issuer-cn`. Revocation is the
registration's: delete it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError
from msgspec import Struct

from argosy.identity.attestors.base import LONGEST_PROOF, Plugin, Settings, Unproven
from argosy.resources.identity import X509Attestor
from argosy.runtime.certificates import at
from argosy.runtime.errors import Failure

PURPOSE = b"argosy x509 attestation v1\0"
"""In front of what is signed, so that no signature made for another purpose fits."""
SMALLEST_RSA = 2048
MOST_INTERMEDIATES = 4
_NAMES = {
    "cn": NameOID.COMMON_NAME,
    "o": NameOID.ORGANIZATION_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
}
_SANS: Mapping[str, type[x509.DNSName | x509.UniformResourceIdentifier | x509.RFC822Name]] = {
    "dns": x509.DNSName,
    "uri": x509.UniformResourceIdentifier,
    "email": x509.RFC822Name,
}
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


class _Proof(Struct, frozen=True):
    chain: str  # PEM, leaf first
    signature: str  # base64, over PURPOSE and the nonce


class X509Verifier:
    def __init__(self, of: Settings) -> None:
        spec: X509Attestor = of.settings
        self.clock = of.clock
        self.store = Store(x509.load_pem_x509_certificates(spec.roots.encode()))

    async def verify(self, proof: str, nonce: str) -> Iterable[str]:
        try:
            shown = msgspec.json.decode(proof, type=_Proof)
            chain = x509.load_pem_x509_certificates(shown.chain.encode())
            signature = base64.b64decode(shown.signature, validate=True)
        except (msgspec.MsgspecError, ValueError, binascii.Error, UnsupportedAlgorithm):
            raise Unproven("the proof is no certificate with a signature") from None
        if len(chain) > MOST_INTERMEDIATES + 1:
            raise Unproven(f"the chain has {len(chain)} certificates, more than {MOST_INTERMEDIATES + 1}")
        leaf = chain[0]
        try:
            self._check_chain(leaf, chain[1:])
            _check_signature(leaf, signature, PURPOSE + nonce.encode())
            return _selectors(leaf)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise Unproven(f"the certificate cannot be read: {str(error)[:120]}") from error

    def _check_chain(self, leaf: x509.Certificate, between: list[x509.Certificate]) -> None:
        builder = (
            PolicyBuilder()
            .store(self.store)
            .time(at(self.clock()))
            .max_chain_depth(MOST_INTERMEDIATES)
            # Of the leaf only the signature, the times and its use are asked: many authorities name hosts by CN alone.
            .extension_policies(
                ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
            )
        )
        try:
            builder.build_client_verifier().verify(leaf, between)
        except VerificationError as error:
            raise Unproven(
                f"the certificate is not of the attestor's authorities: {str(error)[:160]}"
            ) from error
        for extension in leaf.extensions:
            if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
                raise Unproven("the certificate is an authority's")
            if isinstance(extension.value, x509.KeyUsage) and not extension.value.digital_signature:
                raise Unproven("the key of the certificate is not for signatures")


def _check_signature(leaf: x509.Certificate, signature: bytes, data: bytes) -> None:
    key = leaf.public_key()
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPublicKey() if key.key_size >= SMALLEST_RSA:
                key.verify(signature, data, _PSS, hashes.SHA256())
            case ed25519.Ed25519PublicKey():
                key.verify(signature, data)
            case _:
                raise Unproven("the key of the certificate is too weak, or of a kind that is not known here")
    except InvalidSignature:
        raise Unproven("the challenge is not signed by the key of the certificate") from None


def _selectors(leaf: x509.Certificate) -> list[str]:
    found = [
        f"{key}={name.value!s}"
        for key, oid in _NAMES.items()
        for name in leaf.subject.get_attributes_for_oid(oid)
    ]
    found += [f"issuer-cn={n.value!s}" for n in leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)]
    found += [f"serial={leaf.serial_number:x}", f"sha256={leaf.fingerprint(hashes.SHA256()).hex()}"]
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            for key, kind in _SANS.items():
                found += [f"{key}={value}" for value in extension.value.get_values_for_type(kind)]
    return found


class X509Gatherer:
    """`cert=PATH` (PEM, leaf first) and `key=PATH`: read anew each time, as they are renewed."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        if set(parameters) != {"cert", "key"}:
            raise Failure(
                "it is not said where certificate and key are", "give --with cert=PATH and --with key=PATH"
            )
        self._certificate, self._key = Path(parameters["cert"]), Path(parameters["key"])

    async def gather(self, nonce: str) -> str:
        return await asyncio.to_thread(self._gather, nonce)

    def _gather(self, nonce: str) -> str:
        try:
            chain = self._certificate.read_text("ascii")
            key = serialization.load_pem_private_key(self._key.read_bytes(), password=None)
            x509.load_pem_x509_certificates(chain.encode())
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            what = getattr(error, "filename", None) or f"{self._certificate}, {self._key}"
            raise Failure(
                f"{what}: {getattr(error, 'strerror', None) or error}",
                "name a certificate and its key, PEM, without a password",
            ) from error
        if len(chain) > LONGEST_PROOF // 2:
            raise Failure(
                f"{self._certificate} is too long", "the leaf and its intermediates alone belong there"
            )
        signature = _signed(key, PURPOSE + nonce.encode())
        proof = _Proof(chain=chain, signature=base64.b64encode(signature).decode())
        return msgspec.json.encode(proof).decode()


def _signed(key: object, data: bytes) -> bytes:
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(data, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPrivateKey():
            return key.sign(data, _PSS, hashes.SHA256())
        case ed25519.Ed25519PrivateKey():
            return key.sign(data)
    raise Failure("the key is of a kind that is not known here", "use ECDSA, RSA or Ed25519")


PLUGIN = Plugin(verifier=X509Verifier, gatherer=X509Gatherer)
