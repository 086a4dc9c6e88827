"""Secrets that configuration names, as Envoy has them: of the mesh's Secrets, and of files on the proxy's host.

The names say what they are (`names`): `kubernetes://NAMESPACE/NAME` a certificate with its key, the same with `-cacert`
authorities, `file-cert:` and `file-root:` paths, which Envoy reads and reads again when they are replaced. A Secret of
another namespace than the proxy's is given to nobody, one for certain service accounts to these. One that is broken
raises, so that the last good one stays.
"""

from __future__ import annotations

import posixpath

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from msgspec import Struct

from argosy.model import credentials
from argosy.model.credentials import AUTHORITIES, Authorities, KeyPair
from argosy.model.ir import Pairs
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.translate import names
from argosy.translate.generator import generator
from argosy.translate.resource import Resource


class Files(Struct, frozen=True):
    """Paths on the proxy's host. Either a certificate with its key, or authorities."""

    certificate: str = ""
    key: str = ""
    authorities: str = ""
    revoked: str = ""


class SecretKey(Struct, frozen=True):
    name: str
    content: KeyPair | Authorities | Files


def named(scope: Scope, name: str, reader: Reader) -> Resource | None:
    """The secret of a name. None where there is none. Raises Unusable where it is broken."""
    scheme, _, rest = name.partition(":")
    match scheme:
        case "file-cert":
            certificate, _, key = rest.partition("~")
            return secret(SecretKey(name, Files(certificate=certificate, key=key)))
        case "file-root":
            certificates, _, revoked = rest.partition("~")
            return secret(SecretKey(name, Files(authorities=certificates, revoked=revoked)))
    content = of_secret(scope, name, reader)
    return secret(SecretKey(name, content)) if content is not None else None


def place_of(name: str) -> str:
    """The Secret (namespace/name) that a name means."""
    return name.removeprefix(names.SECRETS).removesuffix(AUTHORITIES)


def of_secret(scope: Scope, name: str, reader: Reader) -> KeyPair | Authorities | None:
    """None where there is none in the proxy's namespace, or none that is for it. Raises Unusable."""
    place, authorities = place_of(name), name.endswith(AUTHORITIES)
    owner, _, _ = place.partition("/")
    if owner != scope.namespace:
        return None

    def data(one: str) -> Pairs | None:
        held = reader.secret(scope.namespace, one.partition("/")[2])
        return held.data if held is not None and held.is_for(scope) else None

    if data(place) is None and not (authorities and data(f"{place}{AUTHORITIES}") is not None):
        return None
    return credentials.authorities(place, data) if authorities else credentials.key_pair(place, data)


@generator
def secret(key: SecretKey) -> secret_pb2.Secret:
    out = secret_pb2.Secret(name=key.name)
    match key.content:
        case KeyPair(certificates, private):
            out.tls_certificate.certificate_chain.inline_bytes = certificates
            out.tls_certificate.private_key.inline_bytes = private
        case Authorities(certificates, revoked):
            out.validation_context.trusted_ca.inline_bytes = certificates
            if revoked:
                out.validation_context.crl.inline_bytes = revoked
                out.validation_context.only_verify_leaf_cert_crl = True
        case Files() as files if files.certificate:
            out.tls_certificate.certificate_chain.filename = files.certificate
            out.tls_certificate.private_key.filename = files.key
            out.tls_certificate.watched_directory.CopyFrom(_folder(files.certificate))
        case Files() as files:
            out.validation_context.trusted_ca.filename = files.authorities
            out.validation_context.watched_directory.CopyFrom(_folder(files.authorities))
            if files.revoked:
                out.validation_context.crl.filename = files.revoked
                out.validation_context.only_verify_leaf_cert_crl = True
    return out


def _folder(path: str) -> base_pb2.WatchedDirectory:
    return base_pb2.WatchedDirectory(path=posixpath.dirname(path) or ".")
