"""The join token of a host, as text: what an operator carries to another machine.

    argosy-host-1.ID.HOST.SECRET.ADDRESS.ROOTS

HOST: the name that it is for, which the server knows by ID; here so that the host knows it too. ADDRESS: the CA port
of a server, in base64url; "" where none was known. ROOTS: the root certificates of the mesh, DER in base64url, with
commas between: so the first connection already is to no stranger, and nothing is copied beside it.
"""

from __future__ import annotations

import base64
import binascii
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from argosy.runtime.errors import Failure

PREFIX = "argosy-host-1"
LONGEST_TEXT = 32 << 10
MOST_ROOTS = 8
_ID = re.compile(r"[0-9a-f]{12}")


class HostToken(Struct, frozen=True):
    """Never in a log."""

    id: str
    host: str
    secret: str
    roots: str  # PEM
    address: str = ""  # host:port of the CA

    @property
    def text(self) -> str:
        found = x509.load_pem_x509_certificates(self.roots.encode())
        roots = ",".join(_base64(root.public_bytes(serialization.Encoding.DER)) for root in found)
        return ".".join((PREFIX, self.id, self.host, self.secret, _base64(self.address.encode()), roots))

    @property
    def proof(self) -> str:
        return f"{self.id}.{self.secret}"


def parse(text: str, origin: str) -> HostToken:
    """`origin`: where it came from. Raises Failure."""
    wrong = Failure(
        f"{origin} is no join token of a host",
        "take the text as `argosy token create` wrote it, whole, or make a new one",
    )
    parts = text.strip().split(".")
    if len(text) > LONGEST_TEXT or len(parts) != 6 or parts[0] != PREFIX or not _ID.fullmatch(parts[1]):
        raise wrong
    try:
        address = base64.urlsafe_b64decode(parts[4].encode("ascii")).decode("ascii")
        roots = [
            x509.load_der_x509_certificate(base64.urlsafe_b64decode(root.encode("ascii")))
            for root in parts[5].split(",")[:MOST_ROOTS]
        ]
        for root in roots:
            root.verify_directly_issued_by(root)
    except (ValueError, TypeError, binascii.Error, InvalidSignature) as error:
        raise wrong from error
    pem = "".join(root.public_bytes(serialization.Encoding.PEM).decode() for root in roots)
    return HostToken(parts[1], parts[2], parts[3], pem, address)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()
