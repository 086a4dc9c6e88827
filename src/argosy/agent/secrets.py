"""The workload's own key, chain and roots as SDS secrets: made here, never sent by the server.

Names as Istio's: `default` (key and chain) and `ROOTCA` (the roots).
Facts: envoy.extensions.transport_sockets.tls.v3.Secret.
"""

from __future__ import annotations

import hashlib

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2
from google.protobuf.any_pb2 import Any

from argosy.identity.client import Svid
from argosy.xds.types import SECRET, CachedResource
from argosy.xds.wire import frame

CERTIFICATE = "default"
ROOTS = "ROOTCA"


def secrets(svid: Svid) -> tuple[CachedResource, CachedResource]:
    """The two secrets. The version is a digest of the public part, so that it gives nothing away."""
    certificate = secret_pb2.Secret(
        name=CERTIFICATE,
        tls_certificate=common_pb2.TlsCertificate(
            certificate_chain=base_pb2.DataSource(inline_string=svid.chain),
            private_key=base_pb2.DataSource(inline_string=svid.key),
        ),
    )
    roots = secret_pb2.Secret(
        name=ROOTS,
        validation_context=common_pb2.CertificateValidationContext(
            trusted_ca=base_pb2.DataSource(inline_string=svid.bundle)
        ),
    )
    return _resource(certificate, svid.chain), _resource(roots, svid.bundle)


def _resource(secret: secret_pb2.Secret, public: str) -> CachedResource:
    version = hashlib.sha256(public.encode()).hexdigest()[:16]
    packed = Any(type_url=SECRET, value=secret.SerializeToString(deterministic=True))
    return CachedResource(secret.name, version, frame(secret.name, version, packed))
