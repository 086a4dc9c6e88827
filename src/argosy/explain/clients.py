"""Which clients a gateway lets in where TLS ends, by the certificate that they show.

Facts (Envoy, tried): a certificate must be of the server's authorities and, where names are asked for, have one of
them; where digests are, be of one of the keys or one of the certificates; then nobody comes without a certificate,
though none were demanded. Who is not verified need have none of these.
"""

from __future__ import annotations

from argosy.explain.matching import lower
from argosy.explain.request import Certified, ClientCertificate
from argosy.model import ir

NOT_ASKED = "no certificate is asked for"
_ASKED = {
    ir.ServerTlsMode.MUTUAL: "the client must show a certificate",
    ir.ServerTlsMode.ISTIO_MUTUAL: "the client must show a certificate of the mesh",
    ir.ServerTlsMode.OPTIONAL_MUTUAL: "a certificate that the client shows is verified",
}


def asked(tls: ir.GatewayTls) -> str:
    """In words."""
    said = _ASKED.get(tls.mode, NOT_ASKED)
    if tls.mode not in _ASKED or tls.insecure_skip_verify:
        return said
    if tls.subject_alt_names:
        said += f", for {' or '.join(tls.subject_alt_names)}"
    if tls.certificate_spki or tls.certificate_hash:
        said += ", of a key or with a digest that the server names"
    return said


def shut_out(tls: ir.GatewayTls, shown: ClientCertificate, certified: Certified | None) -> str:
    """Why a client is refused where TLS ends; "" where it is not, or where nothing is known of it."""
    if tls.mode not in _ASKED or shown is ClientCertificate.UNKNOWN:
        return ""
    if shown is ClientCertificate.NONE:
        optional = tls.mode is ir.ServerTlsMode.OPTIONAL_MUTUAL and (
            tls.insecure_skip_verify or not _narrows(tls)
        )
        return "" if optional else f"the client shows no certificate, and the server says {tls.mode}"
    if tls.insecure_skip_verify:
        return ""
    if shown is ClientCertificate.UNTRUSTED:
        return "the client's certificate is not one that the server's authorities have signed"
    if certified is None:
        return ""
    wanted = tls.subject_alt_names
    if wanted and not any(_is(name, one) for name in wanted for one in certified.names):  # ANY
        return f"the client's certificate has none of the names {', '.join(wanted)}"
    digests = bool(tls.certificate_spki or tls.certificate_hash)
    known = certified.spki in tls.certificate_spki or _bare(certified.digest) in map(
        _bare, tls.certificate_hash
    )
    if digests and not known:
        return "the client's certificate is of no key that the server names, and has no digest that it names"
    return ""


def _narrows(tls: ir.GatewayTls) -> bool:
    """Whether more is asked of a certificate than who has signed it."""
    return bool(tls.subject_alt_names or tls.certificate_spki or tls.certificate_hash)


def _is(wanted: str, name: str) -> bool:
    """Facts (Envoy): names of hosts are alike in any case, and one in a certificate may have a wildcard for a label."""
    if "://" in wanted or "@" in wanted:
        return wanted == name
    wanted, name = lower(wanted), lower(name)
    return wanted == name or (name.startswith("*.") and name[1:] == wanted[wanted.find(".") :] != "")


def _bare(digest: str) -> str:
    return digest.replace(":", "").lower()
