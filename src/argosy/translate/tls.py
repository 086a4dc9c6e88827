"""Transport sockets: mesh mutual TLS of both sides, TLS that a DestinationRule originates, plaintext.

Mesh TLS is 1.3 and nothing else; Envoy's upstream default is at most 1.2, so both ends are set. Own certificate and
roots come by SDS on the ADS stream, which the agent answers.
"""

from __future__ import annotations

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from msgspec import Struct

from argosy.model.ir import ClientTls, TlsMode
from argosy.translate import names, wire

SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
"""Trusted where a DestinationRule originates TLS without naming its own authority (Debian's and Istio's path)."""

CREDENTIAL_WAIT = 1000
"""Milliseconds in which a secret named by configuration comes, or the cluster starts without it."""

_TLS13 = common_pb2.TlsParameters(
    tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
    tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
)
_TLS12 = common_pb2.TlsParameters(
    tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2,
    tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
)
_URI = common_pb2.SubjectAltNameMatcher.URI
_DNS = common_pb2.SubjectAltNameMatcher.DNS


class MeshTls(Struct, frozen=True):
    """Mutual TLS to a service of the mesh. `identities`: the SPIFFE URIs it may have; none: nobody is accepted."""

    sni: str
    identities: tuple[str, ...]
    alpn: tuple[str, ...]


def secret(name: str) -> secret_pb2.SdsSecretConfig:
    return secret_pb2.SdsSecretConfig(name=name, sds_config=wire.ads())


def credential(name: str) -> secret_pb2.SdsSecretConfig:
    """A secret that a DestinationRule names. One that nobody sends must not hold back a proxy's start: until it is
    there, connections that need it fail."""
    out = secret(f"kubernetes://{name}")
    out.sds_config.initial_fetch_timeout.CopyFrom(wire.milliseconds(CREDENTIAL_WAIT))
    return out


def mesh_client(tls: MeshTls) -> base_pb2.TransportSocket:
    # Without a matcher Envoy would take every certificate under the roots: an empty list must refuse.
    identities = tls.identities or ("spiffe://",)
    validation = common_pb2.CertificateValidationContext(
        match_typed_subject_alt_names=[
            common_pb2.SubjectAltNameMatcher(san_type=_URI, matcher=string_pb2.StringMatcher(exact=identity))
            for identity in identities
        ]
    )
    context = tls_pb2.UpstreamTlsContext(
        sni=tls.sni,
        common_tls_context=common_tls(validation, tls.alpn),
    )
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=wire.pack(context))


def mesh_server() -> base_pb2.TransportSocket:
    """Any certificate under the roots is let in: who may call is policy's decision, made per request."""
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=common_tls(common_pb2.CertificateValidationContext(), ("h2", "http/1.1")),
        require_client_certificate=wire.true(),
        disable_stateless_session_resumption=True,
    )
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=wire.pack(context))


def common_tls(
    validation: common_pb2.CertificateValidationContext, alpn: tuple[str, ...]
) -> tls_pb2.CommonTlsContext:
    return tls_pb2.CommonTlsContext(
        tls_params=_TLS13,
        alpn_protocols=alpn,
        tls_certificate_sds_secret_configs=[secret(names.CERTIFICATE)],
        combined_validation_context=tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
            default_validation_context=validation,
            validation_context_sds_secret_config=secret(names.ROOTS),
        ),
    )


def plaintext() -> base_pb2.TransportSocket:
    return base_pb2.TransportSocket(
        name="envoy.transport_sockets.raw_buffer", typed_config=wire.pack(raw_buffer_pb2.RawBuffer())
    )


def originate(tls: ClientTls, alpn: tuple[str, ...]) -> base_pb2.TransportSocket:
    """SIMPLE and MUTUAL of a DestinationRule.
    Istio: without caCertificates the system's roots verify; insecureSkipVerify verifies nothing."""
    common = tls_pb2.CommonTlsContext(tls_params=_TLS12, alpn_protocols=alpn)
    if tls.mode is TlsMode.MUTUAL:
        if tls.credential_name:
            common.tls_certificate_sds_secret_configs.append(credential(tls.credential_name))
        else:
            common.tls_certificates.add(
                certificate_chain=base_pb2.DataSource(filename=tls.client_certificate),
                private_key=base_pb2.DataSource(filename=tls.private_key),
            )
    if not tls.insecure_skip_verify:
        _verify(tls, common)
    context = tls_pb2.UpstreamTlsContext(sni=tls.sni, common_tls_context=common)
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=wire.pack(context))


def _verify(tls: ClientTls, common: tls_pb2.CommonTlsContext) -> None:
    matchers = [
        common_pb2.SubjectAltNameMatcher(
            san_type=_URI if "://" in name else _DNS, matcher=string_pb2.StringMatcher(exact=name)
        )
        for name in tls.subject_alt_names
    ]
    if tls.credential_name:
        common.combined_validation_context.CopyFrom(
            tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
                default_validation_context=common_pb2.CertificateValidationContext(
                    match_typed_subject_alt_names=matchers
                ),
                validation_context_sds_secret_config=credential(f"{tls.credential_name}-cacert"),
            )
        )
        return
    common.validation_context.CopyFrom(
        common_pb2.CertificateValidationContext(
            trusted_ca=base_pb2.DataSource(filename=tls.ca_certificates or SYSTEM_ROOTS),
            crl=base_pb2.DataSource(filename=tls.ca_crl) if tls.ca_crl else None,
            match_typed_subject_alt_names=matchers,
        )
    )
