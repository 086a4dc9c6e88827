"""Hashes by which certificates are told, as Envoy reads them.

# Envoy: CertificateValidationContext.verify_certificate_spki, verify_certificate_hash
"""

from __future__ import annotations

import base64
import re

_HEX = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){31}")
SHA256_BYTES = 32


def is_spki(text: str) -> bool:
    """The SHA-256 of a public key, in base64."""
    try:
        return len(base64.b64decode(text, validate=True)) == SHA256_BYTES
    except ValueError:
        return False


def is_certificate_hash(text: str) -> bool:
    """The SHA-256 of a certificate, in hexadecimal, maybe with colons."""
    return _HEX.fullmatch(text) is not None
