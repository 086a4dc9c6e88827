"""Transport sockets: mesh mutual TLS of both sides, TLS that a DestinationRule originates, plaintext.

Mesh TLS is 1.3 and nothing else, unless MeshConfig says so; Envoy's upstream default is at most 1.2, so both ends are
set. Own certificate and roots come by SDS on the ADS stream, which the agent answers.
"""

from __future__ import annotations

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.quic.v3 import quic_transport_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from msgspec import Struct
from msgspec.structs import replace

from argosy.model.credentials import AUTHORITIES
from argosy.model.hostnames import is_address
from argosy.model.ir import ClientTls, ServerTlsMode, TlsMode, TlsParameters
from argosy.translate import names, wire

SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
"""Trusted where a DestinationRule originates TLS without naming its own authority (Debian's and Istio's path)."""

CREDENTIAL_WAIT = 1000
"""Milliseconds in which a secret named by configuration comes, or the cluster starts without it."""

AS_USUAL = TlsParameters()
LISTENER_CREDENTIAL_WAIT = 5000
"""The same for a listener: it serves its other chains then. A server that answers says at once that there is none."""

_URI = common_pb2.SubjectAltNameMatcher.URI
_DNS = common_pb2.SubjectAltNameMatcher.DNS


class MeshTls(Struct, frozen=True):
    """Mutual TLS to a service of the mesh. `identities`: the SPIFFE URIs it may have; none: nobody is accepted."""

    sni: str
    identities: tuple[str, ...]
    alpn: tuple[str, ...]
    parameters: TlsParameters = TlsParameters()


def secret(name: str) -> secret_pb2.SdsSecretConfig:
    return secret_pb2.SdsSecretConfig(name=name, sds_config=wire.ads())


def credential(name: str, wait: int = CREDENTIAL_WAIT) -> secret_pb2.SdsSecretConfig:
    """A secret that configuration names. One that nobody sends must not hold back a proxy's start: until it is there,
    connections that need it fail."""
    out = secret(name)
    out.sds_config.initial_fetch_timeout.CopyFrom(wire.milliseconds(wait))
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
        common_tls_context=common_tls(validation, tls.alpn, tls.parameters),
    )
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=wire.pack(context))


def mesh_server(parameters: TlsParameters = AS_USUAL) -> base_pb2.TransportSocket:
    """Any certificate under the roots is let in: who may call is policy's decision, made per request."""
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=common_tls(
            common_pb2.CertificateValidationContext(), ("h2", "http/1.1"), parameters
        ),
        require_client_certificate=wire.true(),
        disable_stateless_session_resumption=True,
    )
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=wire.pack(context))


def common_tls(
    validation: common_pb2.CertificateValidationContext, alpn: tuple[str, ...], parameters: TlsParameters
) -> tls_pb2.CommonTlsContext:
    return tls_pb2.CommonTlsContext(
        tls_params=_parameters(parameters, "TLSV1_3"),
        alpn_protocols=alpn,
        tls_certificate_sds_secret_configs=[secret(names.CERTIFICATE)],
        combined_validation_context=tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
            default_validation_context=validation,
            validation_context_sds_secret_config=secret(names.ROOTS),
        ),
    )


class ServerTls(Struct, frozen=True, kw_only=True):
    """TLS that ends at a gateway. Certificates and authorities are names of secrets."""

    mode: ServerTlsMode
    certificates: tuple[str, ...] = ()
    authorities: str = ""
    alpn: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    certificate_spki: tuple[str, ...] = ()
    certificate_hash: tuple[str, ...] = ()
    min_version: str = ""
    max_version: str = ""
    cipher_suites: tuple[str, ...] = ()
    ecdh_curves: tuple[str, ...] = ()
    insecure_skip_verify: bool = False

    @property
    def secrets(self) -> tuple[str, ...]:
        """Those that the server sends."""
        return (*self.certificates, *((self.authorities,) if self.authorities else ()))


def terminate(tls: ServerTls) -> base_pb2.TransportSocket:
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=wire.pack(_server(tls)))


def terminate_quic(tls: ServerTls) -> base_pb2.TransportSocket:
    """Of HTTP/3, whose TLS is 1.3 and has suites of its own."""
    context = _server(replace(tls, alpn=("h3",), min_version="TLSV1_3", max_version="", cipher_suites=()))
    config = quic_transport_pb2.QuicDownstreamTransport(downstream_tls_context=context)
    return base_pb2.TransportSocket(name="envoy.transport_sockets.quic", typed_config=wire.pack(config))


def _server(tls: ServerTls) -> tls_pb2.DownstreamTlsContext:
    """Istio: MUTUAL and ISTIO_MUTUAL demand a certificate, OPTIONAL_MUTUAL verifies one that is given."""
    common = tls_pb2.CommonTlsContext(
        tls_params=common_pb2.TlsParameters(
            tls_minimum_protocol_version=_version(tls.min_version, "TLSV1_2"),
            tls_maximum_protocol_version=_version(tls.max_version, "TLSV1_3"),
            cipher_suites=tls.cipher_suites,
            ecdh_curves=tls.ecdh_curves,
        ),
        alpn_protocols=tls.alpn,
    )
    in_mesh = tls.mode is ServerTlsMode.ISTIO_MUTUAL
    if in_mesh:
        common.tls_certificate_sds_secret_configs.append(secret(names.CERTIFICATE))
    else:
        common.tls_certificate_sds_secret_configs.extend(
            credential(name, LISTENER_CREDENTIAL_WAIT) for name in tls.certificates
        )
    if in_mesh or tls.mode.verifies:
        by = secret(names.ROOTS) if in_mesh else credential(tls.authorities, LISTENER_CREDENTIAL_WAIT)
        common.combined_validation_context.CopyFrom(
            tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
                default_validation_context=_clients(tls), validation_context_sds_secret_config=by
            )
        )
    context = tls_pb2.DownstreamTlsContext(common_tls_context=common)
    context.require_client_certificate.value = in_mesh or tls.mode is ServerTlsMode.MUTUAL
    return context


def _version(written: str, default: str) -> common_pb2.TlsParameters.TlsProtocol:
    """Envoy writes the v of Istio's TLSV1_3 small."""
    return common_pb2.TlsParameters.TlsProtocol.Value((written or default).replace("V", "v"))


def _parameters(written: TlsParameters, lowest: str) -> common_pb2.TlsParameters:
    """Up to 1.3; `lowest` where nothing is written."""
    return common_pb2.TlsParameters(
        tls_minimum_protocol_version=_version(written.min_version, lowest),
        tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
        cipher_suites=written.cipher_suites,
        ecdh_curves=written.ecdh_curves,
    )


def _clients(tls: ServerTls) -> common_pb2.CertificateValidationContext:
    """Who a client must be, beside verified by the authorities."""
    out = common_pb2.CertificateValidationContext(
        verify_certificate_spki=tls.certificate_spki,
        verify_certificate_hash=tls.certificate_hash,
        match_typed_subject_alt_names=[
            common_pb2.SubjectAltNameMatcher(san_type=kind, matcher=string_pb2.StringMatcher(exact=name))
            for name in tls.subject_alt_names
            for kind in _kinds_of_name(name)
        ],
    )
    if tls.insecure_skip_verify:
        out.trust_chain_verification = common_pb2.CertificateValidationContext.ACCEPT_UNTRUSTED
    return out


def _kinds_of_name(name: str) -> tuple[common_pb2.SubjectAltNameMatcher.SanType, ...]:
    """Istio matches a name whatever it is the name of."""
    if "://" in name:
        return (_URI,)
    if is_address(name):
        return (common_pb2.SubjectAltNameMatcher.IP_ADDRESS,)
    if "@" in name:
        return (common_pb2.SubjectAltNameMatcher.EMAIL,)
    return (_DNS,)


def plaintext() -> base_pb2.TransportSocket:
    return base_pb2.TransportSocket(
        name="envoy.transport_sockets.raw_buffer", typed_config=wire.pack(raw_buffer_pb2.RawBuffer())
    )


def originate(
    tls: ClientTls, alpn: tuple[str, ...], parameters: TlsParameters = AS_USUAL
) -> base_pb2.TransportSocket:
    """SIMPLE and MUTUAL of a DestinationRule. `credential_name` is the name of the secret. Files are secrets, too: one
    that is missing is waited for where an inline one would be refused, and one that is replaced is read again.
    Istio: without caCertificates the system's roots verify; insecureSkipVerify verifies nothing."""
    common = tls_pb2.CommonTlsContext(tls_params=_parameters(parameters, "TLSV1_2"), alpn_protocols=alpn)
    if certificate := _own_certificate(tls):
        common.tls_certificate_sds_secret_configs.append(credential(certificate))
    if not tls.insecure_skip_verify:
        _verify(tls, common)
    context = tls_pb2.UpstreamTlsContext(sni=tls.sni, common_tls_context=common)
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=wire.pack(context))


def originated_secrets(tls: ClientTls) -> tuple[str, ...]:
    """What `originate` names."""
    if tls.mode not in (TlsMode.SIMPLE, TlsMode.MUTUAL):
        return ()
    verifying = "" if tls.insecure_skip_verify else _authorities(tls)
    return tuple(name for name in (_own_certificate(tls), verifying) if name)


def _own_certificate(tls: ClientTls) -> str:
    """The secret with the certificate that a client shows; "": it shows none."""
    if tls.mode is not TlsMode.MUTUAL:
        return ""
    return tls.credential_name or names.certificate_files(tls.client_certificate, tls.private_key)


def _authorities(tls: ClientTls) -> str:
    """The secret with the authorities that verify the server; "": the system's do."""
    if tls.credential_name:
        return f"{tls.credential_name}{AUTHORITIES}"
    if tls.ca_certificates or tls.ca_crl:
        return names.authority_file(tls.ca_certificates or SYSTEM_ROOTS, tls.ca_crl)
    return ""


def _verify(tls: ClientTls, common: tls_pb2.CommonTlsContext) -> None:
    validation = common_pb2.CertificateValidationContext(
        match_typed_subject_alt_names=[
            common_pb2.SubjectAltNameMatcher(
                san_type=_URI if "://" in name else _DNS, matcher=string_pb2.StringMatcher(exact=name)
            )
            for name in tls.subject_alt_names
        ]
    )
    if authorities := _authorities(tls):
        common.combined_validation_context.CopyFrom(
            tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
                default_validation_context=validation,
                validation_context_sds_secret_config=credential(authorities),
            )
        )
        return
    validation.trusted_ca.filename = SYSTEM_ROOTS
    common.validation_context.CopyFrom(validation)
